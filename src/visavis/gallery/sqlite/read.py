"""Reads people and faces as records, in batches of one short read transaction each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from visavis.errors import GalleryDamagedError
from visavis.former import levelled
from visavis.gallery import timestamps
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.names import unknown_face, unknown_person
from visavis.gallery.records import Person, StoredFace
from visavis.gallery.sqlite.database import Readable, State
from visavis.gallery.sqlite.row_codec import (
    FACE_COLUMNS,
    OpenFace,
    about_crop,
    batches,
    open_face,
    open_text,
    person_names,
    written_uid,
)
from visavis.gallery.sqlite.write import find_person
from visavis.types import Vectors


class LevelledFaces:
    """Finds models with templates levelled by a former version.

    Faces have rising numbers and keep their pipeline id, so nothing below the first levelled face
    of a model is read twice. If no pipeline id is a levelled one, no face is read. Not thread-safe.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def now(self, db: sqlite3.Connection, state: State) -> dict[int, str]:
        """Returns the pipeline id of the first levelled face, by row number of the model.

        Args:
            db: connection inside a read transaction.
            state: state of the transaction.
        """
        texts = {
            number: text
            for number, text in db.execute("SELECT id, text FROM setting")
            if levelled(text)
        }
        found: dict[int, str] = {}
        if not texts:
            return found
        marks = ", ".join("?" * len(texts))
        for (model,) in db.execute("SELECT id FROM model").fetchall():
            first = min(self._first.get(model, 0), state.clock + 1)
            row = db.execute(
                "SELECT id, setting FROM face WHERE id >= ? AND model = ? "
                f"AND setting IN ({marks}) ORDER BY id LIMIT 1",
                (first, model, *texts),
            ).fetchone()
            self._first[model] = state.clock + 1 if row is None else row[0]
            if row is not None:
                found[model] = texts[row[1]]
        return found


_PART = 1000
_COMPARED = 10_000


def required_person(db: sqlite3.Connection, cipher: ValueCipher, name: str) -> tuple[int, bytes]:
    """Returns row number and uid of a person by name in NFC.

    Raises:
        UnknownPersonError: the name is unknown.
    """
    found = find_person(db, cipher, name)
    if found is None:
        raise unknown_person(name, (text for text, _ in _names(db, cipher, most=_COMPARED)))
    return found


def one_person(db: sqlite3.Connection, cipher: ValueCipher, number: int) -> Person:
    """Returns a person by row number, which must exist."""
    return next(iter(_people(db, cipher, [number])))


def all_people(database: Readable, cipher: ValueCipher) -> Iterator[Person]:
    """Yields all people, sorted by name; people removed meanwhile may be missing."""
    with database.reading() as (db, _):
        numbers = [number for _, number in sorted(_names(db, cipher))]
    for start in range(0, len(numbers), _PART):
        with database.reading() as (db, _):
            part = _people(db, cipher, numbers[start : start + _PART])
        yield from part


def faces_of(
    database: Readable, cipher: ValueCipher, *, person: int | None, model_sha256: str | None,
    after: int = 0,
) -> Iterator[StoredFace]:  # fmt: skip
    """Yields the faces present at the call, by number; faces removed meanwhile may be missing."""
    with database.reading() as (_, state):
        last = state.clock
    while after < last:  # increases with each batch
        with database.reading() as (db, _):
            part = _faces(db, cipher, (after, last), person, model_sha256)
        yield from part
        after = part[-1].id if len(part) == _PART else last


def face_of(db: sqlite3.Connection, cipher: ValueCipher, number: int) -> StoredFace:
    """Returns a face by number.

    Raises:
        UnknownFaceError: there is no such face.
    """
    found = _faces(db, cipher, (number - 1, number), None, None) if 0 < number < 2**63 else []
    if not found:
        raise unknown_face(number)
    return found[0]


def crop_of(db: sqlite3.Connection, cipher: ValueCipher, face: int) -> bytes | None:
    """Returns a stored crop.

    Raises:
        UnknownFaceError: there is no such face.
        GalleryDamagedError: the crop is damaged.
    """
    row = db.execute("SELECT crop FROM face WHERE id = ?", (face,)).fetchone()
    if row is None:
        raise unknown_face(face)
    if not row[0]:
        return None
    found = db.execute("SELECT png FROM crop WHERE face = ?", (face,)).fetchone()
    png = cipher.decrypt(found[0], about_crop(face)) if found else None
    if png is None:
        raise GalleryDamagedError(
            f"the crop of face {face} is not what was written", "restore the gallery from a backup"
        )
    return png


def model_of(db: sqlite3.Connection, sha256: str) -> tuple[int, int] | None:
    """Returns row number and template dimension of a model."""
    found: tuple[int, int] | None = db.execute(
        "SELECT id, dimension FROM model WHERE sha256 = ?", (sha256,)
    ).fetchone()
    return found


def open_faces(
    db: sqlite3.Connection, cipher: ValueCipher, person: int, model: int, dimension: int
) -> list[OpenFace]:
    """Returns a person's faces of one model, by number."""
    rows = db.execute(
        f"SELECT {FACE_COLUMNS} FROM face WHERE person = ? AND model = ? ORDER BY id",
        (person, model),
    ).fetchall()
    return [open_face(cipher, row, dimension) for row in rows]


def probe_a_person(
    database: Readable, cipher: ValueCipher, model_sha256: str, *, most: int
) -> tuple[list[Vectors], list[int]]:
    """Draws one template each of up to ``most`` people with a fixed seed; returns people, too.

    Empty if fewer than two people have templates of the model.
    """
    with database.reading() as (db, _):
        model = model_of(db, model_sha256)
        if model is None:
            return [], []
        people = db.execute(
            "SELECT DISTINCT person FROM face WHERE model = ? ORDER BY person", (model[0],)
        ).fetchall()
    if len(people) < 2:
        return [], []
    chooser = np.random.default_rng(0)
    probes, owners = [], []
    for at in chooser.permutation(len(people))[: max(most, 0)].tolist():
        with database.reading() as (db, _):
            faces = open_faces(db, cipher, people[at][0], *model)
        if faces:
            chosen = faces[int(chooser.integers(len(faces)))]
            probes.append(chosen.vector)
            owners.append(chosen.person)
    return probes, owners


def uids(db: sqlite3.Connection, people: Sequence[int]) -> dict[int, str]:
    """Returns opaque ids of people by row number."""
    found: dict[int, str] = {}
    for marks, part in batches(people):
        rows = db.execute(f"SELECT id, uid FROM person WHERE id IN ({marks})", part)
        found |= {number: written_uid(uid) for number, uid in rows}
    return found


def _names(
    db: sqlite3.Connection, cipher: ValueCipher, *, most: int = -1
) -> Iterator[tuple[str, int]]:
    for number, uid, blob in db.execute("SELECT id, uid, name FROM person LIMIT ?", (most,)):
        yield open_text(cipher, number, uid, "name", blob), number


def _people(db: sqlite3.Connection, cipher: ValueCipher, numbers: list[int]) -> list[Person]:
    rows: dict[int, Any] = {}
    faces: dict[int, dict[str, int]] = {}
    for marks, part in batches(numbers):
        for row in db.execute(
            f"SELECT id, uid, name, attributes, created FROM person WHERE id IN ({marks})", part
        ):
            rows[row[0]] = row
        for number, sha256, count in db.execute(
            "SELECT person, sha256, count(*) FROM face JOIN model ON model.id = face.model "
            f"WHERE person IN ({marks}) GROUP BY person, model ORDER BY sha256",
            part,
        ):
            faces.setdefault(number, {})[sha256] = count
    return [
        Person(
            name=open_text(cipher, number, uid, "name", name),
            id=written_uid(uid),
            faces=faces.get(number, {}),
            attributes=json.loads(open_text(cipher, number, uid, "attributes", attributes)),
            created=timestamps.written(created),
        )
        for number, uid, name, attributes, created in (rows[n] for n in numbers if n in rows)
    ]


def _faces(
    db: sqlite3.Connection,
    cipher: ValueCipher,
    between: tuple[int, int],
    person: int | None,
    model_sha256: str | None,
) -> list[StoredFace]:
    """Returns the first batch of faces with numbers in the half-open range (low, high]."""
    models = {
        number: (name, sha256, dimension)
        for number, name, sha256, dimension in db.execute(
            "SELECT id, name, sha256, dimension FROM model"
        )
    }
    where, values = ["id > ? AND id <= ?"], [*between]
    if person is not None:
        # The plus makes SQLite use the index over people, not the table in order of number.
        where, values = ["person = ?", "+id > ? AND +id <= ?"], [person, *between]
    if model_sha256 is not None:
        where.append("model IN (SELECT id FROM model WHERE sha256 = ?)")
    bound = (*values, *([model_sha256] if model_sha256 is not None else []), _PART)
    rows = db.execute(
        f"SELECT {FACE_COLUMNS} FROM face WHERE {' AND '.join(where)} ORDER BY id LIMIT ?", bound
    ).fetchall()
    pipeline_ids = dict(db.execute("SELECT id, text FROM setting").fetchall())
    names: dict[int, tuple[str, str]] = {}
    for _, part in batches(sorted({row[1] for row in rows})):
        names |= person_names(db, cipher, part)
    found = []
    for row in rows:
        name, sha256, dimension = models[row[2]]
        face = open_face(cipher, row, dimension)
        found.append(
            StoredFace(
                id=face.id,
                person=names[face.person][0],
                vector=face.vector,
                model=name,
                model_sha256=sha256,
                pipeline_id=pipeline_ids[face.setting],
                quality_score=face.quality_score,
                photo=face.source,
                photo_sha256=face.source_sha256,
                created=timestamps.written(face.created),
                expires=None if face.expires is None else timestamps.written(face.expires),
                has_crop=face.has_crop,
            )
        )
    return found
