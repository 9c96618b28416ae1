"""Builds the native kernels where there are some to build; all other metadata is in pyproject.toml.

``pip install .`` gives a pure-Python package, which always works. ``pip install --no-build-isolation .`` sees the
installed torch, and builds the kernels when nvcc is there, for the GPUs of ``TORCH_CUDA_ARCH_LIST`` (default: the
visible ones; none is needed). Kernels that do not compile are left out, for plain torch does the same.
``DREAMPGC_BUILD_CUDA`` = auto (default), 1 (fail when they cannot be built) or 0 (never).
"""

import os
import shutil
from pathlib import Path
from typing import Any

from setuptools import setup

CHOICE = os.environ.get("DREAMPGC_BUILD_CUDA", "auto")
SOURCES = sorted(str(path) for path in Path("cuda_ext").glob("*.cu"))


def reason_not_to_build() -> str | None:
    """Why the kernels are left out; None when they can be built."""
    if CHOICE == "0":
        return "DREAMPGC_BUILD_CUDA=0"
    if not SOURCES:
        return "there are no kernels in cuda_ext/"
    try:
        import torch
        from torch.utils.cpp_extension import CUDA_HOME
    except ImportError:
        return "torch is not visible to the build (use --no-build-isolation)"
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if CUDA_HOME is None or shutil.which("nvcc", path=str(Path(CUDA_HOME) / "bin")) is None:
        return "nvcc was not found"
    return None


def extension() -> dict[str, Any]:
    """The arguments of ``setup`` that build the kernels against torch's stable interface."""
    from torch.utils.cpp_extension import BuildExtension, CUDAExtension

    class OptionalBuild(BuildExtension):
        """Goes on without the kernels when they do not compile, unless they were asked for."""

        def build_extensions(self) -> None:
            try:
                super().build_extensions()
            except Exception:
                if CHOICE == "1":
                    raise
                self.extensions = []  # nothing to copy or to install
                say_without("they did not compile (pip install -v shows why)")

    target = "-DTORCH_TARGET_VERSION=0x020a000000000000"  # runs with torch 2.10 and later
    flags = {"cxx": [target], "nvcc": [target, "-DUSE_CUDA", "-O3"]}
    module = CUDAExtension("dreampgc._cuda", SOURCES, extra_compile_args=flags, py_limited_api=True)
    return {"ext_modules": [module], "cmdclass": {"build_ext": OptionalBuild}}


def say_without(reason: str) -> None:
    """Say once that the package comes without kernels, and why."""
    print(f"dreampgc: a pure-Python package, without kernels: {reason}")


reason = reason_not_to_build()
if reason is not None and CHOICE == "1":
    raise SystemExit(f"DREAMPGC_BUILD_CUDA=1, but the kernels cannot be built: {reason}")
if reason is not None:
    say_without(reason)
setup(**({} if reason is not None else extension()))
