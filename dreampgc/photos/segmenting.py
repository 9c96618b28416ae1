"""Which pixels of a photo are the object, and which show what is behind it: two ways, neither needs a question asked.

GrabCut (Rother et al. 2004) is told where to start by the border of the picture: a surface spanned between its four
sides predicts the background everywhere, and what is near the prediction is certainly background. rembg, a neural
network, is used where the user has it installed and asks for it.
"""

from __future__ import annotations

import importlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from dreampgc.errors import MissingError, one_line

Colours = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

#: Colour differences (CIE76) below this are background for certain, even where the border is smoother than that.
FLOOR = 6.0
#: Added to Lab, it makes colours vectors that less light only shortens: L + 16, a and b all go with its cube root.
BLACK = np.array([16.0, 0.0, 0.0], np.float32)
#: A background in shadow is this much shorter at most: a third of the light is left.
DARKEST_SHADE = 0.7
#: A colour on the border that differs this much from the background's is the object's.
STRAY = 15.0
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
    labels = _first_guess(lab, border=max(2, round(0.03 * min(photo.shape[:2]))))
    if not (labels == cv2.GC_PR_FGD).any():
        return np.zeros(labels.shape, bool)
    cv2.setRNGSeed(seed)  # its colour models start from random clusters
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), labels, (0, 0, 0, 0), *models, 5, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return without_spots(_without_specks(cv2.medianBlur(found, 3) > 0), lab)


def _first_guess(lab: Floats, border: int) -> NDArray[np.uint8]:
    """GrabCut's labels ``[H,W]``: certain background, and where the object and the background probably are."""
    ring = np.ones(lab.shape[:2], bool)
    ring[border:-border, border:-border] = False
    seen, expected = lab + BLACK, _behind(lab, border) + BLACK
    misfit = np.linalg.norm(seen - expected, axis=-1)
    limit = max(FLOOR, 3 * float(np.median(misfit[ring])))
    shade = np.clip((seen * expected).sum(-1) / (expected * expected).sum(-1), DARKEST_SHADE, 1)
    far = np.linalg.norm(seen - shade[..., None] * expected, axis=-1) > limit
    labels = np.full(far.shape, cv2.GC_PR_BGD, np.uint8)
    # The outermost pixels of what is far are mixed with the background: left to GrabCut, as what may be a shadow is.
    labels[cv2.erode(far.astype(np.uint8), _SQUARE, iterations=2) > 0] = cv2.GC_PR_FGD
    labels[misfit <= limit] = cv2.GC_BGD
    return labels


def _behind(lab: Floats, border: int) -> Floats:
    """The background ``[H,W,3]`` in Lab that the four sides of a picture predict, ``border`` pixels of each.

    A Coons patch: it meets all four sides, so that a wall over a table is predicted as well as light that falls off.
    """
    left, right = _side(lab[:, :border].swapaxes(0, 1))[:, None], _side(lab[:, -border:].swapaxes(0, 1))[:, None]
    top, bottom = _side(lab[:border])[None], _side(lab[-border:])[None]
    down, across = (np.linspace(0, 1, side, dtype=np.float32) for side in lab.shape[:2])
    down, across = down[:, None, None], across[None, :, None]
    rows = left * (1 - across) + right * across
    columns = top * (1 - down) + bottom * down
    # What both say of the corners counts once.
    above = (left[:1] + top[:, :1]) * (1 - across) + (right[:1] + top[:, -1:]) * across
    below = (left[-1:] + bottom[:, :1]) * (1 - across) + (right[-1:] + bottom[:, -1:]) * across
    return rows + columns - (above * (1 - down) + below * down) / 2


def _side(strip: Floats) -> Floats:
    """The background's colours ``[N,3]`` along a strip ``[width,N,3]`` of the border.

    On a side they lie between those at its two ends, gradually or in a step, as at a table's edge. What strays from
    there is an object that the picture's edge cuts off, and is bridged.
    """
    length = strip.shape[1]
    colours = median_filter(np.median(strip, axis=0), size=(max(3, length // 8), 1), mode="nearest")
    first, way = colours[0], colours[-1] - colours[0]
    between = np.clip((colours - first) @ way / max(float(way @ way), 1e-6), 0, 1)
    near = np.linalg.norm(colours - first - between[:, None] * way, axis=-1) <= STRAY
    place = np.arange(length)
    bridged = [np.interp(place, place[near], colours[near, channel]) for channel in range(3)]
    return np.stack(bridged, axis=-1).astype(np.float32)


def _without_specks(mask: Mask) -> Mask:
    """The mask without pieces that are tiny beside the rest."""
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= SPECK * mask.sum()
    large[0] = False  # what is not in the mask
    return large[pieces]


def without_spots(mask: Mask, lab: Floats) -> Mask:
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
        raise MissingError(
            f"image.background=rembg needs rembg in working order ({hint}): {one_line(error)}"
        ) from error
    try:
        return np.asarray(remove(photo, only_mask=True))
    except (Exception, SystemExit) as error:
        raise MissingError(f"rembg is installed, but could not run or get its model: {one_line(error)}") from error
