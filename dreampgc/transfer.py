"""Numbers between host and device without either waiting for the other.

A plain copy from or to ordinary memory halts the host until the device has done all that it was told before. Through
pinned memory it is only queued. On a CPU nothing of this matters, and everything here is immediate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def upload(x: Tensor, device: torch.device | str) -> Tensor:
    """``x`` on ``device``; a copy to a CUDA device is queued on its current stream, and the host goes on."""
    if x.is_cuda or torch.device(device).type != "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def draw(make: Callable[[], Tensor], device: torch.device | str) -> Tensor:
    """What ``make()`` gives on the host, random numbers above all, on ``device``.

    For work that is recorded to be replayed, a `Tape` remembers what was asked for.
    """
    return upload(make(), device) if _tape is None else _tape.answer(make, device)


class Tape:
    """What a piece of work asks the host for: noted while it is done, so that a replay can be told anew.

    The places of the numbers are made outside of any recording: memory that a recording makes for itself is written
    to by what comes before in it.
    """

    def __init__(self) -> None:
        self._notes: list[tuple[Callable[[], Tensor], Tensor]] = []
        self._next: int | None = None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """`draw` answers as ever, and here it is noted what was asked for."""
        with self._active():
            yield

    @contextmanager
    def playing(self) -> Iterator[None]:
        """`draw` draws nothing: it answers with the places of the same questions before, in their order."""
        self._next = 0
        try:
            with self._active():
                yield
            assert self._next == len(self._notes), "the work asked for something else than before"
        finally:
            self._next = None

    def answer(self, make: Callable[[], Tensor], device: torch.device | str) -> Tensor:
        """A place of this tape."""
        if self._next is None:
            self._notes.append((make, upload(make(), device)))
            return self._notes[-1][1]
        self._next += 1
        return self._notes[self._next - 1][1]

    def refill(self) -> None:
        """Draw again what was asked for, and bring it to its places."""
        for make, place in self._notes:
            value = make()
            place.copy_(value.pin_memory() if place.is_cuda else value, non_blocking=True)

    @contextmanager
    def _active(self) -> Iterator[None]:
        global _tape
        assert _tape is None, "one tape at a time"
        _tape = self
        try:
            yield
        finally:
            _tape = None


_tape: Tape | None = None


class Download:
    """Named one-element tensors of one device on their way to the host; asking whether they arrived never waits."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._kinds = {name: _kind(value.dtype) for name, value in values.items()}
        self._numbers = torch.stack([value.detach().reshape(()).double() for value in values.values()])
        self._event: torch.cuda.Event | None = None
        if self._numbers.is_cuda:
            pinned = torch.empty(self._numbers.shape, dtype=torch.float64, pin_memory=True)
            self._numbers = pinned.copy_(self._numbers, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def arrived(self) -> bool:
        """Whether `numbers` would answer at once."""
        return self._event is None or self._event.query()

    def numbers(self) -> dict[str, float | int | bool]:
        """The values by name, each of the kind that its tensor was; waits for them if need be."""
        if self._event is not None:
            self._event.synchronize()
        return {name: kind(x) for (name, kind), x in zip(self._kinds.items(), self._numbers.tolist(), strict=True)}


def _kind(dtype: torch.dtype) -> type[float] | type[int] | type[bool]:
    if dtype.is_floating_point:
        return float
    return bool if dtype == torch.bool else int
