"""A step's work as one CUDA graph: a GPU runs thousands of small kernels faster than Python launches them.

Steps of one kind do the same with other numbers. The first of a kind runs as it always did, and so does the first of
each size of its buffers; from the second on there is a recording, which is replayed. What the host draws for a step
reaches a recording through `dreampgc.transfer.draw`; what it would decide by looking at the device it may not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dreampgc.guidance.pictures import draw_gradient
from dreampgc.guidance.sds import Record
from dreampgc.images import Frame
from dreampgc.render.room import Place, Rooms
from dreampgc.transfer import Tape

#: Recordings that are kept. Each holds its inputs and results; they share the memory in between.
_MOST = 32


@dataclass(frozen=True)
class Outcome:
    """What the work of a step found, before the descent.

    ``loss`` (0-d) has its graph, or none when the parameters already hold their gradients. ``metrics`` is to be logged;
    ``record`` is what pictures of gradients are drawn from.
    """

    loss: Tensor
    metrics: Mapping[str, Any]
    record: Record | None


class Recorder:
    """Plays the work of steps, recorded where that was done before; what cannot be recorded runs as it is.

    ``parameters`` are those of the loss, ``rooms`` what the work reserves its buffers in, and ``say`` hears, once, why
    nothing can be recorded.
    """

    def __init__(self, parameters: Sequence[Tensor], rooms: Sequence[Rooms], say: Callable[[str], None]) -> None:
        self._parameters, self._rooms, self._say = list(parameters), list(rooms), say
        self._places: dict[Hashable, list[tuple[Place, ...]]] = {}
        self._tapes: dict[Hashable, Tape] = {}
        self._recordings: OrderedDict[Hashable, Recording] = OrderedDict()
        self._gradients: list[Tensor] = []
        self._pool: Any = None
        self._broken = False

    def play(self, kind: Hashable, work: Callable[[], Outcome]) -> Outcome:
        """What ``work`` gives in a step of this ``kind``."""
        if self._broken:
            return work()
        places = self._places.get(kind, [()] * len(self._rooms))
        sizes = tuple(rooms.plan(some) for rooms, some in zip(self._rooms, places, strict=True))
        key = kind, sizes
        if key not in self._tapes:
            tape = self._tapes[key] = Tape()
            with tape.noting():
                outcome = work()
            self._places[kind] = [tuple(rooms.counts) for rooms in self._rooms]
            return outcome
        if key not in self._recordings and not self._record(key, work):
            return work()
        self._recordings.move_to_end(key)
        return self._recordings[key].replay()

    def give_up(self) -> None:
        """Run everything as it is from now on, in rooms that follow what is counted."""
        self._broken = True
        self._recordings.clear()
        for rooms in self._rooms:
            rooms.plan(())

    def _record(self, key: Hashable, work: Callable[[], Outcome]) -> bool:
        """Whether there is a recording now."""
        if not self._gradients:
            self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]
            self._pool = torch.cuda.graph_pool_handle()
        try:
            tape = self._tapes[key]
            recording = Recording(work, tape, self._parameters, self._gradients, self._rooms, self._pool)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # libraries and drivers each have errors of their own
            self.give_up()
            sentence = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            self._say(f"steps cannot be recorded here and run slower ({sentence})")
            return False
        self._recordings[key] = recording
        if len(self._recordings) > _MOST:
            self._recordings.popitem(last=False)
        return True


class RecordedStage:
    """What stages share whose steps can be recorded: how one is played, and what its pictures are drawn from."""

    _recorder: Recorder | None = None
    _record: Record | None = None  # the last step's

    def gradient_picture(self, done: int) -> Frame | None:
        """The last step's image gradient, before and after shaping; its norms at every pixel. None: there was none."""
        last = self._record
        return last and draw_gradient(last.gradient.raw, last.gradient.shaped, last.threshold, last.norm)

    def _play(self, kind: Hashable, work: Callable[[], Outcome]) -> Outcome:
        """What ``work`` gives, as it is or replayed."""
        found = work() if self._recorder is None else self._recorder.play(kind, work)
        self._record = found.record
        return found

    def _unrecorded(self) -> str | None:
        """A rung of the memory ladder."""
        if self._recorder is None:
            return None
        self._recorder.give_up()
        self._recorder = None
        return "steps are not recorded"


class Recording:
    """The work of one kind and size of step, and the gradients of its loss, as a CUDA graph."""

    def __init__(
        self,
        work: Callable[[], Outcome],
        tape: Tape,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        rooms: Sequence[Rooms],
        pool: Any,
    ) -> None:
        self._parameters, self._gradients, self._rooms = parameters, gradients, rooms
        self._tape, self._graph = tape, torch.cuda.CUDAGraph()
        # Other threads, such as a viewer's, may go on with their own work on the device meanwhile.
        with tape.playing(), torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            outcome = work()
            found = torch.autograd.grad(outcome.loss, parameters, allow_unused=True)
            for kept, gradient in zip(gradients, found, strict=True):
                kept.copy_(torch.zeros_like(kept) if gradient is None else gradient)
        self._outcome = replace(outcome, loss=outcome.loss.detach())
        self._counts = [dict(each.counts) for each in rooms]

    def replay(self) -> Outcome:
        """Do it with new numbers. The parameters have their gradients then; all results last until the next step."""
        self._tape.refill()
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        for rooms, counts in zip(self._rooms, self._counts, strict=True):
            rooms.observe(counts)
        return self._outcome
