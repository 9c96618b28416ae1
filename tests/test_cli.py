"""Integration: the command line's contract, with a recording stand-in for the pipeline."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import dreampgc
from dreampgc.cli import run_command
from dreampgc.config import load_config
from dreampgc.errors import DreamError, InputError, Interrupted, MissingError, TrainingError
from dreampgc.runs import Run, create_run
from tests.commands import Pipeline, refused, stand_in


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    return stand_in(tmp_path, monkeypatch)


@pytest.fixture
def run() -> Run:
    return create_run(load_config(options={"prompt": "a wooden car", "loop.steps": 40}))


def test_text_hands_every_option_on(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[guidance]\nscale = 3.0\n")
    line = "--prior mini --method vae --clip 0.2 --preset draft --steps 7 --seed 5 --device cpu"
    more = ["--output", "here", "--config", str(file), "--set", "mesh.faces=500", "--set", "field.levels=4"]
    assert run_command(["text", "a wooden car", *line.split(), *more]) == 0

    [(name, (config, output), _)] = pipeline.calls
    assert (name, output) == ("create", Path("here"))
    assert (config.prompt, config.prior, config.preset, config.seed, config.device) == (
        "a wooden car", "mini", "draft", 5, "cpu",
    )  # fmt: skip
    assert (config.guidance.method, config.guidance.clip, config.guidance.scale) == ("vae", 0.2, 3.0)
    assert (config.loop.steps, config.mesh.faces, config.field.levels) == (7, 500, 4)


def test_written_configuration_needs_no_other_option(pipeline: Pipeline, run: Run) -> None:
    assert run_command(["text", "--config", str(run.path / "config.toml")]) == 0
    assert pipeline.calls[0][1][0] == run.config


def test_auto_prior_on_a_cpu_takes_the_presets_of_mini(pipeline: Pipeline) -> None:
    assert run_command(["text", "a car", "--device", "cpu"]) == 0
    assert run_command(["text", "a car", "--prior", "sd21"]) == 0
    small, large = (call[1][0] for call in pipeline.calls)
    assert small.guidance.scale < large.guidance.scale


def test_resume(pipeline: Pipeline, run: Run) -> None:
    assert run_command(["text", "--resume", str(run.path), "--steps", "50"]) == 0
    assert run_command(["text", "--resume", run.path.name]) == 0
    assert [(name, arguments) for name, arguments, _ in pipeline.calls] == [
        ("resume", (run.path, 50)),
        ("resume", (run.path, None)),
    ]


def test_live_watches_new_and_resumed_runs(pipeline: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreampgc import live

    monkeypatch.setattr(live, "require_viser", lambda: None)
    monkeypatch.setattr(live, "live_view", lambda console: nullcontext("eyes"))
    for line in (["text", "a car", "--device", "cpu"], ["text", "--resume", str(run.path)]):
        assert run_command([*line, "--live"]) == run_command(line) == 0
    assert [named["watch"] for _, _, named in pipeline.calls] == ["eyes", None, "eyes", None]


def test_live_without_viser_names_the_extra_and_begins_nothing(
    capsys: pytest.CaptureFixture[str], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'dreampgc[live]'" in refused(capsys, "text", "a car", "--device", "cpu", "--live", code=3)
    assert not pipeline.calls


def test_export_and_render_take_the_newest_run(pipeline: Pipeline, run: Run) -> None:
    assert run_command(["export", "--format", "obj", "--format", "stl", "--faces", "900", "--output", "x.obj"]) == 0
    look = ["--mode", "depth", "--resolution", "64", "--frames", "5", "--elevation", "-20"]
    assert run_command(["render", "--output", "x.gif", *look]) == 0
    (_, positional, options), (_, where, turntable) = pipeline.calls
    assert positional == where == (run.path,)
    assert (options["formats"], options["faces"], options["resolution"]) == (["obj", "stl"], 900, None)
    assert options["output"] == Path("x.obj")
    assert turntable.pop("console")
    assert turntable == {
        "output": Path("x.gif"), "mode": "depth", "resolution": 64, "frames": 5, "elevation": -20.0,
    }  # fmt: skip


def test_export_takes_lists_of_formats_and_checkpoints_by_step_or_by_folder(pipeline: Pipeline, run: Run) -> None:
    lists = ["--format", "glb,OBJ", "--format", "stl", "--format", "glb", "--size-mm", "60", "--texture-size", "0"]
    assert run_command(["export", str(run.path), *lists, "--checkpoint", "200"]) == 0
    assert run_command(["export", str(run.path / "checkpoints" / "step-000200")]) == 0
    (_, first, options), (_, second, others) = pipeline.calls
    assert first == second == (run.path,)
    assert (options["formats"], options["checkpoint"]) == (["glb", "obj", "stl"], 200)
    assert (options["size"], options["texture_size"]) == (60.0, 0)
    assert (others["formats"], others["checkpoint"]) == ([], 200)


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command ``compare`` hands on: plan and output of each call."""
    calls: list[Any] = []
    stand_in: Any = types.ModuleType("dreampgc.comparison.work")
    stand_in.compare = lambda plan, output, console: (calls.append((plan, output)), tmp_path)[1]
    monkeypatch.setitem(sys.modules, "dreampgc.comparison.work", stand_in)
    return calls


def test_compare_hands_every_option_on(compared: list[Any]) -> None:
    line = "--prior mini --preset standard --steps 7 --seed 5 --device cpu --methods vae,pgc-n --methods pngd"
    more = ["--thresholds", "0.2, 0.3", "--space", "2d", "--output", "here", "--set", "guidance.scale=3"]
    assert run_command(["compare", "a wooden car", *line.split(), *more]) == 0
    [(plan, output)] = compared
    assert output == Path("here")
    assert [(v.space, v.method, v.clip) for v in plan.variants] == [
        ("2d", "vae", 0.1), ("2d", "pngd", 0.1), ("2d", "pgc-n", 0.1), ("2d", "pgc-n", 0.2), ("2d", "pgc-n", 0.3),
    ]  # fmt: skip
    for config in (variant.config for variant in plan.variants):
        assert (config.prompt, config.prior, config.preset, config.seed) == ("a wooden car", "mini", "standard", 5)
        assert (config.device, config.task, config.loop.steps, config.guidance.scale) == ("cpu", "image2d", 7, 3.0)


def test_compare_takes_all_methods_thresholds_and_spaces_by_default(compared: list[Any]) -> None:
    assert run_command(["compare", "a car", "--device", "cpu"]) == 0
    assert run_command(["compare", "a car", "--device", "cpu", "--thresholds", ""]) == 0
    assert run_command(["compare", "a car", "--device", "cpu", "--methods", "", "--space", "3d"]) == 0
    both, methods, thresholds = (plan for plan, _ in compared)
    assert [len(plan.blocks) for plan in (both, methods, thresholds)] == [2, 1, 1]
    assert [len(plan.variants) for plan in (both, methods, thresholds)] == [20, 12, 5]
    assert {variant.config.task for variant in both.variants} == {"image2d", "text"}
    assert {variant.config.preset for variant in both.variants} == {"draft"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["--methods", "vae,sgd"], "'sgd'"),
        (["--thresholds", "0"], "threshold 0: must be above 0"),
        (["--thresholds", "0.1,-2"], "threshold -2"),
        (["--thresholds", "0.1,nan"], "threshold nan"),
        (["--thresholds", "much"], "'much'"),
        (["--thresholds", "", "--methods", ""], "nothing to compare"),
        (["--space", "4d"], "'4d'"),
        (["--space", ""], "nothing to compare"),
        (["--steps", "0"], "loop.steps"),
        (["--set", "guidance.clp=1"], "guidance.clip"),
        (["--preset", "best"], "best"),
    ],
)
def test_bad_comparisons_are_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], compared: list[Any], line: list[str], says: str
) -> None:
    assert says in refused(capsys, "compare", "a car", "--device", "cpu", *line)
    assert not compared
    assert "prompt" in refused(capsys, "compare", "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["text", ""], "prompt"),
        (["text"], "the prompt is empty"),
        (["text", "a car", "--clip", "0"], "guidance.clip"),
        (["text", "a car", "--clip", "-1"], "guidance.clip"),
        (["text", "a car", "--clip", "nan"], "guidance.clip"),
        (["text", "a car", "--clip", "much"], "--clip"),
        (["text", "a car", "--steps", "-3"], "loop.steps"),
        (["text", "a car", "--seed", "-3"], "seed"),
        (["text", "a car", "--method", "sgd"], "pgc-n"),
        (["text", "a car", "--set", "guidance.clp=1"], "guidance.clip"),
        (["text", "a car", "--set", "guidance"], "section.key=value"),
        (["text", "a car", "--config", "nowhere.toml"], "nowhere.toml"),
        (["text", "a car", "--bogus"], "--bogus"),
        (["text", "a", "car"], "car"),
        (["text", "--resume", "nowhere"], "nowhere"),
        (["text", "a car", "--resume", "nowhere"], "leave out prompt"),
        (["text", "--resume", "nowhere", "--steps", "0"], "--steps"),
        (["export"], "no runs"),
        (["export", "nowhere"], "nowhere"),
        (["export", "--faces", "0"], "--faces"),
        (["export", "runs/checkpoints/step-000200", "--checkpoint", "3"], "names a checkpoint already"),
        (["export", "--size-mm", "nan"], "--size-mm"),
        (["render", "nowhere"], "nowhere"),
        (["render", "--frames", "0"], "--frames"),
        (["render", "--mode", "xray"], "xray"),
        (["paint"], "paint"),
        (["priors", "paint"], "paint"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], pipeline: Pipeline, line: list[str], says: str
) -> None:
    assert says in refused(capsys, *line)
    assert not pipeline.calls


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad"), 2),
        (MissingError("no weights"), 3),
        (TrainingError("exploded"), 1),
        (DreamError("disk"), 1),
        (Interrupted("stopped", 130), 130),
        (Interrupted("stopped", 143), 143),
        (OSError(errno.ENOSPC, "No space left on device", "mesh.glb"), 1),
        (ZeroDivisionError("a bug"), 1),
    ],
)
def test_errors_have_the_exit_codes_of_the_contract(
    capsys: pytest.CaptureFixture[str], pipeline: Pipeline, error: Exception, code: int
) -> None:
    pipeline.error = error
    sentence = refused(capsys, "text", "a car", "--device", "cpu", code=code)
    assert "Traceback" not in sentence
    assert ("DREAMPGC_DEBUG" in sentence) == isinstance(error, ZeroDivisionError)


def test_keyboard_interrupt_is_130(pipeline: Pipeline) -> None:
    pipeline.error = KeyboardInterrupt()
    assert run_command(["text", "a car", "--device", "cpu"]) == 130


def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMPGC_DEBUG", "1")
    pipeline.error = ZeroDivisionError("a bug")
    assert run_command(["text", "a car", "--device", "cpu"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_json_is_events_and_nothing_else(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    lines = [["text", "a car", "--device", "cpu"], ["export"], ["render"], ["runs"], ["export", "nowhere"]]
    kinds = []
    for line in lines:
        run_command([*line, "--json"])
        kinds += [json.loads(text)["event"] for text in capsys.readouterr().out.splitlines()]
    assert kinds == ["done", "file", "file", "run", "error"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    for line in (["text", "a car", "--device", "cpu"], ["export"], ["render"]):
        assert run_command([*line, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_runs_lists_them(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    run.update(created="2020-01-01T00:00:00+00:00", step=12, prompt="a [red]car[/red]")
    assert run_command(["runs"]) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in (str(run.path), "interrupted", "a [red]car[/red]", "12", "40", " d"))


def test_priors_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dreampgc.priors import catalog
    from dreampgc.priors.catalog import PriorSource

    monkeypatch.setattr(catalog, "installed", lambda name: PriorSource(name, Path("x")) if name == "mini" else None)
    for line in (["priors"], ["priors", "list"]):
        assert run_command(line) == 0
        out = capsys.readouterr().out
        assert "ready" in out
        assert all(name in out for name in catalog.KNOWN)

    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tmp_path)
    assert "lacks the mini prior" in refused(capsys, "priors", "list", "--vocabulary", code=3)
    words = {"classes": ["car"], "attributes": ["wooden"], "words": ["a", "car", "wooden"]}
    (tmp_path / "vocabulary.json").write_text(json.dumps(words))
    assert run_command(["priors", "list", "--vocabulary"]) == 0
    assert {"car", "wooden"} <= set(capsys.readouterr().out.split())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"dreampgc {dreampgc.__version__}\n"
    for line in ([], ["--help"], ["text", "--help"], ["compare", "--help"], ["priors", "--help"]):
        assert run_command(line) == 0
        assert "Usage" in capsys.readouterr().out


def test_program_exits_with_the_code_and_survives_a_reader_that_leaves() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(dreampgc.__file__).parents[1])}
    command = [sys.executable, "-m", "dreampgc"]
    bad = subprocess.run([*command, "text", ""], capture_output=True, text=True, env=environment)
    assert (bad.returncode, bad.stdout) == (2, "")

    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed:
        gone = subprocess.run([*command, "--help"], stdout=closed, stderr=subprocess.PIPE, text=True, env=environment)
    assert "Traceback" not in gone.stderr
    assert "Exception ignored" not in gone.stderr
