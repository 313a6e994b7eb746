"""``cluster`` sorts photos by person; ``PhotoAlbum`` is the result, with lasting corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from visavis.api.gallery import Gallery, GalleryAccess, opened
from visavis.api.options import (
    PhotoOptions,
    Progress,
    embeddings,
    kept_templates,
    log,
    make_recognizer,
    stage,
    warn_about,
)
from visavis.api.photos import photos_in
from visavis.errors import OptionError
from visavis.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.albums.fixing import CorrectionResult, Fixer
    from visavis.albums.records import Album, AlbumCluster, AlbumFace, RunSettings
    from visavis.albums.references import References
    from visavis.albums.sorting import DetectedPhotos
    from visavis.albums.store import AlbumStore
    from visavis.clustering.graph_linkage import GraphLinkage
    from visavis.clustering.thresholds import FmrCurve
    from visavis.decision.profile import Calibration
    from visavis.gallery.store import GalleryStore
    from visavis.pipeline import Recognizer

    Templates = Mapping[int, NDArray[np.float32]]

Place = str | PathLike[str]


def cluster(
    folder: Place,
    /,
    *,
    out: Place,
    false_merge: float = 0.01,
    must: Place | None = None,
    cannot: Place | None = None,
    same_photo: bool = True,
    anew: bool = False,
    gallery: Gallery | Place | None = None,
    fpir: float | None = None,
    copy: bool = False,
    min_size: int = 1,
    pictures: bool = True,
    state: Place | None = None,
    cache: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> PhotoAlbum:
    """Sorts a folder of photos by person, without names. Photos are never changed.

    Call it again when photos were added: they join the existing clusters, whose numbers stay, and
    corrections still hold.

    >>> album = cluster("holiday/", out="sorted/")  # doctest: +SKIP
    >>> album.merge(3, 7); album.name(3, "Anna"); album.save()  # doctest: +SKIP

    Args:
        folder: folder of the photos.
        out: folder for the contact sheet, tables, a folder of links per person, and the state of
            this collection.
        false_merge: accepted share of faces, in (0, 1), in the cluster of another person.
        must: a CSV, two faces per line (``f12`` or ``photo.jpg#2``) that are one person.
        cannot: a CSV, two faces per line that are two people.
        same_photo: two faces of one photo are two people; ``False`` for collages.
        anew: do not start from the clusters of earlier runs. Corrections hold all the same.
        gallery: names clusters by the people enrolled in it.
        fpir: accepted share, in (0, 1), of strangers' clusters that the gallery names. ``None``
            for 0.01, or the lowest supported rate if that is higher.
        copy: put copies into the folders of people, in place of links.
        min_size: faces of the smallest cluster on the contact sheet, 1 or more.
        pictures: show faces on the contact sheet.
        state: where to remember the collection; ``album.sqlite`` in ``out`` when ``None``.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with ``photos`` or ``pictures``, how many are done, and of how many.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        OptionError, DataError: an option is out of its range, or a folder cannot be used.
        ImageNotFoundError: the folder holds no photo.
        ConstraintError: the lists of faces contradict each other or a correction.
        UnsupportedFmrError: the data cannot support so low a rate in so large a gallery.
    """
    from visavis.albums import outputs
    from visavis.albums.folders import written_by_us
    from visavis.albums.sorting import require_comparable
    from visavis.albums.store import AlbumStore, locked
    from visavis.albums.vectors import look

    root, place = Path(folder), Path(out)
    if place.exists() and not place.is_dir():
        raise OptionError(f"--out {place}: a file", "name a folder")
    photos = photos_in(root, without=written_by_us(root))
    recognizer = make_recognizer(**options)
    lists = {True: _path(must), False: _path(cannot)}
    for path in lists.values():
        if path is not None and not path.is_file():
            raise OptionError(f"{path}: there is no such file", "give a CSV file")
    with opened(gallery) as people:
        sorter = _Sorter(
            recognizer, false_merge, same_photo, lists, anew, people, fpir,
            min_size, pictures, copy,
        )  # fmt: skip
        sorter.check()
        warn_about(recognizer)
        outputs.check(place)
        where = outputs.state_of(place, _path(state))
        with locked(where), AlbumStore(where, create=True) as store:
            if not anew:
                require_comparable(store)
            with kept_templates(options.get("home"), cache=cache) as kept:
                update = stage(progress, "photos")
                found = look(root, photos, recognizer, cache=kept, workers=workers, progress=update)
            vectors = sorter.sort(store, root, found)
    album = PhotoAlbum(place, state=where, home=options.get("home"))
    album._vectors = vectors
    album.save(workers=workers or 2, progress=progress)
    return album


@dataclass(frozen=True, slots=True)
class CorrectionRow(Record):
    """A correction in the list of corrections.

    Attributes:
        id: 1, 2, 3, ... in the order they were made.
        time: ISO 8601 UTC.
        kind: ``merge``, ``split``, ``move``, ``not-a-face`` or ``name``.
        text: the request, such as ``merge 3 7``.
        undone: whether it was undone.
        replaced_by: a later correction that overrides a part of it, or ``None``.
    """

    id: int
    time: str
    kind: str
    text: str
    undone: bool
    replaced_by: int | None


@dataclass(frozen=True, slots=True)
class EnrolledCluster(Record):
    """Result of enrolling a cluster.

    Attributes:
        cluster: its number.
        person: name of the person.
        enrolled: number of newly enrolled faces.
    """

    cluster: int
    person: str
    enrolled: int


@dataclass(frozen=True, slots=True)
class ForgottenAlbum(Record):
    """Result of erasing a collection's results.

    Attributes:
        erased: erased files and folders in the output folder.
        kept: folders with other files, which stay.
    """

    erased: tuple[str, ...]
    kept: tuple[str, ...]


class PhotoAlbum:
    """An output folder of ``cluster``. Corrections are stored at once and hold for later runs.

    A cluster is given by its number or name; a face by its number, or as ``"f12"`` or
    ``"photo.jpg#2"`` (second from the left).

    >>> album = PhotoAlbum("sorted/")  # doctest: +SKIP
    >>> album.split("Anna", "f12", "beach.jpg#2").done  # doctest: +SKIP
    'f12 f40 now cluster 9, apart from 3'

    Args:
        out: the folder of results.
        state: where the collection is remembered, if ``out`` does not say.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.

    Raises:
        DataError: there is no sorted collection.
    """

    def __init__(
        self, out: Place, /, *, state: Place | None = None, home: Path | None = None
    ) -> None:
        from visavis.albums import outputs
        from visavis.albums.store import AlbumStore

        self.out = Path(out)
        self._state = outputs.state_of(self.out, _path(state))
        if not self._state.is_file():
            AlbumStore(self._state)  # says what is missing
        self._home = home
        self._vectors: Templates | None = None
        self._album: Album | None = None

    @property
    def record(self) -> Album:
        """All data of the collection, as in ``clusters.json``."""
        if self._album is None:
            with self._open() as store:
                self._album = self._look(store)
        return self._album

    @property
    def clusters(self) -> tuple[AlbumCluster, ...]:
        """Clusters, largest first; ``faces`` of each, most typical first."""
        return self.record.clusters

    @property
    def faces(self) -> tuple[AlbumFace, ...]:
        """All faces, including false detections."""
        return tuple(self.record.faces.values())

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)`` cluster number of each of ``faces``; -1 for false detections."""
        import numpy as np

        return np.array([f.cluster if f.cluster is not None else -1 for f in self.faces], np.int64)

    @property
    def contact_sheet(self) -> Path:
        """Path of the contact sheet."""
        from visavis.albums import outputs

        return self.out / outputs.SHEET

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``clusters.json``, and the folder."""
        return {**self.record.to_dict(), "out": str(self.out)}

    def __repr__(self) -> str:
        counts = self.record.counts()
        return (
            f"<{type(self).__name__} {self.out}: {counts['faces']} faces in {counts['photos']} "
            f"photos, {counts['clusters']} clusters>"
        )

    def merges(self) -> tuple[str, ...]:
        """Sentences about earlier clusters that the last run merged, and why."""
        from visavis.albums.sheet import merge_lines

        return tuple(merge_lines(self.record))

    def merge(self, *clusters: int | str) -> CorrectionResult:
        """Merges clusters of one person; the first keeps its number and its name, if any.

        Raises:
            OptionError: fewer than two, or an unknown cluster.
        """
        return self._fix(lambda fixer, look: fixer.merge([look.cluster(str(c)) for c in clusters]))

    def split(self, cluster: int | str, /, *faces: int | str) -> CorrectionResult:
        """Splits faces of one other person off a cluster; they become a new cluster.

        Raises:
            OptionError: unknown cluster, faces that are not in it, or all of its faces.
        """
        return self._fix(
            lambda fixer, look: fixer.split(look.cluster(str(cluster)), look.faces(_refs(faces)))
        )

    def move(self, *faces: int | str, to: int | str) -> CorrectionResult:
        """Moves faces to another cluster; they are not the person of their current one.

        Raises:
            OptionError: unknown cluster or face, or they are in it already.
        """
        return self._fix(
            lambda fixer, look: fixer.move(look.faces(_refs(faces)), look.cluster(str(to)))
        )

    def not_a_face(self, *faces: int | str) -> CorrectionResult:
        """Removes false detections, or faces that should not be sorted.

        Raises:
            OptionError: unknown face, or all are removed already.
        """
        return self._fix(lambda fixer, look: fixer.not_a_face(look.faces(_refs(faces))))

    def name(self, cluster: int | str, name: str, /) -> CorrectionResult:
        """Names a cluster and confirms its current faces; ``""`` removes the name.

        Raises:
            OptionError: unknown cluster, or a name that is invalid or in use.
        """
        return self._fix(lambda fixer, look: fixer.name(look.cluster(str(cluster)), name))

    def undo(self) -> CorrectionResult:
        """Undoes the last correction; again: the one before it.

        Raises:
            OptionError: nothing to undo.
        """
        return self._fix(lambda fixer, look: fixer.undo())

    def corrections(self) -> tuple[CorrectionRow, ...]:
        """Returns all corrections, in order."""
        from visavis.albums.knowledge import replay

        with self._open() as store:
            kept = store.corrections()
        replaced = sorted(replay(kept).replaced.items())
        by = {old: new for new, several in replaced for old in several}
        return tuple(
            CorrectionRow(
                c.id, c.time, c.kind, c.text, c.undone, None if c.undone else by.get(c.id)
            )
            for c in kept
        )

    def enroll(
        self,
        cluster: int | str,
        gallery: Gallery | Place,
        /,
        *,
        name: str | None = None,
        **access: Unpack[GalleryAccess],
    ) -> EnrolledCluster:
        """Enrolls the most typical faces of a cluster as a person of a gallery, and names it.

        Args:
            cluster: its number or name.
            gallery: a ``Gallery``, or its location; created if missing.
            name: name of the person; ``None``: the cluster's name.
            **access: see ``visavis.api.gallery.GalleryAccess``, if ``gallery`` is a location.

        Raises:
            OptionError: unknown cluster, or no name is given or known.
            ModelMismatchError: the gallery's templates are not comparable.
        """
        from visavis.albums.fixing import Fixer
        from visavis.albums.naming import new_faces
        from visavis.albums.references import References

        with self._open(write=True) as store:
            vectors = self._templates(store)
            fixer = Fixer(store)
            names = fixer.names()
            number = References(store, names).cluster(str(cluster))
            person = name or names.get(number)
            if not person:
                raise OptionError(f"cluster {cluster} without a name", "say who it is by --name")
            faces = new_faces(self._look(store), number, person, vectors)
            if names.get(number) != person:
                with store.changing():
                    fixer.name(number, person)
                self._album = None
                # Naming a cluster confirms its faces: no face is doubtful any more.
                faces = new_faces(self._look(store), number, person, vectors)
            with opened(gallery, create=True, **access) as people:
                people.info().require_plain(faces[0].model_sha256)
                fresh = [
                    face
                    for face in faces
                    if not people.store.has_source(
                        face.photo_sha256, person=person, model_sha256=face.model_sha256
                    )
                ]
                people.store.add(fresh)
        return EnrolledCluster(number, person, len(fresh))

    def save(self, *, workers: int = 2, progress: Progress | None = None) -> Path:
        """Writes contact sheet, tables and folders; returns the contact sheet's path.

        Args:
            workers: photos processed in parallel.
            progress: called with ``pictures``, done, and total.

        Raises:
            DataError: a file cannot be written.
        """
        from visavis.albums import outputs

        update = stage(progress, "pictures")
        with self._open(write=True) as store:
            self._album = self._look(store)
            notes = outputs.write(self.out, self._album, store, workers=workers, progress=update)
        for note in notes:
            log.info("%s", note)
        return self.contact_sheet

    def forget(self) -> ForgottenAlbum:
        """Erases the results for the collection: corrections, names, images, tables and folders.

        Photos are not changed. Templates are in the template cache: ``visavis.cache.clear`` erases
        them.

        Raises:
            DataError: a file cannot be removed.
        """
        from visavis.albums import outputs
        from visavis.albums.store import erase, locked

        with locked(self._state):
            erase(self._state)
            gone = (self._state.name, *outputs.erase(self.out))
        self._state.with_name(f".{self._state.name}.lock").unlink(missing_ok=True)
        self._album, self._vectors = None, {}
        left = (p for p in sorted(self.out.glob(f"{outputs.PEOPLE}*")) if p.is_dir())
        return ForgottenAlbum(gone, tuple(str(path) for path in left))

    def _fix(self, correct: Callable[[Fixer, References], CorrectionResult]) -> CorrectionResult:
        from visavis.albums.fixing import Fixer
        from visavis.albums.references import References

        with self._open(write=True) as store, store.changing():
            fixer = Fixer(store)
            fixed = correct(fixer, References(store, fixer.names()))
        self._album = None
        return fixed

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[AlbumStore]:
        """Opens the state; with ``write``, checks first that results can be written."""
        from visavis.albums import outputs
        from visavis.albums.store import AlbumStore, locked

        if not self._state.is_file():
            AlbumStore(self._state)  # says what is missing
        if write:
            outputs.check(self.out)
        with locked(self._state), AlbumStore(self._state) as store:
            yield store

    def _look(self, store: AlbumStore) -> Album:
        from visavis.albums.view import album_of

        return album_of(store, self._templates(store))

    def _templates(self, store: AlbumStore) -> Templates:
        """Returns templates by face, from the run or the cache."""
        if self._vectors is None:
            from visavis.albums.vectors import kept
            from visavis.embedding.cache import EmbeddingCache

            last, path = store.last_run(), embeddings(self._home)
            self._vectors = {}
            if last is not None and path.exists():
                with EmbeddingCache(path) as cache:
                    pipeline_id, sha256 = last[2]["pipeline_id"], last[2]["model_sha256"]
                    self._vectors = kept(store, cache, pipeline_id=pipeline_id, model_sha256=sha256)
        return self._vectors


def _path(given: Place | None) -> Path | None:
    return None if given is None else Path(given)


def _refs(faces: Sequence[int | str]) -> list[str]:
    return [f"f{face}" if isinstance(face, int) else face for face in faces]


@dataclass(slots=True)
class _Sorter:
    """Options of a run except those of detection."""

    recognizer: Recognizer
    false_merge: float
    same_photo: bool
    lists: Mapping[bool, Path | None]
    anew: bool
    gallery: Gallery | None
    fpir: float | None
    min_size: int
    pictures: bool
    copy: bool

    def check(self) -> None:
        """Checks the options before any photo is read, and decides the FPIR.

        If no rate was given and the data do not support the default, the lowest supported rate is
        used.
        """
        self._clusterer(self.recognizer.calibration)  # checks the rate
        if self.gallery is None:
            return
        if self.fpir is not None and not 0 < self.fpir < 1:
            raise OptionError(f"--fpir {self.fpir}", "give one in (0, 1), such as 0.01")
        from visavis.albums.naming import open_set_of
        from visavis.decision.open_set import DEFAULT_FPIR, above_default

        known = self.recognizer
        open_set = open_set_of(
            self.gallery.store, known.model, known.model_sha256, known.calibration
        )
        rate = open_set.supported(DEFAULT_FPIR) if self.fpir is None else self.fpir
        unusual = above_default(rate) if self.fpir is None else ()
        for sentence in (*unusual, *open_set.warnings(rate)):
            log.warning("%s", sentence)
        self.fpir = rate

    def sort(self, store: AlbumStore, folder: Path, found: DetectedPhotos) -> Templates:
        """Clusters the faces and stores the result; returns templates by face."""
        from visavis.albums import sorting
        from visavis.albums.references import References
        from visavis.albums.view import album_of

        with store.changing():
            seen = sorting.remember_faces(store, found)
            calibration = sorting.about_own_mean(store, seen, self.recognizer.calibration)
            clusterer, curve = self._clusterer(calibration)
            settings = self._settings(folder, clusterer.name, calibration)
            self._say_what_stays(store, settings)
            references = References(store)
            links = [
                link
                for must, path in self.lists.items()
                if path is not None
                for link in references.read_links(path, must=must)
            ]
            sorting.sort_faces(
                store,
                seen,
                clusterer,
                settings=settings,
                threshold=lambda clusters: curve.for_faces(
                    clusters, false_merge_rate=self.false_merge
                ),
                links=links,
                anew=self.anew,
                curve=curve,
                domain=calibration.domain,
            )
        vectors = {face: one.vector for face, one in seen.faces.items()}
        album = album_of(store, vectors)
        if album.settings.threshold >= curve.thresholds[-1]:
            log.warning(
                "for a false-merge rate of %g in a collection of this size the calibration %s has "
                "no score (its strictest is %.3f, which is used): the rate may be higher",
                self.false_merge,
                album.settings.calibration,
                curve.thresholds[-1],
            )
        if self.gallery is not None:
            self._name(store, album, vectors, self.gallery.store)
        return vectors

    def _name(
        self, store: AlbumStore, album: Album, vectors: Templates, people: GalleryStore
    ) -> None:
        from visavis.albums.naming import gallery_names

        names, _ = gallery_names(
            album,
            vectors,
            people,
            calibration=self.recognizer.calibration,
            fpir=self.fpir or 0.0,  # set by check
        )
        with store.changing():
            store.set_gallery_names({k: (name.name, name.score) for k, name in names.items()})

    def _say_what_stays(self, store: AlbumStore, settings: RunSettings) -> None:
        last = store.last_run()
        if last is None or self.anew:
            return
        told = ("model_sha256", "pipeline_id", "algorithm", "false_merge", "same_photo")
        if any(last[2][name] != getattr(settings, name) for name in told):
            log.info(
                "other options than last time: existing clusters stay, new faces join them with "
                "these options; --anew makes all clusters again"
            )

    def _clusterer(self, calibration: Calibration) -> tuple[GraphLinkage, FmrCurve]:
        from visavis.clustering.graph_linkage import GraphLinkage
        from visavis.clustering.thresholds import fmr_curve_of

        curve = fmr_curve_of(calibration.points, calibration.reference)
        return GraphLinkage(curve, false_merge_rate=self.false_merge), curve

    def _settings(self, folder: Path, algorithm: str, calibration: Calibration) -> RunSettings:
        from visavis.albums.records import RunSettings

        own = calibration.domain if calibration is not self.recognizer.calibration else None
        return RunSettings(
            root=str(folder.resolve()),
            model=self.recognizer.model,
            model_sha256=self.recognizer.model_sha256,
            pipeline_id=self.recognizer.pipeline_id,
            algorithm=algorithm,
            false_merge=self.false_merge,
            threshold=float("nan"),
            calibration=calibration.name,
            same_photo=self.same_photo,
            min_size=self.min_size,
            pictures=self.pictures,
            copy=self.copy,
            gallery=self.gallery.location if self.gallery is not None else "",
            fpir=self.fpir if self.fpir is not None and self.gallery else float("nan"),
            mean_of_people=0 if own is None else own.people,
        )
