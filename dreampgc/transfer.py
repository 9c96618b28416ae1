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

    In what is recorded to be replayed (`Tape`) the answer is a place, into which each replay brings new ones.
    """
    return upload(make(), device) if _tape is None else _tape.note(make, device)


class Tape:
    """What a recorded piece of work asked the host for: the same is asked again, in the same order, at each replay."""

    def __init__(self) -> None:
        self._notes: list[tuple[Callable[[], Tensor], Tensor]] = []
        self._first: list[Tensor] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """`draw` notes here what it is asked for."""
        global _tape
        assert _tape is None, "one recording at a time"
        _tape = self
        try:
            yield
        finally:
            _tape = None

    def note(self, make: Callable[[], Tensor], device: torch.device | str) -> Tensor:
        """Ask for the first time; the numbers come to the place that is returned with the first `refill`."""
        value = make()
        place = torch.empty_like(value, device=device)
        self._notes.append((make, place))
        self._first.append(value)
        return place

    def refill(self) -> None:
        """Bring the numbers of the next replay."""
        values, self._first = self._first or [make() for make, _ in self._notes], []
        for (_, place), value in zip(self._notes, values, strict=True):
            place.copy_(value.pin_memory() if place.is_cuda else value, non_blocking=True)


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
