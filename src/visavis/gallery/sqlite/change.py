"""Changes of people, each within a transaction; an erasure if something is removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from visavis.errors import OptionError, PersonExistsError
from visavis.gallery import timestamps
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.entries import splittable
from visavis.gallery.names import composed
from visavis.gallery.sqlite import audit
from visavis.gallery.sqlite.database import State
from visavis.gallery.sqlite.nonmated_cache import drop_scores
from visavis.gallery.sqlite.read import required_person
from visavis.gallery.sqlite.rekey import reseal_faces
from visavis.gallery.sqlite.remove import Deletion, batches, delete_faces, delete_person, forget
from visavis.gallery.sqlite.row_codec import FACE_COLUMNS, about_person, written_uid
from visavis.gallery.sqlite.write import find_or_make, find_person


class Change:
    """Changes a gallery inside one write transaction.

    Args:
        db: inside the transaction.
        seal: of the gallery.
        state: as the transaction found it.
        deleted: is told what was deleted.
    """

    def __init__(
        self, db: sqlite3.Connection, cipher: ValueCipher, state: State, deleted: Deletion
    ) -> None:
        self._db, self._cipher, self._state, self._deleted = db, cipher, state, deleted

    def rename(self, old: str, new: str) -> None:
        """Give a person another name (usable, composed).

        Raises:
            UnknownPersonError, PersonExistsError.
        """
        number, uid = self._person(old)
        other = find_person(self._db, self._cipher, new)
        if other is not None and other[0] == number:
            return
        if other is not None:
            raise PersonExistsError(
                f"'{new}' is another person of the gallery", "merge them, or choose a name"
            )
        (before,) = self._db.execute("SELECT name FROM person WHERE id = ?", (number,)).fetchone()
        sealed = self._cipher.encrypt(new.encode(), about_person(number, uid, "name"))
        tag = self._cipher.blind(b"name", new)
        self._db.execute(
            "UPDATE person SET name = ?, name_tag = ? WHERE id = ?", (sealed, tag, number)
        )
        forget(before, deleted=self._deleted)
        self._record("rename", uid, {})

    def merge(self, into: str, others: Sequence[str]) -> None:
        """Move the others' faces to ``into`` and delete the others.

        Raises:
            UnknownPersonError: one of them is not there.
            OptionError: ``into`` is among the others.
        """
        number, uid = self._person(into)
        people = dict(self._person(name) for name in others)
        if number in people:
            raise OptionError(f"'{into}' is merged into itself", "name other people")
        for other in people:
            rows = self._db.execute(
                f"SELECT {FACE_COLUMNS} FROM face WHERE person = ? ORDER BY id", (other,)
            ).fetchall()
            reseal_faces(self._db, self._cipher, rows, person=number)
            self._note_moved(rows, number)
            delete_person(self._db, other, self._deleted)
        if people:
            self._record("merge", uid, {"from": [written_uid(other) for other in people.values()]})

    def split(self, name: str, faces: Sequence[int], into: str) -> None:
        """Move some of a person's faces to another (usable, composed name), made if missing.

        Raises:
            UnknownPersonError: the person is not there.
            OptionError: ``into`` is the same person; no faces, others' faces, or all.
        """
        number, uid = self._person(name)
        own = self._db.execute("SELECT id FROM face WHERE person = ?", (number,))
        wanted = splittable(name, faces, {face for (face,) in own})
        if into == composed(name):
            raise OptionError(
                f"'{name}' cannot be split into the same person", "name another person"
            )
        known = find_person(self._db, self._cipher, into)
        people, clock = find_or_make(
            self._db, self._cipher, self._state.clock, {into: None}, timestamps.now()
        )
        other, other_uid = people[into]
        self._db.execute("UPDATE state SET clock = ?", (clock,))
        for marks, part in batches(wanted):
            rows = self._db.execute(
                f"SELECT {FACE_COLUMNS} FROM face WHERE id IN ({marks}) ORDER BY id", part
            ).fetchall()
            reseal_faces(self._db, self._cipher, rows, person=other)
            self._note_moved(rows, other)
        details = {"into": written_uid(other_uid), "faces": len(wanted), "new": known is None}
        self._record("split", uid, details)

    def remove(self, name: str) -> int:
        """Delete a person; returns how many faces they had.

        Raises:
            UnknownPersonError: they are not there.
        """
        number, uid = self._person(name)
        rows = self._db.execute("SELECT id FROM face WHERE person = ?", (number,)).fetchall()
        delete_faces(self._db, self._cipher, self._state, [face for (face,) in rows], self._deleted)
        delete_person(self._db, number, self._deleted)
        self._record("remove", uid, {"faces": self._deleted.faces})
        return self._deleted.faces

    def remove_faces(self, faces: Sequence[int]) -> int:
        """Delete faces by number; returns how many there were."""
        owners = delete_faces(self._db, self._cipher, self._state, faces, self._deleted)
        for number, count in owners.items():
            self._record("remove", self._uid(number), {"faces": count})
        return self._deleted.faces

    def expire(self, when: int) -> int:
        """Delete faces that expired before ``when``, and people left without any by that."""
        rows = self._db.execute("SELECT id FROM face WHERE expires < ?", (when,)).fetchall()
        owners = delete_faces(
            self._db, self._cipher, self._state, [face for (face,) in rows], self._deleted
        )
        for number, count in owners.items():
            uid = self._uid(number)
            left = self._db.execute(
                "SELECT 1 FROM face WHERE person = ? LIMIT 1", (number,)
            ).fetchone()
            if left is None:
                delete_person(self._db, number, self._deleted)
            self._record("expire", uid, {"faces": count, "person": left is None})
        return self._deleted.faces

    def _note_moved(self, rows: Sequence[Sequence[Any]], person: int) -> None:
        """Let the indexes in memory follow; drop own scores, which are no longer valid."""
        drop_scores(self._db)
        (clock,) = self._db.execute("SELECT clock FROM state").fetchone()
        self._db.executemany(
            "INSERT INTO moved VALUES (?, ?, ?, ?)",
            [(seq, row[0], row[2], person) for seq, row in enumerate(rows, clock + 1)],
        )
        self._db.execute("UPDATE state SET clock = ?", (clock + len(rows),))

    def _person(self, name: str) -> tuple[int, bytes]:
        return required_person(self._db, self._cipher, composed(name))

    def _uid(self, number: int) -> bytes:
        row = self._db.execute("SELECT uid FROM person WHERE id = ?", (number,)).fetchone()
        return bytes(row[0])

    def _record(self, action: str, uid: bytes, details: Mapping[str, Any]) -> None:
        audit.append(self._db, self._cipher, [audit.Event(action, written_uid(uid), details)])
