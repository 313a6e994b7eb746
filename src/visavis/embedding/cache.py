"""Embedding cache: repeated and resumed runs reuse computed templates.

Templates are biometric data: the file is created only on request, is readable by its owner only,
and is erased by ``clear`` (``visavis cache clear``).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visavis.errors import DataError
from visavis.writing import private_file, private_folder

_SCHEMA = """
CREATE TABLE IF NOT EXISTS photo (
    photo TEXT NOT NULL, settings TEXT NOT NULL, model TEXT NOT NULL,
    faces TEXT NOT NULL, vectors BLOB NOT NULL, checksum BLOB,
    PRIMARY KEY (photo, settings, model)
) WITHOUT ROWID
"""


def _checksum(*values: str | bytes) -> bytes:
    """Returns a checksum of a row."""
    code = hashlib.blake2b(digest_size=16)
    for value in values:
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        code.update(len(data).to_bytes(8, "little") + data)
    return code.digest()


class EmbeddingCache:
    """SQLite file keyed by (photo SHA-256, pipeline id, model SHA-256).

    ``pipeline_id`` includes detector, face rule, crop and flip averaging, so a changed option never
    returns an old vector. Each entry has a checksum: a damaged one is not returned. Safe for
    several threads and processes.

    Args:
        path: the file; missing folders are created.

    Raises:
        DataError: the file is no such cache, or cannot be read or written. All methods raise it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._translated():
            private_folder(path.parent)
            private_file(path)  # before SQLite creates it with other permissions
            self._db = sqlite3.connect(path, timeout=60, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA secure_delete=ON")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(_SCHEMA)
                self._add_checksums()

    def _add_checksums(self) -> None:
        """Adds checksums to a file of a former version."""
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(photo)")}
        if "checksum" not in columns:
            self._db.create_function("checksum", 5, _checksum, deterministic=True)
            self._db.execute("ALTER TABLE photo ADD COLUMN checksum BLOB")
            self._db.execute(
                "UPDATE photo SET checksum = checksum(photo, settings, model, faces, vectors)"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"embedding cache {self._path} ({error})",
                "name a writable VISAVIS_HOME, delete the file, or pass --no-cache",
            ) from error

    def get(self, photo: str, pipeline_id: str, model: str) -> tuple[Any, np.ndarray] | None:
        """Returns ``(faces, vectors)`` from ``put``; ``None``: none, or damaged ones."""
        with self._lock, self._translated():
            row = self._db.execute(
                "SELECT CAST(faces AS BLOB), CAST(vectors AS BLOB), CAST(checksum AS BLOB) "
                "FROM photo WHERE photo=? AND settings=? AND model=?",
                (photo, pipeline_id, model),
            ).fetchone()
        if row is None or not all(isinstance(value, bytes) for value in row):
            return None
        if _checksum(photo, pipeline_id, model, *row[:2]) != row[2]:
            return None
        faces = json.loads(row[0])
        vectors = np.frombuffer(row[1], dtype="<f4").astype(np.float32)
        count = len(faces["faces"])
        return faces, vectors.reshape(count, vectors.size // max(count, 1))

    def put(
        self, photo: str, pipeline_id: str, model: str, faces: Any, vectors: np.ndarray
    ) -> None:
        """Stores one photo's result in one transaction.

        Args:
            photo: SHA-256 of the photo's bytes.
            pipeline_id: detector, face rule, crop and flip averaging.
            model: SHA-256 of the model.
            faces: JSON values with a list ``faces``, one per vector.
            vectors: ``(N, D)`` float32.
        """
        blob = np.ascontiguousarray(vectors, dtype="<f4").tobytes()
        row = (photo, pipeline_id, model, json.dumps(faces), blob)
        with self._lock, self._translated(), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO photo VALUES (?, ?, ?, ?, ?, ?)", (*row, _checksum(*row))
            )

    def __len__(self) -> int:
        """Number of photos."""
        with self._lock, self._translated():
            return int(self._db.execute("SELECT count(*) FROM photo").fetchone()[0])

    def clear(self) -> int:
        """Erases all templates from the file; returns the number of photos."""
        count = len(self)
        with self._lock, self._translated():
            with self._db:
                self._db.execute("DELETE FROM photo")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
