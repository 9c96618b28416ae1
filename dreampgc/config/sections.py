"""What can be configured: one frozen, checked model for each section of the configuration."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dreampgc.config.presets import Preset, Task


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the lower end of the range is above the upper one")
    return limits


def _prompt(text: str) -> str:
    text = " ".join(text.split())
    if not text.isprintable():
        raise ValueError("the prompt holds characters that are not text")
    return text


Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=1, le=4096)]
Elevation = Annotated[float, Field(ge=-90, le=90)]
Azimuth = Annotated[float, Field(ge=-360, le=360)]
Angle = Annotated[float, Field(gt=0, lt=180)]
ElevationRange = Annotated[tuple[Elevation, Elevation], AfterValidator(_ascending)]
DistanceRange = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)]
AngleRange = Annotated[tuple[Angle, Angle], AfterValidator(_ascending)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class GuidanceConfig(Section):
    """Score distillation: which gradient, at which noise, shaped how."""

    method: Literal["latent", "vae", "linear", "pngd", "pgc-v", "pgc-n"] = "pgc-n"
    clip: PositiveFloat = 0.1
    norm: Literal["l2", "linf"] = "l2"
    scale: NonNegativeFloat = 5.0
    #: Perp-Neg's weight against fronts at the sides and the back (the Janus problem); 0 leaves it out.
    perp_neg: NonNegativeFloat = 0.0
    weighting: Literal["sigma2", "one"] = "sigma2"
    t_min: Share = 0.02
    t_max: Share = 0.98
    #: The share of the run over which the upper end of the range falls linearly to t_end; 0: it stays at t_max.
    anneal: Share = 0.8
    t_end: Share = 0.15

    @model_validator(mode="after")
    def _check(self) -> GuidanceConfig:
        if not self.t_min < min(self.t_max, self.t_end):
            raise ValueError("t_min must be below t_max and t_end")
        return self


class CamerasConfig(Section):
    """Where views are sampled: degrees and world units."""

    batch: Annotated[int, Field(ge=1, le=64)] = 2
    elevation: ElevationRange = (-15.0, 60.0)
    distance: DistanceRange = (2.1, 2.7)
    fov: AngleRange = (40.0, 50.0)


class FieldConfig(Section):
    """The hash-grid field: its size and how its density starts."""

    levels: Annotated[int, Field(ge=1, le=32)] = 6
    features: Annotated[int, Field(ge=1, le=8)] = 2
    log2_hashmap_size: Annotated[int, Field(ge=4, le=24)] = 15
    base_resolution: Size = 16
    max_resolution: Size = 128
    hidden: Size = 32
    layers: Annotated[int, Field(ge=1, le=8)] = 2
    density_activation: Literal["trunc_exp", "softplus"] = "trunc_exp"
    blob_density: NonNegativeFloat = 5.0
    blob_radius: PositiveFloat = 0.5

    @model_validator(mode="after")
    def _check(self) -> FieldConfig:
        if self.base_resolution > self.max_resolution:
            raise ValueError("base_resolution is above max_resolution")
        return self


class RenderConfig(Section):
    """Ray marching and shading during training."""

    resolution: Size = 128
    start_resolution: Size = 64
    #: Share of the run that is rendered at start_resolution.
    ramp: Share = 0.6
    #: Samples per ray across the whole cube; only those in occupied cells are evaluated.
    samples: Size = 128
    grid_resolution: Annotated[int, Field(ge=4, le=256)] = 64
    grid_every: PositiveInt = 10
    background: Literal["random", "white", "learned"] = "random"
    #: Shares of the steps with these shadings; the rest is lambertian.
    albedo_share: Share = 1.0
    textureless_share: Share = 0.0

    @model_validator(mode="after")
    def _check(self) -> RenderConfig:
        if self.start_resolution > self.resolution:
            raise ValueError("start_resolution is above resolution")
        if self.albedo_share + self.textureless_share > 1:
            raise ValueError("albedo_share and textureless_share sum to more than 1")
        return self


class OptimizerConfig(Section):
    """Adam, and the parameter-wise baselines of Eq. 3 and 4."""

    learning_rate: PositiveFloat = 1e-2
    #: The hash grid's rate is this many times learning_rate.
    encoding_multiplier: PositiveFloat = 5.0
    #: The rates fall exponentially to this share of themselves over the run; 1: they stay.
    final_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.99)
    eps: PositiveFloat = 1e-15
    rule: Literal["none", "ngd", "clip"] = "none"
    rule_threshold: PositiveFloat = 1.0


class RegularisersConfig(Section):
    """Weights against a loss that sums over pixels; 0 switches a regulariser off."""

    opacity_entropy: NonNegativeFloat = 40.0
    sparsity: NonNegativeFloat = 0.0
    orientation: NonNegativeFloat = 0.0
    distortion: NonNegativeFloat = 0.0
    normal_smoothness: NonNegativeFloat = 0.0
    total_variation: NonNegativeFloat = 0.0


class LoopConfig(Section):
    """How long a stage trains and how often it writes; cadences in steps, 0 for never (but for the last step)."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = 400
    checkpoint_every: Annotated[int, Field(ge=0)] = 100
    preview_every: Annotated[int, Field(ge=0)] = 100
    gradient_every: Annotated[int, Field(ge=0)] = 100
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    #: On CUDA: steps recorded as graphs, their networks compiled before; recorded only; or as plain torch. auto
    #: compiles what takes long enough to be worth the wait (full-size priors, and not the preset draft). On a CPU it is
    #: always off.
    acceleration: Literal["auto", "compiled", "graphs", "off"] = "auto"
    #: So many steps in a row whose loss or gradient is not finite end the run.
    max_bad_steps: PositiveInt = 20


class MeshConfig(Section):
    """The mesh and the turntable at the end of a run."""

    resolution: Annotated[int, Field(ge=16, le=1024)] = 160
    level: Literal["auto"] | PositiveFloat = "auto"
    faces: Annotated[int, Field(ge=100)] = 50_000
    smoothing: Annotated[int, Field(ge=0, le=100)] = 10
    #: How coarse a roughness is smoothed out of the surface, in units of the field's finest cell. 1.4 makes smoother
    #: meshes, which come nearer to true objects, and show less exactly what the field shows.
    grain: Annotated[float, Field(ge=0, le=10)] = 0.0
    #: Texels along each side; 0: no texture, vertices carry the colours.
    texture_size: Literal[0] | Annotated[int, Field(ge=64, le=4096)] = 0
    #: Whether the texture is fitted to pictures of the field, after it was baked.
    texture_fit: bool = False
    formats: Annotated[tuple[Literal["glb", "obj", "ply", "stl", "usdz"], ...], Field(min_length=1)] = ("glb",)
    turntable_frames: Annotated[int, Field(ge=1, le=1000)] = 48
    turntable_size: Annotated[int, Field(ge=16, le=2048)] = 320

    @model_validator(mode="after")
    def _check(self) -> MeshConfig:
        if self.texture_fit and self.texture_size == 0:
            raise ValueError("texture_fit needs a texture: set texture_size")
        return self


class ImageConfig(Section):
    """An object from pictures: where they are, what they were taken from, and how much they weigh."""

    #: The picture, taken from azimuth 0; the run keeps what was cut out of it, and needs the file no more.
    file: str = ""
    #: More pictures of the same object: file, azimuth and elevation in degrees.
    views: tuple[tuple[Annotated[str, Field(min_length=1)], Azimuth, Elevation], ...] = ()
    #: From where the first picture was taken, in degrees above the horizon; auto asks the prior.
    elevation: Literal["auto"] | Elevation = "auto"
    #: Of all pictures: distance in world units, vertical field of view in degrees.
    distance: Annotated[float, Field(gt=1.8, le=20)] = 2.4
    fov: Angle = 45.0
    #: How the object is told from what is behind it, and whether it is centred and scaled to fill the square.
    background: Literal["auto", "alpha", "grabcut", "rembg"] = "auto"
    framing: Literal["fit", "keep"] = "fit"
    #: The share of the square that stays free beside the object.
    margin: Annotated[float, Field(ge=0, lt=0.9)] = 0.2
    #: Pixels along each side of what was cut out.
    size: Annotated[int, Field(ge=32, le=2048)] = 512
    #: What else is known of the first picture, of its size and framing: the distance of each pixel (gray, the
    #: lighter the farther, whatever the scale), and its normals (colours, as seen from the camera: x to the right, y
    #: up, z towards the camera).
    depth_file: str = ""
    normals_file: str = ""
    #: Weights of what a picture shows against a guidance gradient of weight 1. 1 pulls a pixel whose colour is wrong
    #: by 0.05 as hard as the threshold 0.1 lets the prior pull it, at any resolution.
    rgb: NonNegativeFloat = 0.3
    mask: NonNegativeFloat = 0.15
    depth: NonNegativeFloat = 0.01
    normals: NonNegativeFloat = 0.01
    #: Weights of the guidance by views and, where there is a prompt, by text; 0: that prior is not asked.
    guidance: NonNegativeFloat = 1.0
    text: NonNegativeFloat = 0.3
    #: The prior and the guidance scale of the prompt.
    text_prior: Annotated[str, Field(min_length=1)] = "auto"
    text_scale: NonNegativeFloat = 5.0
    #: World units in the unit of length of the prior of views.
    unit: PositiveFloat = 1.0
    #: Views are at most so many degrees of azimuth away from a picture's at first, and anywhere after that share
    #: of the run.
    azimuth_start: Annotated[float, Field(gt=0, le=180)] = 45.0
    azimuth_ramp: Share = 0.3
    #: The share of the run, at its beginning, in which the field copies a sketch: what the prior of views draws of the
    #: object from all around, before. These steps ask no prior, so they are quick. 0: there is none.
    sketch: Share = 0.0
    #: How many pictures a sketch has, and what they weigh beside the ones that are given.
    sketch_views: Annotated[int, Field(ge=1, le=64)] = 11
    sketch_weight: NonNegativeFloat = 0.5

    @model_validator(mode="after")
    def _check(self) -> ImageConfig:
        if self.framing == "fit" and (self.depth_file or self.normals_file):
            raise ValueError("depth_file and normals_file are not cropped with the picture: set framing to keep")
        return self


class RunConfig(Section):
    """The whole configuration of one run."""

    #: text or image: a 3D object; image2d: one image, without a field (the paper's Fig. 2).
    task: Task = "text"
    prompt: Annotated[str, AfterValidator(_prompt)] = ""
    negative_prompt: str = ""
    prior: Annotated[str, Field(min_length=1)] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    preset: Preset = "standard"
    guidance: GuidanceConfig = GuidanceConfig()
    cameras: CamerasConfig = CamerasConfig()
    field: FieldConfig = FieldConfig()
    render: RenderConfig = RenderConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    regularisers: RegularisersConfig = RegularisersConfig()
    loop: LoopConfig = LoopConfig()
    mesh: MeshConfig = MeshConfig()
    image: ImageConfig = ImageConfig()

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, prompt: str, info: ValidationInfo) -> str:
        if not prompt and info.data.get("task") != "image":
            raise ValueError("the prompt is empty")
        return prompt

    @field_validator("guidance")
    @classmethod
    def _check_method(cls, guidance: GuidanceConfig, info: ValidationInfo) -> GuidanceConfig:
        if guidance.method == "latent" and info.data.get("task") == "image":
            raise ValueError("the method latent has no colours to compare with a picture's")
        return guidance

    @property
    def title(self) -> str:
        """What lists call the run: its prompt, or the name of its picture and the prompt if there is one."""
        parts = (PurePath(self.image.file).name, self.prompt) if self.task == "image" else (self.prompt,)
        return ", ".join(filter(None, parts))
