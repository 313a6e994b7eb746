"""``visavis evaluate identify``: how well people are found, and strangers are not."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from contextlib import ExitStack
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api.evaluate import calibration_of, make_folder
from visavis.api.people_photos import people_in
from visavis.cli import options
from visavis.cli.cache import kept_templates
from visavis.cli.evaluate.app import Out
from visavis.cli.output import console, echo_json, home, progress

if TYPE_CHECKING:
    from visavis.evaluation.identification.enrollment import Faces
    from visavis.evaluation.identification.records import Identification
    from visavis.pipeline import Recognizer

_RULES = ("central", "largest", "refuse")
_PLAIN = ("templates as they are", "95 % interval")


def identify(
    root: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder that holds one a person, or the root of LFW's archive."
        ),
    ],
    people_list: Annotated[
        Path | None,
        typer.Option("--people-list", help="Only these people: a text file, one name a line."),
    ] = None,
    enrol: Annotated[
        int | None,
        typer.Option(
            "--enrol",
            min=1,
            help="People enrolled each time; half of those with a photo to spare when left out.",
        ),
    ] = None,
    photos: Annotated[int, typer.Option("--photos", min=1, help="Photos enrolled of each.")] = 1,
    strangers: Annotated[
        int | None,
        typer.Option("--strangers", min=1, help="Strangers each time; all others when left out."),
    ] = None,
    fusion: Annotated[
        str,
        typer.Option("--fusion", help="Several photos, one score: weighted, mean or max."),
    ] = "weighted",
    fpir: Annotated[
        list[float] | None,
        typer.Option("--fpir", help="Chance that a stranger is named; may be repeated."),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Random enrolments to average over.")
    ] = 20,
    rank: Annotated[
        int, typer.Option("--rank", min=1, help="Open set: the right one may be among so many.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides the enrolments.")] = 0,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    faces: Annotated[
        str,
        typer.Option("--faces", help="Where a photo has several: central, largest or refuse."),
    ] = "central",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    out: Out = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=20, help="Replicates behind the intervals.")
    ] = 200,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Enrol people at random, search for all the others: 1:N.

    Closed set: how often the right person comes first. Open set: how many are missed when
    strangers may be named at most so often, and whether the rate that the program states for each
    gallery holds. Nobody is both enrolled and a stranger.

    Example: `visavis evaluate identify staff/ --enrol 100 --photos 2 --out staff-report/`
    """
    from visavis.errors import OptionError
    from visavis.evaluation.identification import report as identification_report
    from visavis.evaluation.identification import run as identification
    from visavis.evaluation.identification.enrollment import Plan
    from visavis.gallery.fusion import FUSIONS
    from visavis.pipeline import Recognizer, RecognizerOptions

    if faces not in _RULES:
        raise OptionError(f"--faces {faces}", f"choose one of {', '.join(_RULES)}")
    if fusion not in FUSIONS:
        raise OptionError(f"--fusion {fusion}", f"choose one of {', '.join(FUSIONS)}")
    rates = sorted(fpir or identification.RATES, reverse=True)
    for rate in rates:
        if not 0 < rate < 1:
            raise OptionError(f"--fpir {rate:g}", "give a rate in (0, 1), such as 1e-2")
    if out is not None:
        make_folder(out)
    recognizer = Recognizer(
        model=model,
        detector=detector,
        aligned=aligned,
        calibration=calibration,
        options=RecognizerOptions(
            runtime=runtime,
            threads=threads,
            flip=flip,
            min_face=min_face,
            min_confidence=min_confidence,
        ),
        home=home(),
    )
    found, failures = _embedded(
        recognizer, _folder(root), people_list, faces, workers, no_cache=no_cache, quiet=json
    )
    known = calibration_of(recognizer, calibration)
    notes = []
    if known is not None and known.settings != recognizer.settings:
        notes.append(
            f"Calibration '{known.name}' was measured with {known.settings}, these scores with "
            f"{recognizer.settings}: its rates need not hold here."
        )
    with progress("enrolments", quiet=json) as update:
        result = identification.evaluate(
            found,
            Plan(
                enrol=enrol,
                photos=photos,
                strangers=strangers,
                fusion=fusion,  # type: ignore[arg-type]  # checked above
                rank=rank,
            ),
            identification.Origin(
                protocol=people_list.stem if people_list else root.resolve().name,
                model=recognizer.model,
                model_sha256=recognizer.model_sha256,
                settings=f"{recognizer.settings}, {faces}",
                failures=failures,
                command=shlex.join(["visavis", *sys.argv[1:]]),
                notes=tuple(notes),
            ),
            calibration=known,
            rates=rates,
            rounds=rounds,
            replicates=bootstrap,
            seed=seed,
            progress=update,
        )
    if out is not None:
        identification_report.write(out / "report.html", result)
        _keep(out / "identification.json", result)
    if json:
        echo_json(result)
    else:
        _show(result)
        if out is not None:
            console.print(f"report: {out / 'report.html'}", markup=False)
    raise typer.Exit(1 if failures else 0)


def _folder(root: Path) -> Path:
    """The folder that holds one a person; LFW's archive has it below its lists."""
    from visavis.evaluation.protocols.lfw import photo_folder

    listed = any((root / name).is_file() for name in ("people.txt", "pairs.txt"))
    return photo_folder(root) if listed else root


def _embedded(
    recognizer: Recognizer,
    folder: Path,
    people_list: Path | None,
    rule: str,
    workers: int | None,
    *,
    no_cache: bool,
    quiet: bool,
) -> tuple[Faces, dict[str, int]]:
    import numpy as np

    from visavis.errors import DataError
    from visavis.evaluation.identification.enrollment import Faces
    from visavis.faces.quality import usability

    paths, owners = people_in(folder, people_list)
    with ExitStack() as stack:
        cache = stack.enter_context(kept_templates(no_cache=no_cache))
        update = stack.enter_context(progress("photos", quiet=quiet))
        rows = list(
            recognizer.embed_many(paths, rule=rule, cache=cache, workers=workers, progress=update)
        )
    failures = Counter(row.reason or "no-face" for row in rows if not row.templates)
    kept = [
        (row.templates[0], owner) for row, owner in zip(rows, owners, strict=True) if row.templates
    ]
    if not kept:
        raise DataError(f"{folder}: no photo with a usable face", "give photos of faces")
    names, people = np.unique([owner for _, owner in kept], return_inverse=True)
    faces = Faces(
        vectors=np.stack([template.vector for template, _ in kept]),
        people=people.astype(np.int64),
        usability=np.array([usability(template.quality) for template, _ in kept]),
        names=tuple(str(name) for name in names),
    )
    return faces, dict(failures)


def _keep(path: Path, result: Identification) -> None:
    import json

    from visavis.writing import replacing

    with replacing(path) as temporary:
        text = json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _show(result: Identification) -> None:
    from rich.table import Table

    from visavis.decision.open_set import MEANS
    from visavis.evaluation.pages import number, percent, rate, span
    from visavis.metrics.verification import fmr_name

    console.print(
        f"{result.protocol}: {result.enrolled:,} people enrolled with {result.templates} "
        f"photo{'s' if result.templates > 1 else ''} each, {result.mated:,.0f} mated probes, "
        f"{result.strangers:,} strangers; {result.rounds} enrolments",
        markup=False,
        style="bold",
    )
    console.print(
        f"{result.model} ({result.model_sha256[:12]}), {result.settings}, fusion {result.fusion}, "
        f"scores {MEANS[result.mean]}",
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
