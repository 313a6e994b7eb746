"""``visavis evaluate identify``: measures open-set identification."""

from __future__ import annotations

import shlex
import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.api import evaluate
from visavis.cli import options
from visavis.cli.evaluate.app import Out
from visavis.cli.output import console, echo_json, stages

if TYPE_CHECKING:
    from visavis.api.evaluate.identification import MeasuredIdentification

_PLAIN = ("plain templates", "95 % interval")


@options.photo_options(workers=(options.Workers, None))
def identify(
    root: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder with one subfolder per person, or the root of LFW's archive.",
        ),
    ],
    people_list: Annotated[
        Path | None,
        typer.Option(
            "--people-list", help="Use only these people: a text file, one name per line."
        ),
    ] = None,
    enroll: Annotated[
        int | None,
        typer.Option(
            "--enroll",
            min=1,
            help="People enrolled per round. Default: half of those with a photo left as a probe.",
        ),
    ] = None,
    photos: Annotated[int, typer.Option("--photos", min=1, help="Enrolled photos per person.")] = 1,
    non_mated: Annotated[
        int | None,
        typer.Option("--non-mated", min=1, help="Non-mated people per round. Default: all others."),
    ] = None,
    fusion: Annotated[
        str,
        typer.Option("--fusion", help="Fusion of a person's templates: weighted, mean or max."),
    ] = "weighted",
    fpir: Annotated[
        list[float] | None,
        typer.Option("--fpir", help="False positive identification rate; repeatable."),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Number of random enrollments.")
    ] = 20,
    rank: Annotated[
        int, typer.Option("--rank", min=1, help="Open set: highest rank that counts as found.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the enrollments.")] = 0,
    faces: Annotated[
        str,
        typer.Option(
            "--faces", help="Face to use if a photo has several: central, largest or refuse."
        ),
    ] = "central",
    out: Out = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=20, help="Bootstrap replicates for the intervals.")
    ] = 200,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Enroll people at random and search for all others (1:N).

    Closed set: how often the right person comes first. Open set: how many are missed at a false
    positive identification rate, and whether the rate stated for each gallery holds. Nobody is both
    enrolled and non-mated.

    Example: `visavis evaluate identify staff/ --enroll 100 --photos 2 --out staff-report/`
    """
    with stages(quiet=json) as update:
        result = evaluate.identify(
            root, people_list=people_list, enroll=enroll, photos=photos, non_mated=non_mated,
            fusion=fusion, fpir=fpir, rounds=rounds, rank=rank, seed=seed, faces=faces,
            bootstrap=bootstrap, out=out, cache=not no_cache,
            command=shlex.join(["visavis", *sys.argv[1:]]), progress=update, **wanted,
        )  # fmt: skip
    if json:
        echo_json(result)
    else:
        _show(result)
        if out is not None:
            console.print(f"report: {out / 'report.html'}", markup=False)
    raise typer.Exit(1 if result.failures else 0)


def _show(result: MeasuredIdentification) -> None:
    from rich.table import Table

    from visavis.api.wording import MEANS, fmr_name, number, percent, rate, span

    console.print(
        f"{result.protocol}: {result.enrolled:,} people enrolled with {result.templates} "
        f"photo{'s' if result.templates > 1 else ''} each, {result.mated:,.0f} mated probes, "
        f"{result.non_mated:,} strangers; {result.rounds} enrollments",
        markup=False,
        style="bold",
    )
    console.print(
        f"{result.model} ({result.model_sha256[:12]}), {result.pipeline_id}, "
        f"fusion {result.fusion}, scores {MEANS[result.mean]}",
        markup=False,
        style="dim",
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "", "95 % interval", "threshold", *_PLAIN[: 2 * len(result.plain)]):
        table.add_column(title, justify="left" if title == "" and not table.columns else "right")
    table.add_row("rank 1", percent(result.rank1), span(result.rank1_ci, 2), "")
    for o in result.open_set:
        table.add_row(
            f"FNIR at FPIR {fmr_name(o.fpir)}", rate(o.fnir), span(o.fnir_ci), number(o.threshold),
            *(t for p in result.plain if p.fpir == o.fpir for t in (rate(p.fnir), span(p.fnir_ci))),
        )  # fmt: skip
    console.print(table)
    if result.stated:
        stated = Table(
            box=None,
            pad_edge=False,
            header_style="dim",
            title=f"thresholds as the program states them ({result.calibration})",
            title_justify="left",
            title_style="bold",
        )
        for title in ("FPIR stated", "interval", "threshold", "measured", "interval", "FNIR"):
            stated.add_column(title, justify="right")
        for p in result.stated:
            if isnan(p.measured):
                stated.add_row(fmr_name(p.stated), "not supported by the data")
                continue
            stated.add_row(
                fmr_name(p.stated),
                span(p.stated_ci),
                number(p.threshold),
                rate(p.measured),
                span(p.measured_ci),
                rate(p.fnir),
            )
        console.print(stated)
    for reason, photos in result.failures.items():
        console.print(f"left out: {photos:,} photos, {reason}", markup=False, style="yellow")
    for note in result.notes:
        console.print(f"note: {note}", markup=False, style="dim")
