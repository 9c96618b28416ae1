"""Property and fault: layers, exact round trip, one clear sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreampgc.config import KEYS, RunConfig, from_toml, load_config, to_toml
from dreampgc.config.presets import PRESETS, preset_values
from dreampgc.errors import InputError


def with_options(**options: Any) -> RunConfig:
    return load_config(options={"prompt": "a car", **{key.replace("__", "."): v for key, v in options.items()}})


def refusal(*assignments: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_config(assignments=assignments, options={"prompt": "a car", **options})
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


positive = st.floats(min_value=1e-300, max_value=1e300)
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@settings(max_examples=60, deadline=None)
@given(prompt=texts, clip=positive, rate=positive, seed=st.integers(0, 2**63 - 1), negative=st.text())
def test_toml_round_trip_is_exact(prompt: str, clip: float, rate: float, seed: int, negative: str) -> None:
    options = {"prompt": prompt, "seed": seed, "guidance.clip": clip, "optimizer.learning_rate": rate}
    config = load_config(options={**options, "negative_prompt": negative.encode("utf-8", "ignore").decode()})
    assert from_toml(to_toml(config)) == config


def test_each_layer_is_stronger_than_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('preset = "draft"\n[guidance]\nclip = 0.2\nscale = 20\n[loop]\nsteps = 7\n')
    draft = PRESETS["draft", "mini"]

    config = load_config(
        file=file,
        assignments=["guidance.scale=30", "loop.steps=8"],
        options={"prompt": "a car", "loop.steps": 9, "guidance.clip": None},
    )

    assert config.guidance.norm == "l2"
    assert config.mesh.resolution == draft["mesh.resolution"]
    assert (config.guidance.clip, config.guidance.scale, config.loop.steps) == (0.2, 30.0, 9)


def test_written_configuration_repeats_the_run(tmp_path: Path) -> None:
    config = load_config(options={"prompt": "a car", "preset": "high", "loop.steps": 3, "prior": "mini"})
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert load_config(file=file) == config


@pytest.mark.parametrize("key", PRESETS)
def test_images_have_presets_of_their_own(key: tuple[Any, Any]) -> None:
    preset, family = key
    options = {"prompt": "a car", "preset": preset}
    text, image = (
        load_config(options={**options, "task": task}, family=lambda prior, device: family)
        for task in ("text", "image2d")
    )
    assert image.guidance == text.guidance
    assert image.optimizer.learning_rate == preset_values("image2d", preset, family)["optimizer.learning_rate"]
    assert image.optimizer.learning_rate > text.optimizer.learning_rate
    assert load_config(assignments=["loop.steps=3"], options={**options, "task": "image2d"}).loop.steps == 3


@pytest.mark.parametrize("key", PRESETS)
def test_image_runs_look_with_the_camera_of_the_picture(key: tuple[Any, Any]) -> None:
    """So a prior of views is never asked about other lenses or distances, unless somebody wants it."""
    preset, family = key
    options = {"task": "image", "image.file": "dog.png", "preset": preset}
    config = load_config(options=options, family=lambda prior, device: family)
    assert preset_values("image", preset, family).keys() <= KEYS
    assert (config.cameras.distance, config.cameras.fov) == ((config.image.distance,) * 2, (config.image.fov,) * 2)
    assert (config.guidance.scale, config.render.albedo_share) == (3.0, 1.0)
    assert from_toml(to_toml(config)) == config
    assert load_config(assignments=["guidance.scale=5"], options=options).guidance.scale == 5.0


def test_only_an_image_run_needs_no_prompt_and_is_called_after_its_picture() -> None:
    options = {"task": "image", "image.file": "pictures/my dog.png"}
    assert load_config(options=options).title == "my dog.png"
    assert load_config(options={**options, "prompt": "a  dog"}).title == "my dog.png, a dog"
    assert with_options(**{"image.file": "dog.png"}).title == "a car"
    assert "the prompt is empty" in refusal(prompt=None)


def test_views_of_an_image_run_come_from_toml_too() -> None:
    file = 'task = "image"\n[image]\nfile = "a.png"\nviews = [["b.png", 90, -10.5], ["c, d.png", 180, 0]]\n'
    assert from_toml(file).image.views == (("b.png", 90.0, -10.5), ("c, d.png", 180.0, 0.0))


@pytest.mark.parametrize("key", PRESETS)
def test_presets_are_valid_and_change_only_known_keys(key: tuple[Any, Any]) -> None:
    preset, family = key
    assert PRESETS[key].keys() <= KEYS
    load_config(options={"prompt": "a car", "preset": preset}, family=lambda prior, device: family)


def test_family_is_asked_for_the_prior_and_device_that_were_chosen() -> None:
    asked: list[tuple[str, str]] = []

    def family(prior: str, device: str) -> Any:
        asked.append((prior, device))
        return "full"

    config = load_config(options={"prompt": "a car", "prior": "sd21"}, assignments=["device=cuda"], family=family)
    assert asked == [("sd21", "cuda")]
    assert config.guidance.scale == 100


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("guidance.clp", "guidance.clip"),
        ("clip", "guidance.clip"),
        ("sed", "seed"),
        ("loop.step", "loop.steps"),
        ("camera.batch", "cameras.batch"),
    ],
)
def test_unknown_key_names_the_nearest(wrong: str, right: str) -> None:
    message = refusal(f"{wrong}=1")
    assert f"'{wrong}'" in message
    assert f"'{right}'" in message


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("guidance.clip=0", "guidance.clip = 0"),
        ("guidance.clip=nan", "guidance.clip = nan"),
        ("guidance.clip=inf", "guidance.clip = inf"),
        ("guidance.method=foo", "'pgc-n'"),
        ("loop.steps=-1", "loop.steps = -1"),
        ("loop.steps=1.5", "loop.steps = 1.5"),
        ("loop.steps=many", "loop.steps = 'many'"),
        ("mesh.level=-2", "mesh.level = -2"),
        ("cameras.elevation=[3, 1]", "lower end"),
        ("cameras.elevation=[3]", "too few values"),
        ("cameras.fov=[10, 200]", "cameras.fov = 200"),
        ("guidance.t_min=0.9", "t_min must be below"),
        ("render.start_resolution=4000", "start_resolution is above"),
        ("seed=-1", "seed = -1"),
        ("prompt=   ", "the prompt is empty"),
        ("image.elevation=100", "image.elevation = 100"),
        ("image.elevation=high", "image.elevation = 'high'"),
        ("image.views=[[1, 2, 3]]", "image.views"),
        ('image.views=[["b.png", 90]]', "image.views"),
        ("image.distance=1.5", "image.distance = 1.5"),
        ("image.margin=1", "image.margin = 1"),
        ("image.framing=crop", "'keep'"),
        ("image.depth_file=depth.png", "set framing to keep"),
        ("image.rgb=-1", "image.rgb = -1"),
        ("no-equals-sign", "section.key=value"),
    ],
)
def test_bad_value_is_one_sentence(assignment: str, says: str) -> None:
    prompt = None if assignment.startswith("prompt") else "a car"
    assert says in refusal(assignment, prompt=prompt)


def test_bad_value_is_found_before_the_family_is_asked_for_bad_top_level_keys() -> None:
    def family(prior: str, device: str) -> Any:
        raise AssertionError("must not be asked")

    with pytest.raises(InputError, match="device = 'tpu'"):
        load_config(options={"prompt": "a car", "device": "tpu"}, family=family)


@pytest.mark.parametrize("prompt", [None, "", " \t\n", "a\x00car", "a \ud800 car"])
def test_prompt_must_be_text(prompt: str | None) -> None:
    assert "prompt" in refusal(prompt=prompt)


def test_prompt_is_one_line() -> None:
    assert with_options(prompt="  a\n wooden\tcar ").prompt == "a wooden car"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"guidance = [", b"guidance = 3"])
def test_damaged_file_names_itself(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.toml"):
        load_config(file=file, options={"prompt": "a car"})


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load_config(file=tmp_path / "nowhere.toml")


def test_configuration_is_frozen() -> None:
    config = with_options()
    with pytest.raises(ValueError, match="frozen"):
        config.guidance.clip = 1.0
