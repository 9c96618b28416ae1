"""The results of a study for its owner: a page, rows for the terminal, and a table of all votes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from dreampgc.viewer.study.shares import Share, tally
from dreampgc.viewer.study.votes import Vote

_TEMPLATE = Path(__file__).parent / "static" / "results.html"
COLUMNS = ("question", "method", "votes", "of", "share", "low", "high")
#: Marks on the axis of shares, in percent.
_TICKS = (0, 25, 50, 75, 100)


def results_rows(votes: Sequence[Vote]) -> list[tuple[str, str, int, int, float, float, float]]:
    """`COLUMNS` of every method: over all questions (``all``), then for each question."""
    groups = [("all", tally(votes)), *((key, shares) for key, (_, shares) in _by_question(votes).items())]
    return [
        (key, s.method, s.picked, s.shown, round(s.share, 4), round(s.low, 4), round(s.high, 4))
        for key, shares in groups
        for s in shares
    ]


def results_csv(votes: Sequence[Vote]) -> str:
    """A line for each vote. Voters are numbered by their first vote; ``position`` counts from 1, from the left."""
    numbers: dict[str, int] = {}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("voter", "question", "prompt", "picked", "position", "shown", "at"))
    for vote in votes:
        voter = numbers.setdefault(vote.voter, len(numbers) + 1)
        position = vote.shown.index(vote.picked) + 1
        writer.writerow((voter, vote.question, vote.prompt, vote.picked, position, "|".join(vote.shown), vote.at))
    return file.getvalue()


def results_page(votes: Sequence[Vote], ask: str) -> str:
    """The page: shares with their intervals as a picture and as numbers, over all prompts and for each."""
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    shares = tally(votes)
    body = _overall(shares, votes) + _prompts([share.method for share in shares], votes) if votes else _NOTHING
    return template.substitute(ask=escape(ask), summary=results_summary(votes), body=body)


_NOTHING = '<p class="nothing">There are no votes yet.</p>'


def results_summary(votes: Sequence[Vote]) -> str:
    """How many votes, voters and prompts there are."""
    voters, questions = len({vote.voter for vote in votes}), len({vote.question for vote in votes})
    return f"{_count(len(votes), 'vote')} · {_count(voters, 'voter')} · {_count(questions, 'prompt')}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _by_question(votes: Sequence[Vote]) -> dict[str, tuple[str, list[Share]]]:
    """Prompt and shares of each question, by key."""
    groups: dict[str, list[Vote]] = {}
    for vote in sorted(votes, key=lambda vote: vote.question):
        groups.setdefault(vote.question, []).append(vote)
    return {key: (group[0].prompt, tally(group)) for key, group in groups.items()}


def _overall(shares: Sequence[Share], votes: Sequence[Vote]) -> str:
    """The main table: a dot for each share, a line for its interval."""
    # What somebody who picks blindly would give every method.
    chance = 100 * sum(1 / len(vote.shown) for vote in votes) / len(votes)
    rows = "".join(
        f'<tr><th scope="row">{escape(share.method)}</th><td class="plot">{_plot(share, chance)}</td>'
        f'<td class="share">{_percent(share.share)}</td><td>{100 * share.low:.1f} – {_percent(share.high)}</td>'
        f"<td>{share.picked:,} of {share.shown:,}</td></tr>"
        for share in shares
    )
    ticks = "".join(f'<text x="{tick}%" y="12">{tick} %</text>' for tick in _TICKS)
    return (
        '<table class="overall"><thead><tr><th scope="col">Method</th><td></td><th scope="col">Share</th>'
        f'<th scope="col">95 % interval</th><th scope="col">Votes</th></tr></thead><tbody>{rows}</tbody>'
        f'<tfoot><tr><td></td><td class="plot"><svg height="34" aria-hidden="true">{ticks}'
        f'<text class="chance" x="{chance:.2f}%" y="30">chance</text></svg></td>'
        '<td colspan="3"></td></tr></tfoot></table>'
    )


def _plot(share: Share, chance: float) -> str:
    low, middle, high = (f"{100 * value:.2f}%" for value in (share.low, share.share, share.high))
    grid = "".join(f'<line class="grid" x1="{tick}%" x2="{tick}%" y1="0" y2="44"/>' for tick in _TICKS)
    return (
        f'<svg height="44" aria-hidden="true">{grid}<line class="chance" x1="{chance:.2f}%" x2="{chance:.2f}%" y1="0"'
        f' y2="44"/><line class="interval" x1="{low}" x2="{high}" y1="22" y2="22"/>'
        f'<circle cx="{middle}" cy="22" r="7"/></svg>'
    )


def _prompts(methods: Sequence[str], votes: Sequence[Vote]) -> str:
    """A row for each question, a column for each method."""
    head = "".join(f'<th scope="col">{escape(method)}</th>' for method in methods)
    rows = "".join(_prompt(methods, key, prompt, shares) for key, (prompt, shares) in _by_question(votes).items())
    return (
        '<h2>By prompt</h2><div class="wide"><table class="prompts"><thead><tr><th scope="col">Prompt</th>'
        f'{head}<th scope="col">Votes</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _prompt(methods: Sequence[str], key: str, prompt: str, shares: Sequence[Share]) -> str:
    own = {share.method: share for share in shares}
    place, _, _ = key.rpartition("/")
    name = escape(prompt) + (f" <small>{escape(place)}</small>" if place else "")
    best = max(share.picked for share in shares)
    cells = "".join(_cell(own.get(method), best) for method in methods)
    return f'<tr><th scope="row">{name}</th>{cells}<td>{sum(share.picked for share in shares):,}</td></tr>'


def _cell(share: Share | None, best: int) -> str:
    if share is None:
        return '<td class="none">–</td>'
    kind = ' class="best"' if share.picked == best else ""
    return (
        f"<td{kind}><b>{_percent(share.share, 0)}</b> <small>{100 * share.low:.0f} – {100 * share.high:.0f}</small>"
        f'<svg height="4" aria-hidden="true"><rect width="100%" height="4" rx="2"/>'
        f'<rect class="bar" width="{100 * share.share:.2f}%" height="4" rx="2"/></svg></td>'
    )


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
