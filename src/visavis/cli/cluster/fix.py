"""``visavis cluster fix``: lasting corrections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api.albums import PhotoAlbum
from visavis.cli import options
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, home, messages, stages
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.records import CorrectionResult

app = typer.Typer(
    no_args_is_help=True,
    help="Correct the result of `visavis cluster`, now and for later runs. A cluster is "
    "a number or a given name; a face is `f12` or `photo.jpg#2` (second from the "
    "left).",
)

Clusters = Annotated[list[str], typer.Argument(metavar="CLUSTER...", help="Numbers or names.")]
Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="Its number or name.")]
FaceRefs = Annotated[
    list[str], typer.Argument(metavar="FACE...", help="Faces: f12, or photo.jpg#2.")
]


@app.callback()
def _place(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The output folder of `visavis cluster`.")
    ],
) -> None:
    """Correct the result of `visavis cluster`, now and for later runs.

    A cluster is a number or a given name; a face is `f12` or `photo.jpg#2`.

    Example: `visavis cluster fix sorted/ merge 3 7`
    """
    context.obj = PhotoAlbum(out, home=home())


@app.command()
def merge(context: typer.Context, clusters: Clusters, json: options.Json = False) -> None:
    """Merge clusters of one person. The first keeps its number and its name, if any.

    Example: `visavis cluster fix sorted/ merge 3 7`
    """
    _tell(album := context.obj, album.merge(*clusters), json=json)


@app.command()
def split(
    context: typer.Context, cluster: Cluster, faces: FaceRefs, json: options.Json = False
) -> None:
    """Split faces of one other person off a cluster; they become a new cluster.

    Example: `visavis cluster fix sorted/ split 3 f12 f15`
    """
    _tell(album := context.obj, album.split(cluster, *faces), json=json)


@app.command()
def move(
    context: typer.Context,
    faces: Annotated[
        list[str],
        typer.Argument(metavar="FACE... CLUSTER", help="Faces, and the cluster they belong to."),
    ],
    json: options.Json = False,
) -> None:
    """Move faces to another cluster.

    Example: `visavis cluster fix sorted/ move f12 5`
    """
    if len(faces) < 2:
        raise OptionError(f"move {' '.join(faces)}", "name faces and the cluster: move f12 5")
    _tell(album := context.obj, album.move(*faces[:-1], to=faces[-1]), json=json)


@app.command("not-a-face")
def not_a_face(context: typer.Context, faces: FaceRefs, json: options.Json = False) -> None:
    """Remove false detections, or faces that should not be sorted.

    Example: `visavis cluster fix sorted/ not-a-face f12`
    """
    _tell(album := context.obj, album.not_a_face(*faces), json=json)


@app.command()
def name(
    context: typer.Context,
    cluster: Cluster,
    called: Annotated[
        str, typer.Argument(metavar="NAME", help='Name of the person; "" removes the name.')
    ],
    json: options.Json = False,
) -> None:
    """Name a cluster. This confirms its current faces.

    Example: `visavis cluster fix sorted/ name 3 "Anna"`
    """
    _tell(album := context.obj, album.name(cluster, called), json=json)


@app.command()
def undo(context: typer.Context, json: options.Json = False) -> None:
    """Undo the last correction; again: the one before it.

    Example: `visavis cluster fix sorted/ undo`
    """
    _tell(album := context.obj, album.undo(), json=json)


@app.command("list")
def list_all(context: typer.Context, json: options.Json = False) -> None:
    """List all corrections, in order.

    Example: `visavis cluster fix sorted/ list`
    """
    rows = context.obj.corrections()
    if json:
        echo_json(rows)
        return
    for one in rows:
        state = "undone" if one.undone else ""
        if one.replaced_by is not None:
            state = f"in part replaced by {one.replaced_by}"
        text = f"{one.id:>4}  {one.time[:16].replace('T', ' ')}  {one.text}"
        console.print(f"{text}  ({state})" if state else text, markup=False)
    if not rows:
        console.print("no corrections yet")


@app.command("enrol", hidden=True)
@app.command("enroll")
def enroll(
    context: typer.Context,
    cluster: Cluster,
    gallery: gallery_options.Gallery = None,
    called: Annotated[
        str | None,
        typer.Option("--name", help="Name of the person. Default: the cluster's name."),
    ] = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Enroll the most typical faces of a cluster as a person of a gallery.

    The cluster also gets the name.

    Example: `visavis cluster fix sorted/ enroll 3 --gallery family/ --name Anna`
    """
    place = gallery_options.named(gallery)
    album: PhotoAlbum = context.obj
    done = album.enroll(
        cluster, place, name=called, **gallery_options.access(place, key_file, tenant)
    )
    album.save()
    if json:
        echo_json(done)
    else:
        console.print(
            f"{done.person}: {done.enrolled} faces of cluster {done.cluster} enrolled", markup=False
        )


def _tell(album: PhotoAlbum, fixed: CorrectionResult, *, json: bool) -> None:
    with stages(quiet=json) as update:
        album.save(progress=update)
    if json:
        echo_json({**fixed.to_dict(), "counts": album.record.counts()})
        return
    console.print(fixed.done, markup=False)
    for number, text in fixed.replaced:
        console.print(f"this replaces a part of correction {number} ({text})", markup=False)
    for note in fixed.notes:
        messages.print(f"visavis: {note}", markup=False)
