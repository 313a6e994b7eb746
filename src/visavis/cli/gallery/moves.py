"""``visavis gallery migrate | export | import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api.gallery import check_import, is_sealed, require_export
from visavis.cli import options, output
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, messages, stages

if TYPE_CHECKING:
    from visavis.api.records import MigrationProgress


def register(app: typer.Typer) -> None:
    """Adds the commands of this file to ``visavis gallery``."""
    app.command("migrate")(migrate)
    app.command("export")(export)
    app.command("import")(import_)


def migrate(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="The new embedder. Default: that of the unfinished migration."
        ),
    ] = None,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Erase the old templates when everybody has new ones."),
    ] = False,
    yes: gallery_options.Yes = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    precision: options.Precision = "auto",
    json: options.Json = False,
) -> None:
    """Migrate to another model: embed the stored crops again, and wait for the other people.

    Templates of different models are never compared. Until everybody is enrolled with the new
    model, both stay, and `visavis identify` searches both. An interrupted migration continues when
    run again.

    Exit code 0: everybody has templates of the new model; 1: some must be enrolled again (or not
    confirmed); 2: error.

    Example: `visavis gallery migrate --model arcface-r50 --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        if finish:
            change = people.migration(model)
            if change is not None and change.complete:
                gallery_options.confirm(
                    f"Erase {change.old_faces} templates of other models?", yes=yes
                )
            erased = people.finish_migration(model)
            if json:
                echo_json({"erased": erased})
            else:
                name = change.model if change is not None else ""
                console.print(f"erased {erased:,} old template(s): {name} is the only model now")
            return
        with stages() as update:
            found = people.migrate(
                model, flip=flip, runtime=runtime, precision=precision, progress=update
            )
    if json:
        echo_json({**found.to_dict(), "complete": found.complete})
    else:
        _show(found)
    if not found.complete:
        raise typer.Exit(1)


_FileKey = Annotated[
    Path | None,
    typer.Option("--file-key", help="Key of the exported file. Default: the gallery's own."),
]


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Output file.")],
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Do not encrypt the file even if the gallery is encrypted."),
    ] = False,
    file_key: _FileKey = None,
    no_crops: Annotated[
        bool, typer.Option("--no-crops", help="Leave out the stored crops.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Export a gallery to one SQLite file, for another gallery or tool.

    The export of an encrypted gallery is encrypted with the same key.

    Exit code 0; 2: error.

    Example: `visavis gallery export people.visavis --gallery door.gallery`
    """
    with (
        gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people,
        stages(quiet=json) as update,
    ):
        found = people.export(
            file,
            key=gallery_options.key_in(file_key) if file_key is not None else None,
            plain=plain,
            crops=not no_crops,
            overwrite=overwrite,
            progress=update,
        )
    if json:
        echo_json(found)
    else:
        console.print(
            f"{file}: {output.people(found.people)}, {found.faces:,} templates, "
            f"{found.crops:,} crops",
            markup=False,
        )


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File written by `visavis gallery export`.")
    ],
    existing: Annotated[
        str,
        typer.Option(
            "--existing",
            help="People who are in the gallery already: refuse the file, merge (add missing "
            "templates), or skip them.",
        ),
    ] = "refuse",
    file_key: _FileKey = None,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Import a file of `visavis gallery export` into a new or existing gallery.

    The whole file is verified first. An interrupted import continues when run again; nothing is
    added twice.

    Exit code 0; 2: error.

    Example: `visavis gallery import people.visavis --gallery http://milvus:19530`
    """
    check_import(file, existing)
    key = gallery_options.key_in(file_key) if file_key is not None else None
    if key is None and is_sealed(file):
        key = gallery_options.key_from(key_file, quiet=True)
    # Before a gallery is created, perhaps with the wrong key.
    require_export(file, key)
    with (
        gallery_options.open_gallery(
            gallery, key_file=key_file, tenant=tenant, create=True
        ) as people,
        stages(quiet=json) as update,
    ):
        found = people.import_(file, existing=existing, key=key, progress=update)
    if json:
        echo_json(found)
    else:
        console.print(
            f"{found.faces:,} templates of {found.people:,} people taken in, {found.already:,} "
            f"were there already, {found.skipped:,} people left out",
            markup=False,
        )


def _show(found: MigrationProgress) -> None:
    console.print(
        f"{found.embedded:,} face(s) embedded anew; {found.migrated:,} of {found.people:,} people "
        f"have templates of {found.model}",
        markup=False,
    )
    if found.complete:
        console.print("everybody has: `visavis gallery migrate --finish` erases the old templates")
    else:
        some = ", ".join(found.waiting)
        more = ", ..." if found.people - found.migrated > len(found.waiting) else ""
        messages.print(
            f"no crop was kept of {some}{more}: enroll them again with --model {found.model}; "
            "until then both models are asked",
            markup=False,
        )
