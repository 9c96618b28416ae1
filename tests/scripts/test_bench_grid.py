"""Integration: the benchmark of the hash grid on a CPU."""

from __future__ import annotations

import sys

import bench_grid
import pytest


def test_a_table_of_both_fields(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_grid.py", "--device", "cpu", "--points", "64", "--rounds", "1"])
    bench_grid.main()
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith(("| mini", "| f"))]
    assert [(field.strip(), what.split()[0]) for field, what in rows if field.strip() != "field"] == [
        ("mini", "formula"),
        ("mini", "the"),
        ("full", "formula"),
        ("full", "the"),
    ]
