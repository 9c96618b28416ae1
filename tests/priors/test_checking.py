"""Fault: what `priors check` and a run say of models that are truncated, pickled, half missing or something else."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreampgc.cli import run_command
from dreampgc.errors import InputError
from dreampgc.priors.checking import examine
from dreampgc.priors.diffusion import DiffusionPrior
from tests.priors.conftest import write_tiny_model
from tests.priors.families import assert_found

WEIGHTS = {"text_encoder": "model"}


def weights(directory: Path, part: str) -> Path:
    return directory / part / f"{WEIGHTS.get(part, 'diffusion_pytorch_model')}.safetensors"


def configure(directory: Path, part: str, **values: object) -> None:
    path = directory / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(directory: Path) -> None:
    path = weights(directory, "vae")
    path.write_bytes(path.read_bytes()[:-100])


def lose_a_weight(directory: Path) -> None:
    path = weights(directory, "text_encoder")
    tensors = load_file(path)
    del tensors[max(tensors)]
    save_file(tensors, path, metadata={"format": "pt"})


def resize_a_weight(directory: Path) -> None:
    path = weights(directory, "unet")
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :3].contiguous()
    save_file(tensors, path, metadata={"format": "pt"})


def pickle_weights(directory: Path) -> None:
    path = weights(directory, "unet")
    path.with_suffix(".bin").write_bytes(pickle.dumps(load_file(path)))
    path.unlink()


def leave_a_pointer(directory: Path) -> None:
    weights(directory, "unet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n")


def swap_parts(directory: Path) -> None:
    shutil.rmtree(directory / "vae")
    shutil.copytree(directory / "unet", directory / "vae")


def spoil_the_tokenizer(directory: Path) -> None:
    (directory / "tokenizer" / "vocab.json").write_text("{")


def grow_the_tokenizer(directory: Path) -> None:
    path = directory / "tokenizer" / "vocab.json"
    words = json.loads(path.read_text())
    path.write_text(json.dumps(words | {f"more{number}": len(words) + number for number in range(9)}))


#: What is done to a good model, the part that is wrong then, and what is said of it.
FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated": (truncate, "vae", "truncated or damaged diffusion_pytorch_model.safetensors"),
    "half missing": (lambda d: shutil.rmtree(d / "text_encoder"), "text_encoder", "is missing"),
    "a weight missing": (lose_a_weight, "text_encoder", "lacks 1 weights, for instance"),
    "a weight of another shape": (resize_a_weight, "unet", "conv_in.weight"),
    "pickled": (pickle_weights, "unet", "pickle (diffusion_pytorch_model.bin)"),
    "not fetched": (leave_a_pointer, "unet", "git lfs pull"),
    "of another class": (swap_parts, "vae", "is a UNet2DConditionModel, not a AutoencoderKL"),
    "no JSON": (lambda d: (d / "unet/config.json").write_text("{"), "unet", "unreadable config.json"),
    "no tokenizer": (spoil_the_tokenizer, "tokenizer", "cannot be read"),
    "another tokenizer": (grow_the_tokenizer, "tokenizer", "words, but text_encoder embeds only"),
    "another prediction": (lambda d: configure(d, "scheduler", prediction_type="sample"), "scheduler", "'sample'"),
    "few time steps": (lambda d: configure(d, "scheduler", num_train_timesteps=50), "scheduler", "50 time steps"),
}


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_the_check_and_by_a_run(copy: Path, fault: str) -> None:
    spoil, part, says = FAULTS[fault]
    spoil(copy)
    assert_found(copy, part, says, DiffusionPrior.load, "Stable Diffusion")


def test_pickles_are_never_opened(copy: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "opened",)

    for part in ("unet", "vae", "text_encoder"):
        weights(copy, part).unlink()
        for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt"):
            (copy / part / name).write_bytes(pickle.dumps(Trap()))
    assert len(examine(copy).wrong) == 3
    with pytest.raises(InputError):
        DiffusionPrior.load(copy)
    assert not (tmp_path / "opened").exists()


def test_weights_that_are_not_finite_are_found(copy: Path) -> None:
    path = weights(copy, "vae")
    tensors = load_file(path)
    tensors["encoder.conv_in.bias"][0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    [verdict] = examine(copy).wrong
    assert (verdict.part, "encoder.conv_in.bias" in verdict.note) == ("vae", True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"in_channels": 9}, "takes 9 channels, not 4"), ({"cross_attention_dim": 24}, "width 24, but the text encoder")],
)
def test_unets_of_another_purpose_are_refused(tmp_path: Path, changes: dict[str, int], says: str) -> None:
    directory = write_tiny_model(tmp_path / "model", unet=changes)
    assert [verdict.part for verdict in examine(directory).wrong] == ["unet"]
    with pytest.raises(InputError, match=says):
        DiffusionPrior.load(directory)


@pytest.mark.parametrize("name", ["vocabulary.json", "linear_map.safetensors"])
def test_damaged_extras_are_found(copy: Path, name: str) -> None:
    (copy / name).write_text("{")
    assert [verdict.part for verdict in examine(copy).wrong] == [name]
    with pytest.raises(InputError, match=name):
        DiffusionPrior.load(copy)


def test_the_command_prints_a_table_and_exits_with_2_when_something_is_wrong(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["priors", "check", str(copy)]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("right") == 5
    assert "predicts epsilon, images of 32 px" in captured.err
    truncate(copy)
    assert run_command(["priors", "check", str(copy)]) == 2
    captured = capsys.readouterr()
    assert (captured.out.count("right"), captured.out.count("wrong")) == (4, 1)
    assert "error: " in captured.err and "vae wrong" in captured.err
    assert run_command(["priors", "check", str(copy), "--json"]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["model", *["part"] * 5, "error"]
    assert run_command(["priors", "check", "nowhere"]) == 2


def test_a_run_with_a_bad_directory_ends_with_2_and_one_sentence(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copy / "vae")
    line = ["text", "a car", "--device", "cpu", "--output", str(tmp_path / "run"), "--prior", str(copy)]
    assert run_command(line) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and "vae is missing" in captured.err
    assert not (tmp_path / "run").exists()
