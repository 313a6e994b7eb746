"""Search among templates: exact while that is fast, approximate with an asked-for recall above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.gallery.crypto.value_cipher import ValueCipher
from visavis.gallery.index import snapshot
from visavis.gallery.index.columns import TemplateColumns
from visavis.gallery.index.exact import among, closest, faiss_threads, nearest
from visavis.gallery.index.fast_scan import FastScan, Tuning, pieces, tune
from visavis.types import Record, Vectors

EXACT_UP_TO = 50_000
"""Templates up to which every one of them is compared (``docs/concepts/search.md``)."""


@dataclass(frozen=True, slots=True)
class IndexOptions(Record):
    """How to search.

    Attributes:
        recall: share of probes whose closest template the search must find, in (0, 1]; 1: compare
            with every template whatever their number.
        threads: threads a search may use, 1 or more; making its structure takes all processors at
            times.
        exact_up_to: templates up to which the search is exact.

    Raises:
        OptionError: a value outside its range.
    """

    recall: float = 0.99
    threads: int = 1
    exact_up_to: int = EXACT_UP_TO

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise OptionError(f"recall {self.recall}", "give a share above 0 and up to 1")
        if self.threads < 1:
            raise OptionError(f"{self.threads} threads", "give 1 or more")
        if self.exact_up_to < 0:
            raise OptionError(f"exact_up_to {self.exact_up_to}", "give 0 or more")


__all__ = ["EXACT_UP_TO", "IndexOptions", "TemplateIndex"]

Ids = NDArray[np.int64]
_QUERIES: Final = 256
_GROWTH: Final = 3
_TOLERANCE: Final = 3e-3  # of the squared length: more than ``entries.UNIT_TOLERANCE`` lets in


class TemplateIndex:
    """Templates by number, and the closest of them to a probe.

    Scores are inner products of unit vectors, so cosine similarities; those returned are computed
    from the templates themselves, whatever structure proposed them. The same calls give the same
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
        self._columns = TemplateColumns(dimension)
        self._scan: FastScan | None = None
        self._tuning: Tuning | None = None
        self._hopeless = 0

    def __len__(self) -> int:
        return len(self._columns)

    def ids(self) -> Ids:
        """Numbers of all templates, rising, ``(N,)`` int64."""
        return self._columns.ids.copy()

    def add(
        self,
        ids: ArrayLike,
        vectors: ArrayLike,
        *,
        people: ArrayLike = -1,
        quality_score: ArrayLike = 1.0,
    ) -> None:
        """Add ``(N, D)`` float32 unit vectors under ``(N,)`` rising numbers.

        What searching them needs beside is made by the next search, by ``save`` or ``settle``.

        Args:
            ids: numbers, 0 or more, above all that are there.
            vectors: templates.
            people: number of the person each is of.
            quality_score: of each, in [0, 1].

        Raises:
            OptionError: wrong shapes, numbers that do not rise, a vector that is not of unit
                length.
        """
        numbers, rows = self._checked_ids(ids), self._checked(vectors)
        if len(numbers) != len(rows):
            raise OptionError(f"{len(numbers)} ids for {len(rows)} vectors", "give one id each")
        if not len(numbers):
            return
        last = self._columns.ids[-1:]
        if np.any(np.diff(np.concatenate([last, numbers])) <= 0):
            raise OptionError("ids that do not rise", "give numbers above all that are there")
        if self._scan is not None:
            with faiss_threads(self.options.threads):
                self._scan.add(rows, len(self))
        self._columns.append(
            numbers,
            np.broadcast_to(np.asarray(people, np.int64), numbers.shape),
            np.broadcast_to(np.asarray(quality_score, np.float64), numbers.shape),
            rows,
        )

    def remove(self, ids: ArrayLike) -> int:
        """Remove templates by number and overwrite them in memory; returns how many there were.

        Their codes in a fast scan are overwritten when it is made anew (``settle``).
        """
        rows = self._columns.rows(np.unique(self._checked_ids(ids)))
        gone = rows[rows >= 0]
        if not len(gone):
            return 0
        kept = np.ones(len(self), np.bool_)
        kept[gone] = False
        self._columns.keep(kept)
        # Half as many: a gallery around the bound does not build and drop in turn.
        if len(self) <= self.options.exact_up_to // 2:
            self._scan = self._tuning = None
        elif self._scan is not None:
            self._scan.remove(kept)
        return len(gone)

    def assign(self, ids: ArrayLike, people: ArrayLike) -> None:
        """Give templates to other people; numbers that are not there are passed over."""
        rows = self._columns.rows(self._checked_ids(ids))
        there = rows >= 0
        self._columns.assign(rows[there], np.asarray(people, np.int64)[there])

    def columns(self) -> TemplateColumns:
        """Whose templates these are, by row; for reading until the next change."""
        return self._columns

    def people(self, ids: ArrayLike) -> Ids:
        """Person of each of these numbers, ``(N,)``.

        Raises:
            OptionError: a number that is not there.
        """
        return self._columns.people[self._found(ids)]

    def vectors(self, ids: ArrayLike) -> Vectors:
        """The templates of these numbers, ``(N, D)`` float32.

        Raises:
            OptionError: a number that is not there.
        """
        return self._columns.vectors[self._found(ids)]

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
        rows, numbers = self._columns.vectors, self._columns.ids
        for place, at in enumerate(held):
            score, row = closest(rows, queries[place], at, numbers, k)
            scores[place, : len(row)], ids[place, : len(row)] = score, numbers[row]
        return scores, ids

    def holding(self, queries: Vectors, k: int) -> list[Ids]:
        """For each probe the rows, for ``columns``, that hold the ``k`` closest: a few more where
        scores tie or nearly so, in no particular order.

        Args:
            queries: probes that were looked at: C-contiguous float32 of unit length.
            k: from 1 to the number of templates.
        """
        held, rows = [], self._columns.vectors
        with faiss_threads(self.options.threads):
            self._settle()
            for start in range(0, len(queries), _QUERIES):
                part = queries[start : start + _QUERIES]
                for query, proposed in zip(part, self._proposed(part, k), strict=True):
                    held.append(among(rows, query, proposed, k))
        return held

    def _proposed(self, queries: Vectors, k: int) -> list[Ids]:
        """Rows that hold the ``k`` closest to each probe: all of them, or with the recall asked."""
        if self._scan is not None and self._tuning is not None:
            count = self._tuning.candidates(k, len(self)) + self._scan.gone
            if 8 * count <= len(self):
                return self._scan.candidates(queries, count)
        return nearest(self._columns.vectors, queries, k)

    @property
    def settled(self) -> bool:
        """Whether a search finds its structure made and measured."""
        size = len(self)
        return (
            size <= self.options.exact_up_to
            or self.options.recall == 1
            or pieces(self.dimension) is None
            or size < _GROWTH * (self._tuning.size if self._tuning else self._hopeless)
        ) and not (self._scan is not None and self._scan.worn)

    def settle(self) -> None:
        """Make and measure the structure now rather than at the next search.

        It takes some seconds a million templates, where they have become many or three times as
        many as when it was measured, or one in 50 was removed; parts of it take all processors.
        """
        with faiss_threads(self.options.threads):
            self._settle()

    def _settle(self) -> None:
        if self.settled:
            return
        rows, recall = self._columns.vectors, self.options.recall
        if self._scan is not None and self._scan.worn:
            self._scan.refill(rows)
            self._settle()
            return
        if self._scan is not None:
            self._tuning = tune(rows, self._scan, recall=recall)
        if self._tuning is None or self._scan is None:
            self._scan = FastScan(rows)
            self._tuning = tune(rows, self._scan, recall=recall)
        if self._tuning is None:
            self._scan, self._hopeless = None, len(self)

    def describe(self) -> str:
        """The structure in words: kind, asked and measured recall."""
        if not self.settled:
            return f"{len(self):,} templates (float32), arranged at the next search"
        if self._scan is None or self._tuning is None:
            why = ""
            if self._hopeless:
                why = "; a fast scan did not reach the recall asked"
            return f"exact search of {len(self):,} templates (float32){why}"
        t = self._tuning
        return (
            f"fast scan of {len(self):,} templates (4-bit product quantizer, "
            f"{self._scan.nbytes // max(len(self), 1)} bytes each), the best "
            f"{t.candidates(1, len(self))} compared exactly (float32); recall of "
            f"the closest: asked {self.options.recall:g}, measured at {t.size:,} templates "
            f"{t.mated:.3f} for mated probes, {t.non_mated:.3f} for non-mated ones; of the ten "
            f"closest {t.mated_ten:.3f} and {t.non_mated_ten:.3f} ({t.probes} probes each)"
        )

    def save(self, path: Path, *, state: int, cipher: ValueCipher) -> None:
        """Write a snapshot, whole or not at all; on return it is on the disk.

        Args:
            path: the file, replaced if there.
            state: the caller's mark, given back as ``state`` by ``load``.
            cipher: seals it, about the file's name.
        """
        self.settle()
        if self._scan is not None and self._scan.gone:
            self._scan.refill(self._columns.vectors)  # no code of what was removed goes to the disk
        snapshot.save(
            path, self._columns, state=state, cipher=cipher, scan=self._scan, tuning=self._tuning,
            recall=self.options.recall,
        )  # fmt: skip
        self.state = state

    @classmethod
    def load(cls, path: Path, *, options: IndexOptions, cipher: ValueCipher) -> Self:
        """Read a snapshot.

        Raises:
            GalleryDamagedError: it is not what was written with this cipher, or of another version.
            FileNotFoundError: there is none.
        """
        header, columns, scan = snapshot.load(path, cipher)
        index = cls(header.dimension, options=options)
        index._columns, index.state = columns, header.state
        if header.recall == options.recall and len(columns) > options.exact_up_to // 2:
            index._scan, index._tuning = scan, header.tuning
        index.settle()
        return index

    def _found(self, ids: ArrayLike) -> Ids:
        numbers = self._checked_ids(ids)
        rows = self._columns.rows(numbers)
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
