"""Networks as CUDA graphs: how they fall back (with a recorder for the CPU), and that they give the same numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from dreampgc.ops.linearise import Transpose, linearise
from dreampgc.priors import accelerate as module
from dreampgc.priors.accelerate import RecordedNetworks, Recording, accelerate, acceleration_of
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


class Recorder:
    """A recording as the CPU can play it: the function itself, with memory that every call overwrites."""

    made: list[str]
    #: What making one raises, by whether the function is compiled.
    failures: dict[bool, Exception]

    def __init__(self, function: Any, inputs: tuple[Tensor, ...], *, differentiable: bool) -> None:
        compiled = getattr(function, "compiled", False)
        if compiled in self.failures:
            raise self.failures[compiled]
        self.made.append("compiled" if compiled else "recorded")
        self._function, self._differentiable = function, differentiable
        self._shapes = [x.shape for x in inputs]

    def __call__(self, *inputs: Tensor) -> Tensor:
        assert [x.shape for x in inputs] == self._shapes
        if not self._differentiable:
            return self._function(*inputs)
        value, self.transpose = linearise(self._function, *inputs)
        return value

    transpose: Transpose


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    def compiled(function: Any, dynamic: bool) -> Any:
        assert not dynamic

        def run(*inputs: Tensor) -> Tensor:
            return function(*inputs)

        cast(Any, run).compiled = True
        return run

    class Fresh(Recorder):
        made: list[str] = []  # noqa: RUF012
        failures: dict[bool, Exception] = {}  # noqa: RUF012

    monkeypatch.setattr(module, "Recording", Fresh)
    monkeypatch.setattr(torch, "compile", compiled)
    return Fresh


def gradient_of(networks: Networks, image: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    latents, transpose = networks.encode_with_vjp(image)
    return latents, transpose(cotangent)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["recorded", "sparing"])
def test_other_ways_give_the_same_numbers(
    priors: dict[Family, DiffusionPrior], family: Family, kind: str, recorder: type[Recorder]
) -> None:
    prior = priors[family]
    plain = Networks(prior.unet, prior.vae)
    vae = copy.deepcopy(prior.vae)  # sparing changes it
    other = SparingNetworks(prior.unet, vae) if kind == "sparing" else recorded(prior)
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


def recorded(prior: DiffusionPrior, *, compiled: bool = False, said: list[str] | None = None) -> RecordedNetworks:
    return RecordedNetworks(prior.unet, prior.vae, ([] if said is None else said).append, compiled=compiled)


def test_each_shape_is_recorded_once(priors: dict[Family, DiffusionPrior], recorder: type[Recorder]) -> None:
    networks = recorded(priors["sd15"])
    with torch.no_grad():
        for batch in (1, 2, 1, 2):
            networks.denoise(*inputs_of(priors["sd15"], batch))
    assert recorder.made == ["recorded"] * 2


def test_not_every_shape_is_recorded(priors: dict[Family, DiffusionPrior], recorder: type[Recorder]) -> None:
    networks = recorded(priors["sd15"])
    with torch.no_grad():
        for batch in range(1, 10):
            assert len(networks.denoise(*inputs_of(priors["sd15"], batch))) == batch
    assert len(recorder.made) == 6


@pytest.mark.parametrize(
    ("failing", "made", "says"),
    [
        ([], ["compiled"], ["compiling the UNet"]),
        ([True], ["recorded"], ["compiling the UNet", "the UNet cannot be compiled here and runs without (no nvcc)"]),
        ([True, False], [], ["compiling the UNet", "cannot be compiled", "cannot be recorded here and runs slower"]),
    ],
)
def test_what_fails_is_said_once_and_done_without(
    priors: dict[Family, DiffusionPrior],
    recorder: type[Recorder],
    failing: list[bool],
    made: list[str],
    says: list[str],
) -> None:
    recorder.failures = {which: RuntimeError("no nvcc\nmore lines") for which in failing}
    said: list[str] = []
    networks = recorded(priors["sd21"], compiled=True, said=said)
    inputs = inputs_of(priors["sd21"])
    with torch.no_grad():
        results = [networks.denoise(*inputs) for _ in range(3)]
        expected = Networks(priors["sd21"].unet, priors["sd21"].vae).denoise(*inputs)
    for result in results:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert recorder.made == made
    assert len(said) == len(says)
    assert all(part in sentence for part, sentence in zip(says, said, strict=True))


def test_want_of_memory_is_not_taken_for_a_fault_of_the_compiler(
    priors: dict[Family, DiffusionPrior], recorder: type[Recorder]
) -> None:
    recorder.failures = {False: torch.OutOfMemoryError("full")}
    with pytest.raises(torch.OutOfMemoryError), torch.no_grad():
        recorded(priors["sd15"]).denoise(*inputs_of(priors["sd15"]))


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
    accelerate(prior, "graphs", pytest.fail)
    assert type(prior.networks) is RecordedNetworks
    assert prior.save_memory()
    assert type(prior.networks) is SparingNetworks
    assert not prior.save_memory()


# On a GPU


def relative(result: Tensor, expected: Tensor) -> float:
    return ((result.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.mark.requires_cuda
@pytest.mark.parametrize(("family", "compiled"), [*((family, False) for family in FAMILIES), ("sd21", True)])
def test_recorded_networks_agree_and_follow_their_inputs(tmp_path: Path, family: Family, compiled: bool) -> None:
    """Half precision has 3 digits, and the compiled one rounds in other places: 3 % were seen for gradients."""
    prior = DiffusionPrior.load(write_family(tmp_path / family, family), "cuda")
    plain = Networks(prior.unet, prior.vae)
    said: list[str] = []
    fast = recorded(prior, compiled=compiled, said=said)
    size = prior.image_size
    for seed in range(3):
        torch.manual_seed(seed)
        inputs = inputs_of(prior)
        image, cotangent = torch.rand(2, 3, size, size, device="cuda"), torch.randn_like(inputs[0])
        with torch.no_grad():
            assert relative(fast.denoise(*inputs), plain.denoise(*inputs)) < 0.03
        for result, expected in zip(
            gradient_of(fast, image, cotangent), gradient_of(plain, image, cotangent), strict=True
        ):
            assert relative(result, expected) < 0.03
    assert not [sentence for sentence in said if "cannot" in sentence]
    assert all(isinstance(recording, Recording) for recording in fast._recordings.values())


@pytest.mark.requires_cuda
def test_results_outlive_the_next_replay(tmp_path: Path) -> None:
    prior = DiffusionPrior.load(write_family(tmp_path / "sd15", "sd15"), "cuda")
    fast, size = recorded(prior), prior.image_size
    images = torch.rand(2, 1, 3, size, size, device="cuda")
    latents, transpose = fast.encode_with_vjp(images[0])
    gradient = transpose(torch.ones_like(latents))
    before = latents.clone(), gradient.clone()
    fast.encode_with_vjp(images[1])[1](torch.ones_like(latents))
    assert torch.equal(latents, before[0])
    assert torch.equal(gradient, before[1])
