"""Property: what one process raises, another one can hear."""

from __future__ import annotations

import pickle

import pytest

from dreampgc.errors import DreamError, InputError, Interrupted, MissingError, NewerError, TrainingError

SENTENCES = [kind("a sentence") for kind in (InputError, NewerError, MissingError, TrainingError)]


@pytest.mark.parametrize("error", [*SENTENCES, Interrupted("stop", 143)], ids=lambda error: type(error).__name__)
def test_errors_go_from_process_to_process(error: DreamError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.exit_code) == (type(error), str(error), error.exit_code)
