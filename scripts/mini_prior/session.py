"""What the training scripts share: options, the pictures in the work folder, and how progress is told."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from mini_prior.data import DISTANCE, FOV, Dataset, render_dataset
from mini_prior.training import Trainer

HALVES = ("data-0", "data-1")


def make_parser(description: str | None, *, output: str) -> argparse.ArgumentParser:
    """The options of every training script; `mini` was made with the defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(output), help="where the finished prior goes")
    parser.add_argument("--work", type=Path, default=Path(f"{output}-work"), help="checkpoints to resume from")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that every part runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128, help="of the pictures, in pixels")
    parser.add_argument("--images", type=int, default=160_000)
    parser.add_argument("--shapes", type=int, default=120, help="different shapes of each class")
    parser.add_argument("--views", type=int, default=1, help="pictures of each object in one paint and light")
    parser.add_argument("--distance", type=float, nargs=2, default=DISTANCE, help="of the cameras, least and largest")
    parser.add_argument("--fov", type=float, nargs=2, default=FOV, help="of the cameras, in degrees")
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--sample-steps", type=int, default=30, help="DDIM steps of the model card's samples")
    return parser


@dataclass
class Session:
    """One run of a training script: its options, its device, and when it began."""

    arguments: argparse.Namespace
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        torch.manual_seed(self.arguments.seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.arguments.work.mkdir(parents=True, exist_ok=True)

    def say(self, part: str, **figures: float | int) -> None:
        """One line about a part that is done."""
        print(json.dumps({"part": part, "seconds": self.seconds, **figures}), flush=True)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return round(time.time() - self.started, 1)

    @property
    def device_name(self) -> str:
        """The device as its maker calls it."""
        return torch.cuda.get_device_name() if self.device == "cuda" else "CPU"

    def pictures(self, name: str) -> Dataset:
        """A half of the training pictures (of `HALVES`) or ``held-out`` ones; from the work folder if there.

        Raises:
            SystemExit: those in the work folder come in groups of another size.
        """
        arguments, path = self.arguments, self.arguments.work / f"{name}.pt"
        if not path.exists():
            self._render(name).save(path)
        data = Dataset.load(path, self.device)
        if data.views != arguments.views:
            raise SystemExit(f"{path} has groups of {data.views} views, not of --views {arguments.views}")
        return data

    def _render(self, name: str) -> Dataset:
        arguments, held_out = self.arguments, name == "held-out"
        wanted = min(512, arguments.images) if held_out else -(-arguments.images // 2)
        return render_dataset(
            -(-wanted // arguments.views) * arguments.views,
            arguments.size,
            self.device,
            seed=1000 * (arguments.seed + 1) + (*HALVES, "held-out").index(name),
            held_out=held_out,
            shapes=min(4, arguments.shapes) if held_out else arguments.shapes,
            views=arguments.views,
            distance=tuple(arguments.distance),
            fov=tuple(arguments.fov),
        )

    def trainer(self, name: str, steps: int, rate: float) -> Trainer:
        """The training loop of one part."""
        arguments = self.arguments
        return Trainer(name, arguments.work, steps, rate, self.device, arguments.seed, save_every=arguments.save_every)

    def finished_vae(self, directory: Path) -> AutoencoderKL:
        """The VAE of a finished prior, with the scaling factor that it has there."""
        vae = AutoencoderKL.from_pretrained(directory / "vae", torch_dtype=torch.float32).requires_grad_(False)
        return vae.to(self.device, memory_format=torch.channels_last)
