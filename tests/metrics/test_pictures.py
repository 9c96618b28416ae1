"""Reference: figures of known pictures."""

from __future__ import annotations

import pytest
import torch

from dreampgc.metrics.pictures import mask_iou, psnr


def test_the_psnr_of_known_errors() -> None:
    white = torch.ones(3, 3, 4, 4)
    wrong = white - torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    assert psnr(wrong, white).tolist() == pytest.approx([20, 40, 100], abs=1e-2)


def test_the_overlap_of_known_masks() -> None:
    upper = torch.zeros(3, 4, 4, dtype=torch.bool)
    upper[:2, :2] = True
    truths = torch.zeros_like(upper)
    truths[0, :2] = True
    truths[1] = True
    assert mask_iou(upper, truths).tolist() == [1, 0.5, 0]
