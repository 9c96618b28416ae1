"""The closed vocabulary of a small prior: which words it was taught, and what to say about the others."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from dreampgc.errors import InputError


@dataclass(frozen=True)
class Vocabulary:
    """The closed vocabulary of a small prior: ``classes`` and ``attributes`` for people, ``words`` for checks."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    words: frozenset[str]

    @classmethod
    def load(cls, directory: Path) -> Vocabulary | None:
        """Read ``vocabulary.json`` of a prior's directory; None where the prior understands free text."""
        path = directory / "vocabulary.json"
        if not path.is_file():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(data["classes"]), tuple(data["attributes"]), frozenset(data["words"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a vocabulary: {error!r}") from error

    def check(self, prompt: str) -> None:
        """Refuse a prompt with words that the prior never saw; case and punctuation do not matter.

        Raises:
            InputError: names the unknown words, the nearest known ones, and the ways on.
        """
        spoken = dict.fromkeys(re.findall(r"[^\W_]+", prompt.lower()))
        unknown = [word for word in spoken if word not in self.words]
        if unknown:
            raise InputError(
                f"the mini prior does not know {', '.join(map(self._suggestion, unknown))}. "
                "`dreampgc priors list --vocabulary` shows all its words; `--prior sd21` takes free text."
            )

    def _suggestion(self, word: str) -> str:
        nearest = difflib.get_close_matches(word, sorted(self.words), n=3, cutoff=0.6)
        return f"'{word}' (did you mean {' or '.join(map(repr, nearest))}?)" if nearest else f"'{word}'"
