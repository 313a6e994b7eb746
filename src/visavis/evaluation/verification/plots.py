"""Plots of a verification report: error curves, scores and templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis import plots
from visavis.evaluation import svg
from visavis.evaluation.scores.table import Projection, ScoreFile
from visavis.evaluation.verification.records import Summary
from visavis.metrics.likelihood import pav_llr
from visavis.metrics.verification import det_points, error_rates, fmr_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roc(scores: ScoreFile, summary: Summary) -> str:
    """Plots the ROC curve with a logarithmic FMR axis."""
    mated, non_mated = _split(scores)
    figure, panel = plots.axes()
    plots.roc(panel, mated, non_mated)
    shown = []
    for name, value in summary.fnmr_at_fmr.items():
        low, high = summary.intervals.get(f"fnmr_at_fmr[{name}]", (value, value))
        panel.vlines(float(name), 1 - high, 1 - low, color=plots.MATED, linewidth=1, alpha=0.55)
        panel.plot(float(name), 1 - value, "o", color=plots.MATED, markersize=4)
        shown.append(1 - high)
    floor = min([*shown, 1.0])
    panel.set_ylim(max(0.0, 1 - 1.25 * max(1 - floor, 0.004)), 1.0 + 0.03 * max(1 - floor, 0.004))
    rates = "; ".join(f"{1 - v:.4f} at FMR {k}" for k, v in summary.fnmr_at_fmr.items())
    return svg.render(
        figure,
        name="roc",
        title="ROC curve",
        description=f"True match rate over false match rate: {rates}. AUC {summary.auc:.5f}.",
    )


def overview(scores: ScoreFile, summary: Summary) -> Figure:
    """Plots ROC curve and score histograms side by side, as one figure."""
    mated, non_mated = _split(scores)
    figure, panels = plots.side_by_side(2)
    plots.roc(panels[0], mated, non_mated)
    plots.histogram(panels[1], mated, non_mated, _lines(summary))
    return figure


def det(scores: ScoreFile, summary: Summary) -> str:
    """FNMR over FMR on normal-deviate axes, where normally distributed scores make straight lines.

    A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    from scipy.special import ndtri

    mated, non_mated = _split(scores)
    fmr, fnmr = det_points(mated, non_mated)
    figure, panel = plots.axes()
    ends = min(0.5 / len(non_mated), 0.25), min(0.5 / len(mated), 0.25)
    x = ndtri(np.clip(fmr, ends[0], 1 - ends[0]))
    y = ndtri(np.clip(fnmr, ends[1], 1 - ends[1]))
    keep = plots.thin(x, y)
    panel.plot(x[keep], y[keep], color=plots.MATED, linewidth=1.6)
    low, high = ndtri(ends[0]), ndtri(0.5)
    panel.plot([low, high], [low, high], color=plots.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    if summary.eer > 0:
        panel.plot(ndtri(summary.eer), ndtri(summary.eer), "o", color=plots.MATED, markersize=4.5)
        plots.note(
            panel,
            f"EER {100 * summary.eer:.2f} %",
            ndtri(summary.eer) + 0.1,
            ndtri(summary.eer) + 0.1,
        )
    ticks = np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5])
    for axis, end in ((panel.xaxis, ends[0]), (panel.yaxis, ends[1])):
        own = ticks[ticks >= end]
        axis.set_ticks(ndtri(own), [f"{100 * tick:g} %" for tick in own])
    panel.set_xlim(ndtri(ends[0]), high)
    panel.set_ylim(ndtri(ends[1]), high)
    panel.set_xlabel("false match rate")
    panel.set_ylabel("false non-match rate")
    return svg.render(
        figure,
        name="det",
        title="DET curve",
        description="False non-match rate over false match rate on normal-deviate axes; they are "
        f"equal at {summary.eer:.2%}.",
    )


def histogram(scores: ScoreFile, summary: Summary) -> str:
    """Plots histograms of mated and non-mated scores with thresholds."""
    mated, non_mated = _split(scores)
    figure, panel = plots.axes()
    plots.histogram(panel, mated, non_mated, _lines(summary))
    return svg.render(
        figure,
        name="histogram",
        title="Score histogram",
        description=f"Scores of {len(mated)} mated pairs (median {np.median(mated):.3f}) and of "
        f"{len(non_mated)} non-mated pairs (median {np.median(non_mated):.3f}).",
    )


def rates(scores: ScoreFile, summary: Summary) -> str:
    """Plots both error rates over the threshold, on a logarithmic axis."""
    mated, non_mated = _split(scores)
    curve = error_rates(mated, non_mated)
    figure, panel = plots.axes()
    t = curve.thresholds[:-1]
    for rate, color, label, pairs in (
        (curve.fmr[:-1], plots.NON_MATED, "FMR", len(non_mated)),
        (curve.fnmr[:-1], plots.MATED, "FNMR", len(mated)),
    ):
        floor = 0.5 / pairs
        y = np.maximum(rate, floor)
        keep = plots.thin(t.astype(np.float64), np.log(y))
        panel.plot(t[keep], y[keep], color=color, linewidth=1.6, label=label, drawstyle="steps-pre")
    panel.set_yscale("log")
    panel.set_ylim(0.5 / max(len(non_mated), len(mated)), 1.15)
    for name, threshold in _lines(summary):
        panel.axvline(threshold, color=plots.INK, linewidth=0.8, linestyle=(0, (3, 2)))
        plots.note(
            panel, f" {name}", threshold, 0.9, color=plots.INK, va="top", rotation=90, ha="right"
        )
    panel.set_xlabel("threshold")
    panel.set_ylabel("error rate")
    plots.legend(panel, loc="center left")
    return svg.render(
        figure,
        name="rates",
        title="Error rates over the threshold",
        description="False match rate falls and false non-match rate rises with the threshold; "
        f"they cross at {summary.eer:.2%}.",
    )


def reliability(scores: ScoreFile, summary: Summary) -> str:
    """Plots stated over observed likelihood ratios."""
    if scores.llr is None or np.isnan(summary.cllr):
        return ""
    scored = scores.scored
    mated, non_mated = scores.llr[scored & scores.same], scores.llr[scored & ~scores.same]
    finite = scores.llr[scored & np.isfinite(scores.llr)]
    if not len(finite):
        return ""
    figure, panel = plots.axes()
    ln10 = np.log(10)
    low, high = float(finite.min()) / ln10, float(finite.max()) / ln10
    low, high = np.floor(min(low, -1)), np.ceil(max(high, 1))
    mated, non_mated = (np.clip(v, low * ln10, high * ln10) for v in (mated, non_mated))
    fit = pav_llr(mated, non_mated)
    panel.plot([low, high], [low, high], color=plots.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    # A step with one kind of pair has an infinite ratio: interrupt the line.
    x = np.append(fit.scores, high * ln10) / ln10
    y = np.append(fit.llrs, fit.llrs[-1]) / ln10
    y[~np.isfinite(y)] = np.nan
    panel.plot(x, y, color=plots.ACCENT, linewidth=1.6, drawstyle="steps-post")
    # Shows the density of pairs; otherwise the ends look as certain as the middle.
    span = high - low
    for values, color, side in ((non_mated, plots.NON_MATED, low), (mated, plots.MATED, high)):
        share, edges = np.histogram(values / ln10, np.linspace(low, high, 50))
        height = 0.16 * span * share / max(share.max(), 1)
        sign = 1 if side == low else -1
        panel.stairs(side + sign * height, edges, baseline=side, fill=True, color=color, alpha=0.3)
    step = max(1, int(np.ceil(span / 8)))
    ticks = np.arange(low, high + 1, step)
    names = [_ratio(int(tick)) for tick in ticks]
    panel.set_xticks(ticks, names)
    panel.set_yticks(ticks, names)
    panel.set_xlim(low, high)
    panel.set_ylim(low, high)
    panel.set_xlabel("likelihood ratio claimed")
    panel.set_ylabel("likelihood ratio borne out (PAV)")
    return svg.render(
        figure,
        name="reliability",
        title="Reliability of the likelihood ratios",
        description=f"Claimed against observed likelihood ratios; Cllr {summary.cllr:.4f} bits, "
        f"at best {summary.min_cllr:.4f}.",
    )


def projection(points: Projection) -> str:
    """Plots projected templates, with a color and a marker per person."""
    figure = plots.in_the_plane(np.array(points.x), np.array(points.y), points.people)
    return svg.render(
        figure,
        name="projection",
        title="Templates in the plane",
        description=f"{points.method}: {', '.join(dict.fromkeys(points.people))}.",
    )


def _split(scores: ScoreFile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scored = scores.scored
    return scores.score[scored & scores.same], scores.score[scored & ~scores.same]


def _lines(summary: Summary) -> list[tuple[str, float]]:
    """Thresholds to draw: the shipped ones, else this list's own; at most four."""
    if summary.operating_points:
        named = [(fmr_name(p.target_fmr), p.threshold) for p in summary.operating_points]
    else:
        named = list(summary.thresholds.items())
    return [(f"FMR {name}", t) for name, t in named if np.isfinite(t)][:4]


def _ratio(exponent: int) -> str:
    if abs(exponent) <= 3:
        return f"{10**exponent:,}" if exponent >= 0 else f"1/{10**-exponent:,}"
    digits = str(abs(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{'⁻' if exponent < 0 else ''}{digits}"
