"""What is to be made of a held-out object's picture: a run of `dreampgc image`, or a prior's novel views alone."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreampgc import references
from dreampgc.building import view_guide
from dreampgc.cli.options import family
from dreampgc.config import RunConfig, load_config
from dreampgc.errors import MissingError
from dreampgc.files import replacing
from dreampgc.guidance.elevation import silhouette
from dreampgc.guidance.sampling import first_noise, sample_pictures
from dreampgc.images import Frame, save_image, to_frames
from dreampgc.priors.catalog import resolve_views
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.runs import Run
from dreampgc.stages.posing import judged_elevation
from dreampgc.trained import resolve_device
from evaluation.measuring import health, read_mesh
from evaluation.novel import compare_shapes, compare_views, look_at, resized
from evaluation.objects import DISTANCE, FOV, HeldOut, Truth, save_reference
from evaluation.report import Row
from evaluation.tasks import LEAN, finished, parse_variants

#: The name of the variant that trains nothing: the prior's own pictures of the unseen views.
VIEWS = "views"
#: Variants with names of their own; other names alone are propagation methods.
NAMED = {"reference": "reference:image.guidance=0", VIEWS: f"{VIEWS}:"}
#: Steps of DDIM for a novel view.
SAMPLE_STEPS = 30
#: What is said of elevations that were not given: it becomes part of the variant's name.
ESTIMATED = "+estimated"


@dataclass(frozen=True)
class Settings:
    """What all tasks of an evaluation share: where things lie, what makes them, and how they are looked at.

    Runs lie in ``folder``, ground truth in ``cache``; pictures are compared at ``size`` pixels. With ``estimate``
    nobody is told a picture's elevation; with ``only_measure`` nothing is made.
    """

    folder: Path
    cache: Path = Path("build/ground-truth")
    prior: str = "mini-zero123"
    preset: str = "standard"
    device: str = "auto"
    size: int = 128
    estimate: bool = False
    only_measure: bool = False

    def place(self, subject: HeldOut) -> Path:
        """The folder of an object's picture and of what it looks like from the sides that are shown."""
        return self.folder / "objects" / subject.slug

    def truth(self, subject: HeldOut) -> Truth:
        """What the object is."""
        return Truth.of(subject, self.cache, self.size)

    def prepare(self, subject: HeldOut) -> None:
        """Make the truth of an object, and its picture unless that is there."""
        place, truth = self.place(subject), self.truth(subject)
        if not (place / "reference.png").exists():
            save_reference(subject, place / "reference.png")
        save_image(place / "sides.png", sides(truth.image, truth))


@dataclass(frozen=True)
class ImageTask(ABC):
    """``variant`` names what differs from the preset, and ``assignments`` (``section.key=value``) say it."""

    subject: HeldOut
    seed: int
    variant: str
    assignments: tuple[str, ...]
    settings: Settings

    @property
    def name(self) -> str:
        """The variant, and whether elevations were estimated."""
        return self.variant + (ESTIMATED if self.settings.estimate else "")

    @property
    def path(self) -> Path:
        """The folder of what is made."""
        return self.settings.folder / self.name / f"seed-{self.seed}" / self.subject.slug

    def config(self) -> RunConfig:
        """The configuration of a run. Raises InputError."""
        settings = self.settings
        frame = ("image.framing=keep", f"image.distance={DISTANCE}", f"image.fov={FOV}")
        elevation = "auto" if settings.estimate else self.subject.elevation
        options = {
            "task": "image",
            "image.file": str(settings.place(self.subject) / "reference.png"),
            "prior": settings.prior,
            "preset": settings.preset,
            "device": settings.device,
            "seed": self.seed,
        }
        assignments = (*LEAN, *frame, f"image.elevation={elevation}", *self.assignments)
        return load_config(assignments=assignments, options=options, family=family)

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether there is something finished to measure."""

    @abstractmethod
    def make(self) -> None:
        """Make it, or go on with it, unless it is there already. Raises DreamError."""

    @abstractmethod
    def measure(self, truth: Truth) -> Row:
        """Figures of what was made, and ``sides.png``. Raises DreamError where it cannot be read."""

    def row(self) -> Row:
        """What is known before anything is made."""
        subject = self.subject
        return {
            "variant": self.name,
            "object": str(subject.caption),
            "number": subject.number,
            "seed": self.seed,
            "held_out": subject.caption.held_out,
            "elevation": subject.elevation,
        }


class RunTask(ImageTask):
    """A run of ``dreampgc image``; its mesh is measured."""

    @property
    def done(self) -> bool:
        return (self.path / "run.json").exists() and Run(self.path).state == "done"

    def make(self) -> None:
        finished(self.path, self.config)

    def measure(self, truth: Truth) -> Row:
        run = Run(self.path)
        mesh = read_mesh(run)
        image, mask = look_at(mesh, truth)
        save_image(self.path / "sides.png", sides(image, truth))
        return {
            **compare_views(image, mask, truth),
            **compare_shapes(mesh, truth),
            **health(mesh),
            **({"estimate": run.record["elevation"]} if self.settings.estimate else {}),
            "seconds": run.record["timings"]["train"],
        }


class ViewsTask(ImageTask):
    """The pictures that the prior makes of all views when it is asked for nothing else, and the elevation it judges.

    They are measured as pictures; there is no mesh.
    """

    @property
    def done(self) -> bool:
        return self._samples.exists()

    def make(self) -> None:
        if not self.done:
            image, estimate = self._sampled()
            with replacing(self._samples) as temporary:
                np.savez_compressed(temporary, image=to_frames(image), estimate=estimate)

    def measure(self, truth: Truth) -> Row:
        with np.load(self._samples) as stored:
            image = torch.from_numpy(stored["image"]).permute(0, 3, 1, 2).float() / 255
            estimate = float(stored["estimate"])
        image = resized(image, self.settings.size)
        save_image(self.path / "sides.png", sides(image, truth))
        # The truth's own pictures, seen as the samples are: outlines hold a little of what is hardly object.
        limit = compare_views(truth.image, silhouette(truth.image)[:, 0] > 0.5, truth)["silhouette_iou"]
        found = compare_views(image, silhouette(image)[:, 0] > 0.5, truth)
        return {**found, "silhouette_limit": limit, "estimate": estimate}

    @property
    def _samples(self) -> Path:
        return self.path / "samples.npz"

    def _sampled(self) -> tuple[Tensor, float]:
        """Pictures ``[V,3,S,S]`` of the size that the prior makes, and the elevation that it judges (degrees)."""
        config = self.config()
        prior = _read(config.prior, resolve_device(config.device))
        self.path.mkdir(parents=True, exist_ok=True)
        [picture] = references.load(config.image, self.path, config.seed)
        estimate = judged_elevation(config, prior, picture).elevation
        if picture.elevation is None:
            picture = replace(picture, elevation=estimate)
        views = self.subject.views()
        noise = first_noise(prior, len(views), torch.Generator().manual_seed(config.seed))
        guide = view_guide(config, prior, [picture])
        return sample_pictures(guide, views.to(prior.device), noise, SAMPLE_STEPS).cpu(), estimate


@functools.cache
def _read(name: str, device: str) -> Zero123Prior:
    """This process's prior: its weights are read once. Raises MissingError, InputError."""
    return resolve_views(name, device).load_views(device)


def read_variants(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`parse_variants` of texts among which may be names of `NAMED`."""
    return parse_variants([NAMED.get(text, text) for text in texts])


def make_tasks(
    subjects: Sequence[HeldOut], seeds: Sequence[int], variants: Mapping[str, tuple[str, ...]], settings: Settings
) -> list[ImageTask]:
    """All tasks, object by object, so that an evaluation that is cut off has all variants of the same objects."""
    return [
        (ViewsTask if variant == VIEWS else RunTask)(subject, seed, variant, assignments, settings)
        for seed in seeds
        for subject in subjects
        for variant, assignments in variants.items()
    ]


def require_made(task: ImageTask) -> None:
    """Raise MissingError unless there is something to measure."""
    if not task.done:
        raise MissingError("nothing was made yet")


def sides(image: Tensor, truth: Truth) -> Frame:
    """The two views that contact sheets show of pictures ``[V,3,S,S]`` of all views, side by side."""
    return np.concatenate(list(to_frames(image[truth.shown])), axis=1)
