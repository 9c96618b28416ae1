"""What comes out of a trained field: meshes in files, and turntables."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dreampgc.cameras import Views, orbit_views
from dreampgc.config import RunConfig, changed
from dreampgc.console import Console
from dreampgc.errors import InputError, NewerError
from dreampgc.images import Frame, check_animation, save_animation, to_frames
from dreampgc.mesh.colours import seen_colors
from dreampgc.mesh.export import check_formats, export_mesh
from dreampgc.mesh.extract import extract_mesh
from dreampgc.mesh.fit import fitted_texture
from dreampgc.mesh.gltf import read_glb
from dreampgc.mesh.texture import SurfaceColours, bake_texture, cut_at_seams
from dreampgc.render import render_image
from dreampgc.render.mesh import render_mesh
from dreampgc.render.shading import Shading
from dreampgc.runs import Run
from dreampgc.trained import TrainedField, config_of, load_field
from dreampgc.types import Mesh

#: What a turntable shows.
Mode = Literal["albedo", "shaded", "normals", "depth"]
_SHADINGS: dict[Mode, Shading] = {
    "albedo": "albedo",
    "shaded": "lambertian",
    "normals": "normals",
    "depth": "albedo",
}

#: Colours are composited from so many voxels of the mesh's grid above its surface to as many below.
REACH = 2.0
#: Pictures of depth go from white to black this far before and behind the object's middle.
DEPTH = 1.2
#: Pictures that a texture is fitted to: pixels along each side, and from how many sides at each elevation (degrees).
FIT_SIZE, FIT_SIDES, FIT_ELEVATIONS = 256, 8, (-5.0, 25.0, 55.0)


def export(
    path: Path,
    *,
    formats: list[str],
    resolution: int | None = None,
    faces: int | None = None,
    texture_size: int | None = None,
    fit_texture: bool | None = None,
    output: Path | None = None,
    checkpoint: int | None = None,
    size: float = 100.0,
    console: Console,
) -> list[Path]:
    """Write the mesh of a run in each of ``formats``; returns the files.

    ``checkpoint`` is the step of the one to take, by default the newest good one; ``size`` is the longest side of
    an STL in millimetres. What is None is as the run's configuration says. Without ``output``, files are written
    into the run folder, as ``mesh.glb`` or, of a chosen checkpoint, ``mesh-000400.glb``.

    Where the field is lost and nothing but formats was asked for, ``mesh.glb`` is taken as it is, with a warning.

    Raises:
        InputError: there is no such checkpoint, the field is empty, ``output`` fits no single format, a number is
            out of range, or nothing writes that format.
        MissingError: what writes a format is not installed.
    """
    run = Run(path)
    config, lost = _configuration(run)
    formats = formats or _asked_by(output) or list(config.mesh.formats)
    _check_output(formats, output)
    check_formats(formats)
    sizes = {"mesh.resolution": resolution, "mesh.faces": faces, "mesh.texture_size": texture_size}
    asked = {key: value for key, value in {**sizes, "mesh.texture_fit": fit_texture}.items() if value is not None}
    config = changed(config, asked)
    if asked or checkpoint is not None:
        mesh = mesh_of(_field(run, config, lost, checkpoint, console), config)
    else:
        mesh = _best_mesh(run, config, lost, console)
    stem = "mesh" if checkpoint is None else f"mesh-{checkpoint:06d}"
    return [export_mesh(mesh, output or path / f"{stem}.{suffix}", size=size) for suffix in formats]


def turntable(
    path: Path,
    *,
    mode: Mode = "shaded",
    resolution: int | None = None,
    frames: int | None = None,
    elevation: float = 15.0,
    output: Path | None,
    console: Console,
) -> Path:
    """Write an animation of the run's mesh turning; returns the file.

    ``resolution`` in pixels and the number of ``frames`` are the configuration's where None; ``elevation`` of the
    camera in degrees. Without ``output`` it becomes ``turntable.webp`` in the run folder, or ``turntable-depth.webp``
    and the like for what is not shaded. Where the field is lost, ``mesh.glb`` is taken, with a warning.

    Raises:
        InputError: there is no mesh to be had, a number is out of range, or nothing writes ``output``'s format.
        MissingError: what writes the format is not installed.
    """
    output = output or path / ("turntable.webp" if mode == "shaded" else f"turntable-{mode}.webp")
    check_animation(output)
    if not -90 <= elevation <= 90:
        raise InputError(f"--elevation = {elevation}: must be between -90 and 90 degrees")
    run = Run(path)
    config, lost = _configuration(run)
    asked = {"mesh.turntable_size": resolution, "mesh.turntable_frames": frames}
    config = changed(config, {key: value for key, value in asked.items() if value is not None})
    mesh = _best_mesh(run, config, lost, console)
    return save_turntable(config, mesh, output, mode=mode, elevation=elevation)


def _configuration(run: Run) -> tuple[RunConfig, InputError | None]:
    """The run's configuration; where it or the record cannot be read, the defaults, and why."""
    try:
        if (run.path / "run.json").exists():
            run.record  # noqa: B018 - read for its errors
        return config_of(run), None
    except NewerError:
        raise
    except InputError as error:
        return RunConfig(prompt="lost"), error


def _field(run: Run, config: RunConfig, lost: InputError | None, step: int | None, console: Console) -> TrainedField:
    """The field of a checkpoint, unless what is needed for it was found lost already."""
    if lost is not None:
        raise lost
    return load_field(run, config, step, console)


def _best_mesh(run: Run, config: RunConfig, lost: InputError | None, console: Console) -> Mesh:
    """The mesh of the newest field; where there is no field any more, the one that the run left behind."""
    try:
        trained = _field(run, config, lost, None, console)
    except NewerError:
        raise
    except InputError as error:
        place = run.path / "mesh.glb"
        if not place.is_file():
            raise
        console.warn(f"{error}; taking {place} as it is")
        return read_glb(place)
    return mesh_of(trained, config)


def mesh_of(trained: TrainedField, config: RunConfig) -> Mesh:
    """The mesh of a field, coloured, textured if ``config`` says so. Raises InputError where the field is empty."""
    settings = config.mesh
    mesh = extract_mesh(
        trained.density,
        resolution=settings.resolution,
        level=settings.level,
        faces=settings.faces,
        smoothing=settings.smoothing,
        occupied=trained.grid.occupied,
        elevation=config.cameras.elevation,
        grain=settings.grain * trained.detail,
        device=trained.device,
    )
    assert mesh.normals is not None
    mesh = replace(mesh, colors=_surface_colours(trained, config)(mesh.vertices, mesh.normals))
    return textured(mesh, trained, config) if settings.texture_size else mesh


def textured(mesh: Mesh, trained: TrainedField, config: RunConfig) -> Mesh:
    """``mesh`` with a texture baked from the field, and fitted to its pictures if ``config`` says so."""
    settings = config.mesh
    colours = _surface_colours(trained, config)
    mesh = replace(mesh, texture=bake_texture(mesh, colours, size=settings.texture_size, detail=trained.detail))
    return fitted(mesh, trained, config) if settings.texture_fit else mesh


def _surface_colours(trained: TrainedField, config: RunConfig) -> SurfaceColours:
    reach = REACH * 2 / (config.mesh.resolution - 1)
    return partial(seen_colors, trained.radiance, reach=reach, device=trained.device)


def field_pictures(trained: TrainedField, config: RunConfig, views: Views, size: int) -> tuple[Tensor, Tensor]:
    """Images ``[B,3,S,S]`` and opacities ``[B,1,S,S]`` of the field over white by the volume renderer, on the CPU."""
    white = torch.ones(len(views), 3, device=trained.device)
    samples = 2 * config.render.samples
    out = render_image(
        trained.radiance,
        views.to(trained.device),
        trained.grid,
        height=size,
        width=size,
        samples=samples,
        background=white,
    )
    return out.image.cpu(), out.opacity.cpu()


def fitted(mesh: Mesh, trained: TrainedField, config: RunConfig) -> Mesh:
    """``mesh`` with its texture fitted to pictures of the field from all around."""
    assert mesh.texture is not None
    flat = cut_at_seams(mesh)
    places = np.pad(mesh.texture.coordinates, ((0, 0), (0, 1)))  # as colours, so that a render shows them
    flat = replace(flat, colors=places, texture=None)
    seen: list[tuple[Tensor, Tensor]] = []
    for elevation in FIT_ELEVATIONS:
        views = orbit_views(FIT_SIDES, elevation=elevation)
        image, opacity = field_pictures(trained, config, views, FIT_SIZE)
        where = render_mesh(flat, views, height=FIT_SIZE, width=FIT_SIZE, shading="albedo", supersampling=1)
        # At the silhouette both are mixtures with what is behind.
        inside = (where.opacity > 0) & (opacity > 0.98)
        seen.append((_pixels(where.image, inside), _pixels(image, inside)))
    coordinates, colours = (torch.cat(parts).numpy() for parts in zip(*seen, strict=True))
    return replace(mesh, texture=fitted_texture(mesh.texture, coordinates[:, :2], colours))


def _pixels(image: Tensor, chosen: Tensor) -> Tensor:
    """The ``chosen`` ``[B,1,H,W]`` pixels of ``image`` ``[B,C,H,W]``: ``[N,C]``."""
    return image.permute(0, 2, 3, 1)[chosen[:, 0]]


def save_turntable(
    config: RunConfig, mesh: Mesh, output: Path, *, mode: Mode = "shaded", elevation: float = 15.0
) -> Path:
    """Write an animation of ``mesh`` turning, of the configuration's size and length; returns ``output``."""
    views = orbit_views(config.mesh.turntable_frames, elevation=elevation)
    size = config.mesh.turntable_size
    frames = (_frame(mesh, views[number : number + 1], size, mode) for number in range(len(views)))
    save_animation(output, frames, rate=config.mesh.turntable_frames / 4)
    return output


def _frame(mesh: Mesh, view: Views, size: int, mode: Mode) -> Frame:
    """One view of ``mesh``; depth is white near the camera, black far from it and where there is nothing."""
    out = render_mesh(mesh, view, height=size, width=size, shading=_SHADINGS[mode])
    if mode != "depth":
        return to_frames(out.image)[0]
    nearness = (view.distance + DEPTH - out.depth) / (2 * DEPTH)
    return to_frames((nearness.clamp(0, 1) * out.opacity).expand(-1, 3, -1, -1))[0]


def _asked_by(output: Path | None) -> list[str]:
    """The format that the suffix of ``output`` names, if it has one."""
    return [output.suffix.lstrip(".").lower()] if output is not None and output.suffix else []


def _check_output(formats: list[str], output: Path | None) -> None:
    """Refuse an ``output`` that is not the one file to write. Raises InputError."""
    if output is not None and len(formats) > 1:
        raise InputError(f"--output {output} names one file, but there are {len(formats)} formats: leave it out")
    if output is not None and output.suffix.lower() != f".{formats[0]}":
        raise InputError(f"--output {output} does not end in .{formats[0]}, the format to write")
