"""A prior of views that knows the answer: what the object looks like from everywhere, and where its picture was taken.

It answers poses relative to the reference as Zero123 does, and knows nothing of the absolute elevation but the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.ops.linearise import Transpose, linearise
from dreampgc.priors.base import Affine, Reference, ViewCondition

#: ``views -> [B,3,S,S]`` pictures in [0,1] over white.
Painter = Callable[[Views], Tensor]


class OraclePrior:
    """Believes that a view looks as ``paint`` paints it, of a picture taken from ``azimuth`` and ``elevation``.

    Its latents are the picture at half the size, as ``2 x - 1``, and an empty fourth channel.
    """

    name = "oracle"
    latent_channels = 4
    downsampling = 2
    device = torch.device("cpu")
    linear_rgb_to_latent: Affine | None = None

    def __init__(
        self, paint: Painter, elevation: float = 0.0, *, distance: float = 2.4, fov: float = 45.0, size: int = 32
    ) -> None:
        self.paint, self.elevation, self.distance, self.fov = paint, elevation, distance, fov
        self.image_size = size
        self._painted: tuple[Tensor, Tensor] | None = None
        self.alphas_cumprod = torch.linspace(0.999, 0.001, 1000)
        #: The poses that were asked for, ``[B,3]`` each: azimuth, elevation, distance.
        self.poses: list[Tensor] = []
        #: Batches of noisy latents.
        self.batches: list[int] = []

    def encode(self, image: Tensor) -> Tensor:
        return functional.pad(2 * functional.avg_pool2d(image, 2) - 1, (0, 0, 0, 0, 0, 1))

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        return linearise(self.encode, image)

    def decode(self, latents: Tensor) -> Tensor:
        return functional.interpolate((latents[:, :3] / 2 + 0.5).clamp(0, 1), scale_factor=2)

    def save_memory(self) -> bool:
        return False

    def condition(self, image: Tensor, elevation: float) -> Reference:
        assert image.shape == (1, 3, self.image_size, self.image_size)
        return Reference(torch.ones(1, 1), self.encode(image), elevation)

    def view(self, reference: Reference, azimuth: Tensor, elevation: Tensor, distance: Tensor) -> ViewCondition:
        poses = torch.stack([azimuth, elevation, distance], dim=-1)
        self.poses.append(poses)
        known = torch.ones(len(poses), 1, 1)
        tokens = torch.cat([poses[:, None], known, reference.embedding.expand(len(poses), 1, 1)], dim=-1)
        return ViewCondition(tokens, reference.latents.expand(len(poses), -1, -1, -1))

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, view: ViewCondition) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append(len(noisy))
        clean = self._believed(view.tokens)
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()

    def _believed(self, tokens: Tensor) -> Tensor:
        """The latents of what is seen; gray where nothing is known. Painted once as long as the same is asked."""
        if self._painted is None or not torch.equal(self._painted[0], tokens):
            azimuth, elevation, distance, known, _ = tokens[:, 0].unbind(-1)
            away, fov = self.distance + distance, torch.full_like(azimuth, self.fov)
            told = known > 0
            views = Views(azimuth, self.elevation + elevation, away, fov)[told]
            latents = torch.zeros(len(tokens), 4, *[self.image_size // 2] * 2)
            latents[told] = self.encode(self.paint(views))
            self._painted = tokens.clone(), latents
        return self._painted[1]
