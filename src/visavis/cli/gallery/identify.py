"""``visavis identify``: identifies people in photos."""

from __future__ import annotations

from contextlib import ExitStack, closing
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options, output
from visavis.cli.gallery import options as gallery_options
from visavis.cli.options import gather
from visavis.cli.output import (
    console,
    json_rows,
    messages,
    progress,
    rows_are_progress,
)

if TYPE_CHECKING:
    from visavis.api.records import Identification, IdentifiedPhoto

_UNREADABLE = ("image-", "not-an-image")  # prefix of the reasons of ImageError


@options.photo_options("model", "calibration", "threads")
def identify(
    photos: options.Photos,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            help="Accepted false positive identification rate, which sets the threshold. "
            "Default: 0.01, or the lowest supported rate if that is higher.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Candidates per face.")] = 3,
    faces: Annotated[
        str,
        typer.Option(
            "--faces",
            help="If a photo has several faces: all, largest, central or refuse.",
        ),
    ] = "all",
    fusion: Annotated[
        str,
        typer.Option(
            "--fusion",
            help="Fusion of a person's templates: weighted (mean by quality), mean or max.",
        ),
    ] = "weighted",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Use this model's templates only. Default: all."),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option(
            "--calibration",
            help="A calibration saved by `visavis calibrate`, one per model. Default: the model's "
            "own.",
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit",
            help="Record each photo's hash and result in the gallery's audit log, by ids.",
        ),
    ] = False,
    own_scores: Annotated[
        bool,
        typer.Option(
            "--own-scores/--no-own-scores",
            help="Also take the threshold from the scores of the gallery's own people with each "
            "other; not if many are enrolled under several names.",
        ),
    ] = True,
    workers: options.Workers = None,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Identify the people in photos, or report "unknown" if no enrolled person matches.

    Exit code 0: every face of every photo is identified; 1: somebody is unknown, or a photo has no
    face or could not be read; 2: an error, or no photo could be read (as in grep).

    Example: `visavis identify door.jpg --gallery door.gallery --fpir 0.001`
    """
    from visavis.api.gallery import identify_options

    given, names = gather(photos)
    identify_options(fpir=fpir, top=top, faces=faces, fusion=fusion, audit=audit)  # or refuses
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        identifier = people.identifier(
            fpir=fpir,
            top=top,
            faces=faces,
            fusion=fusion,
            audit=audit,
            model=model,
            calibrations=calibration or (),
            own_scores=own_scores,
            **photo_options,
        )
        rate = identifier.fpir()
        warnings = identifier.warnings()
        rows: list[IdentifiedPhoto] = []
        told: set[tuple[str, float]] = set()
        with ExitStack() as stack:
            quiet = len(given) < 5 or rows_are_progress(json=json)
            update = stack.enter_context(progress("identify", quiet=quiet))
            head = {"gallery": gallery, "fpir": rate, "warnings": warnings}
            put = stack.enter_context(json_rows(head, key="photos")) if json else None
            answers = identifier.identify_many(given, names=names, workers=workers, progress=update)
            for row in stack.enter_context(closing(answers)):  # type: ignore[type-var]
                rows.append(row)
                if row.message is not None:
                    messages.print(f"visavis: {row.message}", markup=False)
                if put is not None:
                    put(row)
                elif row.message is None:
                    _show(row, told, alone=len(given) == 1)
    if not json and len(rows) > 1:
        _summarize(rows)
    if all(row.reason is not None and row.reason.startswith(_UNREADABLE) for row in rows):
        raise typer.Exit(2)
    if not all(row.named for row in rows):
        raise typer.Exit(1)


def _show(row: IdentifiedPhoto, told: set[tuple[str, float]], *, alone: bool) -> None:
    for face in row.faces:
        _threshold(face, told)
    if alone:
        console.print(row.photo, markup=False, style="bold")
    for face in row.faces:
        _show_face(face, "  " if alone else f"{row.photo}: ", alone=alone)


def _threshold(face: Identification, told: set[tuple[str, float]]) -> None:
    """Prints once where a threshold comes from."""
    point = face.threshold
    if point is None or (point.model_sha256, point.threshold) in told:
        return
    told.add((point.model_sha256, point.threshold))
    low, high = point.fpir_ci
    console.print(
        f"threshold {point.threshold:.3f}: {_chance(point.fpir)} is named (95 %: {low:.2g} to "
        f"{high:.2g}) in a gallery of {output.people(point.people)}; from {point.basis}",
        style="dim",
        markup=False,
    )


def _chance(rate: float) -> str:
    return f"1 stranger in {1 / rate:,.0f}" if rate <= 0.5 else f"a stranger in {rate:.0%} of cases"


def _show_face(face: Identification, lead: str, *, alone: bool) -> None:
    x, y, width, height = face.face.box
    where = f"[face {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f})]"
    if face.threshold is None:
        console.print(f"{lead}unknown, {face.evidence}  {where}", markup=False)
        return
    limit = face.threshold.threshold
    if face.person is not None:
        head = f"{lead}{face.person}, score {face.score:.3f} ≥ {limit:.3f}"
    else:
        head = f"{lead}unknown, {face.score:.3f} < {limit:.3f} to {face.candidates[0].person}"
    console.print(
        f"{head}, FPIR ≤ {face.fpir:.2g}, {_margin(face)}  {where}",
        markup=False,
        style="green" if face.person is not None else "yellow",
    )
    if alone:
        console.print(f"    {face.evidence}", style="dim", markup=False)
        for other in face.candidates[1:]:
            console.print(
                f"    next {other.person}, score {other.score:.3f}, FPIR ≤ {other.fpir:.2g}",
                style="dim",
                markup=False,
            )
    for sentence in face.warnings:
        console.print(f"    warning: {sentence}", style="yellow", markup=False)


def _margin(face: Identification) -> str:
    return (
        "nobody else is enrolled" if isnan(face.margin) else f"{face.margin:.3f} ahead of the next"
    )


def _summarize(rows: list[IdentifiedPhoto]) -> None:
    faces = [face for row in rows for face in row.faces]
    named = [face.person for face in faces if face.person is not None]
    failed = sum(row.reason is not None for row in rows)
    console.print(
        f"{len(rows):,} photos, {len(faces):,} faces: {len(named):,} named "
        f"({output.people(len(set(named)))}), {len(faces) - len(named):,} unknown"
        + (f"; {failed:,} photos gave no face" if failed else "")
    )
