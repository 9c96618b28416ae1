"""Names, directories and hub ids of priors; the network is never asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from dreampgc.cli import run_command
from dreampgc.errors import InputError, MissingError
from dreampgc.priors import catalog
from dreampgc.priors.catalog import EMBEDDED, KNOWN, PriorSource, installed, resolve
from tests.photographs import write_photo


class Hub:
    """Stands for the hub and its cache: which repositories are where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cached: dict[str, Path] = {}
        self.online: dict[str, Path] = {}
        self.asked: list[str] = []

    def model_info(self, repository: str) -> SimpleNamespace:
        self.asked.append(repository)
        if repository not in self.online:
            raise ConnectionError("no route to the hub. Try later.\nmore")
        root = self.online[repository]
        files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in files])

    def snapshot_download(
        self,
        repository: str,
        *,
        allow_patterns: list[str],
        local_files_only: bool = False,
        local_dir: Path | None = None,
    ) -> str:
        if local_files_only:
            if repository not in self.cached:
                raise LocalEntryNotFoundError("not cached")
            return str(self.cached[repository])
        target = local_dir or self.folder / repository
        for name in allow_patterns:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.online[repository] / name, target / name)
        self.cached[repository] = target
        return str(target)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "model_info", hub.model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


FIRST, SECOND = KNOWN["sd21"].repositories


def test_a_directory(tiny_model: Path) -> None:
    source = resolve(str(tiny_model))
    assert (source.name, source.directory, source.family, source.vocabulary) == ("tiny", tiny_model, "full", None)
    source.check_prompt("anything goes")
    assert source.load().image_size == 32


def test_a_directory_with_a_vocabulary(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / "vocabulary.json").write_text(json.dumps({"classes": ["car"], "attributes": [], "words": ["a", "car"]}))
    source = resolve(str(copy))
    assert source.family == "mini"
    with pytest.raises(InputError, match="'dog'"):
        source.check_prompt("a dog")


@pytest.mark.parametrize(
    "lost", ["unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"]
)
def test_a_directory_that_lacks_a_part(tiny_model: Path, tmp_path: Path, lost: str) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / lost).unlink()
    with pytest.raises(InputError, match=f"{lost.split('/')[0]} lacks "):
        resolve(str(copy))


@pytest.mark.parametrize("name", ["sd3", "", "a/b/c", "bad name/model"])
def test_unknown_names_list_the_known(hub: Hub, name: str) -> None:
    with pytest.raises(
        InputError,
        match=rf"no prior .*: give auto, {', '.join(KNOWN)}, a directory",
    ):
        resolve(name)
    assert hub.asked == []


def test_auto_follows_the_device(hub: Hub, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tiny_model)
    hub.cached[FIRST] = tiny_model
    assert resolve("auto", "cpu").name == "mini"
    assert resolve("auto", "cuda").name == "sd21"
    assert resolve("auto", "cuda:1").name == "sd21"


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_incomplete_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tmp_path)
    monkeypatch.setattr(catalog, "MINI_ZERO123_DIRECTORY", tmp_path)
    assert installed(name) is None
    with pytest.raises(MissingError, match=f"lacks the {name} prior .*: reinstall dreampgc"):
        resolve(name)
    assert run_command(["priors", "check", name]) == 3
    assert f"lacks the {name} prior" in capsys.readouterr().err
    assert run_command(["priors", "list"]) == 0
    assert f" {name} missing " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "line", [["image", "photo.png"], ["image", "photo.png", "--prior", "mini-zero123"], ["priors", "check"]]
)
def test_weights_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence about what helps, none about parts, least of all those that only texts need."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "MINI_ZERO123_DIRECTORY", tmp_path / "nowhere")
    write_photo(tmp_path / "photo.png")
    end = ["--device", "cpu"] if line[0] == "image" else ["mini-zero123"]
    assert run_command([*line, *end]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("lacks the mini-zero123 prior (its folder is not there): reinstall dreampgc") == 1
    assert not any(word in said for word in ("text_encoder", "tokenizer", "unet"))
    assert installed("mini-zero123") is None


def test_the_cache_comes_before_the_network(hub: Hub, tiny_model: Path) -> None:
    hub.cached[SECOND] = tiny_model
    assert resolve("sd21").directory == tiny_model
    assert installed("sd21") == PriorSource("sd21", tiny_model)
    assert hub.asked == []


def test_an_incomplete_cache_is_completed(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    hub.cached[FIRST] = tmp_path
    hub.online[SECOND] = tiny_model
    assert installed("sd21") is None
    assert resolve("sd21").directory == hub.folder / SECOND
    assert installed("sd21") == PriorSource("sd21", hub.folder / SECOND)


def test_the_mirror_is_tried(hub: Hub, tiny_model: Path) -> None:
    hub.online[SECOND] = tiny_model
    assert resolve("sd21").load().image_size == 32
    assert hub.asked == [FIRST, SECOND]


def test_pull_fetches_what_is_needed_into_a_folder(
    hub: Hub, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = shutil.copytree(tiny_model, tmp_path / "repository")
    for name in ("unet/diffusion_pytorch_model.bin", "model.ckpt", "README.md", "safety_checker/model.safetensors"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).touch()
    hub.online[FIRST] = repository
    folder = tmp_path / "carried"
    assert run_command(["priors", "pull", "sd21", "--output", str(folder)]) == 0
    assert str(folder) in capsys.readouterr().err
    fetched = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert fetched == {path.relative_to(tiny_model).as_posix() for path in tiny_model.rglob("*") if path.is_file()}
    assert run_command(["priors", "check", str(folder)]) == 0


def test_pull_into_the_cache_makes_a_prior_ready(
    hub: Hub, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["priors", "check", "sd15"]) == 3
    assert "`dreampgc priors pull sd15`" in capsys.readouterr().err
    hub.online[KNOWN["sd15"].repositories[0]] = tiny_model
    assert run_command(["priors", "pull", "sd15", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["name"]) == ("pulled", "sd15")
    assert installed("sd15") == PriorSource("sd15", Path(event["directory"]))
    assert run_command(["priors", "check", "sd15"]) == 0


@pytest.mark.parametrize(("name", "code"), [("sdxl", 3), ("owner/model", 3), ("sd3", 2), ("mini", 0)])
def test_pull_ends_with_the_contract_s_codes(hub: Hub, name: str, code: int) -> None:
    assert run_command(["priors", "pull", name]) == code


def test_a_repository_of_pickles_is_left_alone(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(tiny_model, tmp_path / "repository")
    (repository / "unet/diffusion_pytorch_model.safetensors").rename(repository / "unet/diffusion_pytorch_model.bin")
    hub.online["owner/model"] = repository
    with pytest.raises(MissingError, match="unet has no weights in safetensors"):
        resolve("owner/model")
    assert not hub.cached


def test_each_known_prior_says_its_size_and_its_licence() -> None:
    for name, prior in KNOWN.items():
        assert prior.licence and 0 < prior.gigabytes < 10
        assert bool(prior.repositories) == (name not in EMBEDDED)


@pytest.mark.parametrize(
    ("name", "embedded"), [("sd21", "mini"), ("owner/model", "mini"), ("zero123-xl", "mini-zero123")]
)
def test_weights_that_cannot_be_had(hub: Hub, name: str, embedded: str) -> None:
    with pytest.raises(MissingError) as raised:
        resolve(name)
    message = str(raised.value)
    assert f"`dreampgc priors pull {name}`" in message
    assert f"`--prior {embedded}`" in message
    assert "no route to the hub" in message
    assert "more" not in message
    assert raised.value.exit_code == 3


def test_names_resolve_without_torch() -> None:
    code = (
        "import sys, dreampgc.priors.catalog; sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
