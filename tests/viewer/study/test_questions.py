"""Integration and fault: layouts of results, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dreampgc.errors import InputError
from dreampgc.viewer.study.questions import Question, read_questions
from tests.viewer.study.clients import METHODS, PROMPTS, write_folder, write_mesh


def write_run(folder: Path, prompt: str) -> Path:
    write_mesh(folder / "mesh.glb")
    (folder / "run.json").write_text(json.dumps({"format": 1, "prompt": prompt}))
    return folder


def read(folder: Path, methods: Sequence[str] = ()) -> tuple[list[Question], list[str]]:
    """The questions, and what was said."""
    notes: list[str] = []
    return read_questions(folder, notes.append, methods), notes


def asked(folder: Path) -> list[tuple[str, str, list[str]]]:
    questions, notes = read(folder)
    assert notes == []
    return [(q.key, q.prompt, [p.relative_to(folder).as_posix() for p in q.meshes.values()]) for q in questions]


def test_plain_files(tmp_path: Path) -> None:
    write_folder(tmp_path)
    questions, notes = read(tmp_path)
    assert notes == []
    assert [question.prompt for question in questions] == list(PROMPTS)
    meshes = {method: tmp_path / method / "a-red-chair.glb" for method in METHODS}
    assert questions[0] == Question("a-red-chair", "a red chair", meshes)


def test_folders_with_a_mesh_that_are_named_after_the_prompt(tmp_path: Path) -> None:
    for method in ("one", "two"):
        write_mesh(tmp_path / method / "a_red  chair" / "mesh.glb")
    assert asked(tmp_path) == [
        ("a-red-chair", "a red chair", ["one/a_red  chair/mesh.glb", "two/a_red  chair/mesh.glb"])
    ]


def test_run_folders_know_their_prompt_and_may_have_any_name(tmp_path: Path) -> None:
    write_run(tmp_path / "one" / "20261122-141500-a-car", "A car, ‘fast’")
    write_run(tmp_path / "two" / "20261123-090000-a-car", "A car, ‘fast’")
    # What else a run folder may hold is no result.
    write_mesh(tmp_path / "two" / "20261123-090000-a-car" / "mesh-000200.glb")
    write_mesh(tmp_path / "two" / "20261123-090000-a-car" / ".mesh.1234.tmp.glb")
    [(key, prompt, _)] = asked(tmp_path)
    assert (key, prompt) == ("a-car-fast", "A car, ‘fast’")


def test_layouts_may_be_mixed(tmp_path: Path) -> None:
    write_run(tmp_path / "ours" / "x", "a red chair")
    write_mesh(tmp_path / "theirs" / "a-red-chair.glb")
    assert asked(tmp_path) == [("a-red-chair", "a red chair", ["ours/x/mesh.glb", "theirs/a-red-chair.glb"])]


def test_evaluations_have_seeds(tmp_path: Path) -> None:
    for variant in ("vae", "pgc-n"):
        for seed in (0, 1):
            write_run(tmp_path / variant / f"seed-{seed}" / "a-car", "a car")
    (tmp_path / "report.md").touch()
    assert [(key, prompt) for key, prompt, _ in asked(tmp_path)] == [
        ("seed-0/a-car", "a car"),
        ("seed-1/a-car", "a car"),
    ]


def test_comparisons_have_run_folders_for_methods(tmp_path: Path) -> None:
    for method in ("vae", "pgc-n"):
        write_run(tmp_path / "3d" / method, "a car")
    assert asked(tmp_path / "3d") == [("a-car", "a car", ["pgc-n/mesh.glb", "vae/mesh.glb"])]


def test_prompts_may_be_in_any_script(tmp_path: Path) -> None:
    for method in ("one", "two"):
        for prompt in ("木の車", "赤い椅子"):
            write_mesh(tmp_path / method / f"{prompt}.glb")
    assert {prompt for _, prompt, _ in asked(tmp_path)} == {"木の車", "赤い椅子"}


def test_prompts_that_a_method_lacks_are_left_out_and_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "vae" / "a-red-chair.glb").unlink()
    (folder / "latent" / "a-red-chair.glb").unlink()
    questions, notes = read(folder)
    assert [question.key for question in questions] == ["a-stone-castle", "a-wooden-car"]
    assert notes == ["left out: a-red-chair has no mesh by latent, vae"]
    assert len(read(folder, ["pgc-n", "linear-map"])[0]) == 3


def test_meshes_that_cannot_be_shown_are_left_out_and_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "vae" / "a-red-chair.glb").write_bytes(b"broken")
    (folder / "empty").mkdir()
    questions, notes = read(folder)
    assert len(questions) == 2
    assert notes == [
        "left out: empty holds no mesh",
        f"left out: {folder / 'vae' / 'a-red-chair.glb'} is damaged: it is not a whole GLB file",
        "left out: a-red-chair has no mesh by vae",
    ]


def test_damaged_records_and_unnamed_meshes_are_left_out_and_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, methods=("one", "two"), prompts=("a car",))
    (write_run(folder / "one" / "x", "a dog") / "run.json").write_text("{")
    write_mesh(folder / "three" / "mesh.glb")  # whose prompt would be the method's name
    questions, [first, second, third] = read(folder)
    assert len(questions) == 1
    assert "cannot read" in first
    assert second == f"left out: nothing says what the prompt of {folder / 'three' / 'mesh.glb'} is"
    assert third == "left out: three holds no mesh"


def test_of_two_runs_of_a_prompt_the_newer_counts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, methods=("one", "two"), prompts=("a car",))
    for date in ("20261122", "20261123"):
        write_run(folder / "three" / f"{date}-a-car", "a car")
    [question], [note] = read(folder)
    assert question.meshes["three"].parent.name == "20261123-a-car"
    assert note.startswith(f"left out: {folder}/three/20261122-a-car/mesh.glb")


@pytest.mark.parametrize(
    ("methods", "reason"),
    [((), "two methods or more"), (("latent",), "only latent has"), (("latent", "none"), "no method 'none'")],
)
def test_too_few_methods_are_refused(tmp_path: Path, methods: tuple[str, ...], reason: str) -> None:
    folder = write_folder(tmp_path) if methods else tmp_path
    with pytest.raises(InputError, match=reason):
        read(folder, methods)


def test_methods_without_a_common_prompt_are_refused(tmp_path: Path) -> None:
    write_mesh(tmp_path / "one" / "a-car.glb")
    write_mesh(tmp_path / "two" / "a-dog.glb")
    with pytest.raises(InputError, match="no prompt in common"):
        read(tmp_path)


def test_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        read(tmp_path / "nowhere")
