"""Examines a model directory part by part: what it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dreampgc.errors import InputError
from dreampgc.priors import layout
from dreampgc.priors.linear import FILE_NAME, LinearMap
from dreampgc.priors.parts import misfits, read_part, view_misfits
from dreampgc.priors.vocabulary import Vocabulary

#: Families of Stable Diffusion by the width of the text that their UNets take.
_FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}


@dataclass(frozen=True)
class Verdict:
    """What was found of one part: ``note`` describes it when it is right, else says what is wrong."""

    part: str
    right: bool
    note: str


@dataclass(frozen=True)
class Examination:
    """``summary`` says what the model is; there is a verdict for each part that it needs."""

    summary: str
    verdicts: tuple[Verdict, ...]

    @property
    def wrong(self) -> list[Verdict]:
        """The parts that keep the model from being used."""
        return [verdict for verdict in self.verdicts if not verdict.right]


def examine(directory: Path, vae: Path | None = None) -> Examination:
    """Read every part as a run would, one at a time, and compare what they say of one another.

    ``vae`` is the model whose VAE this one uses, where it has none of its own.

    Raises:
        InputError: there is no such directory.
    """
    if not directory.is_dir():
        raise InputError(f"there is no directory {directory}")
    facts: dict[str, Any] = {}
    homes = {part: layout.home_of(part, directory, vae) for part in layout.parts_of(directory)}
    found = {part: _examine_part(home, part, facts) for part, home in homes.items()}
    compare = view_misfits if layout.is_of_views(directory) else misfits
    for part, sentence in compare(facts).items():
        if found[part].right:
            found[part] = Verdict(part, False, sentence)
    return Examination(_summary(facts, directory), (*found.values(), *_extras(directory)))


def _examine_part(directory: Path, part: str, facts: dict[str, Any]) -> Verdict:
    """Read one part, and leave what the others must agree with in ``facts``."""
    try:
        read = read_part(directory, part, torch.bfloat16)  # the range of float32 in half its memory
        if part.startswith("tokenizer"):
            facts[part] = len(read)
            return Verdict(part, True, f"{len(read)} words, texts of {read.model_max_length}")
        if part == "feature_extractor":
            facts[part] = read.crop_size["height"]
            return Verdict(part, True, f"pictures of {facts[part]} px")
        facts[part] = read.config
        note = _describe_model(directory, part, read) if part in layout.STEMS else type(read).__name__
    except layout.PartError as error:
        return Verdict(part, False, error.sentence)
    return Verdict(part, True, note)


def _describe_model(directory: Path, part: str, model: torch.nn.Module) -> str:
    """Class, size and files of a model. Raises PartError where weights are not finite."""
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise layout.PartError(part, f"holds numbers that are not finite, for instance in {name}")
    count = sum(weight.numel() for weight in model.parameters())
    files = layout.find_weights(directory, part).files
    size = sum(file.stat().st_size for file in files)
    where = files[0].name if len(files) == 1 else f"{len(files)} shards"
    return f"{type(model).__name__}, {count / 1e6:,.1f} M weights, {size / 1e6:,.1f} MB in {where}"


def _extras(directory: Path) -> Iterator[Verdict]:
    """The files beside the parts that a run would read."""
    if (directory / "vocabulary.json").exists():
        try:
            vocabulary = Vocabulary.load(directory)
            yield Verdict("vocabulary.json", True, f"{len(vocabulary.words) if vocabulary else 0} words")
        except InputError as error:
            yield Verdict("vocabulary.json", False, str(error))
    if (directory / FILE_NAME).exists():
        try:
            LinearMap.load(directory)
            yield Verdict(FILE_NAME, True, "fitted map of colours and latents")
        except Exception as error:  # safetensors has its own errors for damage, and keys may be missing
            yield Verdict(FILE_NAME, False, f"is damaged: {error}")


def _summary(facts: dict[str, Any], directory: Path) -> str:
    """Family, prediction type and image size, as far as the parts that could be read tell."""
    unet, vae, scheduler = (facts.get(part) for part in ("unet", "vae", "scheduler"))
    if unet is None:
        return "unknown: its UNet cannot be read"
    family = _FAMILIES.get(unet.cross_attention_dim, "Stable Diffusion's layout")
    told = "text"
    if layout.is_of_views(directory):  # the two differ in what they were trained with, not in their files
        family, told = "Zero123 or Stable-Zero123", "picture and pose"
    if unet.addition_embed_type == "text_time":
        family = _FAMILIES[2048]
    words = [family, f"{told} of width {unet.cross_attention_dim}"]
    if scheduler is not None:
        words.append(f"predicts {scheduler.prediction_type}")
    if vae is not None:
        words.append(f"images of {unet.sample_size * 2 ** (len(vae.block_out_channels) - 1)} px")
    if (directory / "vocabulary.json").exists():
        words.append("closed vocabulary")
    return ", ".join(words)
