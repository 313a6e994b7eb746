"""What the parts of the gallery contract share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis.gallery.records import NewFace
from visavis.gallery.store import GalleryStore

A, B = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
"""Hashes of two models; A's templates have 4 numbers here, B's 6."""

Opener = Callable[[], GalleryStore]
"""Makes the gallery at the first call and opens the same one at later calls, several at once."""

NAMES = [
    "Anne", "Åsa Öberg", "O'Brien\" or 1==1", "'; DROP TABLE people; --", 'person == "x" || true',
    "{name}", "%s%d", "a\\b\\\\", "100% _like_%", "👩‍👩‍👧‍👦", "محمد", "דוד", "李小龍", "x" * 200,
    "á" * 200, "a\u0301" * 199, "a  b", "null", "../../etc/passwd", "Zoë/Q", "<b>&amp;",
    "e\u0301", "\u212b", "ﬁ", "١٢٣", "-1",
]  # fmt: skip
BAD_NAMES = ["", " ", " Anne", "Anne ", "An\nne", "\0", "a\x7fb", "x" * 201, "\u0085", "a\ud800",
             "\u2028", "\u00a0Anne", "\x1b[31m"]  # fmt: skip


@dataclass(frozen=True)
class Abilities:
    """What a store cannot do by its nature, declared; each shows as a skipped test."""

    erases_bytes: str = ""  # why bytes stay in files after ``remove``; empty: they do not


def axis(*parts: float) -> np.ndarray:
    """A template whose scores are exact in any order of summation."""
    return np.array(parts, dtype=np.float32)


E = [axis(*row) for row in np.eye(4)]
HALF = axis(0.5, 0.5, 0.5, 0.5)


def face(person: str, vector: Any = None, /, **changes: Any) -> NewFace:
    new = NewFace(person, E[0] if vector is None else vector, "model-a", A)
    return replace(new, **changes)


def other(person: str, at: int = 0) -> NewFace:
    return NewFace(person, np.eye(6, dtype=np.float32)[at], "model-b", B)


@contextmanager
def refused(what: str, error: type[Exception]) -> Iterator[None]:
    """As ``pytest.raises``; says what was not refused, for loops: a gallery may be slow to make."""
    try:
        yield
    except error:
        return
    pytest.fail(f"{what} was not refused")


def names(store: GalleryStore) -> list[str]:
    return [person.name for person in store.people()]


def found(store: GalleryStore, probe: np.ndarray, **options: Any) -> list[tuple[str, float]]:
    (matches,) = store.search(probe[None], model_sha256=A, **({"fusion": "max"} | options))
    return [(match.person, match.score) for match in matches]


def state(store: GalleryStore) -> list[Any]:
    """Everything that can be read."""
    info = store.info()
    return [
        [person.to_dict() for person in store.people()],
        [(f.to_dict(), f.vector.tobytes(), store.crop(f.id)) for f in store.faces()],
        [entry.to_dict() for entry in store.audit()],
        [info.people, info.faces, info.models, info.audit_entries],
    ]


class WithStore:
    """Give a fixture ``opener`` in a subclass; see ``Opener``."""

    abilities = Abilities()

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[GalleryStore]:
        with opener() as store:
            yield store


def assert_gone(folder: Path, texts: list[str], vectors: np.ndarray, crop: bytes) -> None:
    """None of these occurs in a file below ``folder``, nor in a file's name."""
    wanted = [t.encode(code) for t in texts for code in ("utf-8", "utf-16-le")] + [crop[:64]]
    wanted += [v[start : start + 4].tobytes() for v in vectors for start in range(0, 64, 4)]
    for path in folder.rglob("*"):
        assert not any(text in path.name for text in texts)
        if path.is_file():
            content = path.read_bytes()
            for piece in wanted:
                assert piece not in content, f"{piece!r} is still in {path.name}"
