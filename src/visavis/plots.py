"""Shared parts of reports: page templates, colors, axes, and curves."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from visavis.errors import MissingExtraError, require_extra
from visavis.types import Vectors

if TYPE_CHECKING:
    from jinja2 import Environment
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
"""Eight colors that are distinguishable with any color vision."""

_SIZE: Final = (4.8, 3.5)
_FONT: Final = 8.6
_POINTS: Final = 1500

Values = NDArray[np.floating[Any]]


def pages(package: str, *, escape: bool = True, **options: Any) -> Environment:
    """Returns the templates of a package; an undefined variable in a template is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def axes(*, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """Creates a figure (without pyplot) with one pair of axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require_extra("report", "drawing", module="matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    panel = figure.add_subplot()
    quiet(panel)
    return figure, panel


def quiet(panel: Axes) -> None:
    """Applies the common style to axes."""
    panel.set_facecolor("none")
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


def legend(panel: Axes, **options: Any) -> None:
    """Adds a legend without a frame."""
    panel.legend(frameon=False, fontsize=_FONT, labelcolor=INK, handlelength=1.4, **options)


def note(panel: Axes, text: str, x: float, y: float, **options: Any) -> None:
    """Adds small text at data coordinates."""
    settings: dict[str, Any] = {"color": MUTED, "fontsize": _FONT - 0.6, **options}
    panel.text(x, y, text, **settings)


def as_svg(figure: Figure, *, name: str, **options: Any) -> str:
    """Returns the ``<svg>`` element of a figure; text stays text, and ids are reproducible."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, **options)
    text = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)


def as_png(figure: Figure) -> bytes:
    """Returns the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


class Drawn:
    """Mixin: Jupyter displays the result of ``plot``, or text without matplotlib."""

    __slots__ = ()

    def plot(self) -> Figure:
        """Draws the result; see the class."""
        raise NotImplementedError

    def _repr_png_(self) -> bytes | None:
        try:
            return as_png(self.plot())
        except MissingExtraError:
            return None

    @classmethod
    def of(cls, record: Any, **further: Any) -> Self:
        """Converts a record to this class, which can draw it; ``further`` fills its own slots."""
        made = cls(**{field.name: getattr(record, field.name) for field in fields(record)})
        for name, value in further.items():
            object.__setattr__(made, name, value)  # answers are frozen
        return made


def side_by_side(count: int, *, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    """Creates a figure with ``count`` axes in a row.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, panel = axes(size=(_SIZE[0] * count, height))
    panel.remove()
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for one in panels:
        quiet(one)
    return figure, panels


def percent(value: float, _place: float) -> str:
    """Formats a share as a tick label.

    >>> percent(0.125, 0)
    '12.5 %'
    """
    return f"{100 * value:.4g} %"


def roc(panel: Axes, mated: Values, non_mated: Values) -> tuple[Values, Values]:
    """Draws the ROC curve with a logarithmic FMR axis; returns both rates."""
    from visavis.metrics.verification import det_points

    fmr, fnmr = det_points(mated, non_mated)
    lowest = 1 / len(non_mated)
    # Steps, not interpolation: between two points FNMR is that of the lower FMR.
    order = np.lexsort((-fnmr, fmr))
    x, y = np.maximum(fmr[order], lowest / 3), 1 - fnmr[order]
    keep = thin(np.log(x), y)
    panel.plot(x[keep], y[keep], color=MATED, linewidth=1.6, drawstyle="steps-post")
    panel.set_xscale("log")
    panel.set_xlim(min(lowest, 0.5), 1)
    panel.set_xlabel("false match rate (FMR)")
    panel.set_ylabel("true match rate (1 − FNMR)")
    panel.yaxis.set_major_formatter(percent)
    return x, y


def histogram(
    panel: Axes, mated: Values, non_mated: Values, thresholds: Sequence[tuple[str, float]]
) -> None:
    """Draws histograms of mated and non-mated scores with named thresholds."""
    low, high = float(min(mated.min(), non_mated.min())), float(max(mated.max(), non_mated.max()))
    bins = np.linspace(low, high if high > low else low + 1, 64)
    for values, color, label in (
        (non_mated, NON_MATED, "different people"),
        (mated, MATED, "same person"),
    ):
        share = np.histogram(values, bins)[0] / len(values)
        panel.stairs(share, bins, fill=True, color=color, alpha=0.28)
        panel.stairs(share, bins, color=color, linewidth=1.3, label=label)
    top = panel.get_ylim()[1] * 1.12
    panel.set_ylim(0, top)
    for k, (name, threshold) in enumerate(thresholds):
        panel.axvline(threshold, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        side = "right" if threshold > (low + high) / 2 else "left"
        note(panel, f" {name} ", threshold, top * (0.97 - 0.06 * k), color=INK, va="top", ha=side)
    panel.set_xlabel("score (cosine similarity)")
    panel.set_ylabel("share of the pairs of a kind")
    panel.yaxis.set_major_formatter(percent)
    legend(panel, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def plane(vectors: Vectors, *, seed: int) -> tuple[Values, str] | None:
    """Projects templates to the plane, ``(N, 2)``; also returns the method. ``None`` for fewer than
    8.

    L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
    """
    if len(vectors) < 8:
        return None
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(15.0, (len(vectors) - 1) / 4)
    # One thread is faster for so few points.
    with threadpool_limits(1):
        points = TSNE(
            metric="cosine", init="random", perplexity=perplexity, random_state=seed
        ).fit_transform(vectors)
    return points, (
        f"t-SNE of {len(vectors)} templates, cosine distance, perplexity {perplexity:g}, "
        f"seed {seed}"
    )


def in_the_plane(x: Values, y: Values, people: Sequence[str]) -> Figure:
    """Draws projected templates, with a color and a marker per person."""
    figure, panel = axes(size=(6.4, 4.9))
    panel.grid(False)
    panel.set_xticks([])
    panel.set_yticks([])
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    who = np.array(people)
    for k, name in enumerate(dict.fromkeys(people)):
        own = who == name
        panel.plot(
            x[own],
            y[own],
            "os^Dv"[k // len(SERIES) % 5],
            color=SERIES[k % len(SERIES)],
            markersize=5.5,
            alpha=0.85,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
        )
        place = float(np.median(x[own])), float(y[own].max()) + 0.02 * float(np.ptp(y))
        note(panel, name.replace("_", " "), *place, color=INK, ha="center")
    panel.margins(0.09)
    return figure


def thin(x: Values, y: Values) -> NDArray[np.int64]:
    """Returns indices that reduce a path to about ``_POINTS`` points without a visible change."""
    if len(x) <= _POINTS:
        return np.arange(len(x))

    def unit(values: Values) -> Values:
        low, spread = float(values.min()), float(np.ptp(values))
        return (values - low) / (spread if spread > 0 else 1.0)

    way = np.concatenate([[0], np.cumsum(np.abs(np.diff(unit(x))) + np.abs(np.diff(unit(y))))])
    wanted = np.linspace(0, way[-1], _POINTS)
    return np.unique(np.clip(np.searchsorted(way, wanted), 0, len(x) - 1))
