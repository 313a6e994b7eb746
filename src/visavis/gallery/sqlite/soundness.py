"""Finds what a damaged database lost, by its tally and SQLite's integrity check."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from visavis.gallery.sqlite import schema, tally


def problems(db: sqlite3.Connection, *, thorough: bool) -> Iterator[str]:
    """Yields what is not as it was written; call inside a transaction.

    Args:
        db: connection.
        thorough: also read every page: the table of faces, and SQLite's own integrity check.
    """
    try:
        if thorough:
            for (message,) in db.execute("PRAGMA integrity_check(100)"):
                if message != "ok":
                    yield f"the database is not sound: {message}"
        if set(schema.own_shape()) - set(schema.shape(db)):
            yield "its tables are not those of a gallery"
        elif not tally.sealed(db):
            yield "its key, models, counts or state are not what was written"
        else:
            yield from _lost(db, thorough=thorough)
    except sqlite3.DatabaseError as error:
        yield f"the database is not sound: {error}"
    except (TypeError, ValueError, OverflowError):  # values of another type
        yield "a value of the database is not what was written"


def _lost(db: sqlite3.Connection, *, thorough: bool) -> Iterator[str]:
    """Compares rows of tables and indexes with the tally."""
    people = db.execute("SELECT rows, ids, times FROM tally WHERE model = 0").fetchone()
    faces = db.execute(
        "SELECT coalesce(sum(rows), 0), coalesce(sum(ids), 0), coalesce(sum(owners), 0), "
        "coalesce(sum(model * rows), 0), coalesce(sum(times), 0) FROM tally WHERE model > 0"
    ).fetchone()
    person = ("count(*)", "sum(id)", f"sum(created % {tally.M})")
    face = ("count(*)", "sum(id)", "sum(person)", "sum(model)", f"sum(expires % {tally.M})")
    wanted: list[tuple[str, tuple[int, ...], tuple[str, ...], str]] = [
        ("people", people, person, "person NOT INDEXED"),
        ("people", people[:2], person[:2], "person INDEXED BY sqlite_autoindex_person_1"),
        ("faces", faces[:4], face[:4], "face INDEXED BY face_of"),
        ("times of expiry", faces[4:], face[4:],
         "face INDEXED BY face_expires WHERE expires IS NOT NULL"),
    ]  # fmt: skip
    if thorough:
        wanted.append(("faces", faces, face, "face NOT INDEXED"))
    for what, sums, columns, source in wanted:
        chosen = ", ".join(f"coalesce({column}, 0)" for column in columns)
        found = db.execute(f"SELECT {chosen} FROM {source}").fetchone()
        if found != sums and len(sums) > 1 and found[0] != sums[0]:
            yield f"{sums[0]:,} {what} were written, {found[0]:,} can be read"
        elif found != sums:
            yield f"the {what} that can be read are not those that were written"
