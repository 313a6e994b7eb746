"""``visavis enroll``: enrolls people in a gallery."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Self

import typer

from visavis.cli import options, output
from visavis.cli.gallery import options as gallery_options
from visavis.cli.options import STANDARD_INPUT, gather
from visavis.cli.output import console, home, json_rows, messages, stages
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.records import EnrollRow, PersonPhoto


_REMEDIES = {
    "several-faces": "crop them, or choose by --faces clear, largest or central",
    "low-quality": "use better photos, or accept these with --any-quality",
}


@options.photo_options("model", "threads")
def enroll(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Photos of one person (with --name; - is standard input), a folder with one "
            "subfolder per person, or a CSV with the columns person and path.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the person in all these photos and folders."),
    ] = None,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    faces: Annotated[
        str,
        typer.Option(
            "--faces",
            help="Face to use if a photo has several: refuse, clear (the largest if it has four "
            "times the area of any other), largest, or central (nearest to the center).",
        ),
    ] = "refuse",
    min_quality: Annotated[
        float | None,
        typer.Option(
            "--min-quality",
            help="Lowest quality score of a face, 0 to 1.",
            show_default="0.6",
        ),
    ] = None,
    any_quality: Annotated[
        bool, typer.Option("--any-quality", help="Accept faces of any quality.")
    ] = False,
    keep_crops: Annotated[
        bool,
        typer.Option(
            "--keep-crops",
            help="Store the face crop (not the photo), so that the model can be changed later "
            "without the photos.",
        ),
    ] = False,
    expire: Annotated[
        str | None,
        typer.Option(
            "--expire",
            help="Expiry of the faces: 90d, 12h, 2w, or a date. `visavis gallery expire` erases "
            "them.",
        ),
    ] = None,
    fpir: Annotated[
        float,
        typer.Option(
            "--fpir",
            help="Accepted rate of false warnings that a new person looks like an enrolled one.",
        ),
    ] = 0.01,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write one line per photo to this CSV."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Embedder. Default: the gallery's own; sface for a new gallery."
        ),
    ] = None,
    workers: options.Workers = None,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Enroll people in a gallery: it stores templates, not photos.

    Photos enrolled before are skipped, so an interrupted run can be repeated. Poor faces are
    refused. Warnings say if a face looks like another enrolled person, or unlike the person's
    other photos.

    Exit code 0: every photo is enrolled, now or before; 1: some are not, each with its reason; 2:
    none is, or an error; 130: interrupted, reported photos are enrolled.

    Example: `visavis enroll staff/ --gallery door.gallery`
    """
    from visavis.api import models
    from visavis.api.gallery import enroll_options

    photos = _gather(sources, name)
    if model is not None:
        models.show(model, home=home())  # before a gallery is created
        photo_options["model"] = model
    if any_quality and min_quality is not None:
        raise OptionError("--min-quality and --any-quality", "give one of them")
    wanted: dict[str, Any] = {
        "faces": faces,
        "min_quality": 0.0 if any_quality else min_quality,
        "keep_crops": keep_crops,
        "expire": expire,
        "fpir": fpir,
        "workers": workers,
    }
    enroll_options(**wanted)  # refused before a gallery is created
    with (
        RowReport(report) as rows,
        gallery_options.open_gallery(
            gallery, key_file=key_file, tenant=tenant, create=True
        ) as people,
    ):
        known = people.recognizer(**photo_options)
        stopped = False
        head = {
            "gallery": gallery,
            "model": known.model,
            "model_sha256": known.model_sha256,
            "photos": len(photos),
        }
        tail: dict[str, Any] = {}
        with json_rows(head, key="rows", tail=tail) if json else nullcontext() as put:

            def told(row: EnrollRow) -> None:
                rows.add(row)
                _tell(row, alone=len(photos) == 1)
                if put is not None:
                    put(row)

            try:
                with stages(quiet=len(photos) < 5) as update:
                    people.enroll(
                        photos,
                        **wanted,
                        on_row=told,
                        progress=update,
                        **photo_options,
                    )
            except KeyboardInterrupt:
                stopped = True
            tail |= {"counts": rows.counts, "interrupted": stopped}
        if not json and rows.rows:
            _summarize(rows.rows, rows.counts)
    if stopped:
        messages.print(
            f"interrupted: {len(rows.rows):,} of {len(photos):,} photos are done and kept; run it "
            "again to go on"
        )
        raise typer.Exit(130)
    there = sum(row.there for row in rows.rows)
    if there < len(rows.rows):
        raise typer.Exit(1 if there else 2)


def _gather(sources: list[str], name: str | None) -> list[PersonPhoto]:
    from visavis.api.gallery import person_photos

    if name is not None:
        found = zip(*gather(sources), strict=True)
        return person_photos([(name, photo, called) for photo, called in found])
    for source in STANDARD_INPUT.intersection(sources):
        raise OptionError(f"{source}, a photo without a name", 'say who it is: --name "..."')
    return [photo for source in sources for photo in person_photos(source)]


def _tell(row: EnrollRow, *, alone: bool) -> None:
    """Prints warnings and failures as they occur."""
    if row.message is not None:
        # The summary says what to do about it.
        said = row.message if alone else row.message.partition("; ")[0]
        messages.print(f"{row.status}: {said}", markup=False)
    for sentence in row.warnings:
        messages.print(f"warning: {row.photo}, {row.person}: {sentence}", markup=False)


def _summarize(rows: list[EnrollRow], counts: Counter[str]) -> None:
    if len(rows) == 1 and rows[0].status == "enrolled":
        console.print(
            f"enrolled {rows[0].person} (quality score {rows[0].quality_score:.2f})", markup=False
        )
        return
    people = {row.person for row in rows if row.there}
    there = counts["enrolled"] + counts["already-enrolled"]
    console.print(
        f"{there:,} of {len(rows):,} photos are enrolled, {counts['enrolled']:,} of them now, "
        f"of {output.people(len(people))}"
    )
    for status, count in counts.most_common():
        if status not in {"enrolled", "already-enrolled"}:
            remedy = f": {_REMEDIES[status]}" if status in _REMEDIES else ""
            console.print(f"  {count:,} {status}{remedy}", markup=False)
    doubts = sum(bool(row.warnings) for row in rows)
    if doubts:
        console.print(f"  {doubts:,} enrolled with a warning: look at these photos")
    nobody = sorted({row.person for row in rows} - people)
    if nobody:
        some = ", ".join(nobody[:5]) + (", ..." if len(nobody) > 5 else "")
        console.print(
            f"  {output.people(len(nobody))} without any photo enrolled: {some}",
            markup=False,
        )


COLUMNS = (
    *("photo", "person", "status", "quality_score", "faces_found", "own_score"),
    *("resembles", "resembles_score", "warnings", "message"),
)


class RowReport:
    """Collects rows, and writes them to a CSV at once if a path is given.

    Args:
        path: the CSV; replaces an older one.

    Raises:
        OptionError: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.rows: list[EnrollRow] = []
        self.counts: Counter[str] = Counter()
        self._path = path
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
            except OSError as error:
                raise OptionError(
                    f"{path} cannot be written ({error.strerror or error})", "name another --report"
                ) from error
            self._write(COLUMNS)

    def add(self, row: EnrollRow) -> None:
        """Adds the result of a photo."""
        self.rows.append(row)
        self.counts[row.status] += 1
        self._write(tuple(_cell(getattr(row, column)) for column in COLUMNS))

    def _write(self, cells: tuple[str, ...]) -> None:
        if self._file is not None:
            try:
                csv.writer(self._file).writerow(cells)
                self._file.flush()
            except OSError as error:
                raise OptionError(
                    f"{self._path} cannot be written ({error.strerror or error})",
                    "make room or name another --report; what was enrolled is kept",
                ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # every row was flushed; errors were reported
                self._file.close()


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(str(one) for one in value)
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
