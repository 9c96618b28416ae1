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
_HEADROOM = 1.5
_FIRST_HEADROOM = 2.5  # one number says little of the next views
_FORGETTING = 0.99  # of the largest number lately, at each step


class Room:
    """How many places to reserve for the next count, judged by the earlier ones."""

    def __init__(self) -> None:
        self.size = 0
        self._recent = 0.0
        self._counts: deque[Download] = deque()

    def reserve(self, count: Tensor) -> int:
        """The size of the buffer for ``count`` things (0-d integer): enough unless they have multiplied.

        Only the very first count is waited for. A count above the size is told by later ones: compare on the device.
        """
        if self.size == 0:
            self._recent = float(count)
            self.size = _rounded(_FIRST_HEADROOM * self._recent)
            return self.size
        self._counts.append(Download({"count": count}))
        while self._counts and self._counts[0].arrived():
            self._learn(self._counts.popleft().numbers()["count"])
        return self.size

    def _learn(self, count: float) -> None:
        self._recent = max(count, self._recent * _FORGETTING)
        wanted = _rounded(_HEADROOM * self._recent)
        if wanted > self.size or 3 * wanted < self.size:
            self.size = wanted


class Rooms:
    """A `Room` for each purpose and size of what is chosen from."""

    def __init__(self) -> None:
        self._rooms: defaultdict[tuple[str, int], Room] = defaultdict(Room)

    def reserve(self, purpose: str, among: int, count: Tensor) -> int:
        """See `Room.reserve`; ``among`` is how many there are to choose from."""
        return min(self._rooms[purpose, among].reserve(count), among)


def places(ends: Tensor, size: int) -> Tensor:
    """Where the first ``size`` chosen ones are, ``[size]`` int64, given their running count ``ends`` ``[M]`` int32.

    Beyond the last chosen one the answer is ``M``.
    """
    return torch.searchsorted(ends, torch.arange(1, size + 1, dtype=ends.dtype, device=ends.device))


def _rounded(size: float) -> int:
    return max(1, -(-int(size) // _GRAIN)) * _GRAIN
