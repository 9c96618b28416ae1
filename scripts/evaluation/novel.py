"""Figures of what was made of a picture: its views and its shape against the truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.metrics.pictures import mask_iou, psnr
from dreampgc.metrics.shape import compare, compare_aligned
from dreampgc.metrics.solids import PLACED_SIDE, mesh_solid
from dreampgc.render.mesh import render_mesh
from dreampgc.types import Mesh
from evaluation.objects import Truth
from evaluation.report import Row


def compare_views(image: Tensor, mask: Tensor, truth: Truth) -> Row:
    """Means over the unseen views, and the PSNR at the picture's own: ``image`` ``[V,3,S,S]``, ``mask`` ``[V,S,S]``."""
    decibels, overlaps = psnr(image, truth.image), mask_iou(mask, truth.mask)
    return {
        "psnr": decibels[truth.unseen].mean().item(),
        "silhouette_iou": overlaps[truth.unseen].mean().item(),
        "picture_psnr": decibels[0].item(),
        "unseen_views": int(truth.unseen.sum()),
    }


def compare_shapes(mesh: Mesh, truth: Truth) -> Row:
    """Volume IoU and Chamfer distance where the mesh is, and after the similarity that suits best.

    The first distance is in world units, the other in units in which an object's longest side is 2. A mesh that
    encloses nothing has no volume in common with anything, and no distance.
    """
    try:
        placed = compare(mesh_solid(mesh, PLACED_SIDE, aligned=False), truth.placed)
        aligned = compare_aligned(mesh_solid(mesh), truth.aligned)
    except ValueError:
        return {"iou": 0.0, "chamfer": None, "aligned_iou": 0.0, "aligned_chamfer": None}
    return {
        "iou": placed.iou,
        "chamfer": placed.chamfer,
        "aligned_iou": aligned.iou,
        "aligned_chamfer": aligned.chamfer,
    }


def look_at(mesh: Mesh, truth: Truth) -> tuple[Tensor, Tensor]:
    """Pictures ``[V,3,S,S]`` of the mesh in its own colours, which hold the light, over white; masks ``[V,S,S]``."""
    size = truth.image.shape[-1]
    seen = render_mesh(mesh, truth.views, height=size, width=size, shading="albedo", background=torch.ones(3))
    return seen.image, seen.opacity[:, 0] > 0.5


def resized(image: Tensor, size: int) -> Tensor:
    """Pictures ``[V,3,S,S]`` in ``size`` pixels a side: means of what each covers where they shrink."""
    return functional.interpolate(image, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)
