"""``visavis evaluate cluster``: measures clustering on known people."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.api import evaluate
from visavis.cli import options
from visavis.cli.output import console, echo_json, stages

if TYPE_CHECKING:
    from visavis.api.records import ClusteringSummary


@options.photo_options(workers=(options.Workers, None))
def cluster(
    root: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A folder with one subfolder per person."),
    ] = None,
    false_merge: Annotated[
        float,
        typer.Option(
            "--false-merge", help="Accepted share of faces in the cluster of another person."
        ),
    ] = 0.01,
    sweep: Annotated[
        bool, typer.Option("--sweep/--no-sweep", help="Also try other settings, for the curves.")
    ] = True,
    found: Annotated[
        Path | None,
        typer.Option(
            "--found",
            help="Instead of DIR: a CSV with clusters from any system, with columns photo, "
            "cluster and person. Or clusters.csv of `visavis cluster`, together with "
            "--labels.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="With --found: the person in each photo: a CSV with columns photo and person, "
            "or a folder with one subfolder per person.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.html, clusters.csv and summary.json."),
    ] = None,
    faces: Annotated[
        str,
        typer.Option(
            "--faces", help="Face to use if a photo has several: central, largest or refuse."
        ),
    ] = "central",
    no_cache: options.NoCache = False,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Cluster photos of known people and measure the errors.

    Uses one face per photo. Thresholds come from the model's calibration, so nothing is fitted to
    these photos; the best setting of the sweep is marked as known only afterwards.

    Exit code 0: every photo has a face; 1: some do not and were counted; 2: error.

    Example: `visavis evaluate cluster staff/ --out staff-clusters/`
    """
    with stages(quiet=json) as update:
        result = evaluate.cluster(
            root, false_merge=false_merge, sweep=sweep, found=found,
            labels=labels, faces=faces, out=out, cache=not no_cache,
            command=shlex.join(["visavis", *sys.argv[1:]]), progress=update, **wanted,
        )  # fmt: skip
    if json:
        echo_json(result)
    else:
        _show(result.summary)
        if out is not None:
            console.print(f"report: {out / 'report.html'}", markup=False)
    raise typer.Exit(1 if result.summary.failures else 0)


def _show(summary: ClusteringSummary) -> None:
    console.print(
        f"{summary.name}: {summary.faces:,} faces of {summary.people:,} people, "
        f"{sum(summary.failures.values()):,} photos failed",
        markup=False,
        style="bold",
    )
    if summary.model:
        console.print(
            f"{summary.model} ({summary.model_sha256[:12]}), {summary.pipeline_id}",
            markup=False,
            style="dim",
        )
    _show_rows(summary)
    for reason, photos in summary.failures.items():
        console.print(f"failed: {photos:,} photos, {reason}", markup=False, style="yellow")
    for note in summary.notes:
        console.print(f"note: {note}", markup=False, style="dim")


def _show_rows(summary: ClusteringSummary) -> None:
    """Prints all settings, in eighty columns."""
    from rich.table import Table

    from visavis.api.wording import row_name

    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", title=summary.algorithm,
        title_justify="left", title_style="bold",
    )  # fmt: skip
    heads = ("", "pairwise\nF1", "\nP", "\nR", "B-cubed\nF1", "\nP", "\nR", "\nclusters", "\ns")
    for name in heads:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_column("")
    for k, row in enumerate(summary.rows):
        marks = ["asked"] if row.default else []
        marks += ["*"] if k == summary.best else []
        marks += ["plain"] if row.plain else []
        pairs, faces = row.scores.pairwise, row.scores.bcubed
        shares = (pairs.f1, pairs.precision, pairs.recall, faces.f1, faces.precision, faces.recall)
        table.add_row(
            row_name(row).replace("false-merge ", "").partition(",")[0],
            *(f"{share:.4f}" for share in shares),
            f"{row.scores.clusters:,}",
            _seconds(row.seconds),
            " ".join(marks),
            style="bold" if row.default else None,
        )
    console.print(table)
    if summary.best is not None:
        console.print("* the best by B-cubed F1, known afterwards", markup=False, style="dim")


def _seconds(value: float) -> str:
    from math import isnan

    return "" if isnan(value) else f"{value:.1f}"
