#!/usr/bin/env python3
"""Finished runs as meshes that people use: seconds by part, sizes, soundness, likeness to the field, readability.

    python scripts/bench_mesh.py runs/evaluation/pgc-n/seed-0/* --output build/bench-mesh

Every run is extracted, textured and written in all formats into ``--output``. Likeness is the PSNR of the mesh's
renders against the field's own, over white, from eight sides between those that a texture is fitted to: with vertex
colours, with the baked texture, and with the fitted one. The report is printed as a table and written as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import trimesh
from evaluation.report import table

from dreampgc import exporting
from dreampgc.cameras import Views, fixed_views
from dreampgc.config import changed
from dreampgc.console import Console
from dreampgc.mesh.export import WRITERS, export_mesh
from dreampgc.metrics.health import mesh_health
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run
from dreampgc.trained import config_of, load_field
from dreampgc.types import Mesh

SIZE = 256
VALIDATOR = Path(__file__).parents[1] / "tests" / "mesh" / "validate_glb.cjs"


def between() -> Views:
    """Eight views that no texture is fitted to."""
    return fixed_views([22.5 + 45 * k for k in range(8)], elevation=12.0)


def psnr(mesh: Mesh, wanted: torch.Tensor) -> float:
    """Of the mesh's renders against pictures ``[8,3,S,S]``, in dB."""
    out = render_mesh(mesh, between(), height=SIZE, width=SIZE, shading="albedo", background=torch.ones(3))
    return -10 * (out.image - wanted).square().mean().log10().item()


def read_back(path: Path) -> str:
    """What another program finds in a file: its faces, and the size of its texture."""
    if path.suffix == ".usdz":
        usd, geometry = (importlib.import_module(f"pxr.{name}") for name in ("Usd", "UsdGeom"))
        stage = usd.Stage.Open(str(path))  # prims do not keep it alive
        meshes = [geometry.Mesh(prim) for prim in stage.Traverse() if prim.IsA(geometry.Mesh)]
        return f"{sum(len(one.GetFaceVertexCountsAttr().Get()) for one in meshes)} faces"
    loaded: Any = trimesh.load(path, force="mesh")
    material = getattr(loaded.visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return f"{len(loaded.faces)} faces" + (f", texture {image.size[0]}" if image is not None else "")


def validated(path: Path) -> str:
    """Errors / warnings that the Khronos validator finds in a GLB; "–" where it is not installed."""
    answer = subprocess.run(["node", str(VALIDATOR), str(path)], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return "–"
    found = json.loads(answer.stdout)["issues"]
    return f"{found['numErrors']} / {found['numWarnings']}"


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything about one run."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - started

    run = Run(path)
    sizes = {"resolution": arguments.resolution, "faces": arguments.faces, "texture_size": arguments.texture_size}
    config = changed(config_of(run), {f"mesh.{key}": value for key, value in sizes.items()})
    with timed("load"):
        trained = load_field(run, config, None, Console(quiet=True))
    with timed("mesh"):
        plain = exporting.mesh_of(trained, changed(config, {"mesh.texture_size": 0}))
    with timed("texture"):
        mesh = exporting.textured(plain, trained, config)
    with timed("fit"):
        fitted = exporting.fitted(mesh, trained, config)
    folder = arguments.output / path.name
    folder.mkdir(parents=True, exist_ok=True)
    files = {suffix: folder / f"mesh{suffix}" for suffix in WRITERS}
    for file in files.values():
        with timed("glb" if file.suffix == ".glb" else "other formats"):
            export_mesh(mesh, file)
    wanted = exporting.field_pictures(trained, config, between(), SIZE)[0]
    health = mesh_health(mesh)
    return {
        "run": path.name,
        "faces": len(mesh.faces),
        "kB": {suffix: round(file.stat().st_size / 1000) for suffix, file in files.items()},
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "total": round(sum(value for part, value in seconds.items() if part in ("load", "mesh", "texture", "glb")), 1),
        "khronos": validated(files[".glb"]),
        "watertight": health.watertight and health.one_component,
        "psnr": [round(psnr(one, wanted), 1) for one in (replace(mesh, texture=None), mesh, fitted)],
        "read": {suffix: read_back(file) for suffix, file in files.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path("build/bench-mesh"))
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--texture-size", type=int, default=1024)
    arguments = parser.parse_args()
    os.environ.setdefault("NODE_PATH", str(VALIDATOR.parents[2] / "build/gltf/node_modules"))
    rows = []
    for path in arguments.runs:
        rows.append(measure(path, arguments))
        print(json.dumps(rows[-1]), flush=True)
    (arguments.output / "report.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    head = [
        "run",
        "faces",
        "s",
        "mesh",
        "texture",
        "fit",
        "glb kB",
        "Khronos",
        "sound",
        "PSNR: vertices, baked, fitted",
    ]
    lines = [
        [
            row["run"],
            str(row["faces"]),
            str(row["total"]),
            *(str(row["seconds"][part]) for part in ("mesh", "texture", "fit")),
            str(row["kB"][".glb"]),
            row["khronos"],
            "yes" if row["watertight"] else "no",
            ", ".join(map(str, row["psnr"])),
        ]
        for row in rows
    ]
    print(table(head, lines))


if __name__ == "__main__":
    main()
