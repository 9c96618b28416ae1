"""Property: what the training of the embedded prior draws, and what it calls it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mini_prior import data as data_module
from mini_prior import denoiser
from mini_prior.captions import FORMS, MIXED, Captions, make_caption
from mini_prior.data import NAMES, NONE, Dataset, compiled_once, draw_attributes, draw_shapes, render_dataset
from mini_prior.tokenizer import make_tokenizer
from torch._dynamo.testing import CompileCounterWithBackend

from dreampgc.cameras import Views, sample_views
from dreampgc.world.objects import CARRIERS, CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import Light, Picture
from dreampgc.world.scene import Item, Pair, Scene, make_scene, upper_and_base
from dreampgc.world.sculpture import KINDS


def test_training_never_draws_what_is_held_out() -> None:
    rng = random.Random(0)
    items = draw_shapes(rng, 150, first=0, held_out=False)
    pairs = [item for item in items if upper_and_base(item)[1]]
    assert 0.2 < len(pairs) / len(items) < 0.3
    drawn = set()
    for item in rng.choices(items, k=20_000):
        upper, base = upper_and_base(item)
        worn = draw_attributes(rng, item, held_out=False)
        assert upper[2] < HELD_OUT_SEED
        assert base is None or base[2] < HELD_OUT_SEED
        drawn.add(Caption(upper[0], worn[0], Caption(base[0], worn[1]) if base else None))
    assert not [caption for caption in drawn if caption.held_out]
    # And everything else is drawn: nothing is held out by mistake.
    singles = {(c.name, c.attribute) for c in drawn if c.base is None}
    assert singles == {(n, a) for n in CLASSES for a in ATTRIBUTES if not Caption(n, a).held_out}
    combined = {(c.name, c.base.name) for c in drawn if c.base}
    allowed = {(n, b) for n in CLASSES for b in CARRIERS if not Caption(n, base=Caption(b)).held_out}
    assert combined <= allowed
    assert len(combined) > 0.9 * len(allowed)


def test_the_pictures_of_a_data_set_are_of_what_it_says() -> None:
    data = render_dataset(12, 16, "cpu", seed=3, shapes=2, chunk=4)
    assert data.rgba.shape == (12, 4, 16, 16)
    assert not any(make_caption(row).held_out for row in data.objects.tolist())
    assert ((data.rgba[:, 3] > 0).flatten(1).sum(dim=1) > 10).all()
    again = render_dataset(12, 16, "cpu", seed=3, shapes=2, chunk=4)
    assert torch.equal(data.rgba, again.rgba)
    unseen = render_dataset(12, 16, "cpu", seed=3, held_out=True, shapes=2, chunk=4)
    assert not torch.equal(data.rgba, unseen.rgba)


def test_a_saved_data_set_comes_back_and_parts_join(tmp_path: Path) -> None:
    data = render_dataset(4, 16, "cpu", seed=0, shapes=1, views=2, chunk=4)
    data.save(tmp_path / "data.pt")
    both = Dataset.joined([data, Dataset.load(tmp_path / "data.pt", "cpu")])
    assert (len(both), both.views) == (8, 2)
    assert torch.equal(both.rgba[:4], both.rgba[4:])
    assert torch.equal(both.distance[:4], both.distance[4:])
    with pytest.raises(ValueError, match="groups of 2 and 1 views do not join"):
        Dataset.joined([data, replace(data, views=1)])


@dataclass
class Seen:
    """What the renderer was asked for: of each picture, by its camera's azimuth, the look; and all seeds."""

    looks: dict[float, list[float]]
    seeds: set[int]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen({}, set())
    render, make = data_module.render_world, data_module.make_scene

    def render_world(scene: Scene, views: Views, size: int, *, light: Light, **options: Any) -> Picture:
        look = (scene.paint, scene.balls.center, scene.base, scene.phase, light.direction, light.strength)
        for row, azimuth in enumerate(views.azimuth.tolist()):
            seen.looks[azimuth] = [number for tensor in look for number in tensor[row].flatten().tolist()]
        return render(scene, views, size, light=light, **options)

    def make_scene(items: list[Item | Pair], slots: dict[str, int]) -> Scene:
        seen.seeds |= {part[2] for item in items for part in upper_and_base(item) if part}
        return make(items, slots)

    monkeypatch.setattr(data_module, "render_world", render_world)
    monkeypatch.setattr(data_module, "make_scene", make_scene)
    return seen


def test_a_group_shares_its_look_and_differs_in_its_cameras(seen: Seen) -> None:
    data = render_dataset(18, 16, "cpu", seed=3, shapes=2, views=3, distance=(1.8, 3.0), fov=(45.0, 45.0), chunk=4)
    assert data.views == 3
    looks = [seen.looks[azimuth] for azimuth in data.azimuth.tolist()]
    for first in range(0, 18, 3):
        assert looks[first] == looks[first + 1] == looks[first + 2]
        assert len({tuple(row) for row in data.objects[first : first + 3].tolist()}) == 1
        for cameras in (data.azimuth, data.elevation, data.distance):
            assert len(set(cameras[first : first + 3].tolist())) == 3
    assert len({tuple(look) for look in looks}) == 6
    assert data.distance.min() < 2.1 and data.distance.max() > 2.7
    with pytest.raises(ValueError, match="7 pictures are no whole groups of 3"):
        render_dataset(7, 16, "cpu", seed=3, views=3)


@pytest.mark.parametrize("views", [1, 4])
def test_neither_pictures_nor_groups_mix_training_and_held_out(seen: Seen, views: int) -> None:
    data = render_dataset(64, 8, "cpu", seed=1, shapes=2, views=views)
    assert seen.seeds and max(seen.seeds) < HELD_OUT_SEED
    assert not any(make_caption(row).held_out for row in data.objects.tolist())
    seen.seeds.clear()
    render_dataset(16, 8, "cpu", seed=1, shapes=2, views=views, held_out=True)
    assert seen.seeds and min(seen.seeds) >= HELD_OUT_SEED


def test_scenes_with_any_slots_share_one_compilation() -> None:
    def total(scene: Scene, points: torch.Tensor) -> torch.Tensor:
        kinds = (scene.boxes, scene.balls, scene.cones, scene.rings)
        return points.sum() + sum((kind.size.sum() for kind in kinds), torch.zeros(()))

    counter = CompileCounterWithBackend("eager")
    compiled = compiled_once(total, counter)
    for spare in ((0, 0, 0, 0), (1, 2, 3, 4), (5, 5, 0, 0)):  # beyond nine slots, which are enough for a car
        slots = {kind: 9 + more for kind, more in zip(KINDS, spare, strict=True)}
        scene, points = make_scene([("car", "red", 0), ("car", "red", 1)], slots), torch.ones(2, 9 + spare[1], 3)
        torch.testing.assert_close(compiled(scene, points), total(scene, points))
    assert counter.frame_count == 1


def test_single_pictures_have_the_cameras_that_they_always_had() -> None:
    data, generator = render_dataset(12, 8, "cpu", seed=3, shapes=1), torch.Generator().manual_seed(3)
    cameras = sample_views(12, generator, elevation=(-15, 75), distance=(2.1, 2.7), fov=(40, 50), stratified=False)
    for name in ("azimuth", "elevation", "distance"):
        assert torch.equal(getattr(data, name), getattr(cameras, name))


def test_bytes_over_white_are_those_of_the_picture_over_white() -> None:
    data = render_dataset(8, 16, "cpu", seed=5, shapes=1)
    index = torch.arange(8)
    expected = (data.over(index, torch.ones(8, 3)) * 255).round().byte()
    assert torch.equal(data.over_white(index), expected)
    assert (data.rgba[:, :3] <= data.rgba[:, 3:]).all()


def rows_of(*captions: str) -> torch.Tensor:
    """Rows of `Dataset.objects`."""

    def row(caption: Caption | None) -> list[int]:
        return (
            [NONE, NONE] if caption is None else [NAMES.index(caption.name), ATTRIBUTES.index(str(caption.attribute))]
        )

    parsed = [Caption.parse(text) for text in captions]
    return torch.tensor([row(one) + row(one.base) for one in parsed])


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Captions:
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    objects = rows_of("a red car", "an orange airplane", "a wooden castle on a blue elephant")
    angles = torch.tensor([0.0, 80.0, 315.0]), torch.tensor([10.0, 60.0, 0.0])
    return Captions(tokenizer, Dataset(torch.zeros(3, 4, 8, 8, dtype=torch.uint8), objects, *angles, torch.ones(3)))


def spelled(captions: Captions, tokens: torch.Tensor, tokenizer_words: dict[int, str]) -> str:
    """Tokens as text, up to the end token."""
    words = [tokenizer_words[int(token)] for token in tokens]
    return "".join(words[1 : words.index("<|endoftext|>")]).replace("</w>", " ").replace(" ,", ",").strip()


def test_tokens_spell_the_captions(captions: Captions, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path)
    words = {number: word for word, number in tokenizer.get_vocab().items()}
    index = torch.arange(3)
    mixed, no_form, kept = torch.zeros(3), torch.zeros(3), torch.ones(3)
    tokens, shares = captions.draw(index, torch.stack([mixed, no_form, kept]))
    assert tokens.shape == (3, MIXED, tokenizer.model_max_length)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3))
    # Azimuth 315 is halfway between the right side and the front.
    assert {spelled(captions, row, words) for row in tokens[2, :2]} == {
        "a wooden castle on a blue elephant, right side view",
        "a wooden castle on a blue elephant, front view",
    }
    torch.testing.assert_close(shares[2], torch.tensor([0.5, 0.5, 0.0]))
    texts = ("a red car, front view", "an orange airplane, left side view")
    for tokens_of_one, text in zip(tokens[:2, 0], texts, strict=True):
        assert spelled(captions, tokens_of_one, words) == text
        expected = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length).input_ids
        assert tokens_of_one.tolist() == expected
    nearest, _ = captions.draw(index, torch.stack([torch.full((3,), 0.7), no_form, kept]))
    assert torch.equal(nearest[:, 0], tokens[:, 0])
    bare, shares = captions.draw(index, torch.stack([torch.full((3,), 0.9), torch.full((3,), 0.99), kept]))
    assert [spelled(captions, row, words) for row in bare[:, 0]] == ["a car", "an airplane", "a castle on an elephant"]
    assert torch.equal(shares[:, 0], torch.ones(3))
    dropped, _ = captions.draw(index, torch.zeros(3, 3))
    assert {spelled(captions, row, words) for row in dropped.flatten(0, 1)} == {""}


def test_every_form_of_a_pair_is_its_own_caption() -> None:
    row = rows_of("a red duck on a blue table")[0].tolist()
    assert [str(make_caption(row, form)) for form in FORMS] == [
        "a red duck on a blue table",
        "a red duck on a table",
        "a duck on a blue table",
        "a duck on a table",
    ]


def test_the_held_out_loss_is_that_of_the_noise_and_the_same_at_every_call(
    captions: Captions, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents, drawn = torch.zeros(2, 3, 4, 8, 8), []

    def nothing(_model: None, *inputs: torch.Tensor) -> torch.Tensor:
        drawn.append(inputs)
        return inputs[2].square().mean()  # of predicting zero

    monkeypatch.setattr(denoiser, "denoising_loss", nothing)
    losses = [denoiser.held_out_loss(None, captions, latents, batch=16, rounds=4) for _ in range(2)]  # pyright: ignore
    assert losses[0] == losses[1] == pytest.approx(1, abs=0.05)
    noisy, t, noise, tokens, shares = drawn[0]
    alpha = denoiser.make_scheduler().alphas_cumprod[t][:, None, None, None]
    torch.testing.assert_close(noisy, (1 - alpha).sqrt() * noise)  # all latents are zero
    assert tokens.shape[:2] == shares.shape == (16, MIXED)
    assert len({int(one) for _, t, *_ in drawn[:4] for one in t}) > 50
