"""``Gallery``: enrollment and identification of people."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from visavis.api.options import (
    DetectorOptions,
    PhotoOptions,
    Progress,
    RecognizerSource,
    log,
    make_recognizer,
    stage,
)
from visavis.errors import GalleryKeyError, OptionError
from visavis.gallery.crypto.key import Key, readers
from visavis.types import Record

if TYPE_CHECKING:
    from visavis.api.named import NamedPhoto
    from visavis.gallery.milvus.store import MilvusGallery
    from visavis.gallery.records import (
        AuditEntry,
        CheckReport,
        GalleryInfo,
        Person,
        StoredFace,
    )
    from visavis.gallery.sqlite.store import SqliteGallery
    from visavis.gallery.store import GalleryStore
    from visavis.gallery.transfer import TransferReport
    from visavis.identification import (
        EnrollOptions,
        EnrollRow,
        GalleryThreshold,
        IdentifiedPhoto,
        Identifier,
        IdentifyOptions,
        Migration,
        MigrationProgress,
        PersonPhoto,
        SplitSuggestion,
    )
    from visavis.pipeline import Recognizer
    from visavis.types import Template

__all__ = ["EnrollReport", "Gallery", "GalleryAccess", "Key", "open_store", "readers"]

Place = str | PathLike[str]
_MANY = 1000
_KEPT = 16
"""Most identifiers, and open-set models, that a gallery keeps."""


class GalleryAccess(TypedDict, total=False):
    """Access data of a gallery.

    Attributes:
        key: key of an encrypted gallery in a folder: a ``visavis.gallery.crypto.key.Key``, its
            text, or its file (a ``Path``). A new gallery with a key is encrypted.
        tenant: tenant, if several galleries share one Milvus server; default ``default``.
        token: access token of a Milvus server.
    """

    key: Key | Place | None
    tenant: str
    token: str | None


@dataclass(frozen=True, slots=True, eq=False)
class EnrollReport(Record):
    """Result of an enrollment.

    Attributes:
        rows: one per photo, in order; ``status`` is one of ``visavis.identification.STATUSES``.
    """

    rows: tuple[EnrollRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of photos by status."""
        return dict(Counter(row.status for row in self.rows))

    @property
    def failed(self) -> tuple[EnrollRow, ...]:
        """Rows of photos that are not enrolled, each with its reason."""
        return tuple(row for row in self.rows if not row.there)


def in_milvus(location: str) -> bool:
    """Whether a location means a gallery in Milvus."""
    return "://" in location or location.endswith(".db")


def open_store(
    location: Place,
    /,
    *,
    create: bool = False,
    key: Key | Place | None = None,
    tenant: str = "default",
    token: str | None = None,
    home: Path | None = None,
) -> SqliteGallery | MilvusGallery:
    """Opens the store of a gallery; arguments and errors are those of ``Gallery``."""
    if in_milvus(str(location)):
        from visavis.gallery.milvus.store import MilvusGallery

        if key is not None:
            raise GalleryKeyError(
                f"a key for {location}: visavis does not encrypt what is in Milvus",
                "leave --key-file out, and encrypt the disks of the cluster",
            )
        return MilvusGallery(str(location), tenant=tenant, token=token, create=create, home=home)
    from visavis.gallery.sqlite.store import SqliteGallery

    return SqliteGallery(Path(location), create=create, key=_key(key))


def _key(given: Key | Place | None) -> Key | None:
    if isinstance(given, str):
        return Key.from_text(given)
    return Key.from_file(Path(given)) if isinstance(given, PathLike) else given


class Gallery:
    """A gallery of enrolled people: enroll, identify, edit, maintain.

    >>> with Gallery("door.gallery", create=True) as people:  # doctest: +SKIP
    ...     people.enroll("staff/").counts
    ...     people.identify("door.jpg", fpir=1e-3).faces[0].person
    {'enrolled': 120}
    'Anna Ivanova'

    Args:
        location: a folder, or a Milvus server (``http://HOST:PORT``) or file (``people.db``).
        create: make it if it is not there.
        key: key of an encrypted gallery in a folder: a ``visavis.gallery.crypto.key.Key``, its
            text, or its file (a ``Path``). A new gallery with a key is encrypted.
        tenant: tenant, if several galleries share one Milvus server; default ``default``.
        token: access token of a Milvus server.
        home: folder of models, calibrations, and audits of galleries on Milvus servers; the user's
            data folder when ``None``.
        engine: shares its models and queue with other galleries and threads; ``None``: own models.

    Attributes:
        location: as given.
        store: what keeps the templates, a ``visavis.gallery.store.GalleryStore``.

    Raises:
        GalleryError: there is none, or it cannot be opened.
        GalleryKeyError: the key is missing, wrong or not needed.
    """

    def __init__(
        self,
        location: Place,
        /,
        *,
        create: bool = False,
        key: Key | Place | None = None,
        tenant: str = "default",
        token: str | None = None,
        home: Path | None = None,
        engine: RecognizerSource | None = None,
    ) -> None:
        self._key = key = _key(key)
        self.location = str(location)
        self.store = open_store(
            location, create=create, key=key, tenant=tenant, token=token, home=home
        )
        self._home = home
        self._engine = engine
        self._identifiers: OrderedDict[tuple[Any, ...], Identifier] = OrderedDict()
        self._thresholds: dict[tuple[Any, ...], GalleryThreshold] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes files and connections."""
        self.store.close()

    def enroll(
        self,
        source: Place | Iterable[tuple[Any, ...] | PersonPhoto],
        /,
        *,
        name: str | None = None,
        faces: str = "refuse",
        min_quality: float | None = None,
        keep_crops: bool = False,
        expire: str | None = None,
        fpir: float = 0.01,
        workers: int | None = None,
        on_row: Callable[[EnrollRow], None] | None = None,
        progress: Progress | None = None,
        **options: Unpack[PhotoOptions],
    ) -> EnrollReport:
        """Enrolls people: stores templates of their photos, not the photos.

        Complete when it returns. Photos enrolled before are skipped, so an interrupted call can be
        repeated.

        Args:
            source: a folder with one subfolder per person; a CSV with the columns ``person`` and
                ``path``; (name, photo) pairs, photos as paths or bytes (optional third item: the
                photo's name in messages); or, with ``name``, a photo or a folder of photos.
            name: name of the person in all these photos.
            faces: which face to use if a photo has several: ``refuse``, ``clear``, ``largest`` or
                ``central``.
            min_quality: lowest quality score of a face, 0 to 1; ``None``: 0.6.
            keep_crops: store face crops, so that the model can be changed later without photos.
            expire: expiry of the faces (``90d``, ``12h``, ``2w``, a date), see ``expire``.
            fpir: accepted rate of false warnings, in (0, 1), that a new person resembles another.
            workers: photos processed in parallel; ``None``: one per core.
            on_row: called with each row after its commit.
            progress: called with ``enroll``, done, and total.
            **options: see ``visavis.api.options.PhotoOptions``; default ``model``: the gallery's
            own.

        Raises:
            DataError, OptionError: the source cannot be read, or names nobody.
            ModelMismatchError: the gallery holds templates of other models only.
        """
        from visavis.identification import Enroller

        wanted = enroll_options(
            faces=faces,
            min_quality=min_quality,
            keep_crops=keep_crops,
            expire=expire,
            fpir=fpir,
            workers=workers,
        )
        photos = person_photos(source, name)
        enroller = Enroller(self.store, self.recognizer(**options), options=wanted)
        for sentence in enroller.warnings():
            log.warning("%s", sentence)
        self._forget_identifiers()
        rows = []
        for row in enroller.enroll(photos, progress=stage(progress, "enroll")):
            rows.append(row)
            if on_row is not None:
                on_row(row)
        keep_index(self.store, sum(row.status == "enrolled" for row in rows))
        return EnrollReport(tuple(rows))

    def enroll_templates(
        self,
        people: Sequence[str],
        templates: Sequence[Template],
        /,
        *,
        photo_sha256: str,
        min_quality: float | None = None,
        expire: str | None = None,
        fpir: float = 0.01,
        **options: Unpack[PhotoOptions],
    ) -> EnrollReport:
        """Enrolls faces of one photo that are embedded already, each as a person's.

        The checks are those of ``enroll``. Complete when it returns.

        Args:
            people: name of the person for each template.
            templates: of ``recognizer(**options)``; ``photo`` is the name that is stored.
            photo_sha256: hash of the photo; a person's face of it is not enrolled again.
            min_quality: lowest quality score of a face, 0 to 1; ``None``: 0.6.
            expire: expiry of the faces (``90d``, ``12h``, ``2w``, a date), see ``expire``.
            fpir: accepted rate of false warnings, in (0, 1), that a new person resembles another.
            **options: see ``visavis.api.options.PhotoOptions``; default ``model``: the gallery's
                own.

        Raises:
            ModelMismatchError: templates of another model, or the gallery holds templates of other
                models only.
        """
        from visavis.identification import Enroller

        wanted = enroll_options(min_quality=min_quality, expire=expire, fpir=fpir)
        enroller = Enroller(self.store, self.recognizer(**options), options=wanted)
        self._forget_identifiers()
        rows = enroller.enroll_templates(people, templates, photo_sha256=photo_sha256)
        return EnrollReport(tuple(rows))

    def recognizer(self, **options: Unpack[PhotoOptions]) -> Recognizer:
        """Returns the recognizer for enrollment: of the given model, or of the gallery's own.

        Raises:
            UnknownModelError: unknown model.
        """
        from visavis.identification.models import model_to_enroll

        model = options.get("model") or model_to_enroll(self.store, home=self._home)
        options |= {"model": model, "home": self._home}
        if self._engine is not None:
            return self._engine.recognizer(**options)
        return make_recognizer(**options)

    def identify(self, photo: Any, /, **options: Any) -> NamedPhoto:
        """Identifies the faces in a photo: ``.faces[k].person``, or ``None`` for unknown people.

        ``.plot()`` of the result draws the photo with boxes and names.

        Args:
            photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
            **options: see ``identifier``.

        Raises:
            ImageError: the photo cannot be read.
            NoFaceError, SeveralFacesError: as the rule says.
            UnsupportedFmrError: the data cannot support so low a rate in so large a gallery.
        """
        from visavis.api.named import NamedPhoto

        return NamedPhoto.of(self.identifier(**options).identify(photo), given=photo)

    def identify_many(
        self,
        photos: Place | Sequence[Any],
        /,
        *,
        names: Sequence[str] | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Iterator[IdentifiedPhoto]:
        """Identifies faces in many photos, in order; a bad photo is a row with a reason.

        Args:
            photos: a folder, or photos as for ``identify``.
            names: names of the photos in results and messages; ``None``: descriptions.
            workers: photos processed in parallel; ``None``: one per core.
            progress: called with ``photos``, done, and total.
            **options: see ``identifier``.
        """
        from visavis.api.photos import listed

        return self.identifier(**options).identify_many(
            list(listed(photos)), names=names, workers=workers, progress=stage(progress, "photos")
        )

    def identifier(
        self,
        *,
        fpir: float | None = None,
        top: int = 5,
        faces: str = "all",
        fusion: str = "weighted",
        audit: bool = False,
        model: str | None = None,
        calibrations: Sequence[str] = (),
        aligned: bool = False,
        flip: bool = False,
        precision: str = "auto",
        own_scores: bool = True,
        **options: Unpack[DetectorOptions],
    ) -> Identifier:
        """Returns the identifier for these options, cached for further calls.

        Args:
            fpir: accepted false positive identification rate, in (0, 1), which sets the threshold.
                ``None``: 0.01, or the lowest supported rate if that is higher.
            top: candidates per face, 1 or more.
            faces: which faces to identify: ``all``, ``largest``, ``central`` or ``refuse``.
            fusion: how scores of a person's templates are combined: ``weighted`` (mean by quality),
                ``mean`` or ``max``.
            audit: record each photo's hash and result in the audit log, by ids.
            model: use this model's templates only; ``None``: all.
            calibrations: names of saved calibrations, at most one per model.
            aligned: photos are crops already aligned to the 112x112 template.
            flip: average the templates of each face and its mirror image: twice the time.
            precision: of the embedders: ``auto``, ``float32``, ``bf16`` or ``int8``.
            own_scores: also take the threshold from the scores of the gallery's own people with
                each other; ``False`` if many are enrolled under several names.
            **options: see ``visavis.api.options.DetectorOptions``.

        Raises:
            OptionError: an option is out of its range.
            UnsupportedFmrError: the data cannot support so low a rate in so large a gallery.
            UnknownCalibrationError, ModelMismatchError: unknown calibration, or one for another
                model.
        """
        from visavis.decision.profile import CalibrationStore
        from visavis.identification import GalleryThreshold, Identifier, recognizers
        from visavis.pipeline import Recognizer, RecognizerOptions

        wanted = identify_options(
            fpir=fpir, top=top, faces=faces, fusion=fusion, audit=audit, own_scores=own_scores
        )
        measured = (fusion, own_scores, tuple(calibrations), CalibrationStore(self._home).changed())
        asked = (wanted, model, measured, aligned, flip, precision, *sorted(options.items()))
        with self._lock:
            if asked in self._identifiers:
                self._identifiers.move_to_end(asked)
                return self._identifiers[asked]
            if measured not in self._thresholds:
                stale = len(self._thresholds) >= _KEPT or any(
                    known[-1] != measured[-1] for known in self._thresholds
                )
                if stale:
                    self._thresholds.clear()
                    self._identifiers.clear()
                self._thresholds[measured] = GalleryThreshold(
                    self.store, fusion=wanted.fusion, own=own_scores
                )
            given: dict[str, Any] = {**options, "flip": flip, "precision": precision}
            given.pop("home", None)
            found = recognizers(
                self.store,
                model=model,
                detector=given.pop("detector", "yunet"),
                aligned=aligned,
                calibrations=tuple(calibrations),
                options=RecognizerOptions(**given),
                home=self._home,
                make=Recognizer if self._engine is None else self._engine.make,
            )
            made = Identifier(
                self.store, found, options=wanted, threshold=self._thresholds[measured]
            )
            made.require_supported()
            for sentence in made.warnings():
                log.warning("%s", sentence)
            self._identifiers[asked] = made
            while len(self._identifiers) > _KEPT:
                self._identifiers.popitem(last=False)
            return made

    def _forget_identifiers(self) -> None:
        with self._lock:
            self._identifiers.clear()

    def __contains__(self, name: str) -> bool:
        """Whether a person of that name is enrolled."""
        return self.store.has_person(name)

    def people(self) -> list[Person]:
        """Returns all people: name, id, attributes, number of templates by model."""
        return list(self.store.people())

    def person(self, name: str, /) -> Person:
        """Returns one person.

        Raises:
            UnknownPersonError: unknown name; suggests similar ones.
        """
        return self.store.person(name)

    def name_of(self, person_id: str, /) -> str:
        """Returns the name of a person by opaque id.

        Raises:
            UnknownPersonError: nobody has that id.
        """
        return self.store.name_of(person_id)

    def faces(self, name: str, /) -> list[StoredFace]:
        """Returns a person's templates: number, photo, model, quality, expiry."""
        return list(self.store.faces(person=self.store.person(name).name))

    def rename(self, old: str, new: str, /) -> None:
        """Renames a person; the old name is erased."""
        self.store.rename(old, new)

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replaces a person's attributes, which are JSON values."""
        self.store.set_attributes(name, attributes)

    def set_expiry(self, name: str, expire: str | None, /) -> None:
        """Sets when all faces of a person expire (``90d``, a date, ...); ``None``: never."""
        self.store.set_expiry(name, None if expire is None else expiry_time(expire))

    def merge(self, into: str, /, *others: str) -> None:
        """Merges several names into one person: the templates move, the other names are erased."""
        self.store.merge(into, *others)

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Moves templates, by number, to another or new person."""
        self.store.split(name, faces, into=into)

    def suggest_splits(
        self, name: str, /, *, calibration: str | None = None
    ) -> tuple[SplitSuggestion, ...]:
        """Suggests templates of a person that are unlike the others; changes nothing."""
        from visavis.identification import suggest_splits

        return suggest_splits(self.store, name, calibration=calibration, home=self._home)

    def remove(self, *names: str) -> int:
        """Erases people from all files; returns the number of templates."""
        return sum(self.store.remove(name) for name in dict.fromkeys(names))

    def remove_faces(self, faces: Sequence[int], /, *, people: bool = False) -> int:
        """Erases templates by number; returns the number erased.

        Args:
            faces: their numbers.
            people: also erase people who lose their last template.
        """
        return self.store.remove_faces(faces, people=people)

    def info(self) -> GalleryInfo:
        """Returns the content of the gallery: people, templates by model, index, size."""
        return self.store.info()

    def check(self) -> CheckReport:
        """Verifies every template, the index, and the hash chain of the audit log."""
        return self.store.check()

    def audit(self) -> Iterator[AuditEntry]:
        """Returns the audit log, oldest first, people by opaque id."""
        return self.store.audit()

    def expire(self) -> int:
        """Erases expired faces, and people left without any; returns the number of templates."""
        return self.store.expire(datetime.now(UTC).isoformat())

    def compact(self) -> None:
        """Frees the space of removed data, and rebuilds the index."""
        self.store.compact()

    def backup(self, destination: Place, /) -> None:
        """Copies a consistent snapshot to a new or empty folder, with the same key.

        Raises:
            OptionError: it is in Milvus.
        """
        self.folder("a backup").backup(Path(destination))

    def rekey(self, key: Key | None, /, *, reencrypt: bool = False) -> None:
        """Encrypts with another key, or decrypts with ``None``; an interruption loses nothing.

        Args:
            key: the new key.
            reencrypt: encrypt every value again, for example after the old key was disclosed.

        Raises:
            OptionError: it is in Milvus.
        """
        self.folder("the key").rekey(key, reencrypt=reencrypt)

    def migration(self, model: str | None = None, /) -> MigrationProgress | None:
        """Returns the progress of the migration to ``model``, or of the unfinished one; or
        ``None``."""
        from visavis.identification import migration

        if model is not None:
            return self._change(model).progress()
        begun = migration.target(self.store)
        return migration.progress(self.store, *begun) if begun else None

    def migrate(
        self,
        model: str | None = None,
        /,
        *,
        progress: Progress | None = None,
        **options: Unpack[PhotoOptions],
    ) -> MigrationProgress:
        """Migrates to another model: embeds stored crops; reports who must be enrolled again.

        Both models are searched until ``finish_migration``. An interrupted call continues when made
        again.

        Args:
            model: the new one; that of the change that was begun when ``None``.
            progress: called with ``migrate``, done, and total.
            **options: see ``visavis.api.options.PhotoOptions``.

        Raises:
            OptionError: no model is given, or there is nothing to migrate.
        """
        change = self._change(model, **options)
        self._forget_identifiers()
        return change.run(report=stage(progress, "migrate"))

    def finish_migration(self, model: str | None = None, /) -> int:
        """Erases the templates of other models when everybody has new ones; returns their number.

        Args:
            model: the new one; that of the change that was begun when ``None``.

        Raises:
            GalleryError: a person has no new template.
        """
        self._forget_identifiers()
        return self._change(model).finish()

    def _change(self, model: str | None, /, **options: Unpack[PhotoOptions]) -> Migration:
        from visavis.identification import Migration, migration

        if model is None:
            begun = migration.target(self.store)
            if begun is None:
                raise OptionError(
                    "no new model is named", "say --model NAME (`visavis models list`)"
                )
            model = begun[0]
        options |= {"model": model}
        return Migration(self.store, self.recognizer(**options))

    def export(
        self,
        file: Place,
        /,
        *,
        key: Key | Place | None = None,
        plain: bool = False,
        crops: bool = True,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> TransferReport:
        """Exports the gallery to one SQLite file, encrypted if the gallery is.

        Args:
            file: output file.
            key: of the file; the gallery's own when ``None``.
            plain: do not encrypt the file even if the gallery is encrypted.
            crops: include the stored crops.
            overwrite: replace an existing file.
            progress: called with ``export``, done, and total.

        Raises:
            OptionError: both ``key`` and ``plain``.
            GalleryError: the file exists, or cannot be written.
        """
        from visavis.gallery import transfer

        if plain and key is not None:
            raise OptionError("--plain and --file-key", "give one of them")
        used = _key(key)
        if used is None and not plain and self.info().encrypted:
            used = self._key
        found = transfer.export(
            self.store,
            Path(file),
            key=used,
            crops=crops,
            overwrite=overwrite,
            progress=stage(progress, "export"),
        )
        if not found.encrypted:
            log.warning("%s is not encrypted: whoever reads it has everybody's template", file)
        return found

    def import_(
        self,
        file: Place,
        /,
        *,
        existing: str = "refuse",
        key: Key | Place | None = None,
        progress: Progress | None = None,
    ) -> TransferReport:
        """Imports a file written by ``export``, after verifying the whole file.

        Args:
            file: the file.
            existing: what to do with people who are in the gallery already: ``refuse`` the file,
                ``merge`` (add missing templates), or ``skip`` them.
            key: of the file; the gallery's own when ``None``.
            progress: called with ``import``, done, and total.

        Raises:
            OptionError: unknown file or choice.
            GalleryError: the file is damaged, or has another key.
        """
        from visavis.gallery import transfer

        check_import(file, existing)
        self._forget_identifiers()
        used = _key(key)
        if used is None and is_sealed(Path(file)):
            used = self._key
        found = transfer.import_(
            self.store,
            Path(file),
            existing=existing,  # type: ignore[arg-type]  # checked above
            key=used,
            progress=stage(progress, "import"),
        )
        keep_index(self.store, found.faces)
        if found.encrypted and not self.info().encrypted:
            log.warning(
                "%s is encrypted, the gallery %s is not: whoever reads it has everybody's template",
                file,
                self.info().location,
            )
        return found

    def folder(self, what: str, /) -> SqliteGallery:
        """Returns the store, for operations of galleries in folders.

        Raises:
            OptionError: it is in Milvus.
        """
        from visavis.gallery.sqlite.store import SqliteGallery

        if not isinstance(self.store, SqliteGallery):
            raise OptionError(
                f"{what} of {self.info().location}", "Milvus has means of its own for that"
            )
        return self.store


@contextmanager
def opened(
    gallery: Gallery | Place | None, *, create: bool = False, **access: Unpack[GalleryAccess]
) -> Iterator[Any]:
    """Yields a given gallery unchanged; opens and closes one given by location."""
    if gallery is None or isinstance(gallery, Gallery):
        yield gallery
        return
    with Gallery(gallery, create=create, **access) as own:
        yield own


def keep_index(store: GalleryStore, added: int) -> None:
    """Saves the index after many additions, so that the next process starts at once."""
    from visavis.gallery.sqlite.store import SqliteGallery

    if added >= _MANY and isinstance(store, SqliteGallery):
        store.load_index()


def expiry_time(text: str) -> str:
    """Returns an expiry (``90d``, ``12h``, ``2w``, a date) as ISO 8601 UTC time.

    Raises:
        OptionError: it is none of these, or past.
    """
    from visavis.identification import expiry

    return expiry(text, now=datetime.now(UTC))


def enroll_options(
    *,
    faces: str = "refuse",
    min_quality: float | None = None,
    keep_crops: bool = False,
    expire: str | None = None,
    fpir: float = 0.01,
    workers: int | None = None,
) -> EnrollOptions:
    """Checks the options of ``Gallery.enroll`` before a gallery is created."""
    from visavis.identification import EnrollOptions

    bar: dict[str, Any] = {} if min_quality is None else {"min_quality": min_quality}
    return EnrollOptions(
        rule=faces,
        resemblance_fpir=fpir,
        keep_crops=keep_crops,
        expires=None if expire is None else expiry_time(expire),
        workers=workers,
        **bar,
    )


def identify_options(
    *, fpir: float | None, top: int, faces: str, fusion: str, audit: bool, own_scores: bool = True
) -> IdentifyOptions:
    """Checks the options of ``Gallery.identifier`` before a gallery is opened."""
    from visavis.identification import IdentifyOptions

    return IdentifyOptions(
        fpir=fpir, top=top, rule=faces, audit=audit, own_scores=own_scores,
        fusion=fusion,  # type: ignore[arg-type]
    )  # fmt: skip


def person_photos(
    source: Place | Iterable[tuple[Any, ...] | PersonPhoto], name: str | None = None
) -> list[PersonPhoto]:
    """Returns photos with their person; see ``Gallery.enroll``.

    Raises:
        DataError, OptionError: the source cannot be read, or names nobody.
    """
    from visavis.identification import PersonPhoto, of_folders, of_one, of_table
    from visavis.identification.photos import strays

    if not isinstance(source, (str, PathLike)):
        return [
            one
            if isinstance(one, PersonPhoto)
            else PersonPhoto(
                one[0], one[1] if isinstance(one[1], bytes) else Path(one[1]), *one[2:]
            )
            for one in source
        ]
    path = Path(source)
    if name is not None:
        return of_one(name, [path])
    if path.is_dir():
        if nobodys := strays(path):
            log.warning(
                "%d photo(s) directly in %s are in nobody's folder: left out (%s ...)",
                len(nobodys),
                path,
                nobodys[0].name,
            )
        return of_folders(path)
    if path.suffix.lower() == ".csv":
        return of_table(path)
    if not path.exists():
        raise OptionError(f"{source} is not there", "name photos, a folder of folders, or a CSV")
    raise OptionError(f"{source}, a photo without a name", 'say who it is: --name "..."')


def check_import(file: Place, existing: str) -> None:
    """Checks the arguments of ``Gallery.import_`` before the file is opened."""
    if existing not in {"refuse", "merge", "skip"}:
        raise OptionError(f"--existing {existing}", "choose refuse, merge or skip")
    if not Path(file).is_file():
        raise OptionError(f"{file} is not there", "name a file that export made")


def is_sealed(file: Path) -> bool:
    """Whether an exported file needs a key; the import reports other problems."""
    from visavis.gallery.transfer import needs_key

    return needs_key(file)


def require_export(file: Path, key: Key | None) -> None:
    """Checks an exported file and its key before a gallery is created."""
    from visavis.gallery.transfer import ExportFile

    with ExportFile(file, key):
        pass
