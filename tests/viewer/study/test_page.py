"""Integration: people at the page, in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreampgc.viewer.study.votes import Vote, Votes
from tests.browser import Browser
from tests.viewer.study.clients import METHODS, PROMPTS, Served, served, write_mesh


def votes(study: Served) -> list[Vote]:
    store = Votes(study.database, create=False)
    found = store.all()
    store.close()
    return found


def wait_for_question(browser: Browser, number: int) -> str:
    """Wait until question ``number`` and its models are shown; returns its prompt."""
    browser.wait(lambda: browser.find("#count").text == f"{number} of 3", f"question {number} did not come")
    browser.wait(lambda: len(browser.find_all(".model[data-shown]")) == 4, "not all models were shown")
    return browser.find("#prompt").text.strip("“”")


def message(browser: Browser) -> str:
    browser.wait(lambda: browser.find("#message").is_displayed(), "nothing was said")
    return browser.find("#message").text


def pick(browser: Browser, position: int) -> None:
    browser.find_all(".model label")[position].click()
    browser.find("#next").click()


def test_a_voter_votes_reloads_goes_back_and_is_thanked(browser: Browser, study: Served) -> None:
    browser.open(study.links["voter"])
    first = wait_for_question(browser, 1)
    assert browser.find("#ask").text == "Which one do you prefer?"
    assert not browser.find("#next").is_enabled(), "nothing is picked yet"
    page = browser.run("return document.documentElement.outerHTML")
    assert not any(method in page for method in METHODS)
    assert browser.run("return document.cookie") == "", "cookies are out of reach for scripts"
    pick(browser, 2)
    second = wait_for_question(browser, 2)
    [vote] = votes(study)
    assert vote.prompt == first
    assert vote.picked == vote.shown[2], "the third from the left"

    browser.driver.refresh()
    assert wait_for_question(browser, 2) == second, "a reload asks the same again"
    assert not browser.find("#next").is_enabled()
    browser.driver.get("about:blank")
    browser.driver.back()
    assert wait_for_question(browser, 2) == second
    assert len(votes(study)) == 1

    pick(browser, 0)
    third = wait_for_question(browser, 3)
    assert {first, second, third} == set(PROMPTS)
    pick(browser, 3)
    assert message(browser).startswith("Thank you")
    browser.driver.refresh()
    assert message(browser).startswith("Thank you")
    by_prompt = {vote.prompt: vote.shown.index(vote.picked) for vote in votes(study)}
    assert [by_prompt[prompt] for prompt in (first, second, third)] == [2, 0, 3]

    assert browser.problems() == []
    requests = browser.requests()
    assert all(url.startswith(f"http://127.0.0.1:{study.port}/") for url in requests)
    assert not any(method in url for url in requests for method in METHODS)
    assert sum(url.endswith(".glb") for url in requests) >= 12


def test_models_of_any_size_look_alike_and_move_together(browser: Browser, study: Served) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    for method, size in zip(METHODS, (0.5, 300, 0.002, 1), strict=True):
        for mesh in (study.folder / method).iterdir():
            write_mesh(mesh, size=size)
    browser.open(study.links["voter"])
    wait_for_question(browser, 1)
    canvases = browser.find_all("canvas")

    def pictures() -> list[np.ndarray]:
        return [browser.picture(canvas).astype(int) for canvas in canvases]

    def all_differ(before: list[np.ndarray]) -> bool:
        return all(np.abs(one - other).max() > 20 for one, other in zip(before, pictures(), strict=True))

    still = pictures()
    assert still[0].std() > 5, "there is something in the picture"
    # The same mesh but for its size; one pixel is left to rounding.
    assert all(np.abs(picture - still[0]).mean() < 1 for picture in still)
    ActionChains(browser.driver).drag_and_drop_by_offset(canvases[1], 60, 20).perform()
    browser.wait(lambda: all_differ(still), "not every model has turned")
    turned = pictures()
    ActionChains(browser.driver).move_to_element(canvases[2]).scroll_from_origin(
        ScrollOrigin.from_element(canvases[2]), 0, -300
    ).perform()
    browser.wait(lambda: all_differ(turned), "not every model has come closer")
    ActionChains(browser.driver).double_click(canvases[0]).perform()
    browser.wait(
        lambda: all(np.abs(a - b).mean() < 1 for a, b in zip(still, pictures(), strict=True)), "not as in the beginning"
    )
    assert votes(study) == []
    assert browser.problems() == []


def test_keys_are_enough(browser: Browser, study: Served) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(study.links["voter"])
    wait_for_question(browser, 1)
    browser.find("input").send_keys(Keys.SPACE, Keys.ARROW_RIGHT, Keys.ENTER)
    wait_for_question(browser, 2)
    [vote] = votes(study)
    assert vote.picked == vote.shown[1]


def test_a_model_that_does_not_load_holds_the_vote_until_it_does(browser: Browser, study: Served) -> None:
    methods = [study.folder / method for method in METHODS]
    methods[0].rename(study.folder / "away")
    browser.open(study.links["voter"])
    browser.wait(lambda: browser.find_all(".state button"), "nothing offers to try again")
    browser.wait(lambda: len(browser.find_all(".model[data-shown]")) == 3, "the others are not shown")
    assert not any(radio.is_enabled() for radio in browser.find_all("input"))
    (study.folder / "away").rename(methods[0])
    browser.find(".state button").click()
    wait_for_question(browser, 1)
    pick(browser, 0)
    wait_for_question(browser, 2)
    assert len(votes(study)) == 1


def test_a_vote_that_does_not_get_through_can_be_sent_again(browser: Browser, folder: Path) -> None:
    with served(folder) as study:
        browser.open(study.links["voter"])
        wait_for_question(browser, 1)
    pick(browser, 1)
    browser.wait(lambda: "did not get through" in browser.find("#trouble").text, "the failure was not told")
    with served(folder, port=study.port) as again:
        browser.find("#next").click()
        wait_for_question(browser, 2)
        assert len(votes(again)) == 1


def test_links_with_tokens_work_in_a_browser(browser: Browser, folder: Path) -> None:
    with served(folder, token="a-token-of-mine") as study:
        browser.open(f"http://127.0.0.1:{study.port}/")
        assert "link that you were sent" in browser.find("main").text
        # As from a mail that is read in a browser: another page leads here, and not as one of this server's.
        browser.open("data:text/html,<a href='" + study.links["voter"].replace("127.0.0.1", "localhost") + "'>link</a>")
        browser.find("a").click()
        wait_for_question(browser, 1)
        assert browser.driver.current_url == f"http://localhost:{study.port}/", "the token is gone from the address"
        browser.driver.refresh()
        wait_for_question(browser, 1)
        assert browser.problems() == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_owner_sees_results(browser: Browser, study: Served, dark: bool) -> None:
    store = Votes(study.database)
    for number in range(30):
        picked = METHODS[min(number % 6, 3)]
        store.add(Vote(f"voter-{number}", PROMPTS[number % 3].replace(" ", "-"), PROMPTS[number % 3], METHODS, picked))
    browser.open(study.links["owner"], dark=dark)
    rows = [row.text for row in browser.find_all(".overall tbody tr")]
    assert rows[0].split() == ["vae", "50.0", "%", "33.2", "–", "66.8", "%", "15", "of", "30"]
    assert len(rows) == 4
    assert [
        row.text.split("\n")[0].startswith(PROMPTS[n]) for n, row in enumerate(browser.find_all(".prompts tbody tr"))
    ]
    # The drawing obeys the page's policy: the best method's dot is in the middle of its axis.
    place = """const [dot, plot] = ["circle", ".plot svg"].map((name) => document.querySelector(name))
        .map((element) => element.getBoundingClientRect());
        return (dot.x + dot.width / 2 - plot.x) / plot.width"""
    assert browser.run(place) == pytest.approx(0.5, abs=0.01)
    assert browser.problems() == []
    assert browser.requests() == [study.links["owner"], f"http://127.0.0.1:{study.port}/study.css"]


def test_a_study_that_has_changed_goes_on_with_what_it_asks_now(browser: Browser, folder: Path) -> None:
    with served(folder) as study:
        browser.open(study.links["voter"])
        gone = wait_for_question(browser, 1)
    (folder / "vae" / f"{gone.replace(' ', '-')}.glb").unlink()
    with served(folder, port=study.port) as again:
        pick(browser, 1)
        browser.wait(lambda: browser.find("#count").text == "1 of 2", "the page did not take notice")
        assert browser.find("#prompt").text.strip("“”") != gone
        assert votes(again) == []


def test_nothing_runs_over_the_edge(browser: Browser, study: Served) -> None:
    browser.open(study.links["voter"])
    wait_for_question(browser, 1)
    for width in (500, 800, 1600):  # Chromium's windows are no narrower
        browser.driver.set_window_size(width, 900)
        browser.wait(lambda width=width: browser.run("return innerWidth") == width, "the window keeps its size")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        boxes = browser.run("return [...document.querySelectorAll('.view')].map((one) => one.getBoundingClientRect())")
        assert all(box["width"] >= 150 and abs(box["width"] - box["height"]) < 1 for box in boxes)
        assert browser.run("return document.documentElement.scrollHeight <= innerHeight"), "one question, one screen"
