"""The page of a comparison: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from PIL import Image

from dreampgc.comparison.figure import colour_scale
from dreampgc.comparison.plan import SPACES, Block, Plan, Space
from dreampgc.comparison.results import Result
from dreampgc.files import replacing
from dreampgc.images import Frame

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e22; --faint: #667; --line: #dde; --paper: #fff; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e9ec; --faint: #9aa; --line: #334; --paper: #14161a; --card: #1d2026; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 84rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 2rem; font-weight: 650; margin: 0; }
h2 { font-size: 1.35rem; margin: 3.5rem 0 .25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
p, figcaption { max-width: 46rem; color: var(--faint); margin: .35rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th { font-weight: 600; text-align: center; padding: .35rem .5rem; white-space: nowrap; }
th[scope=row] { text-align: left; font-weight: 400; color: var(--faint); }
table.pictures td { padding: .2rem; vertical-align: top; min-width: 6rem; }
table.pictures img { display: block; width: 100%; min-width: 6rem; max-width: 12rem; border-radius: 6px; }
table.pictures img.gradient { image-rendering: pixelated; }
table.pictures td.none { color: var(--faint); text-align: center; vertical-align: middle; background: var(--card);
  border-radius: 6px; }
table.numbers { font-variant-numeric: tabular-nums; margin-top: .5rem; }
table.numbers td { text-align: right; padding: .3rem .9rem; border-top: 1px solid var(--line); }
table.numbers th { text-align: right; padding: .3rem .9rem; }
table.numbers th[scope=row] { text-align: left; color: var(--ink); border-top: 1px solid var(--line); }
.scale { display: inline-block; text-align: center; margin: .75rem 0; }
.scale img { display: block; width: 22rem; max-width: 80vw; height: 14px; border-radius: 4px; }
.scale div { display: flex; justify-content: space-between; font-size: .85rem; color: var(--faint); }
"""

_INTRODUCTION = """
A diffusion prior says how the latents of an image should change; each method brings that to the pixels in its own
way (Pan et al., ICLR 2024, Fig. 2). <b>latent</b> trains latents and has no image gradient; <b>vae</b> takes the
encoder's exact gradient; <b>linear</b> replaces the encoder by a linear map; <b>pngd</b>, <b>pgc-v</b> and
<b>pgc-n</b> take the exact gradient and normalise it, clip its channels, or clip its norm, at each pixel. All runs
share seed, steps and optimiser.
"""

_TITLES: dict[Space, str] = {
    "2d": "2D: an image, optimised directly",
    "3d": "3D: a radiance field, then its mesh",
}
_VIEWS: dict[Space, tuple[str, ...]] = {"2d": ("image",), "3d": ("from the front", "from behind")}

#: Columns of the table of numbers: heading, key of `Result.numbers`, format.
_NUMBERS = (
    ("median", "median", "{:.2g}"),
    ("99th percentile", "p99", "{:.2g}"),
    ("maximum", "maximum", "{:.2g}"),
    ("maximum / median", "spike", "{:.0f}"),
    ("above c", "clipped", "{:.1%}"),
)


def write_page(path: Path, plan: Plan, results: Mapping[str, Result]) -> None:
    """Write the page; every picture is embedded."""
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_page(plan, results)) + "\n", encoding="utf-8")


def _page(plan: Plan, results: Mapping[str, Result]) -> Iterator[str]:
    first = next(iter(results.values()))
    config, record = first.variant.config, first.record
    prompt = escape(plan.prompt)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<title>{prompt}: dreampgc compare</title>"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>“{prompt}”</h1>"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    settings = f"prior {record['prior']}, preset {config.preset}, seed {config.seed}, on {record['device']}; {versions}"
    yield f"<p>{escape(settings)}</p>\n<p>{_INTRODUCTION}</p>"
    yield from _scale()
    for block in plan.blocks:
        yield f"<h2>{escape(block.title)}</h2>"
        for space in SPACES:
            if space in block.variants:
                yield from _section(block, space, [results[variant.folder] for variant in block.variants[space]])
    yield "</body>\n</html>"


def _scale() -> Iterator[str]:
    yield '<figure style="margin: 1.5rem 0 0"><div class="scale">'
    yield f"{_image(colour_scale(352, 14), 'colour scale of gradient norms')}"
    yield "<div><span><i>c</i> / 1000</span><span><i>c</i></span><span>1000 <i>c</i></span></div></div>"
    yield "<figcaption>Colours of the gradient pictures: the norm of each pixel's gradient relative to the threshold"
    yield "<i>c</i>, at an early, a middle and the last step. Cyan marks pixels that are not finite."
    yield "</figcaption></figure>"


def _section(block: Block, space: Space, results: list[Result]) -> Iterator[str]:
    """Pictures, then numbers, of one space."""
    yield f'<h3>{_TITLES[space]}, {results[0].variant.config.loop.steps} steps</h3>\n<div class="scroll">'
    yield '<table class="pictures">\n<tr><td></td>'
    yield from (f'<th scope="col">{escape(label)}</th>' for label in block.labels)
    yield "</tr>"
    for number, name in enumerate(_VIEWS[space]):
        yield from _row(name, results, [r.views[number] if r.views else None for r in results], "")
    for number in range(max(len(result.gradients) for result in results)):
        shown = [result.gradients[number] if number < len(result.gradients) else None for result in results]
        step = next(gradient.step for gradient in shown if gradient is not None)
        yield from _row(f"step {step}, before", results, [g.raw if g else None for g in shown], "gradient")
        yield from _row(f"step {step}, after", results, [g.shaped if g else None for g in shown], "gradient")
    yield "</table>\n</div>"
    yield from _numbers(block, results)


def _row(name: str, results: list[Result], frames: list[Frame | None], kind: str) -> Iterator[str]:
    yield f'<tr><th scope="row">{escape(name)}</th>'
    for result, frame in zip(results, frames, strict=True):
        if frame is None:
            yield f'<td class="none" title="{escape(result.error or "")}">{escape(result.state)}</td>'
        else:
            yield f"<td>{_image(frame, f'{result.variant.folder}, {name}', kind)}</td>"
    yield "</tr>"


def _numbers(block: Block, results: list[Result]) -> Iterator[str]:
    yield '<div class="scroll"><table class="numbers">\n<tr><th scope="row">norms before shaping</th>'
    yield from (f'<th scope="col">{heading}</th>' for heading, _, _ in _NUMBERS)
    yield '<th scope="col">seconds</th></tr>'
    for label, result in zip(block.labels, results, strict=True):
        yield f'<tr><th scope="row">{escape(label)}</th>'
        for _, key, form in _NUMBERS:
            yield f"<td>{form.format(result.numbers[key]) if key in result.numbers else '–'}</td>"
        seconds = result.record["timings"].get("train")
        yield f"<td>{'–' if seconds is None else format(seconds, '.0f')}</td></tr>"
    yield "</table></div>"


def _image(frame: Frame, text: str, kind: str = "") -> str:
    """The frame as an element that carries its own pixels."""
    buffer = io.BytesIO()
    # Latents' gradients are shown enlarged: so few pixels must be exact.
    Image.fromarray(frame).save(buffer, format="WEBP", quality=90, lossless=frame.shape[1] < 64)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    sort = f' class="{kind}"' if kind else ""
    return f'<img{sort} src="data:image/webp;base64,{data}" alt="{escape(text)}">'
