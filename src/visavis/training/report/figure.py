"""A picture as SVG and PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from visavis import plots
from visavis.writing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def finish(figure: Figure, *, name: str, title: str, caption: str) -> Picture:
    """Render a figure twice."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_DPI)
    text = plots.as_svg(figure, name=name)
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
