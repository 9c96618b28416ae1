"""Fault: probes that crash, hang or fail are findings, never the end of the program."""

from __future__ import annotations

import pytest

from dreampgc import doctor
from dreampgc.priors import catalog


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("pass", None),
        ("raise ValueError('no kernels')", "ValueError: no kernels"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed (SIGSEGV)"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
    ],
)
def test_probe_tells_the_reason(code: str, reason: str | None) -> None:
    assert doctor.probe(code, seconds=2) == reason


def test_report_covers_everything_and_gives_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "installed", lambda name: None)
    findings = doctor.examine()
    assert {finding.topic for finding in findings} == {"version", "device", "accelerator", "prior", "codec"}
    assert {finding.name for finding in findings if finding.topic == "prior"} == catalog.KNOWN.keys()
    assert all(finding.note for finding in findings if finding.state in ("missing", "not in use"))
