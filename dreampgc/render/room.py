"""Room for results whose number only the device knows: buffers of a size chosen beforehand, with a rest of padding.

To pack what was chosen, the host would have to wait for its number. Instead it reserves room by the numbers of some
steps ago, which have arrived meanwhile.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from dreampgc.transfer import Download

_GRAIN = 2**12  # sizes are multiples of it, so that memory is found again by the allocator
_HEADROOM = 1.3
_FIRST_HEADROOM = 2.0  # one number says little of the next views
_FORGETTING = 0.99  # of the largest number lately, at each step
_STEP = 2**0.5  # between the sizes that work is recorded for


class Room:
    """How many places to reserve for the next count, judged by the earlier ones."""

    def __init__(self) -> None:
        self._recent: float | None = None  # the largest count lately, for a scale of 1
        self._counts: deque[tuple[Download, float]] = deque()

    def reserve(self, count: Tensor, scale: float = 1.0) -> int:
        """The size of the buffer for ``count`` things (0-d integer): enough unless they have multiplied.

        ``scale`` is what the host knows the count to be proportional to. Only the very first count is waited for. Too
        small a size is noticed later: compare on the device.
        """
        if self._recent is None:
            self._recent = float(count) / scale
            return _rounded(_FIRST_HEADROOM * scale * self._recent)
        self.observe(count, scale)
        return self.size(scale)

    def observe(self, count: Tensor, scale: float = 1.0) -> None:
        """Learn of a count as soon as it arrives."""
        self._counts.append((Download({"count": count}), scale))

    def size(self, scale: float = 1.0) -> int:
        """What to reserve, by the counts that have arrived; there was at least one."""
        assert self._recent is not None, "asked for before anything was reserved"
        while self._counts and self._counts[0][0].arrived():
            download, its_scale = self._counts.popleft()
            self._recent = max(download.numbers()["count"] / its_scale, self._recent * _FORGETTING)
        return _rounded(_HEADROOM * scale * self._recent)


#: A purpose and among how many things is chosen.
Place = tuple[str, int]


class Rooms:
    """A `Room` for each purpose and size of what is chosen from; ``scale`` is how large the views show the object.

    For work that is recorded and replayed, sizes are decided beforehand (`plan`), and what was counted is told
    afterwards (`observe`).
    """

    def __init__(self) -> None:
        self.scale = 1.0
        self._rooms: defaultdict[Place, Room] = defaultdict(Room)
        self._planned: dict[Place, int] = {}
        #: Since the last `plan`: what was counted in each place that depends on the views.
        self.counts: dict[Place, Tensor] = {}

    def reserve(self, purpose: str, among: int, count: Tensor, *, of_views: bool = True) -> int:
        """See `Room.reserve`; ``among`` is how many there are to choose from, ``of_views`` whether `scale` matters."""
        place = purpose, among
        if of_views:
            self.counts[place] = count
        planned = self._planned.get(place)
        if planned is not None and count.is_cuda and torch.cuda.is_current_stream_capturing():
            return planned
        size = self._rooms[place].reserve(count, self.scale if of_views else 1.0)
        return min(size, among) if planned is None or not of_views else planned

    def plan(self, places: Collection[Place]) -> tuple[int, ...]:
        """Decide the sizes of ``places`` for what comes next, on a ladder of few rungs; none: as they come."""
        self.counts = {}
        self._planned = {place: min(_rung(self._rooms[place].size(self.scale)), place[1]) for place in places}
        return tuple(self._planned.values())

    def observe(self, counts: Mapping[Place, Tensor]) -> None:
        """Learn what a replay counted."""
        for place, count in counts.items():
            self._rooms[place].observe(count, self.scale)


def places(ends: Tensor, size: int) -> Tensor:
    """Where the first ``size`` chosen ones are, ``[size]`` int64, given their running count ``ends`` ``[M]`` int32.

    Beyond the last chosen one the answer is ``M``.
    """
    return torch.searchsorted(ends, torch.arange(1, size + 1, dtype=ends.dtype, device=ends.device))


def _rung(size: int) -> int:
    """The next of the sizes that grow by steps of `_STEP`: neighbours share one."""
    return _rounded(_GRAIN * _STEP ** math.ceil(math.log(size / _GRAIN, _STEP) - 1e-9))


def _rounded(size: float) -> int:
    return max(1, -(-int(size) // _GRAIN)) * _GRAIN
