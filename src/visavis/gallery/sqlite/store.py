"""A gallery in a folder: SQLite stores it, an index in memory searches it."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.errors import (
    ErasureIncompleteError,
    GalleryDamagedError,
    GalleryError,
    OptionError,
)
from visavis.gallery import timestamps
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.value_cipher import CurrentCipher
from visavis.gallery.entries import attributes_text, checked_faces, instant, usable_vectors
from visavis.gallery.fusion import FUSIONS
from visavis.gallery.names import composed, unknown_id, usable_name
from visavis.gallery.records import (
    AuditEntry,
    CheckReport,
    GalleryInfo,
    Match,
    NewFace,
    Person,
    StoredFace,
)
from visavis.gallery.sqlite import audit, non_mated, tally, upkeep
from visavis.gallery.sqlite import check as checking
from visavis.gallery.sqlite import read as reading
from visavis.gallery.sqlite import write as writing
from visavis.gallery.sqlite.change import Change
from visavis.gallery.sqlite.database import State
from visavis.gallery.sqlite.erase import Erased, Eraser
from visavis.gallery.sqlite.live_indexes import LiveIndexes
from visavis.gallery.sqlite.opening import INDEX, GalleryOptions, opened
from visavis.gallery.sqlite.person_search import search_people
from visavis.gallery.sqlite.read import LevelledFaces
from visavis.gallery.sqlite.row_codec import about_person, person_names, read_uid, written_uid
from visavis.gallery.store import Fusion
from visavis.types import Vectors

_SEARCHED = 256
_OPTIONS: Final = GalleryOptions()

T = TypeVar("T")


class SqliteGallery:
    """A ``GalleryStore`` in a folder, for any number of threads and processes at once.

    docs/concepts/gallery.md describes the files and the guarantees.

    Args:
        path: the folder.
        create: create the gallery if it does not exist.
        key: key of an encrypted gallery; a new gallery is encrypted if a key is given.
        options: see ``GalleryOptions``.

    Raises:
        GalleryError: there is no gallery, or it cannot be opened.
        GalleryKeyError: the key is missing, wrong, or not needed.
        GalleryDamagedError: the database is damaged.
        GalleryBusyError: another process locks it for too long.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        key: Key | None = None,
        options: GalleryOptions = _OPTIONS,
    ) -> None:
        self._path = Path(path).absolute()
        self._options = options
        self._db, cipher = opened(
            self._path,
            create=create,
            key=key,
            timeout=options.timeout,
            scrypt_cost=options.scrypt_cost,
        )
        self._cipher = CurrentCipher(cipher)
        self._db.explain = lambda db: checking.changed_rows(db, self._cipher)
        self._levelled = LevelledFaces()
        self._notes: dict[int, audit.Event] = {}
        self._numbers = itertools.count()
        self._eraser = Eraser(self._db, self._path / INDEX, timeout=options.timeout)
        self._indexes = LiveIndexes(
            self._db,
            self._path / INDEX,
            eraser=self._eraser,
            options=options.index,
            snapshot_from=options.snapshot_from,
        )
        try:
            # ``check`` reports an unfinished erasure and damage, every other method only damage.
            with contextlib.suppress(ErasureIncompleteError, GalleryDamagedError):
                self._eraser.finish_if_left()
        except BaseException:
            self._db.close()
            raise

    # --- writing -----------------------------------------------------------------------------

    def add(self, faces: Sequence[NewFace], /) -> list[int]:
        """Enrolls all faces or none; returns their numbers. See ``GalleryStore.add``."""
        with self._db.reading() as (db, _):
            known = writing.dimensions(db)
        checked = checked_faces(faces, known)
        if not checked.people:
            return []
        with self._db.alone():
            with self._db.writing() as (db, state):
                written = writing.insert(db, self._cipher, state, checked)
            self._indexes.follow(state, written)
        return written.numbers

    def add_person(self, name: str, /) -> None:
        """Adds a person without faces. See ``GalleryStore.add_person``."""
        wanted = usable_name(name)
        with self._db.writing() as (db, state):
            Change(db, self._cipher, state).add_person(wanted)

    def set_attributes(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Replaces a person's attributes. See ``GalleryStore.set_attributes``."""
        text = attributes_text(attributes)
        with self._db.writing() as (db, _):
            number, uid = self._person(db, name)
            blob = self._cipher.encrypt(text.encode(), about_person(number, uid, "attributes"))
            db.execute("UPDATE person SET attributes = ? WHERE id = ?", (blob, number))
            audit.append(db, self._cipher, [audit.Event("attributes", written_uid(uid), {})])

    def set_expiry(self, name: str, expires: str | None, /) -> None:
        """Set when all faces of a person expire. See ``GalleryStore.set_expiry``."""
        when = None if expires is None else timestamps.microseconds(instant(expires))
        with self._db.writing() as (db, state):
            Change(db, self._cipher, state).set_expiry(name, when)

    def rename(self, old: str, new: str, /) -> None:
        """Renames a person and erases the old name. See ``GalleryStore.rename``."""
        name = usable_name(new)
        self._erase(lambda change: change.rename(old, name))

    def merge(self, into: str, *others: str) -> None:
        """Moves the others' faces to ``into``; removes the others. See ``GalleryStore.merge``."""
        self._erase(lambda change: change.merge(into, others))

    def split(self, name: str, faces: Sequence[int], /, *, into: str) -> None:
        """Moves some of a person's faces to another. See ``GalleryStore.split``."""
        other = usable_name(into)
        with self._db.writing() as (db, state):
            Change(db, self._cipher, state).split(name, faces, other)

    # --- erasing -----------------------------------------------------------------------------

    def remove(self, name: str, /) -> int:
        """Erases a person; returns the number of templates. See ``GalleryStore.remove``.

        Raises:
            GalleryBusyError: another process kept the files in use for too long; the person is
                deleted, and the files are cleaned when the gallery is next opened.
            ErasureIncompleteError: the disk is full; the files are cleaned at the next opening.
        """
        with self._db.reading() as (db, _):
            self._person(db, name)  # loads nothing for an unknown person
        self._indexes.load_before_erasing(self._cipher)
        return self._erase(lambda change: change.remove(name))

    def remove_faces(self, faces: Sequence[int], /, *, people: bool = False) -> int:
        """Erases faces by number. See ``GalleryStore.remove_faces``."""
        wanted = [int(face) for face in faces]
        with self._db.lenient():  # it removes damaged faces, too
            self._indexes.load_before_erasing(self._cipher)
            return self._erase(lambda change: change.remove_faces(wanted, people=people))

    def expire(self, now: str, /) -> int:
        """Erases expired faces. See ``GalleryStore.expire``."""
        when = timestamps.microseconds(instant(now))
        with self._db.reading() as (db, _):
            due = db.execute("SELECT 1 FROM face WHERE expires < ? LIMIT 1", (when,)).fetchone()
        if due is None:
            return 0
        self._indexes.load_before_erasing(self._cipher)
        return self._erase(lambda change: change.expire(when))

    # --- reading -----------------------------------------------------------------------------

    def people(self) -> Iterator[Person]:
        """Yields all people, sorted by name (code points)."""
        return reading.all_people(self._db, self._cipher)

    def person(self, name: str, /) -> Person:
        """Returns one person. See ``GalleryStore.person``."""
        with self._db.reading() as (db, _):
            return reading.one_person(db, self._cipher, self._person(db, name)[0])

    def name_of(self, person_id: str, /) -> str:
        """Name of a person by opaque id. See ``GalleryStore.name_of``."""
        with self._db.reading() as (db, _):
            found = db.execute(
                "SELECT id FROM person WHERE uid = ?", (read_uid(person_id),)
            ).fetchone()
            if found is None:
                raise unknown_id(person_id)
            return person_names(db, self._cipher, found)[found[0]][0]

    def faces(
        self, *, person: str | None = None, model_sha256: str | None = None, after: int = 0
    ) -> Iterator[StoredFace]:
        """Yields faces in order of number. See ``GalleryStore.faces``."""
        number = None
        if person is not None:
            with self._db.reading() as (db, _):
                number = self._person(db, person)[0]
        yield from reading.faces_of(
            self._db, self._cipher, person=number, model_sha256=model_sha256, after=after
        )

    def face(self, number: int, /) -> StoredFace:
        """Returns a face by number. See ``GalleryStore.face``."""
        with self._db.reading() as (db, _):
            return reading.face_of(db, self._cipher, number)

    def crop(self, face: int, /) -> bytes | None:
        """Returns the aligned face, if stored. See ``GalleryStore.crop``."""
        with self._db.reading() as (db, _):
            return reading.crop_of(db, self._cipher, face)

    def has_person(self, name: str, /) -> bool:
        """Returns whether a person of that name is enrolled."""
        with self._db.reading() as (db, _):
            return writing.find_person(db, self._cipher, composed(name)) is not None

    def has_source(self, source_sha256: str, /, *, person: str, model_sha256: str) -> bool:
        """Returns whether this photo is enrolled. See ``GalleryStore.has_source``."""
        with self._db.reading() as (db, _):
            found = writing.find_person(db, self._cipher, composed(person))
            if found is None:
                return False
            row = db.execute(
                "SELECT 1 FROM face JOIN model ON model.id = face.model "
                "WHERE person = ? AND sha256 = ? AND source_tag IS ? LIMIT 1",
                (found[0], model_sha256, writing.source_tag(self._cipher, source_sha256)),
            ).fetchone()
            return row is not None

    # --- searching ---------------------------------------------------------------------------

    def search(
        self,
        vectors: Vectors,
        /,
        *,
        model_sha256: str,
        k: int = 5,
        fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> list[list[Match]]:
        """Returns the ``k`` closest people to each probe. See ``GalleryStore.search``.

        Raises:
            GalleryDamagedError: a template is damaged.
        """
        probes = usable_vectors(vectors)
        if k < 1:
            raise OptionError(f"k is {k}", "ask for 1 or more people")
        _require_fusion(fusion)
        starts = range(0, len(probes), _SEARCHED)
        parts = (probes[start : start + _SEARCHED] for start in starts)
        return [
            found
            for part in parts
            for found in search_people(
                self._db, self._indexes, self._cipher, part,
                model_sha256=model_sha256, k=k, fusion=fusion, domain=domain,
            )
        ]  # fmt: skip

    def non_mated(
        self, *, model_sha256: str, most: int = 2000, fusion: Fusion = "weighted",
        domain: Domain | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Returns non-mated scores. See ``GalleryStore.non_mated``.

        With ``snapshot_from`` or more templates the scores are cached in the gallery until a
        twentieth of the templates has changed or a person was erased.
        """
        _require_fusion(fusion)
        space = None if domain is None else replace(domain, mean_b=None)
        return non_mated.non_mated(
            self._db, self._cipher,
            lambda probes: self.search(
                probes, model_sha256=model_sha256, k=2, fusion=fusion, domain=space
            ),
            model_sha256=model_sha256, most=most, fusion=fusion, domain=space,
            fewest=self._options.snapshot_from,
        )  # fmt: skip

    def mean(self, model_sha256: str, /) -> tuple[NDArray[np.float32], int] | None:
        """Returns the mean of people's mean templates, and their number. See ``GalleryStore.mean``.

        Cached like the scores of ``non_mated``.
        """
        return non_mated.people_mean(
            self._db, self._cipher, self._indexes,
            model_sha256=model_sha256, fewest=self._options.snapshot_from,
        )  # fmt: skip

    # --- the gallery itself ------------------------------------------------------------------

    def note(self, action: str, /, *, subject: str = "", details: Mapping[str, Any]) -> None:
        """Appends to the audit log. See ``GalleryStore.note``."""
        event, number = audit.event(action, subject, details), next(self._numbers)
        self._notes[number] = event
        try:
            with self._db.alone():
                if number not in self._notes:  # another thread has written it along with its own
                    return
                waiting = dict(self._notes)
                with self._db.writing() as (db, _):
                    audit.append(db, self._cipher, waiting.values())
                for written in waiting:
                    self._notes.pop(written, None)
        finally:
            self._notes.pop(number, None)

    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        """Yields the audit log, oldest entry first. See ``GalleryStore.audit``."""
        return audit.entries(self._db, self._cipher, action=action)

    def info(self) -> GalleryInfo:
        """Returns the state of the gallery. The index is not loaded before the first search."""
        with self._db.reading() as (db, state):
            (people,) = db.execute("SELECT count(*) FROM person").fetchone()
            entries, head = audit.head(db)
            models = db.execute("SELECT id, sha256, name FROM model ORDER BY id").fetchall()
            counts = tally.counts(db)
            held = [row for row in models if row[0] in counts]
            levelled = self._levelled.now(db, state)
            return GalleryInfo(
                kind="sqlite",
                location=str(self._path),
                people=people,
                faces={sha256: counts[number] for number, sha256, _ in held},
                models={sha256: name for _, sha256, name in held},
                encrypted=self._cipher.encrypted,
                index={sha256: self._indexes.describe(db, number) for number, sha256, _ in held},
                bytes=self._db.size(),
                audit_entries=entries,
                audit_head=head,
                levelled={s: levelled[number] for number, s, _ in held if number in levelled},
            )

    def check(self) -> CheckReport:
        """Verifies everything. See ``GalleryStore.check``.

        Also completes an unfinished erasure, or reports it as a problem.
        """
        return checking.checked(self._db, self._cipher, self._indexes, self._eraser)

    def load_index(self) -> None:
        """Loads or builds the search indexes now, and saves them."""
        with self._db.reading() as (db, _):
            models = [number for (number,) in db.execute("SELECT id FROM model")]
        for model in models:
            self._indexes.prepare(model, self._cipher)

    def rekey(self, new: Key | None, /, *, reencrypt: bool = False) -> None:
        """Changes, adds or removes the key of the gallery.

        One transaction: if the process is killed, the gallery opens with the old or the new key,
        with all templates. Earlier copies keep the old key. Store the new key in a safe place
        before the call: it may become valid at any moment during it.

        Args:
            new: the new key; ``None``: decrypt the gallery.
            reencrypt: encrypt every value with a new data key, for example if the old key and a
                copy of the gallery were stolen; else only the data key is wrapped again.

        Raises:
            GalleryKeyError: neither the old state nor the new one is encrypted.
            GalleryDamagedError: a value is damaged; nothing was changed.
            ErasureIncompleteError: the new key is valid, but data for the old key may remain in
                freed pages (full disk): make room and call ``compact``.
            GalleryError: any other error, such as a full disk; the old key is valid.
        """
        upkeep.rekey(
            self._db,
            self._eraser,
            self._cipher,
            new,
            reencrypt=reencrypt,
            cost=self._options.scrypt_cost,
        )

    def compact(self) -> tuple[int, int]:
        """Shrinks the files and writes new index snapshots; returns bytes before and after.

        Needs memory for a copy of the database.
        """
        return upkeep.compact(self._db, self._eraser, self._indexes, self._cipher)

    def backup(self, destination: Path, /) -> None:
        """Copies the gallery to another folder while others use it; the copy has the same key.

        Later removals do not change the copy: erase there, too.

        Args:
            destination: a new or empty folder.

        Raises:
            GalleryError: the folder is not empty or cannot be written.
        """
        upkeep.backup(self._db, self._cipher, Path(destination).absolute())

    def close(self) -> None:
        """Saves large indexes and closes all files; further calls raise GalleryError."""
        if not self._db.closed:
            try:
                with contextlib.suppress(GalleryError):  # it only saves time
                    self._indexes.save_worthwhile(self._cipher)
            finally:
                self._indexes.forget()
                self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _erase(self, change: Callable[[Change], T]) -> T:
        def delete(db: sqlite3.Connection, state: State) -> tuple[T, Erased]:
            work = Change(db, self._cipher, state)
            return change(work), work.erased

        return self._eraser.erase(delete)

    def _person(self, db: sqlite3.Connection, name: str) -> tuple[int, bytes]:
        return reading.required_person(db, self._cipher, composed(name))


def _require_fusion(fusion: str) -> None:
    if fusion not in FUSIONS:
        raise OptionError(f"fusion {fusion!r}", f"choose one of {', '.join(FUSIONS)}")
