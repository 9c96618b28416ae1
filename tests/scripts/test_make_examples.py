"""Integration: the example pictures are those that their script makes."""

from __future__ import annotations

import sys
from pathlib import Path

import make_examples
import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZE = 64


def test_the_script_makes_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make_examples.py", "--output", str(tmp_path), "--size", str(SIZE)])
    make_examples.main()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in EXAMPLES.iterdir()}
    for path in EXAMPLES.iterdir():
        with Image.open(path) as image, Image.open(tmp_path / path.name) as made:
            assert made.mode == image.mode == ("RGB" if path.suffix == ".jpg" else "RGBA")
            small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
            # The same but for noise, JPEG's blocks and edges, which are a few pixels of a small picture.
            difference = np.abs(np.asarray(small, float) - np.asarray(made, float)).mean(axis=-1)
            assert np.median(difference) < 4 and (difference > 25).mean() < 0.03, path.name
