"""The figure of a comparison: variants side by side, pictures and gradients below one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dreampgc.comparison.plan import SPACES, Block, Plan, Space
from dreampgc.comparison.results import Result
from dreampgc.guidance.pictures import draw_gradient
from dreampgc.images import Frame

#: Pixels: the side of a picture, the space between two, the columns of row labels, and bands of text.
CELL, GAP, MARGIN, BAND = 184, 8, 136, 30
_INK, _FAINT, _EMPTY = (28, 30, 34), (112, 118, 128), (240, 241, 243)


@dataclass(frozen=True)
class Row:
    """One row of pictures: two lines of label, the picture of a result (None: there is none), a line below it."""

    label: str
    note: str
    picture: Callable[[Result], Frame | None]
    caption: Callable[[Result], str] | None = None


def _view(number: int) -> Callable[[Result], Frame | None]:
    return lambda result: result.views[number] if number < len(result.views) else None


def _early(result: Result, which: str) -> Frame | None:
    return getattr(result.gradients[0], which) if result.gradients else None


def spikes(result: Result) -> str:
    """How far the typical step's largest gradient stands out, and how much is above the threshold, in a line."""
    if not result.numbers:
        return ""
    return f"max {result.numbers['spike']:.0f} x median, {result.numbers['clipped']:.1%} > c"


ROWS: dict[Space, tuple[Row, ...]] = {
    "2d": (
        Row("2D", "the image", _view(0)),
        Row("its gradient", "before shaping", lambda result: _early(result, "raw"), spikes),
        Row("its gradient", "after shaping", lambda result: _early(result, "shaped")),
    ),
    "3d": (Row("3D", "from the front", _view(0)), Row("3D", "from behind", _view(1), spikes)),
}


def draw_figure(plan: Plan, results: Mapping[str, Result]) -> Frame:
    """All blocks of ``plan`` below one another, under a title and above the gradients' colour scale."""
    columns = max(len(block.labels) for block in plan.blocks)
    width = MARGIN + columns * (CELL + GAP) + GAP
    parts = [_title(plan, results, width), *(_block(block, results, width) for block in plan.blocks)]
    if any("2d" in block.variants for block in plan.blocks):
        parts.append(_legend(results, width))
    return np.concatenate([np.asarray(part) for part in parts])


def _title(plan: Plan, results: Mapping[str, Result], width: int) -> Image.Image:
    canvas = Image.new("RGB", (width, 64), "white")
    first = next(iter(results.values()))
    _write(canvas, (GAP * 2, 30), f"“{plan.prompt}”", 26, _INK, "lm")
    settings = f"prior {first.record['prior']}, seed {first.variant.config.seed}"
    _write(canvas, (width - GAP * 2, 32), settings, 15, _FAINT, "rm")
    return canvas


def _block(block: Block, results: Mapping[str, Result], width: int) -> Image.Image:
    """A heading, the columns' labels, then the rows of each space."""
    rows = [(row, block.variants[space]) for space in SPACES if space in block.variants for row in ROWS[space]]
    height = 2 * BAND + sum(_height(row) for row, _ in rows) + 2 * GAP
    canvas = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(canvas).line([(GAP * 2, 0), (width - GAP * 2, 0)], fill=(214, 217, 222))
    _write(canvas, (GAP * 2, BAND), block.title.replace(", ", "\n"), 15, _FAINT, "lm")
    for number, label in enumerate(block.labels):
        _write(canvas, (_left(number) + CELL // 2, BAND + BAND // 3), label, 20, _INK, "mm")
    top = 2 * BAND
    for row, variants in rows:
        _write(canvas, (GAP * 2, top + CELL // 2 - 10), row.label, 16, _INK, "lm")
        _write(canvas, (GAP * 2, top + CELL // 2 + 12), row.note, 14, _FAINT, "lm")
        for number, variant in enumerate(variants):
            _cell(canvas, (_left(number), top), row, results[variant.folder])
        top += _height(row)
    return canvas


def _cell(canvas: Image.Image, corner: tuple[int, int], row: Row, result: Result) -> None:
    frame = row.picture(result)
    canvas.paste(Image.new("RGB", (CELL, CELL), _EMPTY) if frame is None else _fitted(frame), corner)
    middle = corner[0] + CELL // 2
    if frame is None:
        _write(canvas, (middle, corner[1] + CELL // 2), result.state, 14, _FAINT, "mm")
    if row.caption is not None:
        _write(canvas, (middle, corner[1] + CELL + BAND // 2 - 2), row.caption(result), 13, _FAINT, "mm")


def _legend(results: Mapping[str, Result], width: int) -> Image.Image:
    """The colours from a thousandth to a thousand times the threshold, and what the numbers mean."""
    canvas = Image.new("RGB", (width, 100), "white")
    bar, left = Image.fromarray(colour_scale(2 * CELL + GAP, 14)), _left(0)
    canvas.paste(bar, (left, 10))
    for share, mark, anchor in ((0, "c / 1000", "lm"), (0.5, "c", "mm"), (1, "1000 c", "rm")):
        _write(canvas, (left + round(share * bar.width), 38), mark, 14, _FAINT, anchor)
    images = [result for result in results.values() if result.variant.space == "2d"]
    step = max((result.gradients[0].step for result in images if result.gradients), default=0)
    notes = (f"colours: each pixel's gradient norm at step {step}", "max, > c: before shaping, over all steps")
    for number, note in enumerate(notes):
        _write(canvas, (left, 64 + 20 * number), note, 14, _FAINT, "lm")
    return canvas


def colour_scale(width: int, height: int) -> Frame:
    """The colours of gradient pictures from a thousandth (left) to a thousand times the threshold: ``[H,W,3]``."""
    norms = torch.logspace(-3, 3, width).expand(1, 1, height, width)
    return draw_gradient(norms, norms, 1.0)[:, :width]


def _height(row: Row) -> int:
    return CELL + (GAP if row.caption is None else BAND)


def _left(column: int) -> int:
    return MARGIN + column * (CELL + GAP)


def _fitted(frame: Frame) -> Image.Image:
    """The frame as a cell; latents' few pixels stay sharp."""
    small = frame.shape[1] < CELL // 2
    resampling = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return Image.fromarray(frame).resize((CELL, CELL), resampling)


def _write(
    canvas: Image.Image, place: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], anchor: str
) -> None:
    ImageDraw.Draw(canvas).text(place, text, fill=colour, font=ImageFont.load_default(size), anchor=anchor)
