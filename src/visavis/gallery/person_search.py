"""From the closest faces to the closest people.

The index proposes faces; scores are computed anew from the table's templates, in the same read
transaction, so an answer is of one moment and no error of the index gets into a score. With
``max``, faces are fetched until no face beyond them can change the first ``k`` people. With means,
the people among the closest ``CANDIDATES`` faces (more for a large ``k``) are candidates, and their
fused scores are computed from all their templates: a person whose mean is close though none of
their templates is among those faces can be missed, which takes templates that contradict each
other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.cipher import Seal
from visavis.gallery.fusion import mean_templates
from visavis.gallery.index import TemplateIndex
from visavis.gallery.records import Match
from visavis.gallery.removing import batches
from visavis.gallery.sealed_rows import FACE_COLUMNS, open_template, person_names
from visavis.gallery.store import Fusion
from visavis.types import Vectors

CANDIDATES: Final = 32
"""Closest faces whose people are candidates where means are compared, 256 while that is all."""

_ALL = 256
_FIRST_FETCH = 8
_KEPT = 50_000
_BESIDE = (
    "SELECT id FROM face WHERE person IN (SELECT DISTINCT person FROM face WHERE id IN ({})) "
    "AND model = ?"
)
_COUNT = "SELECT person, count(*) FROM face WHERE person IN ({}) AND model = ? GROUP BY person"


@dataclass(frozen=True, slots=True)
class _Scored:
    """A candidate: fused score, closest template's score and number."""

    person: int
    score: float
    best_score: float
    best_face: int


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """Faces as the table has them: number, person, usability, and ``(N, D)`` templates."""

    numbers: list[int]
    people: list[int]
    usability: list[float]
    vectors: NDArray[np.float64]


class PersonSearch:
    """Searches in one read transaction.

    Args:
        db: inside the transaction.
        seal: opens rows.
        index: as the table is in it.
        model: row number of the model.
    """

    def __init__(
        self, db: sqlite3.Connection, seal: Seal, index: TemplateIndex, *, model: int
    ) -> None:
        self._db, self._seal, self._index, self._model = db, seal, index, model
        self._faces: dict[int, tuple[int, float, bytes]] = {}
        self._names: dict[int, tuple[str, str]] = {}

    def search(self, probes: Vectors, *, k: int, fusion: Fusion) -> list[list[Match]]:
        """The ``k`` closest people to each of ``(Q, D)`` unit vectors."""
        size = len(self._index)
        if not size or not len(probes):
            return [[] for _ in probes]
        first = 3 * k + _FIRST_FETCH if fusion == "max" else max(CANDIDATES, 6 * k)
        if fusion != "max" and size <= _ALL:
            first = size
        scores, ids = self._index.search(probes, min(first, size))
        found = []
        for probe, row_scores, row_ids in zip(probes, scores, ids, strict=True):
            ranked = self._ranked(probe, row_scores, row_ids, k, fusion)
            found.append(self._matches(ranked))
        return found

    def _ranked(
        self,
        probe: Vectors,
        scores: NDArray[np.float32],
        ids: NDArray[np.int64],
        k: int,
        fusion: Fusion,
    ) -> list[_Scored]:
        while True:
            there = ids[ids >= 0]
            whole = len(there) >= len(self._index) or len(there) < len(ids)
            if fusion == "max":
                faces = self._opened(there.tolist())
            else:
                faces = self._all_faces_beside(there.tolist())
            people = set(faces.people)
            if not people:
                return []
            if whole or len(people) >= k:
                ranked = self._scored(probe, faces, fusion)
                least = float(scores[len(there) - 1]) if len(there) else -1.0
                # Beyond the last face fetched none is closer, rounding aside; ties must be in.
                if whole or fusion != "max" or ranked[k - 1].score > least + 1e-6:
                    return self._first(ranked, k)
            more = min(4 * len(ids), len(self._index))
            wider, wider_ids = self._index.search(probe[None], more)
            scores, ids = wider[0], wider_ids[0]

    def _scored(self, probe: Vectors, faces: _Faces, fusion: Fusion) -> list[_Scored]:
        wide = probe.astype(np.float64)
        each = np.clip((faces.vectors * wide).sum(axis=1), -1.0, 1.0).tolist()
        best: dict[int, tuple[float, int]] = {}
        for number, person, score in zip(faces.numbers, faces.people, each, strict=True):
            known = best.get(person)
            if known is None or (-score, number) < (-known[0], known[1]):
                best[person] = (score, number)
        fused = {person: score for person, (score, _) in best.items()}
        if fusion != "max":
            order = {person: at for at, person in enumerate(best)}
            owners = np.array([order[person] for person in faces.people], np.int64)
            weights = faces.usability if fusion == "weighted" else None
            means = mean_templates(
                faces.vectors.astype(np.float32), owners, weights=weights, people=len(order)
            )
            scores = np.clip((means * wide).sum(axis=1), -1.0, 1.0).tolist()
            fused = {person: scores[at] for person, at in order.items()}
        ranked = [_Scored(person, fused[person], *best[person]) for person in best]
        return sorted(ranked, key=lambda one: -one.score)

    def _first(self, ranked: list[_Scored], k: int) -> list[_Scored]:
        """The first ``k``, equal scores by name."""
        if len(ranked) > k:
            ranked = [one for one in ranked if one.score >= ranked[k - 1].score]
        self._learn_names(one.person for one in ranked)
        return sorted(ranked, key=lambda one: (-one.score, self._names[one.person][0]))[:k]

    def _matches(self, ranked: list[_Scored]) -> list[Match]:
        counts = self._counts([one.person for one in ranked])
        return [
            Match(
                person=self._names[one.person][0],
                person_id=self._names[one.person][1],
                score=one.score,
                best_score=one.best_score,
                best_face=one.best_face,
                faces=counts[one.person],
            )
            for one in ranked
        ]

    def _opened(self, numbers: list[int]) -> _Faces:
        """Faces by number, as far as they are in the table."""
        if len(self._faces) > _KEPT:
            self._faces.clear()
        dimension = self._index.dimension
        for marks, part in batches([n for n in numbers if n not in self._faces]):
            rows = self._db.execute(f"SELECT {FACE_COLUMNS} FROM face WHERE id IN ({marks})", part)
            for row in rows:
                self._faces[row[0]] = (row[1], *open_template(self._seal, row, dimension))
        there = [number for number in numbers if number in self._faces]
        found = [self._faces[number] for number in there]
        joined = b"".join([vector for _, _, vector in found])
        return _Faces(
            numbers=there,
            people=[person for person, _, _ in found],
            usability=[usability for _, usability, _ in found],
            vectors=np.frombuffer(joined, "<f4").reshape(-1, dimension).astype(np.float64),
        )

    def _all_faces_beside(self, numbers: list[int]) -> _Faces:
        """All faces of the people of these faces, by number."""
        found: set[int] = set()
        for marks, part in batches(numbers):
            rows = self._db.execute(_BESIDE.format(marks), (*part, self._model))
            found.update(number for (number,) in rows)
        return self._opened(sorted(found))

    def _counts(self, people: list[int]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for marks, part in batches(people):
            counts |= dict(self._db.execute(_COUNT.format(marks), (*part, self._model)).fetchall())
        return counts

    def _learn_names(self, people: Iterable[int]) -> None:
        if len(self._names) > _KEPT:
            self._names.clear()
        for _, part in batches([person for person in people if person not in self._names]):
            self._names |= person_names(self._db, self._seal, part)
