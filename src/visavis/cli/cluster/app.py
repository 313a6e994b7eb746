"""``visavis cluster``: sorts photos by person."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from visavis.api import albums
from visavis.cli import options
from visavis.cli.cluster import fix as cluster_fix
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, messages, stages

app = typer.Typer(
    cls=options.RunByDefault,
    no_args_is_help=True,
    help="Sort photos by person, without names, and correct the result. `visavis cluster"
    " DIR --out OUT` sorts; `fix` corrects, `forget` erases.",
)
app.add_typer(cluster_fix.app, name="fix")


@app.command("run")
@options.photo_options("threads", workers=(options.Workers, None))
def run(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of photos, with subfolders.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Output folder: contact sheet, tables, a folder of links per person, and the "
            "state of this collection.",
        ),
    ],
    false_merge: Annotated[
        float,
        typer.Option(
            "--false-merge",
            help="Accepted share of faces in the cluster of another person.",
        ),
    ] = 0.01,
    must: Annotated[
        Path | None,
        typer.Option("--must", help="CSV, two faces per line (f12 or photo.jpg#2): same person."),
    ] = None,
    cannot: Annotated[
        Path | None, typer.Option("--cannot", help="CSV, two faces per line: different people.")
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
            help="Ignore the clusters of earlier runs. Corrections still hold.",
        ),
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="DIR|URI",
            help="Name clusters after the people enrolled in this gallery.",
        ),
    ] = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            help="Accepted false positive identification rate of clusters. Default: 0.01, or the"
            " lowest supported rate if that is higher.",
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Put copies into the folders of people instead of links.")
    ] = False,
    min_size: Annotated[
        int,
        typer.Option("--min-size", min=1, help="Smallest cluster on the contact sheet."),
    ] = 1,
    pictures: Annotated[
        bool,
        typer.Option("--pictures/--no-pictures", help="Show faces on the contact sheet, or not."),
    ] = True,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="State file of the collection. Default: OUT/album.sqlite."),
    ] = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Sort a folder of photos by person.

    `run` may be omitted. Run it again when photos were added: they join the existing clusters,
    whose numbers stay, and corrections still hold. Photos are never changed.

    Exit code 0: every photo was read (with or without faces); 1: some could not be read, each with
    its reason in clusters.csv; 2: error.

    Example: `visavis cluster holiday/ --out sorted/`
    """
    with ExitStack() as stack:
        people = None
        if gallery is not None:
            people = stack.enter_context(
                gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant)
            )
        update = stack.enter_context(stages(quiet=json))
        album = albums.cluster(
            folder, out=out, false_merge=false_merge, must=must,
            cannot=cannot, same_photo=not no_same_photo_rule, anew=anew, gallery=people,
            fpir=fpir, copy=copy, min_size=min_size, pictures=pictures, state=state,
            cache=not no_cache, progress=update, **wanted,
        )  # fmt: skip
    if json:
        echo_json(album.to_dict())
    else:
        tell(album)
    raise typer.Exit(1 if album.record.counts()["failed"] else 0)


@app.command("forget")
def forget(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The output folder of `visavis cluster`.")
    ],
    json: options.Json = False,
) -> None:
    """Erase the results for a collection: corrections, names, images, tables and folders.

    Photos are not changed. Templates are in the template cache: `visavis cache clear` erases them.

    Example: `visavis cluster forget sorted/`
    """
    gone = albums.PhotoAlbum(out).forget()
    if json:
        echo_json(gone)
        return
    console.print(f"{out}: erased {', '.join(gone.erased)}", markup=False)
    for kept in gone.kept:
        console.print(f"{kept} keeps what you put there", markup=False)
    console.print("templates of photos are kept apart: `visavis cache clear` erases them")


def tell(sorted_album: albums.PhotoAlbum) -> None:
    """Prints a summary of the result."""
    album = sorted_album.record
    failed = [file for file in album.files if file.failed]
    for file in failed[:20]:
        messages.print(f"visavis: {file.message}", markup=False)
    if len(failed) > 20:
        messages.print(f"… and {len(failed) - 20} more photos that could not be read")
    counts = album.counts()
    several = counts["clusters"] - counts["alone"]
    console.print(
        f"{_many(counts['faces'], 'face')} in {_many(counts['photos'], 'photo')}: "
        f"{_many(several, 'person', 'people')} seen more than once, {counts['alone']} seen once"
    )
    own = ", centered on their mean" if album.settings.mean_of_people else ""
    rate = f"{100 * album.settings.false_merge:g} %"
    console.print(
        f"two faces are one person from a score of {album.settings.threshold:.3f}: at most about "
        f"{rate} of faces beside a stranger ({album.settings.algorithm}, calibration "
        f"{album.settings.calibration}{own})",
        markup=False,
    )
    if counts["without_faces"]:
        console.print(f"photos that show no face: {counts['without_faces']}")
    if counts["failed"]:
        console.print(f"photos that could not be read: {counts['failed']} (see clusters.csv)")
    if album.run > 1:
        console.print(f"new faces in this run: {counts['new_faces']}")
    for line in sorted_album.merges():
        console.print(line, markup=False)
    if counts["corrections"]:
        console.print(f"corrections in force: {counts['corrections']}")
    console.print(f"contact sheet: {sorted_album.contact_sheet}", markup=False)
    line = shlex.join(["visavis", "cluster", "fix", str(sorted_album.out)])
    console.print(f"correct it: {line} --help", markup=False)


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or f'{one}s'}"
