"""The presets: for each (preset, family of priors) the values that differ from the defaults of `config`.

The family is "mini" for the embedded prior and its kind (128-pixel images, made for a CPU) and "full" for
priors of Stable Diffusion's size.
"""

from __future__ import annotations

from typing import Any, Literal

Preset = Literal["draft", "standard", "high"]
Family = Literal["mini", "full"]
Task = Literal["text", "image", "image2d"]

#: For Stable Diffusion's size, after stable-dreamfusion and DreamFusion; never run with real weights here.
_FULL: dict[str, Any] = {
    "guidance.scale": 100.0,
    "guidance.anneal": 0.0,
    "cameras.batch": 1,
    "cameras.elevation": (-15.0, 45.0),
    "cameras.distance": (2.4, 3.0),
    "cameras.fov": (35.0, 45.0),
    "field.levels": 16,
    "field.log2_hashmap_size": 19,
    "field.max_resolution": 2048,
    "field.hidden": 64,
    "field.layers": 3,
    "render.start_resolution": 64,
    "render.resolution": 128,
    "render.samples": 512,
    "render.grid_resolution": 128,
    "render.albedo_share": 0.2,
    "render.textureless_share": 0.2,
    "optimizer.learning_rate": 5e-3,
    "optimizer.encoding_multiplier": 10.0,
    "mesh.resolution": 256,
    "mesh.faces": 50_000,
    "mesh.texture_size": 1024,
    "mesh.turntable_size": 512,
    "mesh.turntable_frames": 60,
}

#: Dotted keys and values by preset and family.
PRESETS: dict[tuple[Preset, Family], dict[str, Any]] = {
    ("draft", "mini"): {
        "loop.steps": 140,
        "loop.checkpoint_every": 70,
        "loop.preview_every": 70,
        "loop.gradient_every": 70,
        "render.resolution": 64,
        "mesh.resolution": 96,
        "mesh.faces": 10_000,
        "mesh.turntable_frames": 32,
    },
    ("standard", "mini"): {},
    ("high", "mini"): {
        "cameras.batch": 4,
        "mesh.resolution": 192,
        "mesh.faces": 100_000,
        "mesh.turntable_size": 512,
    },
    ("draft", "full"): {**_FULL, "loop.steps": 1500, "render.resolution": 64, "mesh.resolution": 128},
    ("standard", "full"): {**_FULL, "loop.steps": 5000, "loop.checkpoint_every": 500, "loop.preview_every": 250},
    ("high", "full"): {
        **_FULL,
        "loop.steps": 10_000,
        "loop.checkpoint_every": 500,
        "loop.preview_every": 500,
        "render.resolution": 256,
        "mesh.resolution": 384,
        "mesh.faces": 100_000,
    },
}

#: What the task image2d changes on top: an image has no weights to share, and is much cheaper to train than a field.
_IMAGE2D: dict[str, Any] = {"optimizer.learning_rate": 0.03}
_IMAGE2D_STEPS: dict[tuple[Preset, Family], int] = {
    ("draft", "mini"): 120,
    ("standard", "mini"): 200,
    ("high", "mini"): 500,
    ("draft", "full"): 300,
    ("standard", "full"): 600,
    ("high", "full"): 1200,
}


#: What the task image changes on top: views are those of cameras like the picture's, and its colours hold the light.
_IMAGE: dict[str, Any] = {
    "guidance.scale": 3.0,
    "cameras.distance": (2.4, 2.4),
    "cameras.fov": (45.0, 45.0),
    "render.albedo_share": 1.0,
    "render.textureless_share": 0.0,
    "render.background": "white",  # the only one that priors of views were shown
}
#: After threestudio's zero123.yaml; never run with real weights here.
_IMAGE_FULL: dict[str, Any] = {
    "guidance.t_min": 0.2,
    "guidance.t_max": 0.85,
    "guidance.anneal": 0.5,
    "guidance.t_end": 0.5,
    "cameras.batch": 4,
    "cameras.elevation": (-10.0, 60.0),
    "regularisers.normal_smoothness": 500.0,
    "image.unit": 1.6,  # its objects fill [-0.5, 0.5], ours [-0.8, 0.8]
    "image.text_scale": 100.0,
    "loop.checkpoint_every": 200,
    "loop.preview_every": 100,
}
#: Steps at full size cost three times as much, and a tenth of the run is enough for all that they bring.
_IMAGE_MINI: dict[str, Any] = {"render.ramp": 0.9}
_IMAGE_STEPS: dict[tuple[Preset, Family], int] = {
    ("draft", "mini"): 140,
    ("standard", "mini"): 400,
    ("high", "mini"): 1200,
    ("draft", "full"): 600,
    ("standard", "full"): 1200,
    ("high", "full"): 2400,
}


def preset_values(task: Task, preset: Preset, family: Family) -> dict[str, Any]:
    """Dotted keys and values of a preset: what differs from the defaults for this task and family of priors."""
    values = PRESETS[preset, family]
    if task == "image":
        own = _IMAGE_FULL if family == "full" else _IMAGE_MINI
        return {**values, **_IMAGE, **own, "loop.steps": _IMAGE_STEPS[preset, family]}
    if task == "image2d":
        return {**values, **_IMAGE2D, "loop.steps": _IMAGE2D_STEPS[preset, family]}
    return values
