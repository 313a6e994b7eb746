"""Pictures of the page as SVG, in the colors of the light or dark theme."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import Final

from markupsafe import Markup

from visavis.api.views import ScoreHistogram
from visavis.service.page.texts import Words

_WIDTH, _HEIGHT = 420.0, 232.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 12.0, 408.0, 34.0, 192.0
_MARKERS: Final = 8


def histogram(
    words: Words,
    hist: ScoreHistogram,
    *,
    threshold: float | None = None,
    score: float | None = None,
    labels: tuple[str, str] = ("non_mated", "mated"),
) -> Markup:
    """Draws scores of mated and non-mated pairs, with a threshold and a score.

    Args:
        words: texts.
        hist: shares of scores.
        threshold: a score to mark with a dashed line.
        score: a score to mark with an arrow.
        labels: texts of the non-mated and the mated curve.
    """
    marks = [value for value in (threshold, score) if value is not None]
    low = floor(min(hist.edges[0], *marks, -0.2) * 5) / 5
    high = -floor(-max(hist.edges[-1], *marks, 0.8) * 5) / 5
    top = max(*hist.non_mated, *hist.mated) or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_RIGHT - _LEFT)

    def steps(shares: Sequence[float]) -> str:
        points = [f"M{x(hist.edges[0]):.1f},{_BOTTOM}"]
        for left, right, share in zip(hist.edges, hist.edges[1:], shares, strict=False):
            y = _BOTTOM - share / top * (_BOTTOM - _TOP)
            points.append(f"L{x(left):.1f},{y:.1f}L{x(right):.1f},{y:.1f}")
        return "".join([*points, f"L{x(hist.edges[-1]):.1f},{_BOTTOM}Z"])

    parts = [Markup('<path class="vv-non" d="{}"/>').format(steps(hist.non_mated))]
    if hist.mated:
        parts.append(Markup('<path class="vv-mated" d="{}"/>').format(steps(hist.mated)))
    ticks = [low + 0.2 * k for k in range(round((high - low) / 0.2) + 1)]
    parts.append(_axis([(x(v), f"{v:.1f}".replace("-", "−")) for v in ticks], words("score_axis")))
    described = [words("score_axis")]
    if threshold is not None:
        parts.append(
            _line(
                x(threshold),
                "vv-threshold",
                f"{words('threshold')} {words.score(threshold)}",
                31,
                left=score is None or score > threshold,
            )
        )
        described.append(f"{words('threshold')} {words.score(threshold)}")
    if score is not None:
        parts.append(
            _line(
                x(score),
                "vv-score",
                f"{words('this_score')} {words.score(score)}",
                14,
                left=x(score) > _WIDTH / 2,
            )
        )
        described.append(f"{words('this_score')} {words.score(score)}")
    kinds = ["non_mated", "mated"][: 2 if hist.mated else 1]
    names = [
        Markup('<li class="{}">{}</li>').format(f"vv-key-{kind}", words(label))
        for kind, label in zip(kinds, labels, strict=False)
    ]
    legend = Markup('<ul class="vv-legend">{}</ul>').format(Markup("").join(names))
    return legend + _svg(", ".join(described), parts)


def roc(words: Words, points: Sequence[tuple[float, float]]) -> Markup:
    """Draws the ROC curve over a logarithmic axis of false match rates."""
    low = min(max(min((f for f, _ in points if f > 0), default=1e-3), 1e-6), 1e-3)
    first = floor(log10(low))

    def x(rate: float) -> float:
        return _LEFT + 34 + (log10(max(rate, low)) - first) / -first * (_RIGHT - _LEFT - 34)

    def y(found: float) -> float:
        return _BOTTOM - found * (_BOTTOM - 14)

    path = f"M{x(points[0][0]):.1f},{y(points[0][1]):.1f}" + "".join(
        f"H{x(f):.1f}V{y(found):.1f}" for f, found in points[1:]
    )
    ticks = [(x(10.0**k), words.rate(10.0**k) if k < 0 else "1") for k in range(first, 1)]
    rows = [
        Markup('<text class="vv-tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            _LEFT + 30, y(v) + 4, f"{v:.0%}"
        )
        + Markup('<line class="vv-rule" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(
            _LEFT + 34, _RIGHT, y=y(v)
        )
        for v in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    curve = Markup('<path class="vv-curve" d="{}"/>').format(path)
    return _svg(
        words("roc"), [*rows, _axis(ticks[:: max(1, len(ticks) // 4)], words("fmr_axis")), curve]
    )


def plane(words: Words, points: Sequence[tuple[float, float]], people: Sequence[str]) -> Markup:
    """Draws the templates in the plane, with a color and a shape per person if they are known."""
    across, down = [p[0] for p in points], [p[1] for p in points]
    width, height = max(across) - min(across) or 1, max(down) - min(down) or 1
    order = {name: k for k, name in enumerate(dict.fromkeys(people))}
    dots = []
    for (px, py), name in zip(points, people, strict=True):
        k = order[name] if name else 0
        cx = _LEFT + 8 + (px - min(across)) / width * (_RIGHT - _LEFT - 16)
        cy = 14 + (py - min(down)) / height * (_HEIGHT - 28)
        dots.append(
            Markup('<use href="#vv-m{}" class="vv-s{}" x="{:.1f}" y="{:.1f}">{}</use>').format(
                k // _MARKERS % 3,
                k % _MARKERS,
                cx,
                cy,
                Markup("<title>{}</title>").format(name) if name else "",
            )
        )
    shapes = Markup(
        '<defs><circle id="vv-m0" r="4.5"/><rect id="vv-m1" x="-4" y="-4" width="8" height="8"/>'
        '<path id="vv-m2" d="M0,-5L5,4H-5Z"/></defs>'
    )
    return _svg(words("plane"), [shapes, *dots])


def _svg(title: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="vv-plot" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>'
    ).format(_WIDTH, _HEIGHT, title, Markup("").join(parts))


def _axis(ticks: Sequence[tuple[float, str]], title: str) -> Markup:
    labels = [
        Markup('<text class="vv-tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            min(max(x, _LEFT + 6), _RIGHT - 10), _BOTTOM + 17, text
        )
        for x, text in ticks
    ]
    return Markup(
        '<line class="vv-axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>{}'
        '<text class="vv-tick" x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>'
    ).format(_LEFT, _RIGHT, Markup("").join(labels), _WIDTH / 2, _HEIGHT - 5, title, y=_BOTTOM)


def _line(x: float, kind: str, text: str, y: float, *, left: bool) -> Markup:
    anchor = "end" if left else "start"
    return Markup(
        '<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{y0}" y2="{y1}"/>'
        '<text class="{kind}-text" x="{at:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>'
    ).format(
        kind=kind, x=x, y0=y - 10, y1=_BOTTOM, at=x + (-5 if anchor == "end" else 5), y=y,
        anchor=anchor, text=text,
    )  # fmt: skip
