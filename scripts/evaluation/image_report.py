"""What the measurements of image runs say, as Markdown, and as a contact sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dreampgc.images import Frame, labelled_grid, save_image
from evaluation.image_tasks import ImageTask
from evaluation.objects import ELEVATIONS, SHOWN
from evaluation.report import Columns, Groups, Row, mean, share, summary, table

COLUMNS: Columns = {
    "runs": lambda rows: str(len(rows)),
    "failed": lambda rows: str(sum("error" in row for row in rows)),
    "unseen PSNR [dB]": lambda rows: mean(rows, "psnr"),
    "unseen silhouette IoU": lambda rows: mean(rows, "silhouette_iou", 3),
    "its limit": lambda rows: mean(rows, "silhouette_limit", 3),
    "PSNR at the picture [dB]": lambda rows: mean(rows, "picture_psnr"),
    "volume IoU": lambda rows: mean(rows, "iou", 3),
    "Chamfer": lambda rows: mean(rows, "chamfer", 4),
    "aligned volume IoU": lambda rows: mean(rows, "aligned_iou", 3),
    "aligned Chamfer": lambda rows: mean(rows, "aligned_chamfer", 4),
    "watertight": lambda rows: share([row for row in rows if "iou" in row], "watertight"),
    "elevation error [degrees]": lambda rows: mean(rows, "elevation_error", 1),
    "seconds": lambda rows: mean(rows, "seconds", 0),
}
GROUPS: Groups = {
    "all": lambda _: True,
    "trained combinations": lambda row: not row["held_out"],
    "held-out combinations": lambda row: row["held_out"],
}
#: Pictures in a row of the contact sheet.
_WIDEST = 15
_LEGEND = f"""Means over the runs that did not fail. Every object's shape is held out; "held-out combinations" are
classes in attributes that no prior saw on them. Views of runs are renders of the mesh in its own colours, over white.
Those of `views` are the prior's samples, and their silhouette is what is not nearly white: seen like that, true
pictures reach its limit. Unseen views: 8 azimuths at elevations 0 and 30, at least 30 degrees from the camera of the
picture, whose elevation is uniform in {ELEVATIONS[0]:g} ... {ELEVATIONS[1]:g}. Volume IoU and Chamfer: where the mesh
is, in world units (objects are 1.6 long); aligned: moved and scaled by bounding box or mass, in units in which an
object is 2 long."""


def table_of_variants(rows: Sequence[Row]) -> str:
    """Means, one line for each variant and kind of object."""
    return summary(rows, COLUMNS, GROUPS, kinds="objects")


def elevation_errors(rows: Sequence[Row]) -> str:
    """How far estimated elevations are from the truth, one line for each variant that has any.

    Beside them: the same guess for all, the middle of the range that elevations are drawn from.
    """
    sets: dict[str, list[float]] = {}
    for row in rows:
        if "elevation_error" in row:
            sets.setdefault(row["variant"], []).append(row["elevation_error"])
    if sets:
        guess = sum(ELEVATIONS) / 2
        elevations = {row["number"]: row["elevation"] for row in rows}.values()
        sets[f"{guess:g} degrees for all"] = [abs(guess - elevation) for elevation in elevations]
    head = ["elevation by", "pictures", "mean error", "median", "90 %", "worst"]
    lines = [
        [name, str(len(errors)), *(f"{f(errors):.1f}" for f in (np.mean, np.median, _ninety, np.max))]
        for name, errors in sets.items()
    ]
    return table(head, lines) if lines else "No elevation was estimated."


def details(rows: Sequence[Row]) -> str:
    """One line for each task."""
    keys = {"psnr": 1, "silhouette_iou": 2, "picture_psnr": 1, "iou": 2, "aligned_iou": 2, "chamfer": 3, "estimate": 1}
    return table(
        ["object", "held out", "elevation", "seed", "variant", *(key.replace("_", " ") for key in keys), "notes"],
        [
            [
                f"{row['number']}: {row['object']}",
                "yes" if row["held_out"] else "",
                f"{row['elevation']:.1f}",
                str(row["seed"]),
                row["variant"],
                *(mean([row], key, digits) for key, digits in keys.items()),
                f"failed: {row['error']}" if "error" in row else "",
            ]
            for row in sorted(rows, key=lambda row: row["number"])
        ],
    )


def text_of(rows: Sequence[Row], settings: Row) -> str:
    """The whole report."""
    said = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in settings.items())
    parts = [table_of_variants(rows), _LEGEND, "## Elevations", elevation_errors(rows), "## Every run", details(rows)]
    return "\n\n".join(["# Evaluation of image to 3D", said, *parts]) + "\n"


def save_sheet(tasks: Sequence[ImageTask], path: Path) -> None:
    """Write of each object (and seed) its picture, each variant from two unseen sides, and the truth from there.

    Several objects share a row where that is not too wide. What is not there is gray.
    """
    subjects = list(dict.fromkeys((task.subject, task.seed) for task in tasks))
    names = list(dict.fromkeys(task.name for task in tasks))
    places = {(task.subject, task.seed, task.name): task.path for task in tasks}
    settings = tasks[0].settings
    frames, labels = [], []
    for subject, seed in subjects:
        home = settings.place(subject)
        frames.append(picture_over_white(home / "reference.png", settings.size))
        labels.append(f"{subject.caption}, {subject.elevation:.0f}°")
        for name in [*names, "truth"]:
            folder = home if name == "truth" else places[subject, seed, name]
            frames += _sides(folder / "sides.png", settings.size)
            labels += [f"{name} {azimuth:.0f}°" for azimuth, _ in SHOWN]
    columns = len(frames) // len(subjects)
    across = min(max(1, _WIDEST // columns), len(subjects))
    save_image(path, labelled_grid(frames, labels, columns=across * columns))


def picture_over_white(path: Path, size: int) -> Frame:
    """A picture with transparency over white."""
    with Image.open(path) as image:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB").resize((size, size)))


def _sides(path: Path, size: int) -> list[Frame]:
    if not path.exists():
        return [np.full((size, size, 3), 200, np.uint8)] * len(SHOWN)
    with Image.open(path) as image:
        return np.split(np.asarray(image.convert("RGB").resize((len(SHOWN) * size, size))), len(SHOWN), axis=1)


def _ninety(values: Sequence[float]) -> float:
    return float(np.percentile(values, 90))
