"""Options that several commands share, and what they mean together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.config.presets import Family

RunArgument = Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Run folder; the newest run if left out.")]
Prior = Annotated[
    str | None,
    typer.Option("--prior", metavar="auto|mini|sd21|sd15|sdxl|DIR|HUB_ID", help="Diffusion model that guides the run."),
]
Method = Annotated[
    Literal["latent", "vae", "linear", "pngd", "pgc-v", "pgc-n"] | None,
    typer.Option("--method", help="How the gradient reaches the image."),
]
Clip = Annotated[float | None, typer.Option("--clip", help="Threshold of the pixel-wise clipping.")]
Preset = Annotated[Literal["draft", "standard", "high"] | None, typer.Option("--preset", help="Quality against time.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Training steps in all.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option("--device", help="Where to compute.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set section.key; repeatable.")
]
Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="The run folder itself.")]
Resume = Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with this run.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Configuration to start from.")]
Live = Annotated[bool, typer.Option("--live", help="Show the field in a browser while it trains.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings and errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")]


def family(prior: str, device: str) -> Family:
    """Which presets a prior wants."""
    from dreampgc.priors import catalog, layout

    if prior == "auto":
        if device == "cpu":
            return "mini"
        import torch

        return "full" if torch.cuda.is_available() else "mini"
    return "mini" if prior in catalog.EMBEDDED else layout.family_of(Path(prior))


def require_positive(**numbers: float | None) -> None:
    """Refuse options, by name, that are 0 or less. Raises InputError."""
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise InputError(f"--{name.replace('_', '-')} = {number}: must be above 0")
