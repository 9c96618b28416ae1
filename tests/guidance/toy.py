"""A prior small enough to differentiate by hand: a nonlinear encoder and a score with a known optimum."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.ops.linearise import Transpose, linearise
from dreampgc.priors.base import Affine, TextCondition
from dreampgc.priors.prompts import STABLE_DIFFUSION, ViewPhrases


def numbers(*values: float) -> TextCondition:
    """The toy's whole idea of texts: one number each."""
    return TextCondition(torch.tensor(values).view(-1, 1, 1))


class ToyPrior:
    """Encodes with one strided convolution and a tanh; believes that the latents should be ``target``.

    ``predict_noise`` is exact for a distribution concentrated on ``target`` plus the text's first number.
    """

    name = "toy"
    image_size = 32
    latent_channels = 4
    downsampling = 8
    device = torch.device("cpu")
    view_phrases: ViewPhrases = STABLE_DIFFUSION

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.kernel = torch.randn(4, 3, 8, 8, generator=generator) / 8
        self.target = torch.randn(1, 4, 4, 4, generator=generator)
        self.alphas_cumprod = torch.linspace(0.999, 0.001, 1000)
        self.linear_rgb_to_latent: Affine | None = (torch.randn(3, 4, generator=generator), torch.zeros(4))
        self.batches: list[int] = []
        self.texts: list[str] = []
        self.released = False

    def encode_text(self, texts: list[str]) -> TextCondition:
        self.texts += texts
        return numbers(*(float(sum(map(ord, text)) % 97) / 97 for text in texts))

    def release_text_encoders(self) -> None:
        self.released = True

    def encode(self, image: Tensor) -> Tensor:
        return torch.tanh(functional.conv2d(image, self.kernel, stride=8))

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        return linearise(self.encode, image)

    def save_memory(self) -> bool:
        return False

    def decode(self, latents: Tensor) -> Tensor:
        return functional.interpolate(latents[:, :3], scale_factor=8).sigmoid()

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: TextCondition) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append(len(noisy))
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        clean = self.target + text.tokens[:, :1, :1, None]
        return (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
