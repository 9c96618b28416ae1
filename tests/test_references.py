"""Property and fault: what a run keeps of its pictures, and reads again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreampgc import references
from dreampgc.config import RunConfig
from dreampgc.errors import InputError
from tests.photographs import BOTTOM, TOP, image_config, write_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def kept(config: RunConfig, folder: Path) -> list[references.Picture]:
    references.keep(references.cut_out(config.image, config.seed), config.image, folder)
    return references.load(config.image, folder, config.seed)


def test_pictures_come_back_over_black_with_their_cameras(tmp_path: Path, folder: Path) -> None:
    files = [write_photo(tmp_path / f"{name}.png") for name in ("front", "back")]
    config = image_config(files[0], image__views=((str(files[1]), 170.0, -5.0),), image__elevation="auto")
    front, back = kept(config, folder)
    assert (front.azimuth, front.elevation, back.azimuth, back.elevation) == (0.0, None, 170.0, -5.0)
    assert front.colour.shape == (1, 3, 64, 64) and front.mask.shape == (1, 1, 64, 64)
    assert (front.colour * (1 - front.mask)).abs().max() < 1e-6
    torch.testing.assert_close(front.colour[0, :, 24, 32], torch.tensor(TOP), atol=0.01, rtol=0)
    torch.testing.assert_close(front.colour[0, :, 40, 32], torch.tensor(BOTTOM), atol=0.01, rtol=0)


def test_the_photographs_are_needed_no_more(tmp_path: Path, folder: Path) -> None:
    file = write_photo(tmp_path / "front.png")
    config = image_config(file)
    first = kept(config, folder)
    file.unlink()
    [again] = references.load(config.image, folder, config.seed)
    assert torch.equal(again.colour, first[0].colour) and torch.equal(again.mask, first[0].mask)


def test_what_a_killed_start_did_not_write_is_cut_out_again(tmp_path: Path, folder: Path) -> None:
    config = image_config(write_photo(tmp_path / "front.png"))
    first = kept(config, folder)
    whole = (folder / "reference.png").read_bytes()
    (folder / "reference.png").unlink()
    [again] = references.load(config.image, folder, config.seed)
    assert (folder / "reference.png").read_bytes() == whole
    assert torch.equal(again.colour, first[0].colour)


def test_a_lost_picture_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    file = write_photo(tmp_path / "front.png")
    config = image_config(file)
    kept(config, folder)
    (folder / "reference.png").write_bytes((folder / "reference.png").read_bytes()[:50])
    with pytest.raises(InputError, match=r"reference\.png"):
        references.load(config.image, folder, config.seed)
    (folder / "reference.png").unlink()
    file.unlink()
    with pytest.raises(InputError, match=r"front\.png"):
        references.load(config.image, folder, config.seed)


def test_smaller_pictures_are_means(tmp_path: Path, folder: Path) -> None:
    [picture] = kept(image_config(write_photo(tmp_path / "front.png")), folder)
    small = picture.resized(8)
    torch.testing.assert_close(small.mask.mean(), picture.mask.mean())
    torch.testing.assert_close(small.colour.mean(), picture.colour.mean())
    white = picture.over_white(8)
    torch.testing.assert_close(white, small.over(torch.ones(1, 3)))
    assert white[0, :, 0, 0].tolist() == [1.0, 1.0, 1.0]


def test_depth_and_normals_lie_beside_the_picture(tmp_path: Path, folder: Path) -> None:
    file = write_photo(tmp_path / "front.png")
    ramp = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "depth.png")
    flat = np.full((64, 64, 3), (128, 128, 255), np.uint8)
    Image.fromarray(flat).save(tmp_path / "normals.png")
    companions = {"image__depth_file": tmp_path / "depth.png", "image__normals_file": tmp_path / "normals.png"}
    [picture] = kept(image_config(file, **{key: str(path) for key, path in companions.items()}), folder)
    assert {path.name for path in folder.iterdir()} == {"reference.png", references.DEPTH_FILE, references.NORMALS_FILE}
    assert picture.depth is not None and picture.normals is not None
    assert (picture.depth[0, 0].diff(dim=1) > 0).float().mean() > 0.9  # the lighter, the farther
    torch.testing.assert_close(picture.normals[0, :, 5, 5], torch.tensor([0.0, 0.0, 1.0]), atol=0.01, rtol=0)
    assert picture.resized(16).depth is not None


def test_companions_need_the_picture_s_own_framing(tmp_path: Path) -> None:
    file = write_photo(tmp_path / "front.png")
    with pytest.raises(InputError, match="set framing to keep"):
        image_config(file, image__framing="fit", image__depth_file="depth.png")


def test_every_file_is_looked_at_before_anything_is_kept(tmp_path: Path) -> None:
    file = write_photo(tmp_path / "front.png")
    (tmp_path / "text.png").write_text("no picture")
    bad = str(tmp_path / "text.png")
    assert len(references.cut_out(image_config(file).image, 0)) == 1
    for options in ({"image__views": ((bad, 0.0, 0.0),)}, {"image__depth_file": bad}, {"image__file": bad}):
        with pytest.raises(InputError, match=r"text\.png"):
            references.cut_out(image_config(file, **options).image, 0)
