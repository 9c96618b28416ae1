"""Compiled networks: how they fall back (with a compiler that does nothing), and that they give the same numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor

from dreampgc.ops.linearise import linearise
from dreampgc.priors.accelerate import Acceleration, CompiledNetworks, accelerate, acceleration_of
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.networks import Networks, SparingNetworks
from tests.priors.families import FAMILIES, Family, write_family


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, DiffusionPrior]:
    folder = tmp_path_factory.mktemp("accelerate")
    return {family: DiffusionPrior.load(write_family(folder / family, family)) for family in FAMILIES}


def inputs_of(prior: DiffusionPrior, batch: int = 2) -> tuple[Tensor, ...]:
    """What `Networks.denoise` takes, made of random numbers."""
    size = prior.image_size // prior.downsampling
    text = prior.encode_text(["a car"] * batch)
    noisy = torch.randn(batch, 4, size, size, device=prior.device)
    timesteps = torch.arange(100, 100 * batch + 1, 100, device=prior.device)
    return noisy, timesteps, text.tokens, *prior._added_conditions(noisy, text)


class Compiler:
    """In place of `torch.compile`: functions as they are, or ones that fail at their first call or in backward."""

    def __init__(self) -> None:
        self.made = 0
        self.failure: Exception | None = None
        self.backward_failure: Exception | None = None

    def __call__(self, function: Any, dynamic: bool) -> Any:
        assert not dynamic
        self.made += 1

        def run(*inputs: Tensor) -> Tensor:
            if self.failure is not None:
                raise self.failure
            value = function(*inputs)
            if self.backward_failure is not None and value.requires_grad:
                value.register_hook(self._fail)
            return value

        return run

    def _fail(self, gradient: Tensor) -> None:
        raise self.backward_failure  # type: ignore[misc]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    found = Compiler()
    monkeypatch.setattr(torch, "compile", found)
    return found


def gradient_of(networks: Networks, image: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    latents, transpose = networks.encode_with_vjp(image)
    return latents, transpose(cotangent)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["compiled", "sparing"])
def test_other_ways_give_the_same_numbers(
    priors: dict[Family, DiffusionPrior], family: Family, kind: str, compiler: Compiler
) -> None:
    prior = priors[family]
    plain = Networks(prior.unet, prior.vae)
    unet, vae = copy.deepcopy((prior.unet, prior.vae))  # both ways change them
    other = SparingNetworks(unet, vae) if kind == "sparing" else CompiledNetworks(unet, vae, [].append)
    inputs = inputs_of(prior)
    # batches of another size: other orders of sums
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        torch.testing.assert_close(other.denoise(*inputs), plain.denoise(*inputs), **tolerance)
    image, cotangent = torch.rand(2, 3, prior.image_size, prior.image_size), torch.randn_like(inputs[0])
    for result, expected in zip(
        gradient_of(other, image, cotangent), gradient_of(plain, image, cotangent), strict=True
    ):
        torch.testing.assert_close(result, expected, **tolerance)


def compiled(prior: DiffusionPrior, said: list[str]) -> CompiledNetworks:
    return CompiledNetworks(*copy.deepcopy((prior.unet, prior.vae)), said.append)


def test_each_function_is_compiled_once(priors: dict[Family, DiffusionPrior], compiler: Compiler) -> None:
    said: list[str] = []
    networks, inputs = compiled(priors["sd15"], said), inputs_of(priors["sd15"])
    image = torch.rand(2, 3, priors["sd15"].image_size, priors["sd15"].image_size)
    for _ in range(3):
        gradient_of(networks, image, torch.ones_like(inputs[0]))
        with torch.no_grad():
            networks.denoise(*inputs)
    assert compiler.made == 2
    assert [sentence.partition(",")[0] for sentence in said] == ["compiling the VAE's encoder", "compiling the UNet"]


@pytest.mark.parametrize("in_backward", [False, True])
def test_what_cannot_be_compiled_is_said_once_and_runs(
    priors: dict[Family, DiffusionPrior], compiler: Compiler, in_backward: bool
) -> None:
    error = RuntimeError("no nvcc\nmore lines")
    compiler.failure, compiler.backward_failure = (None, error) if in_backward else (error, None)
    said: list[str] = []
    prior = priors["sd21"]
    networks, size = compiled(prior, said), prior.image_size
    image, cotangent = torch.rand(2, 3, size, size), torch.randn(2, 4, size // 8, size // 8)
    expected = gradient_of(Networks(prior.unet, prior.vae), image, cotangent)
    for _ in range(2):
        torch.testing.assert_close(gradient_of(networks, image, cotangent), expected, rtol=1e-4, atol=1e-5)
    assert said[1:] == ["the VAE's encoder cannot be compiled here and runs slower (no nvcc)"]


def test_want_of_memory_is_not_taken_for_a_fault_of_the_compiler(
    priors: dict[Family, DiffusionPrior], compiler: Compiler
) -> None:
    compiler.failure = torch.OutOfMemoryError("full")
    with pytest.raises(torch.OutOfMemoryError), torch.no_grad():
        compiled(priors["sd15"], []).denoise(*inputs_of(priors["sd15"]))


def test_gradients_reach_convolutions_with_channels_last(priors: dict[Family, DiffusionPrior]) -> None:
    networks = compiled(priors["sd15"], [])
    layouts: list[bool] = []

    def watch(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        last = torch.channels_last
        output.register_hook(lambda gradient: layouts.append(gradient.is_contiguous(memory_format=last)))

    for convolution in networks.vae.encoder.modules():
        if isinstance(convolution, torch.nn.Conv2d):
            convolution.register_forward_hook(watch, prepend=True)
    size = priors["sd15"].image_size
    latents, transpose = linearise(networks.encode, torch.rand(1, 3, size, size))
    transpose(torch.randn_like(latents))
    assert layouts
    assert all(layouts)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_functions_compile_into_one_graph(priors: dict[Family, DiffusionPrior], family: Family) -> None:
    """A break would leave launches between graphs; the back end that ends in eager torch shows it in seconds."""
    torch.compiler.reset()
    prior = priors[family]
    networks, inputs = Networks(prior.unet, prior.vae), inputs_of(prior)
    with torch.no_grad():
        denoise = torch.compile(networks.denoise, dynamic=False, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(denoise(*inputs), networks.denoise(*inputs), rtol=1e-4, atol=1e-5)
    encode: Any = torch.compile(networks.encode, dynamic=False, fullgraph=True, backend="aot_eager")
    image, cotangent = torch.rand(2, 3, prior.image_size, prior.image_size), torch.randn_like(inputs[0])
    latents, transpose = linearise(encode, image)
    expected = gradient_of(networks, image, cotangent)
    torch.testing.assert_close((latents, transpose(cotangent)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "size", "wanted", "hasty", "expected"),
    [
        ("cpu", 512, "auto", False, "off"),
        ("cpu", 512, "compiled", False, "off"),
        ("cuda", 512, "auto", False, "compiled"),
        ("cuda", 512, "auto", True, "graphs"),
        ("cuda", 128, "auto", False, "graphs"),
        ("cuda", 128, "compiled", True, "compiled"),
        ("cuda", 512, "graphs", False, "graphs"),
        ("cuda", 512, "off", False, "off"),
    ],
)
def test_which_way_is_taken(device: str, size: int, wanted: str, hasty: bool, expected: str) -> None:
    prior: Any = SimpleNamespace(device=torch.device(device), image_size=size)
    assert acceleration_of(prior, wanted, hasty=hasty) == expected


def test_a_prior_is_accelerated_in_place_or_left_alone(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    prior = DiffusionPrior.load(tiny_model)
    accelerate(prior, "off", pytest.fail)
    assert type(prior.networks) is Networks
    attention = prior.vae.encoder.mid_block.attentions[0]
    accelerate(prior, "graphs", pytest.fail)
    assert type(prior.networks) is Networks
    assert type(attention.processor) is AttnProcessor
    accelerate(prior, "compiled", pytest.fail)
    assert type(prior.networks) is CompiledNetworks
    assert prior.save_memory()
    assert type(attention.processor) is AttnProcessor2_0
    assert type(prior.networks) is SparingNetworks
    assert not prior.save_memory()


# On a GPU


def relative(result: Tensor, expected: Tensor) -> float:
    return ((result.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.mark.requires_cuda
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["graphs", "compiled"])
def test_fast_networks_agree(tmp_path: Path, family: Family, kind: Acceleration) -> None:
    """Half precision has 3 digits, and the compiled one rounds in other places: 3 % were seen for gradients."""
    if kind == "compiled" and family != "sd21":
        pytest.skip("compiled once: it takes half a minute")
    directory = write_family(tmp_path / family, family)
    plain, fast = (DiffusionPrior.load(directory, "cuda") for _ in range(2))
    said: list[str] = []
    accelerate(fast, kind, said.append)
    size = plain.image_size
    for seed in range(2):
        torch.manual_seed(seed)
        inputs = inputs_of(plain)
        image, cotangent = torch.rand(2, 3, size, size, device="cuda"), torch.randn_like(inputs[0])
        with torch.no_grad():
            assert relative(fast.networks.denoise(*inputs), plain.networks.denoise(*inputs)) < 0.03
        for result, expected in zip(
            gradient_of(fast.networks, image, cotangent), gradient_of(plain.networks, image, cotangent), strict=True
        ):
            assert relative(result, expected) < 0.03
    assert not [sentence for sentence in said if "cannot" in sentence]
