"""Search among templates: exact while that is fast, approximate with an asked-for recall above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.gallery.index import file as index_file
from visavis.gallery.index.exact import among, closest, faiss_threads
from visavis.gallery.index.options import EXACT_UP_TO, IndexOptions
from visavis.gallery.index.person_index import IdMap, PersonIndex
from visavis.gallery.index.snapshot import ValueCipher
from visavis.gallery.index.vector_store import VectorStore
from visavis.gallery.index.vectors import VectorIndex
from visavis.types import Vectors

__all__ = ["EXACT_UP_TO", "IndexOptions", "TemplateIndex"]

Ids = NDArray[np.int64]
_QUERIES = 256
_TOLERANCE = 3e-3  # of the squared length: more than ``entries.UNIT_TOLERANCE`` lets in


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is known of each row of an index, for reading until the index changes.

    Attributes:
        numbers: template number by row.
        owners: person and usability by row, and the rows of a person.
        templates: the templates by row.
    """

    numbers: IdMap
    owners: PersonIndex
    templates: VectorStore


class TemplateIndex:
    """Templates by number, and the closest of them to a probe.

    Scores are inner products of unit vectors, so cosine similarities; those returned are computed
    from the templates themselves, whatever structure proposed them. (Where a memory limit left no
    room for the templates, from their codes; ``describe`` says so.) The same calls give the same
    answers. Not for use by two threads at once: the caller locks.

    Args:
        dimension: length of the templates.
        options: what is asked of the search.

    Attributes:
        state: the caller's mark of how far the index has followed its source; saved and loaded.

    Raises:
        OptionError: ``dimension`` below 1.

    Example:
        >>> index = TemplateIndex(2, options=IndexOptions())
        >>> index.add(np.array([7, 9]), np.array([[1, 0], [0, 1]], np.float32))
        >>> scores, ids = index.search(np.array([[0.6, 0.8]], np.float32), 1)
        >>> ids.tolist(), scores.round(3).tolist()
        ([[9]], [[0.800000011920929]])
    """

    def __init__(self, dimension: int, *, options: IndexOptions) -> None:
        if dimension < 1:
            raise OptionError(f"dimension {dimension}", "give 1 or more")
        self.dimension = dimension
        self.options = options
        self.state = 0
        self._body = VectorIndex(dimension, options=options)
        self._numbers = IdMap()
        self._owners = PersonIndex()

    def __len__(self) -> int:
        return len(self._numbers)

    def ids(self) -> Ids:
        """Numbers of all templates, rising, ``(N,)`` int64."""
        return np.sort(self._numbers.ids)

    def add(
        self,
        ids: ArrayLike,
        vectors: ArrayLike,
        *,
        people: ArrayLike = -1,
        usability: ArrayLike = 1.0,
    ) -> None:
        """Add ``(N, D)`` float32 unit vectors under ``(N,)`` numbers that are not there yet.

        What searching them needs beside is made by the next search, by ``save`` or ``settle``.

        Args:
            ids: numbers, 0 or more.
            vectors: templates.
            people: number of the person each is of.
            usability: how usable each is.

        Raises:
            OptionError: wrong shapes, a number below 0, twice or there already, a vector that is
                not of unit length.
        """
        numbers, rows = self._checked_ids(ids), self._checked(vectors)
        if len(numbers) != len(rows):
            raise OptionError(f"{len(numbers)} ids for {len(rows)} vectors", "give one id each")
        if len(np.unique(numbers)) != len(numbers):
            raise OptionError("the same id twice", "give each template its own number")
        there = numbers[self._numbers.rows(numbers) >= 0]
        if len(there):
            raise OptionError(f"template {there[0]} is in the index", "remove it first")
        if len(numbers):
            with faiss_threads(self.options.threads):
                self._body.append(rows)
            self._numbers.append(numbers)
            self._owners.append(
                np.broadcast_to(np.asarray(people, np.int64), numbers.shape),
                np.broadcast_to(np.asarray(usability, np.float64), numbers.shape),
            )

    def remove(self, ids: ArrayLike) -> int:
        """Remove templates by number and overwrite them in memory; returns how many there were."""
        rows = self._numbers.rows(np.unique(self._checked_ids(ids)))
        gone = np.sort(rows[rows >= 0])
        # The last rows move into the holes, so that no hole is left to be searched.
        count = len(self) - len(gone)
        movers = np.setdiff1d(np.arange(count, len(self)), gone, assume_unique=True)
        holes = gone[gone < count]
        self._body.fill(holes, movers, count)
        self._numbers.fill(holes, movers, count)
        self._owners.fill(holes, movers, count)
        return len(gone)

    def assign(self, ids: ArrayLike, people: ArrayLike) -> None:
        """Give templates to other people; numbers that are not there are passed over."""
        rows = self._numbers.rows(self._checked_ids(ids))
        there = rows >= 0
        self._owners.assign(rows[there], np.asarray(people, np.int64)[there])

    def columns(self) -> Columns:
        """Whose templates these are, by row; for reading until the next change."""
        return Columns(self._numbers, self._owners, self._body.rows)

    def people(self, ids: ArrayLike) -> Ids:
        """Person of each of these numbers, ``(N,)``.

        Raises:
            OptionError: a number that is not there.
        """
        return self._owners.people[self._found(ids)]

    def vectors(self, ids: ArrayLike) -> Vectors:
        """The templates of these numbers, ``(N, D)`` float32.

        Raises:
            OptionError: a number that is not there.
        """
        return self._body.rows.take(self._found(ids))

    def search(self, vectors: ArrayLike, k: int) -> tuple[NDArray[np.float32], Ids]:
        """The ``k`` closest templates to each of ``(Q, D)`` probes.

        Returns:
            Scores ``(Q, k)`` float32 from high to low, and numbers ``(Q, k)`` int64; equal scores
            in order of number; -inf and -1 where there are fewer than ``k`` templates.

        Raises:
            OptionError: ``k`` below 1, wrong shapes, a probe that is not of unit length.
        """
        queries = self._checked(vectors)
        if k < 1:
            raise OptionError(f"k {k}", "ask for 1 or more")
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        held = self.holding(queries, min(k, len(self))) if len(self) else []
        for number, at in enumerate(held):
            score, row = closest(self._body.rows, queries[number], at, self._numbers.ids, k)
            scores[number, : len(row)], ids[number, : len(row)] = score, self._numbers.ids[row]
        return scores, ids

    def holding(self, queries: Vectors, k: int) -> list[Ids]:
        """For each probe the rows, for ``columns``, that hold the ``k`` closest: a few more where
        scores tie or nearly so, in no particular order.

        Args:
            queries: probes that were looked at: C-contiguous float32 of unit length.
            k: from 1 to the number of templates.
        """
        held = []
        with faiss_threads(self.options.threads):
            self._body.settle()
            for start in range(0, len(queries), _QUERIES):
                part = queries[start : start + _QUERIES]
                for query, rows in zip(part, self._body.propose(part, k), strict=True):
                    held.append(among(self._body.rows, query, rows, k))
        return held

    @property
    def settled(self) -> bool:
        """Whether a search finds its structure made and measured."""
        return self._body.settled

    def settle(self) -> None:
        """Make and measure the structure now rather than at the next search.

        It takes some seconds a million templates, where they have become many or three times as
        many as when it was measured; parts of it take all processors.
        """
        with faiss_threads(self.options.threads):
            self._body.settle()

    def describe(self) -> str:
        """The structure in words: kind, asked and measured recall."""
        return self._body.describe()

    def save(self, path: Path, *, state: int, cipher: ValueCipher | None = None) -> None:
        """Write a snapshot, whole or not at all.

        Args:
            path: the file, replaced if there.
            state: the caller's mark, given back as ``state`` by ``load``.
            seal: encrypts bytes, called with up to 8 MiB at a time; ``None``: plain.
        """
        self.settle()
        parts = index_file.Parts(self._body, self._numbers, self._owners)
        index_file.save(path, parts, state=state, cipher=cipher)
        self.state = state

    @classmethod
    def load(cls, path: Path, *, options: IndexOptions, decrypt: ValueCipher | None = None) -> Self:
        """Read a snapshot.

        Raises:
            GalleryDamagedError: it is not what was written.
            GalleryKeyError: it is sealed and ``unseal`` is missing, or the other way round.
            FileNotFoundError: there is none.
        """
        with faiss_threads(options.threads):
            parts, state = index_file.load(path, options=options, decrypt=decrypt)
        index = cls(parts.body.dimension, options=options)
        index._body, index._numbers, index._owners = parts.body, parts.numbers, parts.owners
        index.state = state
        return index

    def _found(self, ids: ArrayLike) -> Ids:
        numbers = self._checked_ids(ids)
        rows = self._numbers.rows(numbers)
        if len(rows) and rows.min() < 0:
            raise OptionError(f"no template {numbers[rows < 0][0]}", "ask for those of ids()")
        return rows

    def _checked_ids(self, ids: ArrayLike) -> Ids:
        out = np.asarray(ids)
        if out.ndim != 1 or (len(out) and out.dtype.kind not in "iu"):
            raise OptionError(
                f"ids of shape {out.shape}, {out.dtype}", "give one whole number a template"
            )
        if len(out) and (out.min() < 0 or out.max() > np.iinfo(np.int64).max):
            raise OptionError(f"id {out.min()}", "give numbers from 0 to 2**63 - 1")
        return out.astype(np.int64)

    def _checked(self, vectors: ArrayLike) -> Vectors:
        out = np.ascontiguousarray(vectors, np.float32)
        if out.ndim != 2 or out.shape[1] != self.dimension:
            raise OptionError(
                f"vectors of shape {out.shape}", f"give shape (N, {self.dimension}), float32"
            )
        squared = np.einsum("nd,nd->n", out, out)
        if not np.all(np.abs(squared - 1) < _TOLERANCE):
            raise OptionError("a vector that is not of unit length", "divide it by its length")
        return out
