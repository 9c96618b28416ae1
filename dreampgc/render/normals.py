"""Normals of the samples that can be seen, a few places on each ray: each costs four densities."""

from __future__ import annotations

import torch
from torch import Tensor

from dreampgc.ops.segments import sum_before
from dreampgc.render.room import Rooms, places
from dreampgc.render.shading import density_normals
from dreampgc.types import RadianceField

_FAINT = 1e-3  # weight below which nobody sees a sample's normal
_PLACES = 4  # at most, on each ray, where normals are evaluated


def visible_normals(
    field: RadianceField, positions: Tensor, weights: Tensor, rays: Tensor, count: int, rooms: Rooms | None = None
) -> tuple[Tensor, Tensor | None]:
    """Normals ``[N,3]`` of the samples that can be seen, zero for the rest.

    The samples of one quantile of a ray's weight share the normal of the middle one: a soft surface, dozens of
    samples deep, costs no more than a hard one. ``weights``, ``rays`` are ``[N]``, of ``count`` rays.

    With ``rooms`` the host does not wait for the number of places; the second result (0-d) says whether all found room.
    """
    weights = weights.detach()
    visible = weights > _FAINT
    middle = sum_before(weights, rays) + weights / 2  # of the sample, in the ray's accumulated weight
    opacity = weights.new_zeros(count).index_add_(0, rays, weights)[rays]
    quantile = (_PLACES * middle / opacity.clamp_min(_FAINT)).long().clamp_(max=_PLACES - 1)
    keys = rays * _PLACES + quantile

    def normals_at(chosen: Tensor) -> Tensor:
        return density_normals(lambda points: field(points, None)[0], positions[chosen])

    if rooms is not None:
        ends = visible.cumsum(0, dtype=torch.int32)
        group, chosen, whole = _grouped_into_room(keys, visible, ends, rooms, count)
        return normals_at(chosen).index_select(0, group) * visible[:, None], whole
    seen = visible.nonzero()[:, 0]
    _, group, sizes = torch.unique_consecutive(keys[seen], return_inverse=True, return_counts=True)
    chosen = seen[sizes.cumsum(0) - (sizes + 1) // 2]
    return torch.zeros_like(positions).index_copy(0, seen, normals_at(chosen).index_select(0, group)), None


def _grouped_into_room(
    keys: Tensor, visible: Tensor, ends: Tensor, rooms: Rooms, rays: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The group of each sample ``[N]``, the middle sample of each group ``[G]``, and whether all groups found room.

    A group is a run of visible samples with one key; ``ends`` is the running count of visible samples.
    """
    last = torch.searchsorted(ends, ends)  # of the visible samples so far
    lately = torch.where(ends > 0, keys[last], -1)
    starts = visible & (keys != torch.cat([lately.new_full((1,), -1), lately[:-1]]))
    groups = starts.cumsum(0, dtype=torch.int32)
    size = rooms.reserve("normals", rays * _PLACES, groups[-1])
    first = places(groups, size + 1).clamp_(max=len(keys) - 1)
    # The number of each group's first visible sample, counted from 1; those after the last group are padding.
    first_count = torch.where(torch.arange(size + 1, device=keys.device) < groups[-1], ends[first], ends[-1] + 1)
    middle = first_count[:-1] + first_count.diff() // 2
    chosen = torch.searchsorted(ends, middle)
    # What is padding or not seen is spread: in one place, the additions of its gradients would wait for each other.
    spread = torch.arange(max(len(keys), size), device=keys.device)
    chosen = torch.where(chosen < len(keys), chosen, spread[:size] % len(keys))
    group = torch.where(visible, (groups - 1).clamp(max=size - 1), spread[: len(keys)] % size)
    return group, chosen, groups[-1] <= size
