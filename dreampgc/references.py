"""The pictures of an image run: cut out once, kept in the run folder, and read from there, also when a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.config.sections import ImageConfig
from dreampgc.files import replacing
from dreampgc.photos import Photo, load_photo, save_photo
from dreampgc.photos.framing import framed
from dreampgc.photos.reading import read_picture

#: Kept beside the pictures: what else is known of the first one.
DEPTH_FILE, NORMALS_FILE = "reference-depth.png", "reference-normals.png"


@dataclass(frozen=True)
class Picture:
    """What is known of the object from one camera: ``colour`` ``[1,3,S,S]`` in [0,1] over black, its ``mask`` and more.

    ``mask`` ``[1,1,S,S]``; ``azimuth`` and ``elevation`` in degrees, the latter None where it is to be found out.
    ``depth`` ``[1,1,S,S]`` grows away from the camera, in any scale; ``normals`` ``[1,3,S,S]`` are as the camera sees
    them: x to the right, y up, z towards it.
    """

    colour: Tensor
    mask: Tensor
    azimuth: float
    elevation: float | None
    depth: Tensor | None = None
    normals: Tensor | None = None

    def over(self, background: Tensor) -> Tensor:
        """The picture ``[1,3,S,S]`` over a flat ``background`` ``[1,3]``."""
        return self.colour + (1 - self.mask) * background[:, :, None, None]

    def over_white(self, size: int) -> Tensor:
        """The picture as priors are shown it, ``[1,3,size,size]``."""
        small = self.resized(size)
        return small.over(small.colour.new_ones(1, 3))

    def resized(self, size: int) -> Picture:
        """The same in ``size`` pixels a side, each the mean of what it covers."""
        return self._map(lambda x: functional.interpolate(x, size=(size, size), mode="area"))

    def to(self, device: torch.device) -> Picture:
        """The same on ``device``."""
        return self._map(lambda x: x.to(device))

    def _map(self, function: Callable[[Tensor], Tensor]) -> Picture:
        """The picture with ``function`` applied to each of its tensors."""
        tensors = {"colour": self.colour, "mask": self.mask, "depth": self.depth, "normals": self.normals}
        return replace(self, **{name: function(x) for name, x in tensors.items() if x is not None})


def cut_out(config: ImageConfig, seed: int) -> list[Photo]:
    """The object in each picture, as `keep` takes it; what else is to be kept is looked at too.

    Raises:
        InputError: a file cannot be read or is no picture, or the object cannot be told from its background.
        MissingError: what is to cut it out is not installed.
    """
    for path, _ in _companions(config):
        read_picture(path)
    return [_cut(path, config, seed) for path, _ in _sources(config)]


def keep(photos: list[Photo], config: ImageConfig, folder: Path) -> None:
    """Write all that training needs of the pictures into the run ``folder``. Raises InputError where it cannot."""
    for photo, (_, name) in zip(photos, _sources(config), strict=True):
        save_photo(photo, folder / name)
    for path, name in _companions(config):
        with replacing(folder / name) as temporary:
            temporary.write_bytes(path.read_bytes())


def load(config: ImageConfig, folder: Path, seed: int) -> list[Picture]:
    """The pictures that were kept in the run ``folder``; what a start that was killed did not write is cut out again.

    Raises:
        InputError: a picture is lost or damaged.
    """
    if not all((folder / name).is_file() for _, name in (*_sources(config), *_companions(config))):
        keep(cut_out(config, seed), config, folder)
    elevations = [None if config.elevation == "auto" else config.elevation, *(view[2] for view in config.views)]
    azimuths = [0.0, *(view[1] for view in config.views)]
    pictures = []
    for (_, name), azimuth, elevation in zip(_sources(config), azimuths, elevations, strict=True):
        rgba = load_photo(folder / name, config.size, background="alpha", framing="keep").rgba[None]
        pictures.append(Picture(rgba[:, :3] * rgba[:, 3:], rgba[:, 3:], azimuth, elevation))
    if config.depth_file:
        pictures[0] = replace(pictures[0], depth=_plane(folder / DEPTH_FILE, config.size)[:, :1])
    if config.normals_file:
        pictures[0] = replace(pictures[0], normals=2 * _plane(folder / NORMALS_FILE, config.size) - 1)
    return pictures


def _sources(config: ImageConfig) -> Iterator[tuple[Path, str]]:
    """The file of each picture, and what it is called in the run folder."""
    yield Path(config.file), "reference.png"
    for number, view in enumerate(config.views, start=1):
        yield Path(view[0]), f"reference-{number}.png"


def _companions(config: ImageConfig) -> Iterator[tuple[Path, str]]:
    """The files of what else is known of the first picture, and what they are called in the run folder."""
    for file, name in ((config.depth_file, DEPTH_FILE), (config.normals_file, NORMALS_FILE)):
        if file:
            yield Path(file), name


def _cut(path: Path, config: ImageConfig, seed: int) -> Photo:
    return load_photo(
        path, config.size, background=config.background, framing=config.framing, margin=config.margin, seed=seed
    )


def _plane(path: Path, size: int) -> Tensor:
    """The colours of a picture that is not cut out, ``[1,3,size,size]`` in [0,1]."""
    pixels = read_picture(path)
    pixels[..., 3] = 255
    return torch.from_numpy(framed(pixels, size, "keep", 0.0, path))[None, :3]
