"""Counts and sums of a gallery's rows: a damaged file must not hide anybody.

Every value is authenticated or has a checksum, but a page that is lost takes its rows with it. So
the table ``tally`` counts people (``model`` 0) and the faces of each model, and sums their numbers,
owners and times, in the transaction that changes the rows: triggers do so where rows change or go,
``add_people`` and ``add_faces`` where many are added at once. Any order of rows has the same sums.
``state.digest`` covers the tally and the other small tables. They are compared with the rows when a
gallery is opened, and with an index before it answers.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

M: Final = 2147483647  # keeps sums of times within 64 bits
_COLUMNS: Final = ("rows", "ids", "owners", "times")


def _update(sign: str, row: str, model: str, values: tuple[str, str, str]) -> str:
    changes = zip(_COLUMNS, ("1", *(value.format(row) for value in values)), strict=True)
    text = ", ".join(f"{column} = {column} {sign} {value}" for column, value in changes)
    return f"UPDATE tally SET {text} WHERE model = {model};"


def _triggers(table: str, model: str, changing: str, values: tuple[str, str, str]) -> list[str]:
    add = _update("+", "new", model.format("new"), values)
    take = _update("-", "old", model.format("old"), values)
    return [
        f"CREATE TRIGGER tally_{table}_{name} AFTER {event} ON {table} BEGIN {work} END"
        for name, event, work in (
            ("removed", "DELETE", take),
            ("changed", f"UPDATE OF {changing}", f"{take} {add}"),
        )
    ]


_ADD: Final = (
    "UPDATE tally SET rows = rows + ?, ids = ids + ?, owners = owners + ?, times = times + ?"
)

SCHEMA: Final = (
    f"""CREATE TABLE tally (
        model INTEGER PRIMARY KEY, {", ".join(f"{name} INTEGER NOT NULL" for name in _COLUMNS)})""",
    "ALTER TABLE state ADD COLUMN digest BLOB NOT NULL DEFAULT x''",
    "INSERT INTO tally SELECT 0, count(*), coalesce(sum(id), 0), 0, "
    f"coalesce(sum(created % {M}), 0) FROM person",
    "INSERT INTO tally SELECT id, 0, 0, 0, 0 FROM model",
    "INSERT OR REPLACE INTO tally SELECT model, count(*), sum(id), sum(person), "
    f"coalesce(sum(expires % {M}), 0) FROM face GROUP BY model",
    "CREATE TRIGGER tally_model_added AFTER INSERT ON model "
    "BEGIN INSERT INTO tally VALUES (new.id, 0, 0, 0, 0); END",
    *_triggers("person", "0", "created", ("{}.id", "0", f"{{}}.created % {M}")),
    *_triggers(
        "face", "{}.model", "person, model, expires",
        ("{}.id", "{}.person", f"coalesce({{}}.expires, 0) % {M}"),
    ),
)  # fmt: skip
"""Statements that add the tally to a gallery of a former format."""


@dataclass(frozen=True, slots=True)
class FaceSums:
    """Tally of the faces of one model: how many, the sum of their numbers and of their owners."""

    faces: int
    ids: int
    owners: int


def add_people(db: sqlite3.Connection, people: Sequence[tuple[int, int]]) -> None:
    """Tallies new people: row number and time of creation of each."""
    db.execute(
        f"{_ADD} WHERE model = 0",
        (len(people), sum(row for row, _ in people), 0, sum(_rest(when) for _, when in people)),
    )


def add_faces(
    db: sqlite3.Connection,
    models: Sequence[int],
    numbers: Sequence[int],
    owners: Sequence[int],
    expires: Sequence[int | None],
) -> None:
    """Tallies new faces: model, number, owner and time of expiry of each."""
    for model in set(models):
        mine = [at for at, one in enumerate(models) if one == model]
        sums = (
            len(mine),
            sum(numbers[at] for at in mine),
            sum(owners[at] for at in mine),
            sum(_rest(expires[at] or 0) for at in mine),
        )
        db.execute(f"{_ADD} WHERE model = ?", (*sums, model))


def _rest(when: int) -> int:
    """Returns SQLite's remainder, which has the sign of the dividend."""
    return when % M if when >= 0 else -(-when % M)


def counts(db: sqlite3.Connection) -> dict[int, int]:
    """Returns the number of faces by row number of the model; omits models without any."""
    return dict(db.execute("SELECT model, rows FROM tally WHERE model > 0 AND rows > 0").fetchall())


def faces_of(db: sqlite3.Connection, model: int) -> FaceSums:
    """Returns the tally of a model's faces."""
    row = db.execute("SELECT rows, ids, owners FROM tally WHERE model = ?", (model,)).fetchone()
    return FaceSums(*row) if row else FaceSums(-1, 0, 0)


def seal(db: sqlite3.Connection) -> None:
    """Updates the digest of the small tables; call at the end of a write transaction."""
    db.execute("UPDATE state SET digest = ?", (_digest(db),))


def sealed(db: sqlite3.Connection) -> bool:
    """Returns whether the small tables are what was written."""
    (digest,) = db.execute("SELECT digest FROM state").fetchone()
    return bool(digest == _digest(db))


def recount(db: sqlite3.Connection) -> None:
    """Tallies faces again, if none is missing: after a face whose row was damaged was removed."""
    select = "SELECT model, count(*), sum(id), sum(person), coalesce(sum(expires % ?), 0)"
    found = db.execute(f"{select} FROM face NOT INDEXED GROUP BY model", (M,)).fetchall()
    kept = db.execute("SELECT sum(rows), sum(ids) FROM tally WHERE model > 0").fetchone()
    if (sum(row[1] for row in found), sum(row[2] for row in found)) == kept:
        db.execute("UPDATE tally SET rows = 0, ids = 0, owners = 0, times = 0 WHERE model > 0")
        db.executemany("INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?, ?)", found)


_SMALL: Final = (
    ("version, CAST(applied AS BLOB)", "migration"),
    ("CAST(value AS BLOB)", "meta WHERE key = 'keyring'"),
    ("clock, floor, generation, audit_seal", "state"),
    ("id, CAST(sha256 AS BLOB), CAST(name AS BLOB), dimension", "model"),
    ("id, CAST(text AS BLOB)", "setting"),
    ("model, rows, ids, owners, times", "tally"),
    ("seq, hash", "(SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)"),
)
_WIDTHS: Final = tuple(columns.count(",") + 1 for columns, _ in _SMALL)
_DIGESTED: Final = (  # one statement: each costs threads that wait for each other a turn
    " UNION ALL ".join(
        f"SELECT {part}, {columns}{', NULL' * (max(_WIDTHS) - width)} FROM {table}"
        for part, ((columns, table), width) in enumerate(zip(_SMALL, _WIDTHS, strict=True))
    )
    + " ORDER BY 1, 2"
)


def _digest(db: sqlite3.Connection) -> bytes:
    small: list[list[Any]] = [[] for _ in _SMALL]
    for part, *row in db.execute(_DIGESTED):
        small[part].append(tuple(row[: _WIDTHS[part]]))
    return hashlib.blake2b(repr(small).encode(), digest_size=16).digest()
