"""Prints the results of ``visavis calibrate``."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, log10
from typing import TYPE_CHECKING

from visavis.cli.output import console

if TYPE_CHECKING:
    from visavis.api.records import Calibration, Check, Domain


def show_calibration(made: Calibration) -> None:
    """Prints a table of the powers of ten, and the data behind them."""
    from rich.table import Table

    people = f" of {made.people:,} people" if made.people else ""
    console.print(
        f"{made.name} ({made.method}): {made.photos:,} photos{people}, {made.failures} left out; "
        f"{made.points[0].pairs:,} non-mated pairs",
        markup=False,
    )
    table = Table("FMR", "threshold", "measured FMR", "95 % interval", "FNMR", "95 % interval")
    for point in made.points:
        if abs(log10(point.target_fmr) - round(log10(point.target_fmr))) > 1e-6:
            continue
        fnmr = "not known" if isnan(point.fnmr) else f"{point.fnmr:.3g}"
        interval = "" if isnan(point.fnmr) else _interval(point.fnmr_ci)
        measured = f"{point.fmr:.3g}" if made.method == "labelled" else "estimated"
        table.add_row(
            f"{point.target_fmr:g}",
            f"{point.threshold:.4f}",
            measured,
            _interval(point.fmr_ci),
            fnmr,
            interval,
        )
    console.print(table)
    _show_fpirs(made)
    if made.domain is not None:
        console.print(_domain_in_words(made.domain), markup=False)
    if made.note:
        console.print(made.note, style="dim", markup=False)


def _domain_in_words(domain: Domain) -> str:
    photos = f"{domain.photos:,} photos of about {domain.people:,} people"
    if domain.mean_b is not None:
        photos += f", and of {domain.photos_b:,} of the second camera"
    whitened = ""
    if domain.whitening is not None:
        whitened = f", then whitened within people (shrinkage {domain.shrinkage:g})"
    return f"Templates are centered on the mean of {photos}{whitened} before scoring."


def _show_fpirs(made: Calibration) -> None:
    """Prints the lowest FPIR that the calibration supports for several gallery sizes."""
    from rich.table import Table

    from visavis.api.calibrations import supported_fpirs

    found = supported_fpirs(made)
    table = Table(
        "people enrolled", "lowest FPIR", "95 % interval", f"interval at {found[0].default:g}"
    )
    for one in found:
        table.add_row(
            f"{one.people:,}",
            f"{one.lowest:g}" if one.lowest < 1 else "none",
            _interval(one.lowest_ci) if one.lowest < 1 else "",
            "not supported" if one.default_ci is None else _interval(one.default_ci),
        )
    console.print("For `visavis identify`, by this calibration alone:")
    console.print(table)


def show_check(result: Check) -> None:
    """Prints verdict, rates and remedy."""
    from rich.table import Table

    console.print(result.verdict, style="green" if result.trusted else "bold red", markup=False)
    table = Table("claimed FMR", "threshold", "estimated here", "95 % interval", "factor", "right")
    for rate in result.rates:
        table.add_row(
            f"{rate.claimed_fmr:g}",
            f"{rate.threshold:.4f}",
            f"{rate.estimated_fmr:.2g}",
            _interval(rate.interval),
            f"{rate.factor:.2g}",
            f"{rate.right_threshold:.4f}",
        )
    console.print(table)
    console.print(
        f"{result.photos} photos, {result.failures} left out, {result.pairs:,} pairs, about "
        f"{result.suspected_mated_pairs:.0f} of them mated and not counted; against "
        f"'{result.calibration}', measured on {result.dataset}",
        style="dim",
        markup=False,
    )
    if result.remedy:
        console.print(result.remedy, markup=False)


def show_list(found: Sequence[Calibration]) -> None:
    """Prints one line per calibration."""
    from rich.table import Table

    table = Table("name", "method", "model", "photos", "lowest FMR", "data", "made")
    for one in found:
        lowest = min(p.target_fmr for p in one.points)
        table.add_row(
            one.name, one.method, one.model, f"{one.photos:,}", f"{lowest:g}", one.dataset,
            one.created,
        )  # fmt: skip
    console.print(table)


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.2g} to {bounds[1]:.2g}"
