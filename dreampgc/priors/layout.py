"""The files of a latent diffusion model in diffusers layout: which there must be, and which of several to read.

Only names and configurations are looked at here, so that a wrong directory is an answer within a second. Weights
are safetensors, whole or in shards, in full precision or as the variant ``fp16``; pickles are never read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.config.presets import Family

#: The parts that every model has, then those of SDXL's second text encoder.
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
SECOND_ENCODER = ("text_encoder_2", "tokenizer_2")
#: The parts of Zero123: it is shown a picture, and told no text.
VIEW_PARTS = ("unet", "vae", "image_encoder", "clip_camera_projection", "scheduler", "feature_extractor")
#: How the files with the weights of a part begin.
STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "image_encoder": "model",
    "clip_camera_projection": "diffusion_pytorch_model",
}
#: Files beside the parts: what the pipeline is, and what a small prior adds.
EXTRAS = ("model_index.json", "vocabulary.json", "linear_map.safetensors")

#: Configuration of the parts; of a tokenizer, one of two ways to store it.
_CONFIGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "scheduler": (("scheduler_config.json",),),
    "feature_extractor": (("preprocessor_config.json",),),
    **dict.fromkeys(("tokenizer", "tokenizer_2"), (("tokenizer.json",), ("vocab.json", "merges.txt"))),
    **dict.fromkeys(STEMS, (("config.json",),)),
}
#: A prior of views whose latents have no more pixels a side than this is small: 128 pixels a side as a picture.
_SMALL_SIDE = 16
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


class PartError(InputError):
    """What is wrong with one part of a model: ``sentence`` goes on where the part's name ends."""

    def __init__(self, part: str, sentence: str) -> None:
        super().__init__(f"{part} {sentence}")
        self.part, self.sentence = part, sentence


@dataclass(frozen=True)
class Weights:
    """The files that hold a part's weights; ``variant`` is what libraries call the precision in their names."""

    variant: str | None
    files: tuple[Path, ...]


def shows_views(folders: Iterable[str]) -> bool:
    """Whether a model with these folders is a Zero123: it has an encoder of pictures, and none of text."""
    names = set(folders)
    return "text_encoder" not in names and not names.isdisjoint(("image_encoder", "clip_camera_projection"))


def is_of_views(directory: Path) -> bool:
    """`shows_views` of a directory."""
    return directory.is_dir() and shows_views(path.name for path in directory.iterdir())


def family_of(directory: Path) -> Family:
    """``mini`` for a prior made for CPUs: one with a closed vocabulary, or one of small views; else ``full``."""
    if (directory / "vocabulary.json").is_file():
        return "mini"
    if not is_of_views(directory):
        return "full"
    try:
        side = read_config(directory, "unet").get("sample_size")
    except PartError:  # whoever loads it will be told
        return "full"
    return "mini" if isinstance(side, int) and side <= _SMALL_SIDE else "full"


def parts_of(directory: Path) -> tuple[str, ...]:
    """The parts that this model needs, by what its UNet and its folders say."""
    if is_of_views(directory):
        return VIEW_PARTS
    try:
        second = read_config(directory, "unet").get("addition_embed_type") == "text_time"
    except PartError:
        second = any((directory / part).exists() for part in SECOND_ENCODER)
    return PARTS + SECOND_ENCODER if second else PARTS


def home_of(part: str, directory: Path, vae: Path | None) -> Path:
    """The model directory that a part is read from: a model may use the VAE of another one, ``vae``."""
    return vae if part == "vae" and vae is not None else directory


def defects(directory: Path, vae: Path | None = None) -> list[str]:
    """What files a model lacks, a sentence a part; empty where all parts are there. See `home_of` for ``vae``."""
    if not directory.is_dir():
        return ["its folder is not there"]
    if not any((directory / part).exists() for part in PARTS):
        return [f"it has none of the folders {', '.join(PARTS)}"]
    found = []
    for part in parts_of(directory):
        try:
            check_files(home_of(part, directory, vae), part)
        except PartError as error:
            found.append(str(error))
    return found


def check_files(directory: Path, part: str) -> None:
    """Look for a part's configuration and weights by name. Raises PartError."""
    folder = directory / part
    if not folder.is_dir():
        raise PartError(part, "is missing")
    lacking = [[name for name in names if not (folder / name).is_file()] for names in _CONFIGS[part]]
    if all(lacking):
        raise PartError(part, f"lacks {' and '.join(lacking[-1])}")
    if part in STEMS:
        find_weights(directory, part)


def read_config(directory: Path, part: str) -> dict[str, Any]:
    """The configuration of a part that is a model or the scheduler. Raises PartError."""
    (name,) = _CONFIGS[part][0]
    try:
        config = json.loads((directory / part / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PartError(part, f"lacks {name}") from error
    except (OSError, ValueError) as error:
        raise PartError(part, f"has an unreadable {name}: {error}") from error
    if not isinstance(config, dict):
        raise PartError(part, f"has a {name} that is no configuration")
    return config


def find_weights(directory: Path, part: str) -> Weights:
    """The files of a part's weights: full precision before ``fp16``. Raises PartError."""
    folder = directory / part
    for variant in (None, "fp16"):
        whole, index = _names(STEMS[part], variant)
        if (folder / whole).is_file():
            return Weights(variant, (folder / whole,))
        if (folder / index).is_file():
            return Weights(variant, _shards(part, folder / index))
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if pickles:
        raise PartError(
            part, f"has its weights in a pickle ({pickles[0]}), which can run code: only safetensors are read"
        )
    raise PartError(part, f"lacks {STEMS[part]}.safetensors")


def choose_files(names: Iterable[str]) -> list[str]:
    """Of the files in a repository those that a prior needs: configurations, and one set of weights a part.

    Half precision is preferred: it is half the download, and what CUDA computes with anyway.

    Raises:
        PartError: a part has no weights in safetensors.
    """
    known = set(names)
    views = shows_views(name.partition("/")[0] for name in known)
    parts = VIEW_PARTS if views else PARTS + SECOND_ENCODER
    chosen = [name for name in known if name in EXTRAS or _is_configuration(name, parts)]
    for part in filter(STEMS.__contains__, parts):
        if any(name.startswith(f"{part}/") for name in known):
            chosen += _remote_weights(part, known)
    return sorted(chosen)


def _is_configuration(name: str, parts: Sequence[str]) -> bool:
    part, _, file = name.partition("/")
    return part in parts and file.endswith((".json", ".txt")) and "/" not in file and ".index." not in file


def _remote_weights(part: str, known: set[str]) -> Sequence[str]:
    stem = re.escape(STEMS[part])
    for variant in ("fp16", None):
        whole, index = (f"{part}/{name}" for name in _names(STEMS[part], variant))
        if whole in known:
            return [whole]
        if index in known:
            # A shard carries its variant before or after its number; one without is of full precision.
            shard = re.compile(rf"{part}/{stem}(\.\w+)?-\d+-of-\d+(\.\w+)?\.safetensors")
            matches = filter(None, map(shard.fullmatch, known))
            return [index, *(m[0] for m in matches if (m[1] or m[2] or "").lstrip(".") == (variant or ""))]
    raise PartError(part, "has no weights in safetensors")


def _names(stem: str, variant: str | None) -> tuple[str, str]:
    """The file of whole weights and the index of sharded ones."""
    middle = f".{variant}" if variant else ""
    return f"{stem}{middle}.safetensors", f"{stem}.safetensors.index{middle}.json"


def _shards(part: str, index: Path) -> tuple[Path, ...]:
    """The files that an index names, all of them there and none of them a pickle."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PartError(part, f"has an unreadable {index.name}") from error
    for name in names:
        if not name.endswith(".safetensors"):
            raise PartError(part, f"names a file that is no safetensors in {index.name}: {name}")
        if not (index.parent / name).is_file():
            raise PartError(part, f"lacks {name}, which {index.name} names")
    return tuple(index.parent / name for name in names)
