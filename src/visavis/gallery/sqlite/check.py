"""Verifies the content of a gallery."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from visavis.errors import ErasureIncompleteError, GalleryDamagedError, VisavisError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.index.template_index import TemplateIndex
from visavis.gallery.records import CheckReport
from visavis.gallery.sqlite import audit, soundness
from visavis.gallery.sqlite.database import UNREADABLE, Database, State, is_busy
from visavis.gallery.sqlite.erase import Eraser
from visavis.gallery.sqlite.live_indexes import LiveIndexes
from visavis.gallery.sqlite.read import crop_of
from visavis.gallery.sqlite.row_codec import FACE_COLUMNS, open_face, open_text, open_vectors
from visavis.gallery.sqlite.write import source_tag

_MOST = 100
_BATCH = 10_000


def checked(
    database: Database, cipher: ValueCipher, indexes: LiveIndexes, eraser: Eraser
) -> CheckReport:
    """Verifies database, templates, people, audit log, and the index against the table."""
    problems: list[str] = []
    counted = _Counted()
    try:
        with database.lenient():
            for problem in _problems(database, cipher, indexes, eraser, counted):
                problems.append(problem)
    except GalleryDamagedError as error:
        problems.append(error.got)
    except sqlite3.DatabaseError as error:
        if is_busy(error):
            raise
        problems.append(f"the database is not sound: {error}")
    except UNREADABLE as error:
        if isinstance(error, VisavisError) or not problems:
            raise
        problems.append("more of it cannot be read")
    problems = list(dict.fromkeys(problems))
    if len(problems) > _MOST:
        problems[_MOST:] = [f"and {len(problems) - _MOST} more"]
    return CheckReport(
        ok=not problems,
        faces=counted.faces,
        audit_entries=counted.links,
        problems=tuple(problems),
        audit_head=counted.head,
    )


@dataclass(slots=True)
class _Counted:
    """Faces and valid audit entries, and the audit's head."""

    faces: int = 0
    links: int = 0
    head: str = ""


def _problems(
    database: Database, cipher: ValueCipher, indexes: LiveIndexes, eraser: Eraser, counted: _Counted
) -> Iterator[str]:
    with database.reading() as (db, _):
        found = [*soundness.problems(db, thorough=True), *foreign_keys(db)]
    yield from found
    try:
        if not found:
            eraser.finish_if_left()
    except ErasureIncompleteError as error:
        yield str(error)
    with database.reading() as (db, _):
        models = [number for (number,) in db.execute("SELECT id FROM model")]
    for model in models:
        with contextlib.suppress(GalleryDamagedError):  # reported below
            indexes.prepare(model, cipher)
    with database.reading() as (db, state):
        yield from people_problems(db, cipher)
        for number, problem in face_problems(db, cipher):
            counted.faces += 1
            if problem:
                yield f"face {number}: {problem}"
        for broken in audit.verify(db, cipher, state):
            counted.links += broken is None
            if broken is not None:
                yield broken
        _, counted.head = audit.head(db)
        yield from _indexes(db, state, cipher, indexes)


def changed_rows(db: sqlite3.Connection, cipher: ValueCipher) -> Iterator[str]:
    """Yields people and faces that are not what was written, as far as the file can be read."""
    with contextlib.suppress(sqlite3.DatabaseError, *UNREADABLE):
        yield from people_problems(db, cipher)
        yield from (text for _, text in face_problems(db, cipher) if text)


def database_problems(db: sqlite3.Connection) -> Iterator[str]:
    """Yields what SQLite finds wrong with a database."""
    for (message,) in db.execute(f"PRAGMA integrity_check({_MOST})"):
        if message != "ok":
            yield f"the database is not sound: {message}"
    yield from foreign_keys(db)


def foreign_keys(db: sqlite3.Connection) -> Iterator[str]:
    """Yields rows that belong to a row that is missing."""
    for table, row, parent, _ in itertools.islice(db.execute("PRAGMA foreign_key_check"), _MOST):
        yield f"{table} {row} belongs to a {parent} that is not there"


def people_problems(db: sqlite3.Connection, cipher: ValueCipher) -> Iterator[str]:
    for number, uid, tag, name, attributes in db.execute(
        "SELECT id, uid, name_tag, name, attributes FROM person"
    ):
        try:
            plain = open_text(cipher, number, uid, "name", name)
            json.loads(open_text(cipher, number, uid, "attributes", attributes))
        except (VisavisError, ValueError) as error:
            yield str(getattr(error, "got", error))
            continue
        if tag != cipher.blind(b"name", plain):
            yield f"person {number} cannot be found by name"


def face_problems(db: sqlite3.Connection, cipher: ValueCipher) -> Iterator[tuple[int, str]]:
    dimensions = dict(db.execute("SELECT id, dimension FROM model").fetchall())
    crops = {number for (number,) in db.execute("SELECT face FROM crop")}
    for row in db.execute(f"SELECT {FACE_COLUMNS} FROM face ORDER BY id"):
        try:
            face = open_face(cipher, row, dimensions.get(row[2], 0))
            if face.has_crop:
                crop_of(db, cipher, face.id)
        except (GalleryDamagedError, ValueError) as error:
            yield row[0], str(getattr(error, "got", "it cannot be read"))
            continue
        if row[4] != source_tag(cipher, face.source_sha256):
            yield row[0], "it cannot be found by its photo"
        elif face.has_crop != (face.id in crops):
            yield row[0], "a crop is kept that it does not know of"
        else:
            yield row[0], ""


def _indexes(
    db: sqlite3.Connection, state: State, cipher: ValueCipher, indexes: LiveIndexes
) -> Iterator[str]:
    """Compares each index with the table: same numbers, same templates."""
    for model, sha256 in db.execute("SELECT id, sha256 FROM model").fetchall():
        try:
            index = indexes.current(db, state, model, cipher)
        except GalleryDamagedError:  # a face of the table, reported above
            continue
        ids = index.ids()
        read = db.execute("SELECT id, person FROM face WHERE model = ? ORDER BY id", (model,))
        table = np.array(read.fetchall(), np.int64).reshape(-1, 2)
        if not np.array_equal(ids, table[:, 0]):
            yield (
                f"the index of model {sha256[:12]} holds {len(ids)} templates, "
                f"the table {len(table)}, or others"
            )
        elif not np.array_equal(index.people(ids), table[:, 1]):
            yield f"the index of model {sha256[:12]} gives faces to other people than the table"
        elif differ := _differing(db, cipher, index, model):
            yield f"the index of model {sha256[:12]} differs from the table in {differ} faces"


def _differing(
    db: sqlite3.Connection, cipher: ValueCipher, index: TemplateIndex, model: int
) -> int:
    """Returns the number of templates that differ between index and table; skips damaged rows."""
    differ, after = 0, 0
    # Ends: numbers rise, and the transaction sees a fixed number of faces.
    while rows := db.execute(
        f"SELECT {FACE_COLUMNS} FROM face WHERE model = ? AND id > ? ORDER BY id LIMIT ?",
        (model, after, _BATCH),
    ).fetchall():
        after = rows[-1][0]
        try:
            _, table = open_vectors(cipher, rows, index.dimension)
        except GalleryDamagedError:
            continue
        held = index.vectors(np.array([row[0] for row in rows], np.int64))
        differ += int((held != table).any(axis=1).sum())
    return differ
