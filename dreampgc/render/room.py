"""Room for results whose number only the device knows: buffers of a size chosen beforehand, with a rest of padding.

To pack what was chosen, the host would have to wait for its number. Instead it reserves room by the numbers of some
steps ago, which have arrived meanwhile.
"""

from __future__ import annotations

from collections import defaultdict, deque

import torch
from torch import Tensor

from dreampgc.transfer import Download

_GRAIN = 2**12  # sizes are multiples of it, so that memory is found again by the allocator
_HEADROOM = 1.3
_FIRST_HEADROOM = 2.0  # one number says little of the next views
_FORGETTING = 0.99  # of the largest number lately, at each step


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
        self._counts.append((Download({"count": count}), scale))
        while self._counts and self._counts[0][0].arrived():
            download, its_scale = self._counts.popleft()
            self._recent = max(download.numbers()["count"] / its_scale, self._recent * _FORGETTING)
        return _rounded(_HEADROOM * scale * self._recent)


class Rooms:
    """A `Room` for each purpose and size of what is chosen from; ``scale`` is how large the views show the object."""

    def __init__(self) -> None:
        self.scale = 1.0
        self._rooms: defaultdict[tuple[str, int], Room] = defaultdict(Room)

    def reserve(self, purpose: str, among: int, count: Tensor, scale: float = 1.0) -> int:
        """See `Room.reserve`; ``among`` is how many there are to choose from."""
        return min(self._rooms[purpose, among].reserve(count, scale), among)


def places(ends: Tensor, size: int) -> Tensor:
    """Where the first ``size`` chosen ones are, ``[size]`` int64, given their running count ``ends`` ``[M]`` int32.

    Beyond the last chosen one the answer is ``M``.
    """
    return torch.searchsorted(ends, torch.arange(1, size + 1, dtype=ends.dtype, device=ends.device))


def _rounded(size: float) -> int:
    return max(1, -(-int(size) // _GRAIN)) * _GRAIN
