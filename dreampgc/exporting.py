"""What comes out of a trained field: meshes in files, and turntables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from dreampgc.cameras import orbit_views
from dreampgc.config import RunConfig, changed
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.images import Frame, save_animation, to_frames
from dreampgc.mesh.colours import seen_colors
from dreampgc.mesh.export import check_formats, export_mesh
from dreampgc.mesh.extract import extract_mesh
from dreampgc.mesh.texture import bake_texture
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run
from dreampgc.trained import config_of, load_field
from dreampgc.types import Mesh

#: Colours are composited from so many voxels of the mesh's grid above its surface to as many below.
REACH = 2.0


def export(
    path: Path,
    *,
    formats: list[str],
    resolution: int | None = None,
    faces: int | None = None,
    texture_size: int | None = None,
    output: Path | None = None,
    checkpoint: int | None = None,
    size: float = 100.0,
    console: Console,
) -> list[Path]:
    """Write the mesh of a run in each of ``formats``; returns the files.

    ``checkpoint`` is the step of the one to take, by default the newest good one; ``size`` is the longest side of
    an STL in millimetres. What is None is as the run's configuration says. Without ``output``, files are written
    into the run folder, as ``mesh.glb`` or, of a chosen checkpoint, ``mesh-000400.glb``.

    Raises:
        InputError: there is no such checkpoint, the field is empty, ``output`` fits no single format, a number is
            out of range, or nothing writes that format.
        MissingError: what writes a format is not installed.
    """
    run = Run(path)
    config = config_of(run)
    formats = formats or _asked_by(output) or list(config.mesh.formats)
    _check_output(formats, output)
    check_formats(formats)
    asked = {"resolution": resolution, "faces": faces, "texture_size": texture_size}
    config = changed(config, {f"mesh.{name}": value for name, value in asked.items() if value is not None})
    mesh = make_mesh(run, config, checkpoint, console)
    stem = "mesh" if checkpoint is None else f"mesh-{checkpoint:06d}"
    return [export_mesh(mesh, output or path / f"{stem}.{suffix}", size=size) for suffix in formats]


def turntable(path: Path, *, output: Path | None, console: Console) -> Path:
    """Write an animation of the run's mesh turning; returns the file."""
    run = Run(path)
    config = config_of(run)
    return save_turntable(config, make_mesh(run, config, None, console), output or path / "turntable.webp")


def make_mesh(run: Run, config: RunConfig, checkpoint: int | None, console: Console) -> Mesh:
    """The mesh of a checkpoint's field (the newest good one by default), coloured, textured if ``config`` says so."""
    trained = load_field(run, config, checkpoint, console)
    settings = config.mesh
    mesh = extract_mesh(
        trained.density,
        resolution=settings.resolution,
        level=settings.level,
        faces=settings.faces,
        smoothing=settings.smoothing,
        occupied=trained.grid.occupied,
        elevation=config.cameras.elevation,
        device=trained.device,
    )
    assert mesh.normals is not None
    reach = REACH * 2 / (settings.resolution - 1)
    colours = partial(seen_colors, trained.radiance, reach=reach, device=trained.device)
    mesh = replace(mesh, colors=colours(mesh.vertices, mesh.normals))
    if settings.texture_size == 0:
        return mesh
    return replace(mesh, texture=bake_texture(mesh, colours, size=settings.texture_size, detail=trained.detail))


def save_turntable(config: RunConfig, mesh: Mesh, output: Path) -> Path:
    """Write an animation of ``mesh`` turning, of the configuration's size and length; returns ``output``."""

    def frames() -> Iterator[Frame]:
        views = orbit_views(config.mesh.turntable_frames)
        for number in range(len(views)):
            size = config.mesh.turntable_size
            yield to_frames(render_mesh(mesh, views[number : number + 1], height=size, width=size).image)[0]

    save_animation(output, frames(), rate=config.mesh.turntable_frames / 4)
    return output


def _asked_by(output: Path | None) -> list[str]:
    """The format that the suffix of ``output`` names, if it has one."""
    return [output.suffix.lstrip(".").lower()] if output is not None and output.suffix else []


def _check_output(formats: list[str], output: Path | None) -> None:
    """Refuse an ``output`` that is not the one file to write. Raises InputError."""
    if output is not None and len(formats) > 1:
        raise InputError(f"--output {output} names one file, but there are {len(formats)} formats: leave it out")
    if output is not None and output.suffix.lower() != f".{formats[0]}":
        raise InputError(f"--output {output} does not end in .{formats[0]}, the format to write")
