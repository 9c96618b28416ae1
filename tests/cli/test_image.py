"""Integration: the command ``image`` with a recording stand-in for the pipeline, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dreampgc.cli import run_command
from dreampgc.config import load_config
from dreampgc.runs import Run, create_run
from tests.commands import Pipeline, refused, stand_in
from tests.photographs import write_photo


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    return stand_in(tmp_path, monkeypatch)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "my dog, sitting.png")


@pytest.fixture
def run(photo: Path) -> Run:
    return create_run(load_config(options={"task": "image", "image.file": str(photo), "loop.steps": 40}))


def test_every_option_is_handed_on(pipeline: Pipeline, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[image]\nrgb = 7.0\n")
    line = "--prior stable-zero123 --method vae --clip 0.2 --preset draft --steps 7 --seed 5 --device cpu"
    poses = ["--elevation", "-12.5", "--view", f"{photo},90,-10", "--view", f"{photo},180,20.5"]
    more = ["--prompt", " a  dog ", "--output", "here", "--config", str(file), "--set", "image.fov=40"]
    assert run_command(["image", str(photo), *line.split(), *poses, *more]) == 0
    [(name, (config, output), _)] = pipeline.calls
    assert (name, output, config.task) == ("create", Path("here"), "image")
    assert (config.prompt, config.prior, config.preset, config.seed, config.device) == (
        "a dog", "stable-zero123", "draft", 5, "cpu",
    )  # fmt: skip
    assert (config.guidance.method, config.guidance.clip, config.loop.steps) == ("vae", 0.2, 7)
    assert (config.image.file, config.image.elevation, config.image.rgb, config.image.fov) == (
        str(photo), -12.5, 7.0, 40.0,
    )  # fmt: skip
    assert config.image.views == ((str(photo), 90.0, -10.0), (str(photo), 180.0, 20.5))
    assert config.title == "my dog, sitting.png, a dog"


def test_without_options_the_prior_and_the_elevation_are_found_out(pipeline: Pipeline, photo: Path) -> None:
    assert run_command(["image", str(photo), "--device", "cpu"]) == 0
    config = pipeline.calls[0][1][0]
    assert (config.prior, config.image.elevation, config.prompt, config.image.views) == ("auto", "auto", "", ())
    assert config.guidance.scale == 3.0
    assert config.cameras.distance == (config.image.distance,) * 2
    assert config.cameras.fov == (config.image.fov,) * 2


def test_the_written_configuration_needs_no_other_option(pipeline: Pipeline, run: Run) -> None:
    assert run_command(["image", "--config", str(run.path / "config.toml")]) == 0
    assert pipeline.calls[0][1][0] == run.config


def test_resume(pipeline: Pipeline, run: Run) -> None:
    assert run_command(["image", "--resume", str(run.path), "--steps", "50"]) == 0
    assert [(name, arguments) for name, arguments, _ in pipeline.calls] == [("resume", (run.path, 50))]


def test_lists_call_it_by_the_file_s_name(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    assert run.path.name.endswith("-my-dog-sitting-png")
    assert run_command(["runs"]) == 0
    assert "my dog, sitting.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([], "give its FILE"),
        (["nowhere.png"], "nowhere.png"),
        (["{folder}"], "folder"),
        (["{text}"], "text.png"),
        (["{photo}", "--view", "{text},90,0"], "text.png"),
        (["{photo}", "--view", "{photo}"], "FILE,AZIMUTH,ELEVATION"),
        (["{photo}", "--view", "{photo},left,0"], "FILE,AZIMUTH,ELEVATION"),
        (["{photo}", "--view", "{photo},0,100"], "image.views"),
        (["{photo}", "--elevation", "91"], "image.elevation"),
        (["{photo}", "--elevation", "high"], "--elevation"),
        (["{photo}", "--method", "latent"], "latent has no colours"),
        (["{photo}", "--set", "image.fram=keep"], "image.framing"),
        (["{photo}", "--set", "image.distance=1"], "image.distance"),
        (["{photo}", "--resume", "nowhere"], "leave out file"),
        (["--resume", "nowhere", "--elevation", "0"], "leave out elevation"),
        (["--resume", "nowhere"], "nowhere"),
        (["{photo}", "another.png"], "another.png"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    pipeline: Pipeline,
    photo: Path,
    tmp_path: Path,
    line: list[str],
    says: str,
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder").mkdir()
    places = {"photo": photo, "text": tmp_path / "text.png", "folder": tmp_path / "folder"}
    assert says in refused(capsys, "image", *(part.format(**places) for part in line))
    assert not pipeline.calls


def test_no_picture_is_an_answer_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    code = (
        "import sys; from dreampgc.cli import run_command;"
        f"code = run_command(['image', {str(tmp_path / 'text.png')!r}]);"
        "print(code, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["2", "False"]
