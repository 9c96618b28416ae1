"""Packages that some users have and that do parts of the work faster: whether they work here, as a child process
finds out.

They compile kernels on first use, and are known to crash with some versions of CUDA: a run must never die of it. So a
verdict is sought once for each version, torch, driver and GPU, and kept (`dreampgc.ops.native.verdict`).

`nerfacc` composites samples along rays. `tinycudann` is looked at but not used: its hash grid orders the table and
places the cells in its own way and its networks have no biases, so a checkpoint trained with it could not be read
without it. The compiled kernels of `dreampgc.field.encoding` take its place.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util

import torch
from torch import Tensor

from dreampgc.ops import native

NOT_INSTALLED = "not installed; plain torch does the same"
#: What is tried, by the package's name: forward and backward, and where it is used, the same numbers.
PROBES = {
    "tinycudann": """
import torch, tinycudann
grid = tinycudann.Encoding(3, {"otype": "HashGrid", "n_levels": 4, "log2_hashmap_size": 12})
grid(torch.rand(256, 3, device="cuda")).float().sum().backward()
torch.cuda.synchronize()
""",
    "nerfacc": "from dreampgc.ops import accelerators; accelerators.prove_nerfacc()",
}
#: Why a package that works is not used all the same.
UNUSED = {"tinycudann": "it works here, but its checkpoints could not be read without it"}


def reason(package: str, *, fresh: bool = False) -> str | None:
    """Why ``package`` (of `PROBES`) is not in use on this machine, None when it is; ``fresh`` tries it again."""
    if importlib.util.find_spec(package) is None:
        return NOT_INSTALLED
    if not torch.cuda.is_available():
        return native.NO_DEVICE
    key = native.machine(f"{package} {importlib.metadata.version(package)}".encode())
    return native.verdict(key, PROBES[package], fresh=fresh) or UNUSED.get(package)


@functools.cache
def usable(package: str) -> bool:
    """Whether ``package`` is in use here; found out once a process."""
    return reason(package) is None


def nerfacc_weights(optical_depth: Tensor, rays: Tensor, count: int) -> Tensor:
    """The weight ``[N]`` of each sample in its pixel by nerfacc: see `dreampgc.render.volume.sample_weights`.

    ``optical_depth`` ``[N]``, ``rays`` ``[N]`` ascending numbers below ``count``; differentiable.
    """
    import nerfacc  # pyright: ignore[reportMissingImports]

    ends = torch.ones_like(optical_depth)
    return nerfacc.render_weight_from_density(
        torch.zeros_like(ends), ends, optical_depth, ray_indices=rays, n_rays=count
    )[0]


def prove_nerfacc(device: str = "cuda") -> None:
    """Compare `nerfacc_weights` and its gradient with a sum ray by ray.

    Raises:
        AssertionError: they differ.
    """
    torch.manual_seed(0)
    rays = torch.arange(50).repeat_interleave(torch.arange(50) % 7).to(device)
    depth = (torch.rand(len(rays), device=device) * 2).requires_grad_()
    weights = nerfacc_weights(depth, rays, 50)
    number = torch.arange(len(rays), device=device)
    earlier = (rays[:, None] == rays) & (number[:, None] > number)
    expected = torch.exp(-(earlier * depth).sum(1)) * -torch.expm1(-depth)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
    cotangent = torch.rand_like(depth)
    (gradient,) = torch.autograd.grad(weights, depth, cotangent)
    (wanted,) = torch.autograd.grad(expected, depth, cotangent)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-5)
