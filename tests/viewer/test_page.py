"""Property and fault: the page is whole, keeps to itself, and no text of a run becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreampgc.runs import Run
from dreampgc.viewer.page import SCRIPTS, inert_json, make_page, self_contained, write_page
from tests.viewer.runs import HOSTILE, hostile

STATIC = Path(__file__).parents[2] / "dreampgc" / "viewer" / "static"


class Page(HTMLParser):
    """What a browser finds in a page: elements with their attributes, and the texts of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside][-1] += data

    @property
    def data(self) -> Any:
        """What the page's scripts are given."""
        return json.loads(self.texts["script"][0])

    @property
    def policy(self) -> dict[str, list[str]]:
        """Directives of the policy, with their sources."""
        [content] = [attributes["content"] for _, attributes in self.elements if "http-equiv" in attributes]
        assert content is not None
        return {
            name: sources.split() for name, _, sources in (part.strip().partition(" ") for part in content.split(";"))
        }


def test_the_policy_lets_exactly_the_page_s_own_scripts_and_style_in(finished: Path) -> None:
    page = Page(make_page([Run(finished)]))
    fingerprints = {
        tag: [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in page.texts[tag]
        ]
        for tag in ("script", "style")
    }
    assert page.policy == {
        "default-src": ["'none'"],
        "script-src": fingerprints["script"][1:],  # the first one holds data and never runs
        "style-src": fingerprints["style"],
        "img-src": ["data:", "blob:"],
        "connect-src": ["blob:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    assert len(page.policy["script-src"]) == len(SCRIPTS)


def test_nothing_in_the_page_refers_to_anything_outside(finished: Path) -> None:
    for _, attributes in Page(make_page([Run(finished)])).elements:
        assert "src" not in attributes
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("href", "data:,") == "data:,"


def test_hostile_texts_stay_texts(run: Path, finished: Path) -> None:
    tame, page = Page(make_page([Run(finished)])), Page(make_page([Run(hostile(run))]))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in tame.elements]
    [shown] = page.data["runs"]
    assert shown["prompt"] == shown["config"]["prompt"] == HOSTILE
    assert page.texts["title"] == [f"{HOSTILE} – dreampgc"]
    assert page.texts["script"][1:] == tame.texts["script"][1:]


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_inert_json_says_the_same_and_holds_no_markup(data: Any) -> None:
    text = inert_json(data)
    assert json.loads(text) == data
    assert not set("<>&") & set(text)


def test_lone_surrogates_do_not_stop_the_page(run: Path) -> None:
    record = (run / "run.json").read_text()
    (run / "run.json").write_text(record.replace("a wooden car", "a \\ud800 car"))
    assert Page(make_page([Run(run)])).texts["title"] == ["a ? car – dreampgc"]
    make_page([Run(run)]).encode()


def test_the_page_appears_whole_or_not_at_all(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(tmp_path / "new" / "page.html", [Run(finished), Run(finished)])
    page = Page((tmp_path / "new" / "page.html").read_text(encoding="utf-8"))
    assert len(page.data["runs"]) == 2
    assert page.texts["title"] == ["2 runs – dreampgc"]
    monkeypatch.setattr("dreampgc.viewer.page.read_run", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_page(tmp_path / "new" / "page.html", [Run(finished)])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_scripts_and_styles_cannot_end_their_elements() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").lower()
        assert not re.search(r"</(script|style)|<!--", text), path.name


def test_three_is_bundled_with_its_licence_and_the_versions_of_its_script() -> None:
    text = (STATIC / "three.js").read_text(encoding="utf-8")
    script = (STATIC.parents[2] / "scripts" / "bundle_three").read_text()
    [version] = re.findall(r"^three=(\S+)$", script, re.MULTILINE)
    assert text.startswith(f"/*!\nthree.js {version}")
    assert "Permission is hereby granted, free of charge" in text[:600]
    assert len(text.encode()) < 800_000
    # A three.js of the page's own version registers itself; the bundle must be that one.
    assert f'"{int(version.split(".")[1])}"' in text


def test_other_pages_can_be_made_of_the_same_parts() -> None:
    page = Page(self_contained("A <title>", "view.css", ["chart.js"], {"x": "</script>"}))
    assert page.data == {"x": "</script>"}
    assert page.texts["title"] == ["A <title>"]
    assert len(page.texts["script"]) == 2
