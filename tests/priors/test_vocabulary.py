"""Closed vocabularies: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dreampgc.errors import InputError
from dreampgc.priors.vocabulary import Vocabulary

WORDS = ["a", "car", "castle", "wooden", "red", "on", "front", "view"]
VOCABULARY = Vocabulary(("car", "castle"), ("wooden", "red"), frozenset(WORDS))


@pytest.mark.parametrize(
    "prompt", ["a red car", "A  RED car!", "", "castle, front view", "a castle on a (wooden) car."]
)
def test_known_words_pass(prompt: str) -> None:
    assert VOCABULARY.check(prompt) is None


def test_unknown_words_are_named_once_with_the_nearest() -> None:
    with pytest.raises(InputError) as raised:
        VOCABULARY.check("a woden zyx on a Zyx car")
    message = str(raised.value)
    assert message.startswith("the mini prior does not know 'woden' (did you mean 'wooden'?), 'zyx'.")
    assert "dreampgc priors list --vocabulary" in message
    assert "--prior sd21" in message
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("prompt", ["café", "车", "car2", "x" * 10_000])
def test_any_text_gets_an_answer(prompt: str) -> None:
    with pytest.raises(InputError):
        VOCABULARY.check(prompt)


def test_read_from_a_priors_directory(tmp_path: Path) -> None:
    assert Vocabulary.load(tmp_path) is None
    data = {"classes": ["car", "castle"], "attributes": ["wooden", "red"], "words": WORDS}
    (tmp_path / "vocabulary.json").write_text(json.dumps(data))
    assert Vocabulary.load(tmp_path) == VOCABULARY


@pytest.mark.parametrize("content", ["{", "[]", '{"classes": []}', '{"classes": 1, "attributes": [], "words": []}'])
def test_damaged_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(InputError, match=r"vocabulary\.json is not a vocabulary"):
        Vocabulary.load(tmp_path)
