"""Exports a gallery to a file and imports it into another gallery, such as SQLite to Milvus.

Templates are copied bit for bit. The file is a SQLite database with the schema of a gallery
(``sqlite/schema.py``), so that the same code reads and verifies both. Its audit log has two
entries: ``create``, and ``export`` with counts and a digest of the content. With a key, values are
encrypted as in a gallery (docs/concepts/gallery.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from visavis.errors import (
    DataError,
    GalleryDamagedError,
    GalleryError,
    GalleryKeyError,
    ModelMismatchError,
    OptionError,
    PersonExistsError,
    VisavisError,
)
from visavis.former import ENROLL_AGAIN, ZIP_EXPORT, incomparable, levelled
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.entries import attributes_text, checked_faces
from visavis.gallery.names import usable_name
from visavis.gallery.records import NewFace, Person, StoredFace
from visavis.gallery.sqlite import audit, check, read, schema, tally, write
from visavis.gallery.sqlite.database import State, state_of
from visavis.gallery.sqlite.row_codec import about_person
from visavis.gallery.store import GalleryStore
from visavis.reading import open_regular
from visavis.types import Record
from visavis.version import __version__
from visavis.writing import replacing

Existing = Literal["refuse", "merge", "skip"]
"""What to do with people who are already in the gallery: refuse the file, add missing templates, or
skip these people."""

Progress = Callable[[int, int], None]
"""Called with the number of processed faces and the total."""

_PART: Final = 10_000
_PART_BYTES: Final = 32 << 20
_LONGEST: Final = 64 << 20
"""Maximum size in bytes of a value read from a file."""
_AGAIN: Final = "export the gallery again, or copy the file again from where it is whole"
_UNREADABLE: Final = (
    sqlite3.Error, struct.error, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""Exceptions from reading manipulated values."""


@dataclass(frozen=True, slots=True)
class TransferReport(Record):
    """Result of an export or import.

    Attributes:
        path: the file.
        people: people written to the file, or given templates in the gallery.
        faces: templates written or added.
        crops: number of these with a crop.
        encrypted: whether the file is encrypted; if not, anybody can read the biometric data.
        content: digest of people and faces, equal for galleries with the same content.
        already: templates that the gallery already had; 0 for an export.
        skipped: people not imported: already in the gallery (``skip``), or without templates.
    """

    path: str
    people: int
    faces: int
    crops: int
    encrypted: bool
    content: str
    already: int = 0
    skipped: int = 0


def export(
    store: GalleryStore,
    path: Path,
    *,
    key: Key | None = None,
    crops: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TransferReport:
    """Exports a gallery to a file, completely or not at all, and logs it in the audit.

    Args:
        store: any gallery.
        path: the new file, readable by its owner only.
        key: encrypts the file; without a key, anybody who has the file can read the templates.
        crops: whether to include stored crops.
        overwrite: whether to replace an existing file.
        progress: called with the number of processed faces and the total.

    Raises:
        OptionError: the file exists, or its folder does not.
        GalleryError: the gallery is closed, or the file cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OptionError(f"{path} exists", "name another file or ask to overwrite it")
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}", "make it first")
    try:
        with replacing(path, private=True, durable=True) as partial:
            with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as db:
                report = _written(store, db, path, key, crops, progress)
            store.note("export", details=_details(report))
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise GalleryError(f"{path} cannot be written ({why})", "name another place") from error
    return report


def _written(  # noqa: PLR0917
    store: GalleryStore, db: sqlite3.Connection, path: Path, key: Key | None, crops: bool,
    progress: Progress | None,
) -> TransferReport:  # fmt: skip
    for setting in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {setting}")  # the file counts when it is whole
    keyring, cipher = plain_keyring() if key is None else wrapped_keyring(key)
    db.execute("BEGIN")
    schema.migrate(db, 0, now=timestamps.written(timestamps.now()))
    db.execute("INSERT INTO meta VALUES ('keyring', ?)", (keyring,))
    audit.append(db, cipher, [audit.Event("create", "", {"encrypted": key is not None})])
    total = sum(store.info().faces.values())
    digest, faces, kept = _Digest(), 0, 0
    seen: set[str] = set()
    taken = ((f, store.crop(f.id) if crops and f.has_crop else None) for f in store.faces())
    for part in _parts(taken):
        times = [timestamps.microseconds(face.created) for face, _ in part]
        new = [_new_face(face, crop) for face, crop in part]
        write.insert(db, cipher, state_of(db), checked_faces(new, {}), copied=times)
        for face in new:
            digest.face(face)
        seen |= {face.person for face in new}
        faces, kept = faces + len(new), kept + sum(face.crop is not None for face in new)
        if progress is not None:
            progress(faces, max(total, faces))
    people = {person.name: person for person in store.people()}
    # Somebody who was renamed meanwhile has faces under one name and a row under the other.
    names = sorted(seen | set(people))
    _put_people(db, cipher, names, people)
    for name in names:
        digest.person(name, people[name].attributes if name in people else {})
    report = TransferReport(
        path=str(path), people=len(names), faces=faces, crops=kept, encrypted=key is not None,
        content=digest.hexdigest(),
    )  # fmt: skip
    made_by = {"made_by": f"visavis {__version__}"}
    audit.append(db, cipher, [audit.Event("export", "", _details(report) | made_by)])
    tally.seal(db)
    db.execute("COMMIT")
    return report


def _put_people(
    db: sqlite3.Connection, cipher: ValueCipher, names: list[str], people: Mapping[str, Person]
) -> None:
    rows, clock = write.find_or_make(
        db, cipher, state_of(db).clock, dict.fromkeys(names), timestamps.now()
    )
    db.execute("UPDATE state SET clock = ?", (clock,))
    for name, (number, uid) in rows.items():
        if (person := people.get(name)) is not None:
            text = attributes_text(person.attributes).encode()
            blob = cipher.encrypt(text, about_person(number, uid, "attributes"))
            db.execute(
                "UPDATE person SET attributes = ?, created = ? WHERE id = ?",
                (blob, timestamps.microseconds(person.created), number),
            )


def import_(
    store: GalleryStore,
    path: Path,
    *,
    existing: Existing = "refuse",
    key: Key | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """Imports a file made by ``export``.

    The whole file is verified, and names are compared, before anything is written. Templates are
    then added in batches, each atomic. A template that the person already has (same model, same
    bits) is not added again, and people who only have templates of this file do not count as
    existing. So importing the same file again completes an interrupted import; once more changes
    nothing. The gallery assigns its own person ids, face numbers and times of enrollment.

    Args:
        store: any gallery.
        path: the file.
        existing: what to do with existing people. With ``merge`` they keep their attributes if they
            have any.
        key: key of an encrypted file.
        progress: called with the number of processed faces and the total.

    Raises:
        DataError: not an exported gallery, or one of another version.
        GalleryKeyError: the key is missing, wrong, or given for an unencrypted file.
        GalleryDamagedError: the file was changed after the export; nothing was imported.
        PersonExistsError: some people exist and ``existing`` is ``refuse``.
        ModelMismatchError: templates have another dimension than the gallery's of the same model,
            or were levelled by a former version; nothing was imported.
        OptionError: unknown value of ``existing``.
    """
    if existing not in {"refuse", "merge", "skip"}:
        raise OptionError(f"existing={existing!r}", "choose refuse, merge or skip")
    with ExportFile(Path(path), key) as file:
        return _Import(store, file, existing).run(progress)


class ExportFile:
    """An exported file, open for reading. Call ``verified`` before using its content.

    Args:
        path: the file.
        key: key of an encrypted file.

    Raises:
        DataError: not an exported file, or one of another version.
        GalleryKeyError: the key is missing, wrong, or given for an unencrypted file.
        ModelMismatchError: templates in it were levelled by a former version.
    """

    def __init__(self, path: Path, key: Key | None) -> None:
        self.path = path
        self._db = _connected(path)
        try:
            with self._reading("is not an exported gallery"):
                ring = _keyring(self._db, path)
                if ring["kind"] == "plain" and key is not None:
                    raise GalleryKeyError(f"the export {path} is not encrypted", "give no key")
                self._cipher: ValueCipher = open_keyring(
                    json.dumps(ring), key, where=f"the export {path}"
                )
                self._state = state_of(self._db)
                for (pipeline_id,) in self._db.execute("SELECT text FROM setting"):
                    if levelled(pipeline_id):
                        what = f"{path}: people enrolled"
                        raise ModelMismatchError(incomparable(what, pipeline_id), ENROLL_AGAIN)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> ExportFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def encrypted(self) -> bool:
        """Whether the file is encrypted."""
        return self._cipher.encrypted

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, State]]:
        """Yields connection and state, as ``Database.reading`` does; the file does not change."""
        yield self._db, self._state

    def verified(self, dimensions: Mapping[str, int]) -> FileContent:
        """Verifies structure, checksums or tags, the audit log, and all values.

        Args:
            dimensions: template dimension by model hash in the target gallery.

        Raises:
            GalleryDamagedError: the file was changed after the export.
            ModelMismatchError: a template has another dimension.
        """
        with self._reading("is damaged"):
            for problem in self._problems():
                raise GalleryDamagedError(problem, _AGAIN)
            made = list(audit.entries(self, self._cipher))[-1]
            if made.action != "export":
                raise GalleryDamagedError("its audit does not end with an export", _AGAIN)
            people = {person.name: person for person in read.all_people(self, self._cipher)}
            for name, person in people.items():
                attributes_text(person.attributes)
                if usable_name(name) != name:
                    raise GalleryDamagedError(f"{name!a} is not a name as it is kept", _AGAIN)
        digest, known = _Digest(), dict(dimensions)
        templates: dict[str, Counter[bytes]] = {}
        models: set[str] = set()
        faces = crops = 0
        for part in self.parts():
            with self._reading("is damaged"):
                checked_faces(part, known)
                known |= {face.model_sha256: len(face.vector) for face in part}
            for face in part:
                digest.face(face)
                templates.setdefault(face.person, Counter())[_template(face)] += 1
                models.add(face.model_sha256)
            faces, crops = faces + len(part), crops + sum(face.crop is not None for face in part)
        for name in sorted(people):
            digest.person(name, people[name].attributes)
        found = {"people": len(people), "faces": faces, "crops": crops}
        if {**found, "content": digest.hexdigest()}.items() - made.details.items():
            raise GalleryDamagedError(
                f"{self.path} is damaged: it does not hold what was exported", _AGAIN
            )
        return FileContent(digest.hexdigest(), people, templates, models, faces)

    def parts(self) -> Iterator[list[NewFace]]:
        """Yields faces in batches of some thousands."""
        with self._reading("is damaged"):
            yield from (
                [_new_face(face, crop) for face, crop in part] for part in _parts(self._faces())
            )

    def _faces(self) -> Iterator[tuple[StoredFace, bytes | None]]:
        for face in read.faces_of(self, self._cipher, person=None, model_sha256=None):
            yield face, read.crop_of(self._db, self._cipher, face.id)

    def _problems(self) -> Iterator[str]:
        yield from check.database_problems(self._db)
        yield from check.people_problems(self._db, self._cipher)
        yield from (f"face {n}: {p}" for n, p in check.face_problems(self._db, self._cipher) if p)
        yield from (p for p in audit.verify(self._db, self._cipher, self._state) if p)

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Translates errors from reading the file."""
        try:
            yield
        except (GalleryDamagedError, OptionError) as error:
            raise GalleryDamagedError(f"{self.path} {what}: {error.got}", _AGAIN) from error
        except VisavisError:
            raise
        except _UNREADABLE as error:
            raise GalleryDamagedError(
                f"{self.path} {what}: something in it is not what was written", _AGAIN
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class FileContent:
    """Content of a verified file.

    Attributes:
        digest: digest of people and faces.
        people: people by name.
        templates: by person: digests of templates with their model, and how often each occurs.
        models: hashes of the models.
        faces: number of faces.
    """

    digest: str
    people: dict[str, Person]
    templates: dict[str, Counter[bytes]]
    models: set[str]
    faces: int


class _Import:
    """One run of ``import_``."""

    def __init__(self, store: GalleryStore, file: ExportFile, existing: Existing) -> None:
        self._store, self._file, self._existing = store, file, existing

    def run(self, progress: Progress | None) -> TransferReport:
        store, info = self._store, self._store.info()
        lengths = {sha256: len(next(store.faces(model_sha256=sha256)).vector) for sha256 in
                   (one for one, count in info.faces.items() if count)}  # fmt: skip
        content = self._file.verified(lengths)
        for sha256 in content.models:
            info.require_plain(sha256)
        held = {
            person.name: Counter(map(_template, store.faces(person=person.name)))
            for person in store.people() if person.name in content.people
        }  # fmt: skip
        nothing: Counter[bytes] = Counter()
        known = {name for name in held if held[name] - content.templates.get(name, nothing)}
        if known and self._existing == "refuse":
            some = ", ".join(f"'{name}'" for name in sorted(known)[:3])
            raise PersonExistsError(
                f"{len(known)} of the people in {self._file.path} are in the gallery: {some}",
                "choose to merge or to skip them",
            )
        left = known if self._existing == "skip" else set()
        report = self._taken_in(content, held, left, progress)
        store.note("import", details={
            "content": report.content, "existing": self._existing, "people": report.people,
            "faces": report.faces, "already": report.already,
        })  # fmt: skip
        return report

    def _taken_in(
        self, content: FileContent, held: dict[str, Counter[bytes]], left: set[str],
        progress: Progress | None,
    ) -> TransferReport:  # fmt: skip
        done = faces = crops = already = 0
        people: set[str] = set()
        for part in self._file.parts():
            batch = []
            for face in part:
                had = held.get(face.person)
                if face.person in left:
                    continue
                if had and had[_template(face)] > 0:
                    had[_template(face)] -= 1
                    already += 1
                else:
                    batch.append(face)
            self._store.add(batch)
            people |= {face.person for face in batch}
            faces, crops = faces + len(batch), crops + sum(f.crop is not None for f in batch)
            done += len(part)
            if progress is not None:
                progress(done, max(content.faces, done))
        bare = set(content.people) - people - set(held) - left
        for name in sorted(set(content.people) - bare - left):
            attributes = content.people[name].attributes
            if attributes and not self._store.person(name).attributes:
                self._store.set_attributes(name, attributes)
        return TransferReport(
            path=str(self._file.path), people=len(people), faces=faces, crops=crops,
            encrypted=self._file.encrypted, content=content.digest,
            already=already, skipped=len(left) + len(bare),
        )  # fmt: skip


class _Digest:
    """Digest of people and faces, equal for galleries with the same content."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def face(self, face: NewFace) -> None:
        """Adds a face; call in order of number."""
        crop = None if face.crop is None else hashlib.sha256(face.crop).hexdigest()
        fields = (face.person, face.model, face.model_sha256, face.pipeline_id, face.quality_score,
                  face.photo, face.photo_sha256, face.expires, crop, len(face.vector))  # fmt: skip
        self._hash.update(msgspec.json.encode(fields))
        self._hash.update(face.vector.astype("<f4", copy=False).tobytes())

    def person(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Adds a person; call in order of name."""
        self._hash.update(msgspec.json.encode((name, attributes_text(attributes))))

    def hexdigest(self) -> str:
        """Returns the SHA-256 of what was added."""
        return self._hash.hexdigest()


def needs_key(path: Path) -> bool:
    """Returns whether an exported file is encrypted; False for any other file."""
    try:
        with contextlib.closing(_connected(path)) as db:
            return bool(_keyring(db, path)["kind"] != "plain")
    except (VisavisError, *_UNREADABLE):
        return False


def _connected(path: Path) -> sqlite3.Connection:
    """Returns a read-only connection to a file with exactly the schema of a gallery.

    Raises:
        DataError: the file is something else.
    """
    remedy = "`visavis gallery export` makes one"
    try:
        with open_regular(path) as file:
            start = file.read(64)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error})", "name an exported gallery"
        ) from error
    if start[:2] == b"PK" and start[30:36] == b"faces-":
        raise DataError(f"{path} {ZIP_EXPORT[0]}", ZIP_EXPORT[1])
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        for setting in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {setting}")
        version = schema.version_of(db, path)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        size = pages * db.execute("PRAGMA page_size").fetchone()[0]
        same = version and schema.shape(db) == schema.own_shape(version)  # no trigger or view
        if not same or size != path.stat().st_size:
            raise DataError(f"{path} is not an exported gallery", remedy)
    except BaseException as error:
        db.close()
        if isinstance(error, GalleryError) and "newer" in error.got:
            raise DataError(error.got, error.remedy) from error
        if isinstance(error, (GalleryError, *_UNREADABLE)):
            raise DataError(f"{path} is not an exported gallery", remedy) from error
        raise
    return db


def _keyring(db: sqlite3.Connection, path: Path) -> dict[str, Any]:
    row = db.execute("SELECT value FROM meta WHERE key = 'keyring'").fetchone()
    if row is None:
        raise GalleryDamagedError(f"{path} has no keyring", _AGAIN)
    return msgspec.json.decode(row[0], type=dict[str, Any])


def _parts(
    faces: Iterable[tuple[StoredFace, bytes | None]],
) -> Iterator[list[tuple[StoredFace, bytes | None]]]:
    part: list[tuple[StoredFace, bytes | None]] = []
    size = 0
    for face, crop in faces:
        part.append((face, crop))
        size += len(crop or b"")
        if len(part) == _PART or size > _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _new_face(face: StoredFace, crop: bytes | None) -> NewFace:
    return NewFace(
        face.person, face.vector, face.model, face.model_sha256, face.pipeline_id,
        face.quality_score, face.photo, face.photo_sha256, crop, face.expires,
    )  # fmt: skip


def _template(face: NewFace | StoredFace) -> bytes:
    whole = face.model_sha256.encode() + face.vector.astype("<f4", copy=False).tobytes()
    return hashlib.blake2b(whole, digest_size=16).digest()


def _details(report: TransferReport) -> dict[str, Any]:
    return {
        "people": report.people, "faces": report.faces, "crops": report.crops,
        "encrypted": report.encrypted, "content": report.content,
    }  # fmt: skip
