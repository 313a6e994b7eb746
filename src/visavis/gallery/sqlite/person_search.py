"""Finds the closest people by the closest faces.

The index finds candidate faces and knows their people. It is up to date with the read transaction
that looks up the names, so results are consistent. Scores are computed from the templates in
memory. With ``max``, faces are fetched until no other face can change the first ``k`` people. With
means, the people of the closest ``CANDIDATES`` faces (more for a large ``k``) are candidates; their
fused scores are computed from all their templates. This can miss a person whose mean is close
although none of their templates is: their templates would have to contradict each other. With a
domain, every fusion works this way: ``Domain.query`` finds candidate faces
(docs/concepts/gallery.md), and people are scored in the domain.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.errors import ModelMismatchError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.fusion import mean_templates
from visavis.gallery.index.exact import ROUNDING
from visavis.gallery.index.template_index import TemplateIndex
from visavis.gallery.records import Match
from visavis.gallery.sqlite.database import Database, State
from visavis.gallery.sqlite.live_indexes import LiveIndexes
from visavis.gallery.sqlite.read import model_of
from visavis.gallery.sqlite.row_codec import batches, person_names
from visavis.gallery.store import Fusion
from visavis.types import Vectors

CANDIDATES: Final = 32
"""Number of closest faces whose people are candidates; 256 in a gallery of up to 256 faces."""

_ALL = 256
_FIRST_FETCH = 8
_KEPT = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Candidates, best first: row number of the person, fused score, score and number of the
    closest template, number of templates if all were read; and the lowest of all scores."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float64]
    best_scores: NDArray[np.float64]
    best_faces: NDArray[np.int64]
    counts: NDArray[np.int64] | None
    lowest: float


def search_people(
    database: Database, indexes: LiveIndexes, cipher: ValueCipher, probes: Vectors, *,
    model_sha256: str, k: int, fusion: Fusion, domain: Domain | None = None,
) -> list[list[Match]]:  # fmt: skip
    """Returns the ``k`` closest people to each of ``(Q, D)`` unit vectors, read consistently.

    Raises:
        ModelMismatchError: the probes have another dimension than the model's templates.
    """

    def found(db: sqlite3.Connection, state: State, model: int) -> list[list[Match]]:
        index = indexes.current(db, state, model, cipher)
        return PersonSearch(db, cipher, index, domain).search(probes, k=k, fusion=fusion)

    with database.reading() as (db, state):
        model = model_of(db, model_sha256)
        if model is None:
            return [[] for _ in probes]
        number, dimension = model
        if probes.shape[1] != dimension:
            raise ModelMismatchError(
                f"probes of {probes.shape[1]} numbers, templates of {dimension}",
                "use the model whose hash is given",
            )
        if indexes.near(state, number):
            return found(db, state, number)
    indexes.prepare(number, cipher)
    with database.reading() as (db, state):
        return found(db, state, number)


class PersonSearch:
    """Searches in one read transaction.

    Args:
        db: connection inside the transaction.
        cipher: decrypts rows.
        index: index, up to date with the transaction.
        domain: domain of the scores.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        cipher: ValueCipher,
        index: TemplateIndex,
        domain: Domain | None = None,
    ) -> None:
        self._db, self._cipher, self._index, self._domain = db, cipher, index, domain
        self._columns = index.columns()
        self._names: dict[int, tuple[str, str]] = {}

    def search(self, probes: Vectors, *, k: int, fusion: Fusion) -> list[list[Match]]:
        """Returns the ``k`` closest people to each of ``(Q, D)`` unit vectors."""
        size = len(self._index)
        if not size or not len(probes):
            return [[] for _ in probes]
        by_face = self._domain is None and fusion == "max"
        first = 3 * k + _FIRST_FETCH if by_face else max(CANDIDATES, 6 * k)
        if not by_face and size <= _ALL:
            first = size
        first = min(first, size)
        queries = probes
        if self._domain is not None:
            probes = self._domain.apply(probes, side="b")
            queries = np.ascontiguousarray(self._domain.query(probes))
        return [
            self._first(self._ranked(probe, query, rows, fetched=first, k=k, fusion=fusion), k)
            for probe, query, rows in zip(
                probes, queries, self._index.holding(queries, first), strict=True
            )
        ]

    def _ranked(
        self, probe: Vectors, query: Vectors, rows: NDArray[np.int64], *, fetched: int, k: int,
        fusion: Fusion,
    ) -> _People:  # fmt: skip
        """Returns candidates from the rows of the closest ``fetched`` faces."""
        columns = self._columns
        by_face = self._domain is None and fusion == "max"
        while True:
            mine = rows if by_face else columns.rows_of(columns.people[rows])
            ranked = self._scored(probe, mine, fusion)
            enough = len(ranked.scores) >= k
            if enough and by_face:
                # No other face is closer, up to rounding; ties must be included.
                enough = bool(ranked.scores[k - 1] > ranked.lowest + ROUNDING)
            if enough or fetched >= len(self._index):
                return ranked
            fetched = min(4 * fetched, len(self._index))
            (rows,) = self._index.holding(query[None], fetched)

    def _scored(self, probe: Vectors, rows: NDArray[np.int64], fusion: Fusion) -> _People:
        columns = self._columns
        faces, people = columns.ids[rows], columns.people[rows]
        vectors = columns.vectors[rows].astype(np.float64)
        if self._domain is not None:
            vectors = self._domain.apply(vectors).astype(np.float64)
        wide = probe.astype(np.float64)
        each = np.clip((vectors * wide).sum(axis=1), -1.0, 1.0)
        order = np.lexsort((faces, -each, people))  # the closest face of each person comes first
        held = people[order]
        starts = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]]))
        closest = order[starts]
        fused = each[closest]
        counts = np.diff(starts, append=len(order))
        if fusion != "max" and len(starts) < len(order):
            by_face = np.lexsort((faces, people))
            means = mean_templates(
                vectors[by_face].astype(np.float32),
                np.repeat(np.arange(len(starts)), counts),
                weights=columns.quality_score[rows[by_face]] if fusion == "weighted" else None,
                people=len(starts),
            )
            fused = np.clip((means * wide).sum(axis=1), -1.0, 1.0)
        by_score = np.argsort(-fused, kind="stable")
        closest = closest[by_score]
        return _People(
            numbers=people[closest],
            scores=fused[by_score],
            best_scores=each[closest],
            best_faces=faces[closest],
            counts=None if fusion == "max" and self._domain is None else counts[by_score],
            lowest=float(each.min()),
        )

    def _first(self, ranked: _People, k: int) -> list[Match]:
        """Returns the first ``k``; equal scores are sorted by name."""
        last = ranked.scores[min(k, len(ranked.scores)) - 1]
        count = int(np.count_nonzero(ranked.scores >= last))
        numbers, scores = ranked.numbers[:count].tolist(), ranked.scores[:count].tolist()
        self._learn_names(numbers)
        order = sorted(range(count), key=lambda at: (-scores[at], self._names[numbers[at]][0]))[:k]
        if ranked.counts is None:
            columns = self._columns
            mine = columns.people[columns.rows_of(ranked.numbers[order])]
            counts = [int(np.count_nonzero(mine == numbers[at])) for at in order]
        else:
            counts = ranked.counts[order].tolist()
        return [
            Match(
                person=self._names[numbers[at]][0],
                person_id=self._names[numbers[at]][1],
                score=scores[at],
                best_score=float(ranked.best_scores[at]),
                best_face=int(ranked.best_faces[at]),
                faces=count,
            )
            for at, count in zip(order, counts, strict=True)
        ]

    def _learn_names(self, people: list[int]) -> None:
        if len(self._names) > _KEPT:
            self._names.clear()
        for _, part in batches([person for person in people if person not in self._names]):
            self._names |= person_names(self._db, self._cipher, part)
