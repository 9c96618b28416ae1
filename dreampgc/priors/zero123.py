"""Zero123: a latent diffusion model of what an object in a picture looks like from somewhere else, as a `ViewPrior`.

Liu et al., Zero-1-to-3 (2023), in the diffusers layout of Zero123-XL and Stable-Zero123.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dreampgc.errors import InputError
from dreampgc.priors import layout
from dreampgc.priors.base import Affine, Reference, ViewCondition
from dreampgc.priors.latent import LatentDiffusion, default_dtype, linear_map
from dreampgc.priors.parts import read_part, view_misfits

#: The two differ in the fourth number of a pose: see `pose_features`.
Kind = Literal["zero123", "stable-zero123"]


class Zero123Prior(LatentDiffusion):
    """Zero123-XL or Stable-Zero123: see `dreampgc.priors.base.ViewPrior` for the methods. Build one with `load`."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        unet: Any,
        vae: Any,
        scheduler: Any,
        image_encoder: Any,
        projection: Any,
        processor: Any,
        linear_rgb_to_latent: Affine | None = None,
    ) -> None:
        super().__init__(name, unet=unet, vae=vae, scheduler=scheduler, linear_rgb_to_latent=linear_rgb_to_latent)
        self.kind: Kind = kind
        self.image_encoder = image_encoder
        self.projection = projection
        self.processor = processor

    @classmethod
    def load(
        cls,
        directory: Path,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        name: str | None = None,
        kind: Kind | None = None,
        vae: Path | None = None,
    ) -> Zero123Prior:
        """Load a directory in diffusers layout (`dreampgc.priors.layout`), with the VAE of the model ``vae`` if given.

        ``dtype`` is that of the arithmetic: by default float32 on the CPU and float16 elsewhere. ``name`` defaults
        to the directory's. The files of both kinds look alike, so where ``kind`` is not given, a name with
        ``stable-zero123`` in it is what makes the difference.

        Raises:
            InputError: a part is missing, damaged, of another kind, or does not fit the others.
        """
        dtype = dtype or default_dtype(device)
        name = name or directory.resolve().name
        try:
            homes = {part: layout.home_of(part, directory, vae) for part in layout.VIEW_PARTS}
            for part, home in homes.items():
                layout.check_files(home, part)  # a missing part is an answer before gigabytes are read
            parts = {part: read_part(home, part, dtype) for part, home in homes.items()}
            _check_fit(parts)
        except layout.PartError as error:
            raise InputError(f"{directory} is not a Zero123 model in diffusers layout: {error}") from error
        models = {part: model.to(device) for part, model in parts.items() if part in layout.STEMS}
        return cls(
            name,
            kind or ("stable-zero123" if "stable-zero123" in name.lower() else "zero123"),
            unet=models["unet"],
            vae=models["vae"],
            scheduler=parts["scheduler"],
            image_encoder=models["image_encoder"],
            projection=models["clip_camera_projection"],
            processor=parts["feature_extractor"],
            linear_rgb_to_latent=linear_map(homes["vae"], models["vae"].config, device),
        )

    @torch.no_grad()
    def condition(self, image: Tensor, elevation: float) -> Reference:
        """A picture ``[1,3,S,S]`` in [0,1], the object over white, taken from ``elevation`` degrees above the horizon.

        Its latents are the mode of the VAE's posterior and, as the model was trained, not scaled.
        """
        assert image.shape == (1, 3, self.image_size, self.image_size), f"a picture of shape {tuple(image.shape)}"
        # the processor works on bytes: what PIL can resize
        picture = (255 * image[0].clamp(0, 1)).round().byte().permute(1, 2, 0).cpu().numpy()
        pixels = self.processor([picture], return_tensors="pt", input_data_format="channels_last").pixel_values
        embedding = self.image_encoder(pixels.to(self.device, self.image_encoder.dtype)).image_embeds
        return Reference(embedding.float(), self.encode(image.to(self.device)) / self.scaling_factor, elevation)

    @torch.no_grad()
    def view(self, reference: Reference, azimuth: Tensor, elevation: Tensor, distance: Tensor) -> ViewCondition:
        """What ``reference`` shows, seen from ``B`` cameras: see `pose_features` for their poses, each ``[B]``."""
        pose = pose_features(self.kind, reference.elevation, azimuth, elevation, distance).to(self.device)
        batch = len(pose)
        joined = torch.cat([reference.embedding.expand(batch, -1), pose], dim=-1)[:, None]
        tokens = self.projection(joined.to(self.projection.dtype)).float()
        return ViewCondition(tokens, reference.latents.expand(batch, -1, -1, -1))

    @torch.no_grad()
    def predict_noise(self, noisy: Tensor, timesteps: Tensor, view: ViewCondition) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]``, given ``B`` views."""
        output = self.networks.denoise(torch.cat([noisy, view.latents], dim=1), timesteps, view.tokens)
        return self._noise(output, noisy, timesteps)


def pose_features(
    kind: Kind, reference_elevation: float, azimuth: Tensor, elevation: Tensor, distance: Tensor
) -> Tensor:
    """The four numbers ``[B,4]`` that tell Zero123 poses relative to the reference's camera, each ``[B]``.

    ``azimuth`` and ``elevation`` in degrees and ``distance`` are differences, the wanted camera's minus the
    reference's; ``distance`` is in the model's unit, in which its training cameras were 1.5 to 2.2 away. The numbers
    are the polar angle's difference (polar angles grow downwards: minus the elevation's), sine and cosine of the
    azimuth's, and the distance's; Stable-Zero123 has the reference's polar angle in the last one's place.

    The azimuth keeps its sign: Zero123 takes ``atan2(y, x)`` with z upwards and this project ``atan2(x, z)`` with y
    upwards, which both grow counter-clockwise as seen from above. Argued, not verified against real weights.
    """
    radians = torch.deg2rad(azimuth)
    last = torch.full_like(distance, 90 - reference_elevation).deg2rad() if kind == "stable-zero123" else distance
    return torch.stack([-torch.deg2rad(elevation), radians.sin(), radians.cos(), last], dim=-1)


def _check_fit(parts: dict[str, Any]) -> None:
    """Refuse parts that do not go together. Raises PartError."""
    facts = {part: read.config for part, read in parts.items() if part != "feature_extractor"}
    facts["feature_extractor"] = parts["feature_extractor"].crop_size["height"]
    for part, sentence in view_misfits(facts).items():
        raise layout.PartError(part, sentence)
