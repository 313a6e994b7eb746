"""Changes people inside a write transaction; removing is an erasure."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from visavis.errors import OptionError, PersonExistsError
from visavis.gallery import timestamps
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.entries import splittable
from visavis.gallery.names import composed, enrolled_already
from visavis.gallery.sqlite import audit, tally
from visavis.gallery.sqlite.database import State
from visavis.gallery.sqlite.erase import Erased
from visavis.gallery.sqlite.nonmated_cache import drop_scores
from visavis.gallery.sqlite.read import required_person
from visavis.gallery.sqlite.row_codec import (
    FACE_COLUMNS,
    about_person,
    batches,
    body_without_name,
    face_about,
    open_body,
    written_uid,
)
from visavis.gallery.sqlite.write import find_or_make, find_person


class Change:
    """Changes a gallery inside one write transaction.

    Args:
        db: connection inside the transaction.
        cipher: cipher of the gallery.
        state: state at the start of the transaction.

    Attributes:
        erased: what was deleted.
    """

    def __init__(self, db: sqlite3.Connection, cipher: ValueCipher, state: State) -> None:
        self._db, self._cipher, self._state = db, cipher, state
        self.erased = Erased.NOTHING

    def add_person(self, name: str) -> None:
        """Adds a person (valid name in NFC) without faces.

        Raises:
            PersonExistsError: somebody is called so.
        """
        if find_person(self._db, self._cipher, name) is not None:
            raise enrolled_already(name)
        people, clock = find_or_make(
            self._db, self._cipher, self._state.clock, {name: None}, timestamps.now()
        )
        self._db.execute("UPDATE state SET clock = ?", (clock,))
        self._record("add", people[name][1], {})

    def rename(self, old: str, new: str) -> None:
        """Renames a person (valid name in NFC).

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
        rows = self._faces(number)
        self._db.executemany(
            "UPDATE face SET body = ? WHERE id = ?",
            [(self._encrypted(row, number, erase=composed(old)), row[0]) for row in rows],
        )
        blob = self._cipher.encrypt(new.encode(), about_person(number, uid, "name"))
        tag = self._cipher.blind(b"name", new)
        self._db.execute(
            "UPDATE person SET name = ?, name_tag = ? WHERE id = ?", (blob, tag, number)
        )
        self.erased = Erased.NAMES
        self._record("rename", uid, {})

    def set_expiry(self, name: str, when: int | None) -> None:
        """Set when all faces of a person expire, in microseconds since 1970; ``None``: never.

        Raises:
            UnknownPersonError: nobody is called so.
        """
        number, uid = self._person(name)
        rows = self._faces(number)
        changed = []
        for row in rows:
            about = face_about((*row[:6], when, *row[7:]))
            body = self._cipher.encrypt(open_body(self._cipher, row), about)
            changed.append((when, body, row[0]))
        self._db.executemany("UPDATE face SET expires = ?, body = ? WHERE id = ?", changed)
        self._record("expiry", uid, {"faces": len(rows), "expires": when is not None})

    def merge(self, into: str, others: Sequence[str]) -> None:
        """Moves the others' faces to ``into`` and deletes the others.

        Raises:
            UnknownPersonError: one of them is not enrolled.
            OptionError: ``into`` is among the others.
        """
        number, uid = self._person(into)
        people = {self._person(name): composed(name) for name in others}
        if (number, uid) in people:
            raise OptionError(f"'{into}' is merged into itself", "name other people")
        for (other, _), name in people.items():
            self._give(self._faces(other), number, erase=name)
            self._delete_person(other)
        if people:
            self._record("merge", uid, {"from": [written_uid(other) for _, other in people]})

    def split(self, name: str, faces: Sequence[int], into: str) -> None:
        """Moves some of a person's faces to another person (valid name in NFC), made if missing.

        Raises:
            UnknownPersonError: the person is not enrolled.
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
            self._give(rows, other)
        details = {"into": written_uid(other_uid), "faces": len(wanted), "new": known is None}
        self._record("split", uid, details)

    def remove(self, name: str) -> int:
        """Deletes a person; returns the number of faces deleted.

        Raises:
            UnknownPersonError: the person is not enrolled.
        """
        number, uid = self._person(name)
        rows = self._db.execute("SELECT id FROM face WHERE person = ?", (number,)).fetchall()
        self._delete_faces([face for (face,) in rows])
        self._delete_person(number)
        self._record("remove", uid, {"faces": len(rows)})
        return len(rows)

    def remove_faces(self, faces: Sequence[int], *, people: bool) -> int:
        """Deletes faces, and perhaps people who then have none; returns how many existed."""
        owners = self._delete_faces(faces)
        tally.recount(self._db)
        for number, count in owners.items():
            uid = self._uid(number)
            gone = people and self._delete_if_empty(number)
            self._record("remove", uid, {"faces": count} | ({"person": True} if gone else {}))
        return sum(owners.values())

    def expire(self, when: int) -> int:
        """Deletes faces that expired before ``when``, and people who then have no faces."""
        rows = self._db.execute("SELECT id FROM face WHERE expires < ?", (when,)).fetchall()
        owners = self._delete_faces([face for (face,) in rows])
        for number, count in owners.items():
            uid = self._uid(number)
            gone = self._delete_if_empty(number)
            self._record("expire", uid, {"faces": count, "person": gone})
        return sum(owners.values())

    def _delete_faces(self, numbers: Sequence[int]) -> dict[int, int]:
        """Deletes faces that exist; returns how many of each person (by row number)."""
        clock, owners = self._state.clock, Counter[int]()
        for marks, part in batches(sorted(set(numbers))):
            rows = self._db.execute(
                f"SELECT id, person, model FROM face WHERE id IN ({marks}) ORDER BY id", part
            ).fetchall()
            self._db.execute(f"DELETE FROM crop WHERE face IN ({marks})", part)
            self._db.execute(f"DELETE FROM face WHERE id IN ({marks})", part)
            self._db.executemany(
                "INSERT INTO removal VALUES (?, ?, ?)",
                [(seq, face, model) for seq, (face, _, model) in enumerate(rows, clock + 1)],
            )
            clock += len(rows)
            owners.update(person for _, person, _ in rows)
        self._db.execute("UPDATE state SET clock = ?", (clock,))
        if owners:
            self.erased = Erased.TEMPLATES
        return dict(owners)

    def _delete_person(self, number: int) -> None:
        """Deletes a person who has no faces left."""
        self._db.execute("DELETE FROM person WHERE id = ?", (number,))
        self.erased = max(self.erased, Erased.NAMES)

    def _delete_if_empty(self, number: int) -> bool:
        """Deletes a person who has no faces left; returns whether it did."""
        face = self._db.execute("SELECT 1 FROM face WHERE person = ? LIMIT 1", (number,)).fetchone()
        if face is None:
            self._delete_person(number)
        return face is None

    def _faces(self, person: int) -> list[tuple[Any, ...]]:
        """Rows of a person's faces, as ``FACE_COLUMNS``."""
        return self._db.execute(
            f"SELECT {FACE_COLUMNS} FROM face WHERE person = ? ORDER BY id", (person,)
        ).fetchall()

    def _encrypted(self, row: tuple[Any, ...], person: int, *, erase: str = "") -> bytes:
        """A face's body for its place in a person, without ``erase`` in the photo's path."""
        body = open_body(self._cipher, row)
        if erase:
            query = "SELECT dimension FROM model WHERE id = ?"
            (dimension,) = self._db.execute(query, (row[2],)).fetchone()
            body = body_without_name(body, dimension, erase)
        return self._cipher.encrypt(body, face_about((row[0], person, *row[2:])))

    def _give(self, rows: Sequence[tuple[Any, ...]], person: int, *, erase: str = "") -> None:
        """Moves faces (rows as ``FACE_COLUMNS``) to another person.

        Notes the move for the indexes in memory, and drops cached non-mated scores.
        """
        changed = [(person, self._encrypted(row, person, erase=erase), row[0]) for row in rows]
        self._db.executemany("UPDATE face SET person = ?, body = ? WHERE id = ?", changed)
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
        return bytes(row[0]) if row else b""  # a damaged face belongs to anybody

    def _record(self, action: str, uid: bytes, details: Mapping[str, Any]) -> None:
        subject = written_uid(uid) if uid else ""
        audit.append(self._db, self._cipher, [audit.Event(action, subject, details)])
