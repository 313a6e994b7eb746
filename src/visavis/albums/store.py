"""State of a collection: faces, cluster numbers, names and corrections.

One SQLite file, readable by its owner only; erased data are overwritten. It contains no templates
(these are in the embedding cache only), but the mean used for centering, and thumbnails of faces if
the contact sheet shows them.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.albums.knowledge import Correction
from visavis.albums.records import FoundFace, PhotoFile
from visavis.errors import DataError
from visavis.former import renamed
from visavis.writing import private_file, private_folder

SCHEMA: Final = 3
_FORMER: Final = (1, 2)  # 1: runs without their own mean; both: ``former.RENAMED``
_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL,
    settings TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE file (path BLOB PRIMARY KEY, photo TEXT NOT NULL, reason TEXT, message TEXT);
CREATE TABLE cluster (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE face (id INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL,
    number INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, w REAL NOT NULL, h REAL NOT NULL,
    landmarks BLOB NOT NULL, usability REAL NOT NULL,
    here INTEGER NOT NULL, cluster INTEGER);
CREATE INDEX face_photo ON face (photo);
CREATE INDEX face_cluster ON face (cluster);
CREATE TABLE correction (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, facts TEXT NOT NULL, moves TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE picture (face INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
"""
_NAMES: Final = ("meta", "run", "file", "cluster", "face", "correction", "picture")


@dataclass(slots=True, eq=False)
class KnownFace:
    """A stored face. ``here``: the last run saw it."""

    id: int
    photo: str
    number: int
    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    quality_score: float
    here: bool
    cluster: int | None


def now() -> str:
    """Current time, ISO 8601 UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class AlbumStore:
    """State of one collection.

    All changes are made within ``with store.changing():``, a transaction.

    Args:
        path: the file.
        create: create it, with its folders, if missing.

    Raises:
        DataError: it is missing, is no such file, or cannot be written.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if not create and not path.is_file():
            raise DataError(
                f"{path}: no state of a sorted collection there",
                "name the folder that `visavis cluster DIR --out OUT` wrote",
            )
        try:
            private_folder(path.parent)
            private_file(path)  # before SQLite creates it with other permissions
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        try:
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA busy_timeout=60000")
            self._open(create=create)
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from error
        except BaseException:
            self._db.close()
            raise

    def _unusable(self, why: object) -> DataError:
        return DataError(
            f"{self.path}: cannot be used as the state of a collection ({why})",
            "put back a copy of it if you have one; else name another by --state, or another "
            "folder by --out, and begin anew",
        )

    def _open(self, *, create: bool) -> None:
        with self.changing():
            tables = {
                name for (name,) in self._db.execute("SELECT name FROM sqlite_master").fetchall()
            }
            if not tables and create:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._set("schema", SCHEMA)
                return
        if not set(_NAMES) <= tables:
            raise self._unusable("it lacks the tables of one")
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise self._unusable("it is damaged")
        if self._get("schema") not in (*_FORMER, SCHEMA):
            raise DataError(
                f"{self.path}: state of a collection of schema {self._get('schema')}",
                f"this version reads schema {SCHEMA}: use the version that made it",
            )

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction: all changes of the block, or none.

        Raises:
            DataError: the file cannot be read or written (a full disk, for example).
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _get(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def _set(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # Runs -------------------------------------------------------------------------------------

    def add_run(self, settings: Mapping[str, Any], outcome: Mapping[str, Any]) -> int:
        """Records a run; returns its number."""
        self._set("schema", SCHEMA)
        row = self._db.execute(
            "INSERT INTO run (time, settings, outcome) VALUES (?, ?, ?)",
            (now(), json.dumps(settings), json.dumps(outcome)),
        )
        return int(row.lastrowid or 0)

    def last_run(self) -> tuple[int, str, dict[str, Any], dict[str, Any]] | None:
        """Returns number, time, settings and results of the last run; ``None`` before the first."""
        row = self._db.execute("SELECT * FROM run ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return row[0], row[1], renamed(json.loads(row[2])), renamed(json.loads(row[3]))

    def set_gallery_names(self, names: Mapping[int, tuple[str, float]]) -> None:
        """Stores the gallery names of the last run's clusters."""
        last = self.last_run()
        if last is not None:
            plain = {str(cluster): list(name) for cluster, name in names.items()}
            outcome = json.dumps({**last[3], "gallery_names": plain})
            self._db.execute("UPDATE run SET outcome=? WHERE id=?", (outcome, last[0]))

    def replace_files(self, files: Iterable[PhotoFile]) -> None:
        """Replaces the list of files."""
        self._db.execute("DELETE FROM file")
        self._db.executemany(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?)",
            ((os.fsencode(f.photo), f.sha256, f.reason, f.message) for f in files),
        )

    def files(self) -> list[PhotoFile]:
        """Returns the files of the last run, by path."""
        rows = self._db.execute("SELECT path, photo, reason, message FROM file ORDER BY path")
        return [PhotoFile(os.fsdecode(path), *rest) for path, *rest in rows]

    # Faces ------------------------------------------------------------------------------------

    def faces(self, *, photo: str | None = None) -> Iterator[KnownFace]:
        """Returns all faces ever seen (of one photo, if given), by number."""
        where, values = ("WHERE photo=?", (photo,)) if photo is not None else ("", ())
        rows = self._db.execute(
            "SELECT id, photo, number, x, y, w, h, landmarks, usability, here, cluster "
            f"FROM face {where} ORDER BY id",
            values,
        )
        for one, sha, number, x, y, w, h, points, quality_score, here, cluster in rows:
            landmarks = np.frombuffer(points, dtype="<f4").astype(np.float32).reshape(-1, 2)
            box = (x, y, w, h)
            yield KnownFace(one, sha, number, box, landmarks, quality_score, bool(here), cluster)

    def add_face(self, photo: str, face: FoundFace, number: int) -> int:
        """Stores a new face; returns its number."""
        row = self._db.execute(
            "INSERT INTO face (photo, number, x, y, w, h, landmarks, usability, here) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (photo, number, *map(float, face.box), _blob(face), float(face.quality_score)),
        )
        return int(row.lastrowid or 0)

    def saw_face(self, face: int, found: FoundFace, number: int) -> None:
        """Updates a known face that was seen again, perhaps with a slightly different box."""
        self._db.execute(
            "UPDATE face SET number=?, x=?, y=?, w=?, h=?, landmarks=?, usability=?, here=1 "
            "WHERE id=?",
            (number, *map(float, found.box), _blob(found), float(found.quality_score), face),
        )

    def all_away(self) -> None:
        """Marks all faces as not seen, before a run."""
        self._db.execute("UPDATE face SET here=0")

    def assign(self, clusters: Iterable[tuple[int, int | None]]) -> None:
        """Assigns faces to clusters: (face, cluster); ``None``: no cluster."""
        self._db.executemany(
            "UPDATE face SET cluster=? WHERE id=?", ((cluster, face) for face, cluster in clusters)
        )

    def new_cluster(self) -> int:
        """Returns a new cluster number."""
        return int(self._db.execute("INSERT INTO cluster DEFAULT VALUES").lastrowid or 0)

    # Corrections ------------------------------------------------------------------------------

    def corrections(self) -> list[Correction]:
        """Returns all corrections in order, including undone ones."""
        rows = self._db.execute(
            "SELECT id, time, kind, text, facts, undone FROM correction ORDER BY id"
        )
        return [
            Correction(number, time, kind, text, **_facts(plain), undone=bool(undone))
            for number, time, kind, text, plain, undone in rows
        ]

    def next_correction(self) -> int:
        """Returns the number of the next correction."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='correction'").fetchone()
        return int(row[0]) + 1 if row else 1

    def add_correction(
        self, correction: Correction, moves: Iterable[tuple[int, int | None, int | None]]
    ) -> None:
        """Stores a correction and its moves (face, from, to)."""
        facts = {
            "leave": correction.leave, "together": correction.together, "apart": correction.apart,
            "not_faces": correction.not_faces, "name": correction.name,
        }  # fmt: skip
        self._db.execute(
            "INSERT INTO correction (id, time, kind, text, facts, moves) VALUES (?, ?, ?, ?, ?, ?)",
            (
                correction.id, correction.time, correction.kind, correction.text,
                json.dumps(facts), json.dumps(list(moves)),
            ),
        )  # fmt: skip

    def moves(self, correction: int) -> list[tuple[int, int | None, int | None]]:
        """Returns the moves of a correction."""
        row = self._db.execute("SELECT moves FROM correction WHERE id=?", (correction,)).fetchone()
        return [tuple(move) for move in json.loads(row[0])]

    def set_undone(self, correction: int) -> None:
        """Marks a correction as undone."""
        self._db.execute("UPDATE correction SET undone=1 WHERE id=?", (correction,))

    # Pictures ---------------------------------------------------------------------------------

    def pictures(self) -> dict[int, bytes]:
        """Returns JPEG thumbnails by face."""
        return dict(self._db.execute("SELECT face, jpeg FROM picture"))

    def add_pictures(self, pictures: Iterable[tuple[int, bytes]]) -> None:
        """Stores thumbnails."""
        self._db.executemany("INSERT OR REPLACE INTO picture VALUES (?, ?)", pictures)

    def drop_pictures(self) -> None:
        """Erases all thumbnails."""
        self._db.execute("DELETE FROM picture")

    def wipe(self) -> None:
        """Erases everything; ``secure_delete`` overwrites it."""
        with self.changing():
            for table in _NAMES:
                self._db.execute(f"DELETE FROM {table}")
            self._set("schema", SCHEMA)
        self._db.execute("VACUUM")

    # End --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> AlbumStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Locks a collection for one command.

    Raises:
        DataError: another command holds the lock, or the folder cannot be created.
    """
    from filelock import FileLock, Timeout

    try:
        private_folder(state.parent)
        with FileLock(state.with_name(f".{state.name}.lock"), timeout=5):
            yield
    except Timeout as error:
        raise DataError(
            f"{state}: another visavis process works on this collection", "wait until it is done"
        ) from error
    except OSError as error:
        raise DataError(
            f"{state.parent}: cannot be used ({error.strerror or error})", "choose another folder"
        ) from error


def erase(path: Path) -> None:
    """Overwrites and removes a state file, also a damaged one.

    Raises:
        DataError: it is no such file, or cannot be removed.
    """
    try:
        with AlbumStore(path) as store:
            store.wipe()
    except DataError:
        if not _is_database(path):
            raise
        _overwrite(path)
    try:
        for name in (path.name, f"{path.name}-journal"):
            path.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "remove the file yourself") from error


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\x00"
    except OSError:
        return False


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))
        file.flush()
        os.fsync(file.fileno())


def _blob(face: FoundFace) -> bytes:
    return np.ascontiguousarray(face.landmarks, dtype="<f4").tobytes()


def _facts(text: str) -> dict[str, Any]:
    plain = json.loads(text)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
