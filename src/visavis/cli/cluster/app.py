"""``visavis cluster``: sort photos by person."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.cache import kept_templates
from visavis.cli.cluster import fix as cluster_fix
from visavis.cli.cluster.sorter import Sorter
from visavis.cli.cluster.state import locked, state_of, tell
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, home, messages, progress

if TYPE_CHECKING:
    from visavis.albums.sorting import Found
    from visavis.pipeline import Recognizer


app = typer.Typer(
    cls=options.RunByDefault,
    no_args_is_help=True,
    help="Sort photos by person, without names, and correct the result for good. "
    "`visavis cluster DIR --out OUT` is all it takes; `fix` corrects, `forget` erases.",
)
app.add_typer(cluster_fix.app, name="fix")


@app.command("run")
def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders as they are.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder for the contact sheet, tables, a folder of links a person, and the "
            "memory of this collection.",
        ),
    ],
    false_merge: Annotated[
        float | None,
        typer.Option(
            "--false-merge",
            help="Accepted share of faces that end up beside a stranger; 0.01 when left out.",
        ),
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm",
            help="graph-linkage, average or dbscan.",
        ),
    ] = "graph-linkage",
    must: Annotated[
        Path | None,
        typer.Option("--must", help="CSV, two faces a line (f12 or photo.jpg#2): one person."),
    ] = None,
    cannot: Annotated[
        Path | None, typer.Option("--cannot", help="CSV, two faces a line: two people.")
    ] = None,
    no_same_photo_rule: Annotated[
        bool,
        typer.Option(
            "--no-same-photo-rule", help="Two faces in one photo may be one person (collages)."
        ),
    ] = False,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew",
            help="Do not start from the clusters of earlier runs. Corrections hold all the same.",
        ),
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="DIR|URI",
            help="Name clusters by the people enrolled in this gallery.",
        ),
    ] = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            help="Accepted share of strangers' clusters that the gallery names. When left out: "
            "0.01, or the lowest supported rate if that is higher.",
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copies in the folders of people, in place of links.")
    ] = False,
    min_size: Annotated[
        int,
        typer.Option("--min-size", min=1, help="Smallest cluster on the contact sheet."),
    ] = 1,
    pictures: Annotated[
        bool,
        typer.Option("--pictures/--no-pictures", help="Show faces on the contact sheet, or none."),
    ] = True,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", help="Where to remember the collection; OUT/album.sqlite when left out."
        ),
    ] = None,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Sort a folder of photos by person.

    `run` may be left out. Run it again when photos were added: they join the clusters that are
    there, whose numbers stay, and corrections hold. Photos are only read, never changed.

    Exit code 0: every photo was read (one without a face is fine); 1: some could not be, each
    with its reason in clusters.csv; 2: error.

    Example: `visavis cluster holiday/ --out sorted/`
    """
    from visavis.albums import outputs
    from visavis.albums.sorting import require_comparable
    from visavis.albums.store import AlbumStore
    from visavis.pipeline import Recognizer, RecognizerOptions
    from visavis.pipeline.comparison import calibration_warnings

    photos = _photos(folder, out)
    recognizer = Recognizer(
        model=model,
        detector=detector,
        aligned=aligned,
        calibration=calibration,
        options=RecognizerOptions(
            runtime=runtime, flip=flip, min_face=min_face, min_confidence=min_confidence
        ),
        home=home(),
    )
    sorter = Sorter(
        recognizer=recognizer,
        algorithm=algorithm,
        false_merge=0.01 if false_merge is None else false_merge,
        same_photo=not no_same_photo_rule,
        must=must,
        cannot=cannot,
        anew=anew,
        gallery=gallery,
        key_file=key_file,
        tenant=tenant,
        fpir=fpir,
        min_size=min_size,
        pictures=pictures,
        copy=copy,
    ).checked()
    for sentence in calibration_warnings(recognizer.calibration, recognizer.settings):
        messages.print(f"warning: {sentence}", markup=False)
    outputs.check(out)
    place = state_of(out, state)
    with locked(place), ExitStack() as stack:
        store = stack.enter_context(AlbumStore(place, create=True))
        if not anew:
            require_comparable(store)
        found = _look(folder, photos, recognizer, workers=workers, no_cache=no_cache, quiet=json)
        album = sorter.sort(store, folder, found)
        with progress("pictures", quiet=json) as update:
            notes = outputs.write(out, album, store, workers=workers or 2, progress=update)
    tell(album, out, notes, json=json)
    raise typer.Exit(1 if album.counts()["failed"] else 0)


def _photos(folder: Path, out: Path) -> list[Path]:
    """Photos below the folder, without what an earlier run wrote there."""
    from visavis.albums.folders import written_by_us
    from visavis.errors import ImageNotFoundError, OptionError
    from visavis.images import PHOTO_SUFFIXES, photos_below

    if not folder.is_dir():
        raise OptionError(f"{folder}: not a folder", "name a folder of photos")
    if out.exists() and not out.is_dir():
        raise OptionError(f"--out {out}: a file", "name a folder")
    ours = written_by_us(folder)
    photos = [path for path in photos_below(folder) if not ours.intersection(path.parents)]
    if not photos:
        raise ImageNotFoundError(
            f"{folder}: a folder without photos", f"accepted: {' '.join(sorted(PHOTO_SUFFIXES))}"
        )
    return photos


def _look(
    folder: Path,
    photos: list[Path],
    recognizer: Recognizer,
    *,
    workers: int | None,
    no_cache: bool,
    quiet: bool,
) -> Found:
    from visavis.albums.vectors import look

    with ExitStack() as stack:
        cache = stack.enter_context(kept_templates(no_cache=no_cache))
        update = stack.enter_context(progress("photos", quiet=quiet))
        return look(folder, photos, recognizer, cache=cache, workers=workers, progress=update)


@app.command("forget")
def forget(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder that `visavis cluster` wrote.")
    ],
    json: options.Json = False,
) -> None:
    """Erase what is known of a collection: corrections, names, pictures, tables and folders.

    Photos stay as they are. Templates are kept elsewhere: `visavis cache clear` erases them.

    Example: `visavis cluster forget sorted/`
    """
    from visavis.albums import outputs
    from visavis.albums.store import AlbumStore, erase

    place = state_of(out, None)
    if not place.is_file():
        AlbumStore(place)  # says what is missing
    with locked(place):
        erase(place)
        gone = [place.name, *outputs.erase(out)]
    place.with_name(f".{place.name}.lock").unlink(missing_ok=True)
    if json:
        echo_json({"erased": gone})
    else:
        console.print(f"{out}: erased {', '.join(gone)}", markup=False)
        for kept in (p for p in sorted(out.glob(f"{outputs.PEOPLE}*")) if p.is_dir()):
            console.print(f"{kept} keeps what you put there", markup=False)
        console.print("templates of photos are kept apart: `visavis cache clear` erases them")
