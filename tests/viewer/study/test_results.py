"""Integration: rows, table and page of results."""

from __future__ import annotations

import csv
import io

from dreampgc.viewer.study.results import COLUMNS, results_csv, results_page, results_rows, results_summary
from dreampgc.viewer.study.shares import wilson
from dreampgc.viewer.study.votes import Vote

AT = "2026-11-22T10:00:00+00:00"
VOTES = [
    Vote("x", "seed-0/a-car", "a <b>car</b>", ("vae", "pgc-n"), "pgc-n", AT),
    Vote("x", "seed-1/a-car", "a <b>car</b>", ("pgc-n", "vae"), "pgc-n", AT),
    Vote("y", "seed-0/a-car", "a <b>car</b>", ("pgc-n", "vae"), "vae", AT),
    Vote("z", "seed-0/a-car", "a <b>car</b>", ("vae", "pgc-n"), "pgc-n", AT),
]


def test_rows_are_shares_over_all_questions_and_of_each() -> None:
    low, high = (round(bound, 4) for bound in wilson(3, 4))
    rows = results_rows(VOTES)
    assert [row[:4] for row in rows] == [
        ("all", "pgc-n", 3, 4),
        ("all", "vae", 1, 4),
        ("seed-0/a-car", "pgc-n", 2, 3),
        ("seed-0/a-car", "vae", 1, 3),
        ("seed-1/a-car", "pgc-n", 1, 1),
        ("seed-1/a-car", "vae", 0, 1),
    ]
    assert rows[0][4:] == (0.75, low, high)
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_table_has_a_line_for_each_vote_and_no_cookies() -> None:
    lines = list(csv.DictReader(io.StringIO(results_csv(VOTES))))
    assert [line["voter"] for line in lines] == ["1", "1", "2", "3"]
    assert [line["position"] for line in lines] == ["2", "1", "2", "2"]
    assert lines[0] == {
        "voter": "1", "question": "seed-0/a-car", "prompt": "a <b>car</b>", "picked": "pgc-n", "position": "2",
        "shown": "vae|pgc-n", "at": AT,
    }  # fmt: skip


def test_page_shows_every_number_and_escapes_names() -> None:
    page = results_page(VOTES, "Which <i>one</i>?")
    assert "Which &lt;i&gt;one&lt;/i&gt;?" in page
    assert "a &lt;b&gt;car&lt;/b&gt;" in page
    low, high = wilson(3, 4)
    for part in (
        "pgc-n",
        "75.0 %",
        f"{100 * low:.1f} – {100 * high:.1f} %",
        "3 of 4",
        "25.0 %",
        "1 of 4",
        "seed-1",
        "4 votes · 3 voters",
    ):
        assert part in page, part
    assert 'x="50.00%" y="30">chance' in page
    assert "style=" not in page, "the page's policy forbids styles in attributes"


def test_page_without_votes_says_so() -> None:
    assert "no votes yet" in results_page([], "Which?")
    assert results_summary([]) == "0 votes · 0 voters · 0 prompts"
    assert results_rows([]) == []
