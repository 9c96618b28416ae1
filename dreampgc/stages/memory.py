"""What a step does when the device's memory does not suffice: step by step it asks for less, and the run goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch
from torch.optim import Optimizer

from dreampgc.errors import DreamError

#: Makes the step smaller and says in a sentence how; None when it can make it no smaller.
Rung = Callable[[], str | None]


class MemoryLadder:
    """Repeats steps that ran out of memory with less of it: the ``rungs`` in turn, each as often as it has an answer.

    A step that is repeated sees the same random numbers of ``generator``; ``optimizer``'s gradients are dropped before.
    """

    def __init__(self, rungs: Sequence[Rung], generator: torch.Generator, optimizer: Optimizer) -> None:
        self._rungs = list(rungs)
        self._generator, self._optimizer = generator, optimizer

    def attempt(self, step: Callable[[], None], warn: Callable[[str], None]) -> None:
        """Do ``step``; ``warn`` hears of each rung once.

        Raises:
            DreamError: the step is as small as it can be, and still too large.
        """
        dice = self._generator.get_state()
        while True:
            try:
                return step()
            except torch.OutOfMemoryError as error:
                sentence = self._descend()
                if sentence is None:
                    raise DreamError(
                        "the device has too little memory for the smallest step that there is: end other programs on "
                        "it, or choose a smaller prior (--prior mini)"
                    ) from error
            # Only here is the failed step's traceback gone, and with it what its frames held.
            self._optimizer.zero_grad(set_to_none=True)
            self._generator.set_state(dice)
            gc.collect()
            torch.cuda.empty_cache()
            warn(f"out of memory on the device: {sentence}; the run goes on, slower")

    def _descend(self) -> str | None:
        while self._rungs:
            if (sentence := self._rungs[0]()) is not None:
                return sentence
            self._rungs.pop(0)
        return None
