"""Names, directories and hub ids of priors; the network is never asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from dreampgc.errors import InputError, MissingError
from dreampgc.priors import catalog
from dreampgc.priors.catalog import KNOWN, installed, resolve


class Hub:
    """Stands for the hub and its cache: which repositories are where."""

    def __init__(self) -> None:
        self.cached: dict[str, Path] = {}
        self.online: dict[str, Path] = {}
        self.asked: list[str] = []

    def snapshot_download(self, repository: str, *, allow_patterns: list[str], local_files_only: bool = False) -> str:
        if repository in self.cached:
            return str(self.cached[repository])
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        self.asked.append(repository)
        if repository not in self.online:
            raise ConnectionError("no route to the hub. Try later.\nmore")
        return str(self.online[repository])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
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
    with pytest.raises(InputError, match=f"it lacks {lost.split('/')[0]}/"):
        resolve(str(copy))


@pytest.mark.parametrize("name", ["sd3", "", "a/b/c", "bad name/model"])
def test_unknown_names_list_the_known(hub: Hub, name: str) -> None:
    with pytest.raises(InputError, match=r"no prior .*: give auto, mini, sd21, sd15, a directory or a hub id"):
        resolve(name)
    assert hub.asked == []


def test_auto_follows_the_device(hub: Hub, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tiny_model)
    hub.cached[FIRST] = tiny_model
    assert resolve("auto", "cpu").name == "mini"
    assert resolve("auto", "cuda").name == "sd21"
    assert resolve("auto", "cuda:1").name == "sd21"


def test_an_incomplete_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tmp_path)
    assert installed("mini") is None
    with pytest.raises(MissingError, match="reinstall dreampgc"):
        resolve("mini")


def test_the_cache_comes_before_the_network(hub: Hub, tiny_model: Path) -> None:
    hub.cached[SECOND] = tiny_model
    assert resolve("sd21").directory == tiny_model
    assert installed("sd21") == tiny_model
    assert hub.asked == []


def test_an_incomplete_cache_is_completed(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    hub.cached[FIRST] = tmp_path
    hub.online[SECOND] = tiny_model
    assert installed("sd21") is None
    assert resolve("sd21").directory == tiny_model


def test_the_mirror_is_tried(hub: Hub, tiny_model: Path) -> None:
    hub.online[SECOND] = tiny_model
    assert resolve("sd21").directory == tiny_model
    assert hub.asked == [FIRST, SECOND]


@pytest.mark.parametrize("name", ["sd21", "owner/model"])
def test_weights_that_cannot_be_had(hub: Hub, name: str) -> None:
    with pytest.raises(MissingError) as raised:
        resolve(name)
    message = str(raised.value)
    assert f"`hf download {FIRST if name == 'sd21' else name}`" in message
    assert "--prior mini" in message
    assert "no route to the hub" in message
    assert "more" not in message
    assert raised.value.exit_code == 3


def test_names_resolve_without_torch() -> None:
    code = (
        "import sys, dreampgc.priors.catalog; sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
