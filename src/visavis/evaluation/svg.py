"""Matplotlib figures as SVG that uses the colors and fonts of its page.

The colors of ``visavis.plots`` become CSS variables: one plot for the light theme, the dark theme
and print.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from visavis import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES: Final = {
    plots.INK: "ink",
    plots.MUTED: "muted",
    plots.RULE: "rule",
    plots.MATED: "mated",
    plots.NON_MATED: "non-mated",
    plots.ACCENT: "accent",
    plots.PAPER: "paper",
    **{color: f"s{k}" for k, color in enumerate(plots.SERIES)},
}


def render(figure: Figure, *, name: str, title: str, description: str) -> str:
    """Returns the figure as an ``<svg>`` element for HTML.

    Args:
        figure: figure in the colors of ``visavis.plots``.
        name: unique name on the page, prefix of all ids.
        title: title for screen readers.
        description: description for screen readers.
    """
    from html import escape

    text = plots.as_svg(figure, name=name, transparent=True)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r" font-family: [^;\"]*;?", "", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var(--{variable})")
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.S)
    opening, rest = text.split(">", 1)
    frame = re.search(r'viewBox="[^"]*"', opening)
    return (
        f'<svg class="plot" role="img" aria-labelledby="{name}-t {name}-d" '
        f"{frame.group() if frame else ''}>"
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{rest}'
    )
