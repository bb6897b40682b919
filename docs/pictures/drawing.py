"""What the pictures share: one palette for light and dark, text, lines and boxes as SVG.

python docs/pictures/life_of_a_job.py
python docs/pictures/backoff.py
python docs/pictures/transactions.py
python docs/pictures/limits.py
python docs/pictures/once.py
python docs/pictures/graphs.py
python docs/pictures/fair.py
python docs/pictures/order.py
python docs/pictures/why.py
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

# name: (on light, on dark)
COLOURS = {
    "paper": ("#ffffff", "#0f1720"),
    "panel": ("#f4f6f8", "#17212c"),
    "edge": ("#d5dbe1", "#2b3947"),
    "ink": ("#1d2733", "#e7edf3"),
    "soft": ("#5b6875", "#9aa8b6"),
    "worker": ("#3c4956", "#c3ced9"),
    "sweep": ("#0b7a75", "#4fd1c5"),
    "person": ("#a8327e", "#f08cc9"),
    "blue": ("#1c6dd0", "#6db3ff"),
    "violet": ("#6b4fc8", "#b09cff"),
    "amber": ("#b26a00", "#ffc14d"),
    "orange": ("#c2410c", "#ff9a5c"),
    "green": ("#1a7f37", "#56d364"),
    "red": ("#c42b3a", "#ff7b85"),
    "grey": ("#66727e", "#a3b0bc"),
}

_RULES = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.halo { paint-order: stroke; stroke-width: 5px; stroke-linejoin: round }
.line { fill: none; stroke-linecap: round; stroke-linejoin: round }
"""


def picture(width: int, height: int, title: str, description: str, body: Iterable[str]) -> str:
    """A whole SVG file with a rounded sheet of paper, so that it reads on any page."""
    lines = "\n".join(body)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" \
role="img" aria-labelledby="title description">
<title id="title">{escape(title)}</title>
<desc id="description">{escape(description)}</desc>
<style>
{_RULES}{_scheme(0)}@media (prefers-color-scheme: dark) {{
{_scheme(1)}}}
</style>
<defs>
{arrow_heads()}
</defs>
<rect class="paper" width="{width}" height="{height}" rx="16"/>
{lines}
</svg>
"""


def _scheme(dark: int) -> str:
    """The classes for one of the two schemes. No CSS variables: not every viewer knows them."""
    rules = [
        f".f-{name} {{ fill: {pair[dark]} }} .s-{name} {{ stroke: {pair[dark]} }}" for name, pair in COLOURS.items()
    ]
    of = {name: pair[dark] for name, pair in COLOURS.items()}
    rules += [
        f"text {{ fill: {of['ink']} }} .soft {{ fill: {of['soft']} }} .halo {{ stroke: {of['paper']} }}",
        f".paper {{ fill: {of['paper']} }} .panel {{ fill: {of['panel']}; stroke: {of['edge']} }}",
        f".grid {{ stroke: {of['edge']}; stroke-width: 1 }}",
    ]
    return "\n".join(rules) + "\n"


def arrow_heads() -> str:
    """A head for each colour: `context-stroke` would do with one, but not all viewers know it."""
    return "\n".join(
        f'<marker id="head-{name}" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="11" markerHeight="11" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="f-{name}" d="M0 0.8 L10 5 L0 9.2 L2.4 5 z"/></marker>'
        for name in ("worker", "sweep", "person")
    )


def text(
    x: float, y: float, content: str, *, size: float = 14, anchor: str = "start", weight: int = 400, css: str = ""
) -> str:
    """One line of text; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" '
        f'class="{css}">{escape(content)}</text>'
    )


def path(d: str, *, colour: str, dash: str = "", head: bool = False, width: float = 2, css: str = "line") -> str:
    """A line in a colour of the palette, with an arrow head at its end if wanted."""
    extra = f' stroke-dasharray="{dash}"' if dash else ""
    extra += f' marker-end="url(#head-{colour})"' if head else ""
    return f'<path class="{css} s-{colour}" stroke-width="{width:g}" d="{d}"{extra}/>'


def box(x: float, y: float, width: float, height: float, *, css: str = "panel", radius: int = 14) -> str:
    """A rounded rectangle by its top left corner."""
    return f'<rect class="{css}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}"/>'


def save(content: str, name: str) -> None:
    """Write a picture beside its script."""
    Path(__file__).with_name(name).write_text(content, "utf-8")
