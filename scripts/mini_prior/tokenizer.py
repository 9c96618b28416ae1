"""A CLIP tokenizer in which every known word is one token."""

from __future__ import annotations

import json
import string
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from dreampgc.priors.prompts import MINI, view_prompts
from dreampgc.world.objects import CARRIERS, CLASSES, Caption
from dreampgc.world.paints import ATTRIBUTES

LENGTH = 16  # tokens of a caption, start and end included


def known_words() -> list[str]:
    """Every word of every caption, sorted."""
    captions = [Caption(n, a) for n in CLASSES for a in (*ATTRIBUTES, None)]
    captions += [Caption(n, base=Caption(b)) for n in CLASSES for b in CARRIERS]
    texts = [text for one in captions for text in view_prompts(str(one), MINI)]
    return sorted({word for text in texts for word in text.replace(",", " ").split()})


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write the vocabulary into ``folder`` and load it."""
    write_vocabulary_files(folder)
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH)
    for word in known_words():
        assert len(tokenizer(word).input_ids) == 3, f"{word!r} is not one token: {tokenizer.tokenize(word)}"
    return tokenizer


def write_vocabulary_files(folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = list(string.ascii_lowercase + string.digits + ",.-'")
    merges = make_merges(known_words())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: k for k, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, in order of rank, that join each word into one token.

    A word's missing merges are added at the end. Lower ranks come first, so they never change a word that
    earlier merges already joined.
    """
    merges: dict[tuple[str, str], int] = {}
    for word in words:
        pieces = apply_merges(word, merges)
        while len(pieces) > 1:
            merges[(pieces[0], pieces[1])] = len(merges)
            pieces = apply_merges(word, merges)
    return list(merges)


def apply_merges(word: str, merges: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one word: always the merge of the lowest rank first."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    while True:
        pairs = [(merges[p], p) for p in pairwise(pieces) if p in merges]
        if not pairs:
            return pieces
        best = min(pairs)[1]
        joined: list[str] = []
        for piece in pieces:
            if joined and (joined[-1], piece) == best:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined
