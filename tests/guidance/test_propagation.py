"""The six methods: each pullback against autograd, each shaping against the operator, the table against the paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.errors import InputError
from dreampgc.guidance.propagation import METHODS, Propagated, linearise, propagate, upsample
from dreampgc.ops.pixel_clip import pixel_clip
from dreampgc.ops.reference import Mode, clip_statistics
from tests.guidance.toy import ToyPrior

THRESHOLD = 0.2
IMAGE_METHODS = [name for name in METHODS if name != "latent"]
EXACT: dict[str, Mode | None] = {"vae": None, "pngd": "normalize", "pgc-v": "value", "pgc-n": "norm"}


def latent_gradient(latents: Tensor) -> Tensor:
    """Any function of the latents that is data, not a graph."""
    assert not latents.requires_grad
    return latents.cos() + 0.3


def autograd_gradient(toy: ToyPrior, image: Tensor) -> Tensor:
    """The whole chain differentiated at once, without any clipping."""
    image = image.clone().requires_grad_()
    latents = toy.encode(image)
    return torch.autograd.grad(latents, image, latent_gradient(latents.detach()))[0]


def run(
    toy: ToyPrior,
    name: str,
    image: Tensor,
    threshold: float = THRESHOLD,
    gradient: Callable[[Tensor], Tensor] = latent_gradient,
) -> Propagated:
    return propagate(METHODS[name], toy, image, gradient, threshold=threshold)


def test_the_table_is_the_papers() -> None:
    assert list(METHODS) == ["latent", "vae", "linear", "pngd", "pgc-v", "pgc-n"]


@pytest.mark.parametrize("name", EXACT)
def test_exact_pullback_and_shaping(toy: ToyPrior, name: str) -> None:
    image = torch.rand(2, 3, 32, 32)
    expected = autograd_gradient(toy, image)
    result = run(toy, name, image)
    torch.testing.assert_close(result.raw, expected)
    if mode := EXACT[name]:
        expected = pixel_clip(expected, THRESHOLD, mode)
    torch.testing.assert_close(result.image, expected)


def test_the_threshold_bites(toy: ToyPrior) -> None:
    """Guards the tests above: with a threshold beyond every norm they would pass without any clipping."""
    result = run(toy, "pgc-n", torch.rand(2, 3, 32, 32))
    clipped = (result.raw.norm(dim=1) > THRESHOLD).float().mean()
    assert 0.1 < clipped < 0.95


@pytest.mark.parametrize("name", IMAGE_METHODS)
def test_smaller_render_gets_the_transpose_of_its_upsampling(toy: ToyPrior, name: str) -> None:
    image = torch.rand(2, 3, 12, 20)
    result = run(toy, name, image)
    large = run(toy, name, functional.interpolate(image, size=(32, 32), mode="bilinear", align_corners=False))
    torch.testing.assert_close(result.raw, large.raw)
    leaf = image.clone().requires_grad_()
    (functional.interpolate(leaf, size=(32, 32), mode="bilinear", align_corners=False) * large.shaped).sum().backward()
    assert result.image.shape == image.shape
    torch.testing.assert_close(result.image, leaf.grad)


def test_upsampling_and_its_transpose_are_adjoint() -> None:
    small, large = torch.randn(1, 3, 9, 7, dtype=torch.float64), torch.randn(1, 3, 32, 32, dtype=torch.float64)
    enlarged, transpose = linearise(lambda x: upsample(x, 32), small)
    torch.testing.assert_close((enlarged * large).sum(), (small * transpose(large)).sum())


def test_larger_renders_are_not_resized(toy: ToyPrior) -> None:
    image = torch.rand(1, 3, 64, 48)
    assert upsample(image, 32) is image
    torch.testing.assert_close(run(toy, "vae", image).image, autograd_gradient(toy, image))


def test_linear_is_the_transpose_of_the_affine_map_of_averages(toy: ToyPrior) -> None:
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    assert toy.linear_rgb_to_latent is not None
    matrix, _ = toy.linear_rgb_to_latent
    approximate = torch.einsum("bchw,cz->bzhw", functional.avg_pool2d(image, 8), matrix)
    latents = toy.encode(image.detach())  # z itself is the encoder's: only dz/dx is approximated
    (approximate * latent_gradient(latents)).sum().backward()
    torch.testing.assert_close(run(toy, "linear", image.detach()).image, image.grad)


def test_linear_needs_a_fitted_map(toy: ToyPrior) -> None:
    toy.linear_rgb_to_latent = None
    with pytest.raises(InputError, match="toy has no fitted linear map"):
        run(toy, "linear", torch.rand(1, 3, 32, 32))


def test_latent_renders_are_latents(toy: ToyPrior) -> None:
    latents = torch.randn(2, 4, 4, 4)
    result = run(toy, "latent", latents)
    torch.testing.assert_close(result.image, latent_gradient(latents))


def test_small_latent_renders_are_upsampled_to_the_latents_size(toy: ToyPrior) -> None:
    result = run(toy, "latent", torch.randn(1, 4, 2, 2))
    assert result.raw.shape == (1, 4, 4, 4)
    assert result.image.shape == (1, 4, 2, 2)


@pytest.mark.parametrize("name", METHODS)
def test_every_shaping_counts_what_it_saw(toy: ToyPrior, name: str) -> None:
    image = torch.rand(1, 3, 32, 32) if name != "latent" else torch.randn(1, 4, 4, 4)
    result = run(toy, name, image)
    assert result.counted[3] > 0
    torch.testing.assert_close(result.counted, clip_statistics(result.raw, THRESHOLD, "l2"))


@pytest.mark.parametrize("name", METHODS)
def test_no_sample_knows_the_others(toy: ToyPrior, name: str) -> None:
    """Never averaged over the batch: c would change its meaning with the batch size."""
    image = torch.rand(3, 3, 32, 32) if name != "latent" else torch.randn(3, 4, 4, 4)
    together = run(toy, name, image).image
    alone = torch.cat([run(toy, name, one[None]).image for one in image])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", METHODS)
def test_result_is_float32_data(toy: ToyPrior, name: str) -> None:
    image = torch.rand(1, 3, 32, 32) if name != "latent" else torch.randn(1, 4, 4, 4)
    result = run(toy, name, image.double().requires_grad_())
    assert result.image.dtype == torch.float32
    assert not result.image.requires_grad


@pytest.mark.parametrize("name", ["pngd", "pgc-v", "pgc-n"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_broken_sample_stays_alone_and_finite(toy: ToyPrior, name: str, poison: float) -> None:
    def broken(latents: Tensor) -> Tensor:
        gradient = latent_gradient(latents)
        gradient[1, 0, 0, 0] = poison
        return gradient

    image = torch.rand(2, 3, 32, 32)
    result = run(toy, name, image, gradient=broken).image
    assert result.isfinite().all()
    torch.testing.assert_close(result[0], run(toy, name, image).image[0])


@pytest.mark.parametrize("name", ["pngd", "pgc-v", "pgc-n"])
def test_a_high_threshold_is_plain_backpropagation(toy: ToyPrior, name: str) -> None:
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(run(toy, name, image, threshold=1e30).image, run(toy, "vae", image).image)


@pytest.mark.parametrize("name", METHODS)
def test_works_without_global_gradients(toy: ToyPrior, name: str) -> None:
    image = torch.rand(1, 3, 32, 32) if name != "latent" else torch.randn(1, 4, 4, 4)
    expected = run(toy, name, image).image
    with torch.no_grad():
        torch.testing.assert_close(run(toy, name, image).image, expected)
