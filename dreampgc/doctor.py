"""What this machine offers: versions, devices, accelerators, priors, codecs, and why what is missing is missing."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from dreampgc import __version__
from dreampgc.ops import accelerators, native
from dreampgc.ops.native import probe
from dreampgc.priors import catalog

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "opencv-python-headless",
    "PyMCubes",
    "trimesh",
)

_WEBP = """
import io
from PIL import Image
frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
frames[0].save(io.BytesIO(), "webp", save_all=True, append_images=frames[1:])
"""
_WEBM = """
import os, tempfile, cv2, numpy
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "probe.webm")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"VP90"), 10, (64, 64))
    writer.write(numpy.zeros((64, 64, 3), numpy.uint8))
    writer.release()
    assert os.path.getsize(path) > 0, "OpenCV wrote an empty video"
"""
_MP4 = """
import os, tempfile, av
with tempfile.TemporaryDirectory() as folder, av.open(os.path.join(folder, "probe.mp4"), "w") as container:
    stream = container.add_stream("libx264", rate=10, width=64, height=64, pix_fmt="yuv420p")
    container.mux(stream.encode(av.VideoFrame(64, 64, "rgb24")))
    container.mux(stream.encode())
"""
#: Codecs of turntables, each with a picture or a video to write.
CODECS = {"animated WebP": _WEBP, "webm (VP9)": _WEBM, "mp4 (H.264)": _MP4}


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``state`` in a word, ``note`` says more or why not."""

    topic: str
    name: str
    state: str
    note: str = ""


def examine() -> list[Finding]:
    """Everything there is to say about this machine; never raises for what is missing."""
    return [*_versions(), *_devices(), _kernels(), *_accelerators(), *_priors(), *_codecs()]


def _versions() -> Iterator[Finding]:
    yield Finding("version", "dreampgc", __version__)
    yield Finding("version", "Python", platform.python_version(), platform.platform())
    for package in PACKAGES:
        try:
            yield Finding("version", package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding("version", package, "missing", f"pip install {package}")


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("device", "cpu", "usable", f"{torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        reason = "this torch is built without CUDA" if torch.version.cuda is None else "no CUDA device or driver"
        yield Finding("device", "cuda", "missing", reason)
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("device", f"cuda:{index}", "usable", f"{properties.name}, {properties.total_memory >> 30} GiB")


def _kernels() -> Finding:
    reason = native.reason(fresh=True)
    return Finding("accelerator", "CUDA kernels of dreampgc", "not in use" if reason else "usable", reason or "")


def _accelerators() -> Iterator[Finding]:
    for name in accelerators.PROBES:
        reason = accelerators.reason(name, fresh=True)
        yield Finding("accelerator", name, "not in use" if reason else "usable", reason or "")


def _priors() -> Iterator[Finding]:
    for name, prior in catalog.KNOWN.items():
        source = catalog.installed(name)
        note = str(source.directory) if source else prior.description
        yield Finding("prior", name, "ready" if source else "missing", note)


def _codecs() -> Iterator[Finding]:
    for name, code in CODECS.items():
        reason = probe(code)
        yield Finding("codec", name, "missing" if reason else "usable", reason or "")
