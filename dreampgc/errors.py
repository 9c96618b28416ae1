"""The errors that users can cause, each with the exit code of the command line's contract.

Everything else that escapes is a bug: the command line reports it with exit code 1.
"""

from __future__ import annotations


class DreamError(Exception):
    """Base of every error with a message for humans; ``exit_code`` is what the process ends with."""

    exit_code = 1


class InputError(DreamError):
    """Bad input or configuration: a prompt, a number, a key, a file or a folder."""

    exit_code = 2


class NewerError(InputError):
    """A file of a newer dreampgc, which this one would misread."""


class MissingError(DreamError):
    """Something needed is not there: weights, an optional package, a program."""

    exit_code = 3


class TrainingError(DreamError):
    """The optimisation cannot go on (for instance 20 non-finite steps in a row)."""

    exit_code = 1


class Interrupted(DreamError):
    """The user or the system asked the run to stop; ``exit_code`` is 130 (SIGINT) or 143 (SIGTERM)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        """How it goes from a worker process to the one that waits for it."""
        return type(self), (str(self), self.exit_code)


def one_line(error: BaseException) -> str:
    """What an error of another library says, for a sentence of ours; its type's name if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
