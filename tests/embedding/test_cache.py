"""The embedding cache: a damaged entry is as good as none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from visavis.embedding.cache import EmbeddingCache

FACES = {"faces": [{"score": 0.5}]}
VECTORS = np.array([[0.6, 0.8]], np.float32)
KEY = ("a" * 64, "pipeline", "b" * 64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with EmbeddingCache(tmp_path / "c.sqlite") as cache:
        cache.put(*KEY, FACES, VECTORS)
        cache.put("c" * 64, *KEY[1:], FACES, VECTORS)
    return tmp_path / "c.sqlite"


@pytest.mark.parametrize(
    "change",
    [
        "vectors = substr(vectors, 1, 7) || x'00'",
        "vectors = substr(vectors, 1, 4)",
        "vectors = 5",
        "faces = replace(faces, '0.5', '0.4')",
        "faces = x'ff'",
        "checksum = NULL",
    ],
)
def test_a_damaged_entry_is_not_returned(file: Path, change: str) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"UPDATE photo SET {change} WHERE photo = ?", KEY[:1])
        db.commit()
    with EmbeddingCache(file) as cache:
        assert cache.get(*KEY) is None
        assert cache.get("c" * 64, *KEY[1:]) is not None
        cache.put(*KEY, FACES, VECTORS)
        found = cache.get(*KEY)
        assert found is not None
        np.testing.assert_array_equal(found[1], VECTORS)


def test_an_entry_moved_to_another_photo_is_not_returned(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE photo SET photo = ? WHERE photo = ?", ("d" * 64, "a" * 64))
        db.commit()
    with EmbeddingCache(file) as cache:
        assert cache.get("d" * 64, *KEY[1:]) is None


def test_entries_of_a_former_version_are_kept(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("ALTER TABLE photo DROP COLUMN checksum")
        db.commit()
    with EmbeddingCache(file) as cache:
        found = cache.get(*KEY)
        assert found is not None
        assert found[0] == FACES
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE photo SET faces = '{}'")
        db.commit()
    with EmbeddingCache(file) as cache:
        assert cache.get(*KEY) is None
