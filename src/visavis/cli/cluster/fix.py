"""``visavis cluster fix``: corrections that hold for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.cache import embeddings
from visavis.cli.cluster.state import locked, state_of
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, messages, progress

if TYPE_CHECKING:
    from visavis.albums.fixing import Fixed, Fixer
    from visavis.albums.records import Album
    from visavis.albums.references import References
    from visavis.albums.store import AlbumStore

app = typer.Typer(
    no_args_is_help=True,
    help="Correct what `visavis cluster` found, at once and at every later run. A cluster is a "
    "number or a name given before; a face is `f12` or `photo.jpg#2`, from left to right.",
)

Clusters = Annotated[list[str], typer.Argument(metavar="CLUSTER...", help="Numbers or names.")]
Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="Its number or name.")]
FaceRefs = Annotated[
    list[str], typer.Argument(metavar="FACE...", help="Faces: f12, or photo.jpg#2.")
]


@dataclass(frozen=True, slots=True)
class _Place:
    """The collection that the command is about."""

    out: Path
    state: Path


@app.callback()
def _place(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder that `visavis cluster` wrote.")
    ],
) -> None:
    """Correct what `visavis cluster` found, at once and at every later run.

    A cluster is a number, or a name given before; a face is `f12` or `photo.jpg#2`.

    Example: `visavis cluster fix sorted/ merge 3 7`
    """
    context.obj = _Place(out, state_of(out, None))


@app.command()
def merge(context: typer.Context, clusters: Clusters, json: options.Json = False) -> None:
    """Several clusters are one person. The first keeps its number, and its name if it has one.

    Example: `visavis cluster fix sorted/ merge 3 7`
    """
    _fix(
        context.obj,
        lambda fixer, look: fixer.merge([look.cluster(text) for text in clusters]),
        json=json,
    )


@app.command()
def split(
    context: typer.Context, cluster: Cluster, faces: FaceRefs, json: options.Json = False
) -> None:
    """Some faces of a cluster are one other person; they become a cluster of their own.

    Example: `visavis cluster fix sorted/ split 3 f12 f15`
    """
    _fix(
        context.obj,
        lambda fixer, look: fixer.split(look.cluster(cluster), look.faces(faces)),
        json=json,
    )


@app.command()
def move(
    context: typer.Context,
    faces: Annotated[
        list[str],
        typer.Argument(metavar="FACE... CLUSTER", help="Faces, and the cluster they belong to."),
    ],
    json: options.Json = False,
) -> None:
    """Some faces belong to another cluster, and not to the one they are in.

    Example: `visavis cluster fix sorted/ move f12 5`
    """
    from visavis.errors import OptionError

    if len(faces) < 2:
        raise OptionError(f"move {' '.join(faces)}", "name faces and the cluster: move f12 5")
    _fix(
        context.obj,
        lambda fixer, look: fixer.move(look.faces(faces[:-1]), look.cluster(faces[-1])),
        json=json,
    )


@app.command("not-a-face")
def not_a_face(context: typer.Context, faces: FaceRefs, json: options.Json = False) -> None:
    """Something that was taken for a face is none, or is not to be sorted.

    Example: `visavis cluster fix sorted/ not-a-face f12`
    """
    _fix(context.obj, lambda fixer, look: fixer.not_a_face(look.faces(faces)), json=json)


@app.command()
def name(
    context: typer.Context,
    cluster: Cluster,
    called: Annotated[
        str, typer.Argument(metavar="NAME", help='Who it is; "" takes the name away.')
    ],
    json: options.Json = False,
) -> None:
    """Say who a cluster is. This confirms the faces that are in it now.

    Example: `visavis cluster fix sorted/ name 3 "Anna"`
    """
    _fix(context.obj, lambda fixer, look: fixer.name(look.cluster(cluster), called), json=json)


@app.command()
def undo(context: typer.Context, json: options.Json = False) -> None:
    """Take the last correction back; again, the one before it.

    Example: `visavis cluster fix sorted/ undo`
    """
    _fix(context.obj, lambda fixer, look: fixer.undo(), json=json)


@app.command("list")
def list_all(context: typer.Context, json: options.Json = False) -> None:
    """All corrections, in the order they were made.

    Example: `visavis cluster fix sorted/ list`
    """
    from visavis.albums.knowledge import replay
    from visavis.albums.store import AlbumStore

    with AlbumStore(context.obj.state) as store:
        corrections = store.corrections()
    knowledge = replay(corrections)
    by = {old: new for new, several in sorted(knowledge.replaced.items()) for old in several}
    if json:
        rows = [
            {
                **{key: getattr(one, key) for key in ("id", "time", "kind", "text", "undone")},
                "replaced_by": None if one.undone else by.get(one.id),
            }
            for one in corrections
        ]
        echo_json(rows)
        return
    for one in corrections:
        state = "undone" if one.undone else ""
        if not state and one.id in by:
            state = f"in part replaced by {by[one.id]}"
        text = f"{one.id:>4}  {one.time[:16].replace('T', ' ')}  {one.text}"
        console.print(f"{text}  ({state})" if state else text, markup=False)
    if not corrections:
        console.print("no corrections yet")


@app.command("enrol", hidden=True)
@app.command("enroll")
def enroll(
    context: typer.Context,
    cluster: Cluster,
    gallery: gallery_options.Gallery = None,
    called: Annotated[
        str | None,
        typer.Option("--name", help="Who it is; the cluster's own name when left out."),
    ] = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Enrol a cluster as a person of a gallery: its most typical faces.

    The cluster gets the name, too.

    Example: `visavis cluster fix sorted/ enroll 3 --gallery family/ --name Anna`
    """
    from visavis.albums.fixing import Fixer
    from visavis.albums.naming import new_faces
    from visavis.albums.references import References
    from visavis.albums.view import album_of
    from visavis.errors import OptionError

    if not gallery:
        raise OptionError("no gallery is named", "say --gallery DIR, or set VISAVIS_GALLERY")
    with _collection(context.obj) as (store, vectors):
        fixer = Fixer(store)
        names = fixer.names()
        number = References(store, names).cluster(cluster)
        person = called or names.get(number)
        if not person:
            raise OptionError(f"cluster {cluster} without a name", "say who it is by --name")
        faces = new_faces(album_of(store, vectors), number, person, vectors)
        if names.get(number) != person:
            with store.changing():
                fixer.name(number, person)
            # Whoever names a cluster vouches for its faces: none of them is in doubt any more.
            faces = new_faces(album_of(store, vectors), number, person, vectors)
        with gallery_options.open_gallery(
            gallery, key_file=key_file, tenant=tenant, create=True
        ) as people:
            people.info().require_plain(faces[0].model_sha256)
            fresh = [
                face
                for face in faces
                if not people.has_source(
                    face.photo_sha256, person=person, model_sha256=face.model_sha256
                )
            ]
            people.add(fresh)
        _write(context.obj, store, vectors, None, json=True)
    if json:
        echo_json({"cluster": number, "person": person, "enrolled": len(fresh)})
    else:
        console.print(f"{person}: {len(fresh)} faces of cluster {number} enrolled", markup=False)


def _fix(place: _Place, correct: Callable[[Fixer, References], Fixed], *, json: bool) -> None:
    from visavis.albums.fixing import Fixer
    from visavis.albums.references import References

    with _collection(place) as (store, vectors):
        with store.changing():
            fixer = Fixer(store)
            fixed = correct(fixer, References(store, fixer.names()))
        _write(place, store, vectors, fixed, json=json)


@contextmanager
def _collection(place: _Place) -> Iterator[tuple[AlbumStore, dict[int, Any]]]:
    """The state, and the templates that the cache holds."""
    from visavis.albums import outputs
    from visavis.albums.store import AlbumStore
    from visavis.albums.vectors import kept
    from visavis.embedding.cache import EmbeddingCache

    if not place.state.is_file():
        AlbumStore(place.state)  # says what is missing
    outputs.check(place.out)
    with locked(place.state), ExitStack() as stack:
        store = stack.enter_context(AlbumStore(place.state))
        last = store.last_run()
        vectors: dict[int, Any] = {}
        if last is not None and embeddings().exists():
            cache = stack.enter_context(EmbeddingCache(embeddings()))
            settings, sha256 = last[2]["settings"], last[2]["model_sha256"]
            vectors = kept(store, cache, settings=settings, model_sha256=sha256)
        yield store, vectors


def _write(
    place: _Place,
    store: AlbumStore,
    vectors: dict[int, Any],
    fixed: Fixed | None,
    *,
    json: bool,
) -> None:
    from visavis.albums import outputs
    from visavis.albums.view import album_of

    album: Album = album_of(store, vectors)
    with progress("pictures", quiet=json) as update:
        notes = outputs.write(place.out, album, store, progress=update)
    if fixed is None:
        return
    if json and fixed is not None:
        echo_json({**fixed.to_dict(), "counts": album.counts()})
        return
    console.print(fixed.done, markup=False)
    for number, text in fixed.replaced:
        console.print(f"this replaces a part of correction {number} ({text})", markup=False)
    for note in (*fixed.notes, *notes):
        messages.print(f"visavis: {note}", markup=False)
