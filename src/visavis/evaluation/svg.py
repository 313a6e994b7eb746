"""Matplotlib figures as SVG that takes its colours and fonts from the page around it.

Figures are drawn with stand-in colours, which become CSS variables: one picture serves the light
page, the dark page and paper.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#010203"
MUTED: Final = "#010204"
RULE: Final = "#010205"
MATED: Final = "#010206"
NON_MATED: Final = "#010207"
ACCENT: Final = "#010208"
PAPER: Final = "#010209"
SERIES: Final = tuple(f"#0103{k:02x}" for k in range(8))
"""Eight colours that are told apart with any kind of colour vision."""

_VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    MATED: "mated",
    NON_MATED: "non-mated",
    ACCENT: "accent",
    PAPER: "paper",
    **{colour: f"s{k}" for k, colour in enumerate(SERIES)},
}
_SIZE: Final = (4.7, 3.55)
_FONT: Final = 8.6


def axes(*, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """A figure of its own (no pyplot state) with one quiet pair of axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    panel = figure.add_subplot()
    panel.set_facecolor("none")
    figure.set_facecolor("none")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color(RULE)
    panel.tick_params(which="both", color=RULE, labelcolor=MUTED, labelsize=_FONT, length=3)
    panel.tick_params(which="minor", length=0)
    panel.grid(True, which="major", color=RULE, linewidth=0.6)
    panel.set_axisbelow(True)
    for axis in (panel.xaxis, panel.yaxis):
        axis.label.set_color(INK)
        axis.label.set_fontsize(_FONT)
    return figure, panel


def legend(panel: Axes, **options: Any) -> None:
    """A legend without a frame, in the page's ink."""
    panel.legend(frameon=False, fontsize=_FONT, labelcolor=INK, handlelength=1.4, **options)


def note(panel: Axes, text: str, x: float, y: float, **options: Any) -> None:
    """A small text at data coordinates."""
    settings: dict[str, Any] = {"color": MUTED, "fontsize": _FONT - 0.6, **options}
    panel.text(x, y, text, **settings)


def render(figure: Figure, *, name: str, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element to be put into HTML.

    Args:
        figure: drawn in the stand-in colours of this module.
        name: unique on the page; prefixes all ids.
        title: what a screen reader says first.
        description: what the picture shows, for those who do not see it.
    """
    from html import escape

    import matplotlib as mpl

    buffer = io.StringIO()
    # Text stays text, to be set in the page's font; a fixed salt makes ids the same every time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r" font-family: [^;\"]*;?", "", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.S)
    opening, rest = text.split(">", 1)
    frame = re.search(r'viewBox="[^"]*"', opening)
    return (
        f'<svg class="plot" role="img" aria-labelledby="{name}-t {name}-d" '
        f"{frame.group() if frame else ''}>"
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{rest}'
    )
