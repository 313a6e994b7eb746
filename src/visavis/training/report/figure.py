"""One way of drawing, and of saving a picture as SVG and PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1c1d20"
MUTED: Final = "#5f636b"
RULE: Final = "#e0e1e0"
MATED: Final = "#0064a6"
NON_MATED: Final = "#b84a00"
ACCENT: Final = "#00785a"
PAPER: Final = "#ffffff"
SERIES: Final = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b38600", "#56b4e9", "#882255", "#44403c",
)  # fmt: skip
"""Eight colours that are told apart with any kind of colour vision."""

_SIZE: Final = (4.9, 3.4)
_FONT: Final = 8.6
_DPI: Final = 160


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture.

    Attributes:
        name: of its files, without suffix.
        title: in a few words.
        caption: what it shows.
        svg: the ``<svg>`` element.
        png: bytes of the PNG file.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def axes(*, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """A figure of its own (no pyplot state) with one quiet pair of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    panel = figure.add_subplot()
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
    """A legend without a frame."""
    panel.legend(frameon=False, fontsize=_FONT, labelcolor=INK, handlelength=1.4, **options)


def note(panel: Axes, text: str, x: float, y: float, **options: Any) -> None:
    """A small text at data coordinates."""
    settings: dict[str, Any] = {"color": MUTED, "fontsize": _FONT - 0.6, **options}
    panel.text(x, y, text, **settings)


def finish(figure: Figure, *, name: str, title: str, caption: str) -> Picture:
    """Render a figure twice."""
    import matplotlib as mpl

    vector, pixels = io.StringIO(), io.BytesIO()
    # Text stays text; a fixed salt makes ids the same every time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(vector, format="svg", metadata={"Date": None})
    figure.savefig(pixels, format="png", dpi=_DPI)
    text = vector.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    label = escape(f"{title}: {caption}", quote=True)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return Picture(name, title, caption, text, pixels.getvalue())


def save(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """Write both files.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = folder / f"{picture.name}.svg", folder / f"{picture.name}.png"
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    for path, content in zip(paths, ((head + picture.svg).encode(), picture.png), strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return paths
