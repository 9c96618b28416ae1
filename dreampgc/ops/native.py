"""The native kernels of `cuda_ext`: whether this machine can use them, which a child process proves.

Kernels are built once and then meet drivers and devices that nobody tried: what runs here must not crash or differ
there. So before their first use a child process compares them with plain torch; its verdict is kept in
the user's cache folder, by the library's contents, torch, the driver and the GPUs. Without a good verdict, plain torch
does the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dreampgc.errors import InputError
from dreampgc.files import cache_folder, replacing

if TYPE_CHECKING:
    from torch import Tensor

MODULE = "dreampgc._cuda"
NOT_BUILT = "not built (pip install --no-build-isolation . where nvcc and a CUDA build of torch are)"
NO_DEVICE = "it needs a CUDA device; plain torch does the same"
INTERRUPTED = "the proof was interrupted"
#: Seconds a probe may take: some accelerators compile their kernels on first use.
PROBE_SECONDS = 300

#: Each user of the kernels proves its own.
_PROOF = """
from dreampgc.field import encoding
from dreampgc.ops import native
kernels = native.load()
native.prove(kernels, "cuda")
encoding.prove(kernels, "cuda")
"""


def probe(code: str, seconds: float = PROBE_SECONDS) -> str | None:
    """Run Python ``code`` in a child process, which may crash: None when all went well, else the reason."""
    try:
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s"
    if -child.returncode in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        return INTERRUPTED
    if child.returncode < 0:
        return f"it crashed ({signal.Signals(-child.returncode).name})"
    lines = child.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit code {child.returncode}") if child.returncode else None


@functools.cache
def usable() -> bool:
    """Whether the kernels were proven here; if so they are loaded. Found out once a process."""
    fine = reason() is None
    if fine:
        load()
    return fine


def reason(*, fresh: bool = False) -> str | None:
    """Why the kernels are not in use on this machine, None when they are; ``fresh`` ignores the kept verdict."""
    import torch

    library = find()
    if library is None:
        return NOT_BUILT
    if not torch.cuda.is_available():
        return NO_DEVICE
    return verdict(machine(library.read_bytes()), _PROOF, fresh=fresh)


def untried() -> bool:
    """Whether `usable` will have to seek a verdict first, in a child process that takes a while."""
    import torch

    library = find()
    return (
        library is not None
        and torch.cuda.is_available()
        and machine(library.read_bytes()) not in _read(verdicts_file())
    )


def verdict(key: str, code: str, *, fresh: bool = False) -> str | None:
    """What `probe` said of ``code``, kept as ``key`` between processes; ``fresh`` asks again."""
    place = verdicts_file()
    verdicts = _read(place)
    if fresh or key not in verdicts:
        verdicts[key] = probe(code)
        if verdicts[key] == INTERRUPTED:  # with the run that asked: that says nothing
            return INTERRUPTED
        # A folder that cannot be written to costs the next process another probe, and nothing else.
        with contextlib.suppress(InputError), replacing(place) as path:
            path.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    return verdicts[key]


def find() -> Path | None:
    """The built library, None where there is none."""
    spec = importlib.util.find_spec(MODULE)
    return Path(spec.origin) if spec is not None and spec.origin else None


def load() -> Any:
    """Register and return the operators ``dreampgc_native::...``, untried: `usable` is the way to proven ones."""
    import torch

    torch.ops.load_library(find())
    return torch.ops.dreampgc_native


def verdicts_file() -> Path:
    """Where verdicts are kept between processes."""
    return cache_folder() / "native.json"


def machine(build: bytes) -> str:
    """What a verdict holds for: this build of something on this driver and these GPUs."""
    import torch

    driver = Path("/proc/driver/nvidia/version")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    parts = [torch.__version__, driver.read_text(encoding="utf-8") if driver.exists() else "", *gpus]
    digest = hashlib.sha256("\n".join(parts).encode() + build)
    return digest.hexdigest()[:32]


def _read(place: Path) -> dict[str, str | None]:
    """The kept verdicts; none where the file is missing or was damaged."""
    try:
        verdicts = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return verdicts if isinstance(verdicts, dict) else {}


def prove(kernels: Any, device: str) -> None:
    """Compare ``kernels`` (see `load`) with the reference on every device of that type, on a few thousand pixels.

    Raises:
        AssertionError: a kernel differs from the reference by more than `assert_agree` allows.
    """
    import torch

    from dreampgc.ops import reference

    for gradient in _samples(device):
        for mode, norm in product(get_args(reference.Mode), get_args(reference.Norm)):
            shaped, statistics = kernels.pixel_clip_with_statistics(gradient, 0.1, mode, norm)
            expected = reference.pixel_clip(gradient, 0.1, mode, norm)
            for result in (shaped, kernels.pixel_clip(gradient, 0.1, mode, norm)):
                assert_agree(result, expected)
            torch.testing.assert_close(statistics, reference.clip_statistics(gradient, 0.1, norm), rtol=1e-6, atol=0)


def assert_agree(result: Tensor, expected: Tensor) -> None:
    """Shaped gradients are equal up to the roundings of float32, and one step of the result's type; NaN is not.

    Raises:
        AssertionError: they differ by more, or in dtype or strides.
    """
    import torch

    # Both are within 4 roundings of the exact result in float32; a half may then fall to either side of a tie.
    eps = torch.finfo(torch.float32).eps
    step = torch.finfo(result.dtype).eps if result.dtype.itemsize < 4 else 0.0
    atol = 2 * torch.finfo(result.dtype).smallest_normal * (eps + step)
    torch.testing.assert_close(result, expected, rtol=8 * eps + step, atol=atol, check_stride=True)


def _samples(device: str) -> Iterator[Tensor]:
    """Gradients in every type and layout, norms from 1e-6 to 1e4, with pixels that are zero, NaN and infinite."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for index, dtype, channels in product(
        range(torch.cuda.device_count() if device == "cuda" else 1),
        (torch.float32, torch.float16, torch.bfloat16),
        (3, 4),
    ):
        wide = torch.randn(2, channels, 24, 32, generator=generator) * torch.logspace(-6, 4, 32)
        wide[0, :, 0, 0], wide[1, 0, 3, 7], wide[1, 2, 5, 31], wide[0, 1, 9, 9] = 0, torch.nan, torch.inf, -torch.inf
        gradient = wide.to(dtype).to(f"{device}:{index}")
        yield gradient
        yield gradient.to(memory_format=torch.channels_last)
        yield gradient[:, :, 1:, 3:]
        if dtype == torch.float32:  # more blocks than the kernels sum up at once
            yield gradient[:1, :, :1, :8].expand(600, -1, -1, -1)
