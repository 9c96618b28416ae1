"""Integration: the operators on a CUDA device: registration, compiled and captured graphs, streams, huge tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dreampgc.ops import native, reference
from dreampgc.ops import pixel_clip as module
from dreampgc.ops.pixel_clip import pixel_clip, pixel_clip_with_statistics
from dreampgc.ops.reference import Mode

MODES = ("norm", "value", "normalize")
pytestmark = pytest.mark.requires_cuda


@pytest.fixture
def built() -> None:
    if native.find() is None:
        pytest.skip(f"the kernels are {native.NOT_BUILT}")


def gradient(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, device="cuda").to(dtype)


def assert_as_reference(x: Tensor, shaped: Tensor, statistics: Tensor, mode: Mode) -> None:
    native.assert_agree(shaped, reference.pixel_clip(x, 0.1, mode, "l2"))
    torch.testing.assert_close(statistics, reference.clip_statistics(x, 0.1, "l2"), rtol=1e-6, atol=0)


def test_built_kernels_are_in_use(built: None) -> None:
    assert native.reason(fresh=True) is None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        pixel_clip(gradient(1, 3, 8, 8), 0.1)
    assert any(event.key == "dreampgc_native::pixel_clip" for event in profile.key_averages())


@pytest.mark.parametrize("operator", [module._pixel_clip, module._pixel_clip_with_statistics])
@pytest.mark.parametrize("mode", MODES)
def test_registration(operator: Any, mode: Mode) -> None:
    for x in (gradient(2, 3, 4, 6), gradient(2, 3, 4, 6).transpose(2, 3), gradient(0, 3, 4, 6)):
        assert set(torch.library.opcheck(operator, (x, 0.1, mode, "l2")).values()) == {"SUCCESS"}


@pytest.mark.parametrize("mode", MODES)
def test_compiles_into_one_graph(mode: Mode) -> None:
    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        shaped, statistics = pixel_clip_with_statistics(x * 2, 0.1, mode)
        return shaped + 1, statistics * 2

    x = gradient(1, 3, 16, 16)
    for result, expected in zip(torch.compile(step, fullgraph=True)(x), step(x), strict=True):
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("shape", [(1, 3, 512, 512), (2, 4, 33, 35)])
@pytest.mark.parametrize("mode", MODES)
def test_replays_in_a_graph_on_new_data(mode: Mode, shape: tuple[int, ...]) -> None:
    x = gradient(*shape)
    pixel_clip_with_statistics(x, 0.1, mode)  # the verdict and the library are sought outside of the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        shaped, statistics = pixel_clip_with_statistics(x, 0.1, mode)
    for scale in (0.01, 1.0, 100.0):
        x.copy_(gradient(*shape) * scale)
        graph.replay()
        assert_as_reference(x, shaped, statistics, mode)


def test_runs_on_the_current_stream_without_waiting(built: None) -> None:
    x, stream = gradient(4, 3, 256, 256), torch.cuda.Stream()
    pixel_clip_with_statistics(x, 0.1)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # cycles: about a tenth of a second
        x.fill_(1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            shaped, statistics = pixel_clip_with_statistics(x, 0.1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waiting = not stream.query()
    stream.synchronize()
    assert waiting
    assert_as_reference(torch.ones_like(x), shaped, statistics, "norm")


@pytest.mark.skipif("torch.cuda.device_count() < 2")
def test_runs_on_the_tensor_s_device() -> None:
    x = gradient(1, 3, 8, 8).to("cuda:1")
    assert torch.cuda.current_device() == 0
    shaped, statistics = pixel_clip_with_statistics(x, 0.1)
    assert shaped.device == statistics.device == x.device
    assert torch.cuda.current_device() == 0
    assert_as_reference(x, shaped, statistics, "norm")


def test_statistics_repeat_bit_for_bit(built: None) -> None:
    x = gradient(8, 3, 512, 512)
    results = [pixel_clip_with_statistics(x, 0.1)[1].tolist() for _ in range(20)]
    assert results == results[:1] * 20


@pytest.mark.parametrize("blocks", [1, 2, 511, 512, 513, 2000])
def test_statistics_of_one_and_many_groups_of_blocks(built: None, blocks: int) -> None:
    x = gradient(blocks, 3, 1, 2048)  # a picture is what one block does; 512 blocks are a group
    assert_as_reference(x, *pixel_clip_with_statistics(x, 0.1), "norm")


def test_double_precision_takes_the_reference() -> None:
    x = gradient(1, 3, 8, 8).double()
    assert torch.equal(pixel_clip(x, 0.1), reference.pixel_clip(x, 0.1, "norm", "l2"))


@pytest.mark.skipif("not torch.cuda.is_available() or torch.cuda.mem_get_info()[0] < 20 * 2**30")
@pytest.mark.parametrize("channels_last", [False, True])
def test_more_elements_than_31_bits_count(built: None, channels_last: bool) -> None:
    shape = (3, 3, 16_384, 16_384)  # 2.4e9 elements, 4.8 GB a tensor
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.empty(shape, dtype=torch.float16, device="cuda", memory_format=layout).zero_()
    marked = [(0, 0, 0), (1, 16_383, 3), (2, 0, 16_383), (2, 16_383, 16_383)]
    for picture, row, column in marked:
        x[picture, :, row, column] = 4
    shaped, statistics = pixel_clip_with_statistics(x, 0.1)
    for picture, row, column in marked:
        assert shaped[picture, :, row, column].float().norm().item() == pytest.approx(0.1, rel=1e-3)
    assert shaped.count_nonzero() == 3 * len(marked)
    norm = 4 * 3**0.5
    assert statistics.tolist() == pytest.approx([len(marked), 0, norm, norm * len(marked)], rel=1e-6)
