"""Which pixels of a photo are the object, and which show what is behind it: two ways, neither needs a question asked.

GrabCut (Rother et al. 2004) is told where to start by the border of the picture: a smooth surface through its colours
predicts the background everywhere, and what is near the prediction is certainly background. rembg, a neural network,
is used where the user has it installed and asks for it.
"""

from __future__ import annotations

import importlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dreampgc.errors import MissingError

Colours = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

#: Colour differences (CIE76) below this are background for certain, even where the border is smoother than that.
FLOOR = 6.0
#: Added to Lab, it makes colours vectors that less light only shortens: L + 16, a and b all go with its cube root.
BLACK = np.array([16.0, 0.0, 0.0], np.float32)
#: A background in shadow is this much shorter at most: a third of the light is left.
DARKEST_SHADE = 0.7
#: The least difference from the background around it that makes an enclosed spot a part of the object.
SPOT = 10.0
#: Pieces smaller than this share of the whole mask are specks.
SPECK = 0.05
_SQUARE = np.ones((3, 3), np.uint8)


def grabcut(photo: Colours, seed: int) -> Mask:
    """The object ``[H,W]`` in a photo ``[H,W,3]`` uint8 sRGB of at most some 400 pixels a side; empty if there is none.

    A handle's hole stays one where the background shows in it; a spot that is enclosed by the object and looks like
    nothing behind it belongs to the object.
    """
    lab = np.asarray(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), 0.6), np.float32)  # a sensor's grain is no difference
    labels = _first_guess(lab)
    if not (labels == cv2.GC_PR_FGD).any():
        return np.zeros(labels.shape, bool)
    cv2.setRNGSeed(seed)  # its colour models start from random clusters
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), labels, (0, 0, 0, 0), *models, 5, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return _without_spots(_without_specks(cv2.medianBlur(found, 3) > 0), lab)


def _first_guess(lab: Floats) -> NDArray[np.uint8]:
    """GrabCut's labels ``[H,W]``: certain background, and where the object and the background probably are."""
    ring = _ring(lab.shape[0], lab.shape[1])
    seen, expected = lab + BLACK, _surface(lab, ring) + BLACK
    misfit = np.linalg.norm(seen - expected, axis=-1)
    limit = max(FLOOR, 3 * float(np.median(misfit[ring])))
    shade = np.clip((seen * expected).sum(-1) / (expected * expected).sum(-1), DARKEST_SHADE, 1)
    far = np.linalg.norm(seen - shade[..., None] * expected, axis=-1) > limit
    labels = np.full(far.shape, cv2.GC_PR_BGD, np.uint8)
    # The outermost pixels of what is far are mixed with the background: left to GrabCut, as what may be a shadow is.
    labels[cv2.erode(far.astype(np.uint8), _SQUARE, iterations=2) > 0] = cv2.GC_PR_FGD
    labels[(misfit <= limit) | ring] = cv2.GC_BGD
    return labels


def _ring(height: int, width: int) -> Mask:
    """The border of a picture, 3 % of its shorter side wide."""
    wide = max(2, round(0.03 * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[wide:-wide, wide:-wide] = False
    return ring


def _surface(lab: Floats, ring: Mask) -> Floats:
    """The quadratic surface ``[H,W,3]`` in Lab that fits the colours of ``ring`` best: uneven light, a vignette."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in ring.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return terms @ np.linalg.lstsq(terms[ring], lab[ring], rcond=None)[0]


def _without_specks(mask: Mask) -> Mask:
    """The mask without pieces that are tiny beside the rest."""
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= SPECK * mask.sum()
    large[0] = False  # what is not in the mask
    return large[pieces]


def _without_spots(mask: Mask, lab: Floats) -> Mask:
    """The mask with those holes filled whose colours differ from the background nearest to them."""
    count, gaps = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    holes = set(range(count)) - set(np.unique(gaps[mask])) - {*gaps[0], *gaps[-1], *gaps[:, 0], *gaps[:, -1]}
    hole = np.isin(gaps, list(holes))
    # Not the pixels beside the object: they are darkened by its shadow or mixed with it.
    background = cv2.erode((~mask & ~hole).astype(np.uint8), _SQUARE, iterations=2) > 0
    if not hole.any() or not background.any():
        return mask
    difference = np.linalg.norm(lab - nearest(lab, background), axis=-1)
    # The lower quartile: the rim of a true hole is mixed with the object's colour.
    spots = [number for number in holes if np.quantile(difference[gaps == number], 0.25) > SPOT]
    return mask | np.isin(gaps, spots)


def nearest(values: NDArray[Any], known: Mask) -> NDArray[Any]:
    """``values`` ``[H,W,C]`` with each pixel replaced by the nearest one in ``known``, which holds at least one."""
    source = (~known).astype(np.uint8)
    owner = np.asarray(
        cv2.distanceTransformWithLabels(source, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1], np.intp
    )
    table = np.zeros((int(owner.max()) + 1, values.shape[-1]), values.dtype)
    table[owner[known]] = values[known]
    return table[owner]


def rembg_alpha(photo: Colours) -> NDArray[np.uint8]:
    """The share ``[H,W]`` uint8 of each pixel of a photo ``[H,W,3]`` that rembg takes for the object.

    Raises:
        MissingError: rembg is not installed, cannot run, or cannot get its model.
    """
    try:
        remove = importlib.import_module("rembg").remove
    except (Exception, SystemExit) as error:  # it ends the process where it finds no runtime for its networks
        hint = "pip install 'rembg[cpu]'"
        raise MissingError(f"image.background=rembg needs rembg in working order ({hint}): {_said(error)}") from error
    try:
        return np.asarray(remove(photo, only_mask=True))
    except (Exception, SystemExit) as error:
        raise MissingError(f"rembg is installed, but could not run or get its model: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
