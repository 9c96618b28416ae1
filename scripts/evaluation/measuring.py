"""All measurements of one run, by `dreampgc.metrics`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from dreampgc import exporting
from dreampgc.console import Console
from dreampgc.images import Frame, to_frames
from dreampgc.metrics.appearance import AttributeLibrary
from dreampgc.metrics.health import FRAGMENTS, mesh_health
from dreampgc.metrics.janus import FrontLibrary, quarters
from dreampgc.metrics.pictures import QUARTERS, SIZE, evaluation_views
from dreampgc.metrics.shape import ShapeLibrary, kind_of
from dreampgc.metrics.solids import mesh_solid
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run
from dreampgc.types import Mesh, RenderOutput
from dreampgc.world.objects import Caption
from evaluation.report import Row


@dataclass(frozen=True)
class Instruments:
    """The libraries of ground truth."""

    shapes: ShapeLibrary
    attributes: AttributeLibrary
    fronts: FrontLibrary

    @classmethod
    def open(cls, cache: Path) -> Instruments:
        """All libraries, with ground truth kept in the folder ``cache``."""
        return cls(ShapeLibrary(cache), AttributeLibrary(cache), FrontLibrary(cache))

    def measure(self, run: Run, mesh: Mesh) -> Row:
        """Everything about a finished run's ``mesh``, and about its gradients."""
        caption = Caption.parse(run.config.prompt)
        return {
            **self._shape(mesh, caption),
            **self.looks(look_at(mesh), caption),
            **health(mesh),
            **_gradients(run.path / "metrics.jsonl"),
            "seconds": run.record["timings"]["train"],
        }

    def _shape(self, mesh: Mesh, caption: Caption) -> Row:
        solid = mesh_solid(mesh, self.shapes.side)
        ranking = self.shapes.retrieve(solid, caption)
        shape = self.shapes.measure(solid, caption)
        return {"class_right": ranking[0] == kind_of(caption), "class_found": str(ranking[0]), **vars(shape)}

    def looks(self, pictures: RenderOutput, caption: Caption) -> Row:
        """What pictures of `dreampgc.metrics.pictures.evaluation_views` say about paints and fronts."""
        asked, found = [], []
        for one, base in ((caption, False), (caption.base, True)):
            if one is not None and one.attribute is not None:
                asked.append(one.attribute)
                found.append(self.attributes.retrieve(pictures, caption, base=base)[0])
        fitted = self.attributes.fitted(pictures, caption)
        judged = self.fronts.can_judge(fitted)
        return {
            "attribute_right": asked == found if asked else None,
            "attribute_found": " on ".join(found),
            "colour_error": self.attributes.colour_error(pictures, fitted),
            "janus": self.fronts.is_janus(quarters(pictures), fitted) if judged else None,
        }


def read_mesh(run: Run) -> Mesh:
    """The run's mesh as a user gets it, with exact vertex colours."""
    path = run.path / "mesh.ply"
    if not path.exists():
        exporting.export(run.path, formats=["ply"], console=Console(quiet=True))
    return load_ply(path)


def load_ply(path: Path) -> Mesh:
    """A mesh with vertex colours and normals."""
    loaded: Any = trimesh.load_mesh(path, process=False)
    colors = loaded.visual.vertex_colors[:, :3].astype("float32") / 255
    normals = np.array(loaded.vertex_normals, dtype="float32")
    return Mesh(loaded.vertices.astype("float32"), loaded.faces.astype("int64"), colors, normals)


def look_at(mesh: Mesh) -> RenderOutput:
    """The mesh as the appearance metrics see it."""
    return render_mesh(
        mesh, evaluation_views(), height=SIZE, width=SIZE, shading="albedo", background=torch.ones(3), supersampling=2
    )


def strip(mesh: Mesh, size: int = 96) -> Frame:
    """Front, left, back and right of a mesh side by side, for the contact sheet."""
    views = evaluation_views()[torch.tensor(QUARTERS)]
    frames = to_frames(render_mesh(mesh, views, height=size, width=size).image)
    return np.concatenate(list(frames), axis=1)


def health(mesh: Mesh) -> Row:
    """Whether the mesh is one closed surface."""
    found = mesh_health(mesh)
    return {
        "watertight": found.watertight,
        "one_component": found.one_component,
        "few_fragments": found.fragment_share < FRAGMENTS,
        "non_manifold_edges": found.non_manifold_edges,
        "faces": found.faces,
    }


def _gradients(path: Path) -> Row:
    """The raw gradient's largest pixel norm in a step over the median one, the median over all steps; the largest."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ratios = [line["gradient_maximum"] / max(line["gradient_median"], 1e-9) for line in lines]
    return {
        "gradient_ratio": float(np.median(ratios)),
        "gradient_largest": max(line["gradient_maximum"] for line in lines),
    }
