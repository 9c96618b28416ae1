"""Runs for the pages' tests: copies of a finished one, with files that were lost, cut or altered."""

from __future__ import annotations

import shutil
from pathlib import Path

from dreampgc.runs import Run

#: A prompt that tries to become markup, script, an attribute, a comment and a closing tag.
HOSTILE = """</script><script>alert(1)</script><!-- <img src=x onerror="alert(2)"> & ' " \u2028 ]]> \\u003c 木の車"""


def lose(run: Path, *names: str) -> None:
    """Remove files and folders of a run."""
    for name in names:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()


def cut(path: Path) -> None:
    """Leave the first half of a file, less what makes its last line whole: half a TOML file may be valid TOML."""
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half[: half.rindex(b"=") + 1] if path.suffix == ".toml" else half)


def hostile(run: Path) -> Path:
    """Let every text of a run be `HOSTILE`."""
    Run(run).update(prompt=HOSTILE, error=HOSTILE, prior=HOSTILE, device=HOSTILE, versions={"dreampgc": HOSTILE})
    text = (run / "config.toml").read_text(encoding="utf-8")
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    (run / "config.toml").write_text(text.replace('"a wooden car"', f'"{quoted}"'), encoding="utf-8")
    return run
