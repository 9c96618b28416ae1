"""What a voter sees of the questions: an order of their own, and names that tell nothing."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from pathlib import Path

from dreampgc.viewer.study.questions import Question


class Ballots:
    """The questions behind opaque names.

    All randomness is a keyed hash of ``secret``: names and orders outlast a restart, nobody can guess them, and a
    question that is added later leaves each voter's order of the others as it was.
    """

    def __init__(self, questions: Sequence[Question], secret: bytes) -> None:
        self._secret = secret
        self._questions = {self._name(question): question for question in questions}
        self._meshes = {
            self.digest("mesh", question.key, method): path
            for question in questions
            for method, path in question.meshes.items()
        }

    def digest(self, *parts: str) -> str:
        """32 hexadecimal digits that belong to ``parts`` and tell nothing about them."""
        return hmac.new(self._secret, "\0".join(parts).encode(), "sha256").hexdigest()[:32]

    def order(self, voter: str) -> list[Question]:
        """All questions in the voter's order: each order is equally likely."""
        return sorted(self._questions.values(), key=lambda question: self.digest("order", voter, question.key))

    def methods(self, voter: str, question: Question) -> list[str]:
        """The methods from left to right as the voter sees them: each order is equally likely."""
        return sorted(question.meshes, key=lambda method: self.digest("order", voter, question.key, method))

    def names(self, voter: str, question: Question) -> tuple[str, list[str]]:
        """The opaque names of a question and of its meshes, these from left to right."""
        meshes = [self.digest("mesh", question.key, method) for method in self.methods(voter, question)]
        return self._name(question), meshes

    def question(self, name: str) -> Question | None:
        """The question of an opaque name; None if there is none."""
        return self._questions.get(name)

    def method(self, question: Question, mesh: str) -> str | None:
        """Whose mesh it is that ``mesh`` names; None if it is none of the question's."""
        return next((one for one in question.meshes if self.digest("mesh", question.key, one) == mesh), None)

    def mesh(self, name: str) -> Path | None:
        """The file of an opaque name; None if there is none."""
        return self._meshes.get(name)

    def _name(self, question: Question) -> str:
        # With its methods: a pick from a page that showed others than now is refused, and the page asks again.
        return self.digest("question", question.key, *sorted(question.meshes))
