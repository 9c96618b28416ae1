"""The object cut out of its photo: where its alpha comes from, whether that is plausible, colours without fringes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dreampgc.errors import InputError
from dreampgc.photos.reading import MINIMUM_SIDE, Pixels
from dreampgc.photos.segmenting import grabcut, nearest, rembg_alpha

Way = Literal["alpha", "grabcut", "rembg"]
Alpha = NDArray[np.uint8]

#: An alpha channel says something when this share of the picture is transparent.
TRANSPARENT = 0.01
#: GrabCut looks at a picture whose longer side has at most this many pixels.
WORKING_SIZE = 384
HELP = "use a picture with transparency or a plainer background, or try --set image.background=rembg"


def cut_out(pixels: Pixels, background: Literal["auto"] | Way, path: Path, seed: int) -> tuple[Pixels, Way]:
    """The picture ``[H,W,4]`` with the object's alpha, and the way that it was found.

    ``auto`` takes the picture's own alpha where that hides some of it, and else GrabCut. ``path`` is for messages.

    Raises:
        InputError: the picture shows nothing, has no alpha although that was asked for, or what was found in it cannot
            be an object in front of a background.
        MissingError: as `rembg_alpha`.
    """
    alpha = pixels[..., 3]
    if not (alpha >= 128).any():
        raise InputError(f"the picture {path} shows nothing: it is fully transparent")
    says_something = (alpha < 128).mean() >= TRANSPARENT
    if background == "alpha" and not says_something:
        raise InputError(f"the picture {path} has no transparency: {HELP}")
    if background == "alpha" or (background == "auto" and says_something):
        return pixels, "alpha"
    photo = _over_white(pixels)
    if np.ptp(photo, axis=(0, 1)).max() < 8:
        raise InputError(f"the picture {path} shows nothing: it is of one colour all over")
    way: Way = "rembg" if background == "rembg" else "grabcut"
    alpha = rembg_alpha(photo) if way == "rembg" else _grabcut_alpha(photo, seed)
    if wrong := implausible(alpha >= 128):
        raise InputError(f"cannot tell the object in {path} from its background: {wrong}; {HELP}")
    return np.dstack([_without_fringes(photo, alpha), alpha]), way


def _over_white(pixels: Pixels) -> NDArray[np.uint8]:
    """A picture whose alpha is not used, as most programs show it."""
    if pixels[..., 3].min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    alpha = pixels[..., 3:].astype(np.uint16)
    return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _grabcut_alpha(photo: NDArray[np.uint8], seed: int) -> Alpha:
    """GrabCut's mask at the photo's full size, its edge as soft as the size that it was found at."""
    height, width = photo.shape[:2]
    scale = min(1.0, WORKING_SIZE / max(height, width))
    size = max(MINIMUM_SIDE, round(width * scale)), max(MINIMUM_SIDE, round(height * scale))
    small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    mask = cv2.GaussianBlur(grabcut(small, seed).astype(np.float32), (0, 0), 0.6)
    soft = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.round(soft * 255).astype(np.uint8)


def implausible(mask: NDArray[np.bool_]) -> str:
    """Why a mask ``[H,W]`` cannot be an object in front of a background, in a few words; empty if it can."""
    share = mask.mean()
    if share < 0.01:
        return f"only {share:.1%} of the picture stand out"
    if share > 0.85:
        return f"{share:.0%} of the picture stand out"
    pieces = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    if pieces.max() < 0.8 * pieces.sum():
        return f"what stands out is in {len(pieces)} pieces"
    sides = {"upper": mask[0], "lower": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
    touched = max(sides, key=lambda side: sides[side].mean())
    if sides[touched].mean() > 0.1:
        return f"what stands out is cut off by the picture's {touched} edge"
    return ""


def _without_fringes(photo: NDArray[np.uint8], alpha: Alpha) -> NDArray[np.uint8]:
    """The photo with the colours along the object's edge freed of the background that is mixed into them.

    Pixels take the colour of the nearest one that the object covers as well as any beside it: an inner one, or the
    middle of what is thin. Un-mixing C = aF + (1-a)B for F would divide noise by small a.
    """
    reach = 2 * round(max(1.0, max(alpha.shape) / WORKING_SIZE)) + 1  # an edge is as soft as the mask was coarse
    most = cv2.dilate(alpha, np.ones((reach, reach), np.uint8))
    return nearest(photo, (alpha >= 128) & (alpha >= 0.98 * most))
