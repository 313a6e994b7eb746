"""Searches templates: exactly while that is fast, else approximately with a requested recall."""

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
"""Largest number of templates that is searched exactly (docs/concepts/search.md)."""


@dataclass(frozen=True, slots=True)
class IndexOptions(Record):
    """Options of a search.

    Attributes:
        recall: share of probes whose closest template must be found, in (0, 1]; 1: always exact.
        threads: number of threads of a search, 1 or more. Building the index uses all processors
            at times.
        exact_up_to: largest number of templates that is searched exactly.

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
_TOLERANCE: Final = 3e-3  # of the squared length: above what ``entries.UNIT_TOLERANCE`` accepts


class TemplateIndex:
    """Index of templates by number; finds the closest to a probe.

    Scores are cosine similarities, always computed from the templates themselves, not from codes.
    Results are deterministic. Not thread-safe: the caller locks.

    Args:
        dimension: dimension of the templates.
        options: options of the search.

    Attributes:
        state: position of the caller up to which the index is up to date; saved and loaded.

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
        """Numbers of all templates, ascending, ``(N,)`` int64."""
        return self._columns.ids.copy()

    def add(
        self,
        ids: ArrayLike,
        vectors: ArrayLike,
        *,
        people: ArrayLike = -1,
        quality_score: ArrayLike = 1.0,
    ) -> None:
        """Adds ``(N, D)`` float32 unit vectors under ``(N,)`` ascending numbers.

        The next search, ``save`` or ``settle`` updates the search index.

        Args:
            ids: numbers, 0 or more, above all present ones.
            vectors: templates.
            people: number of the person of each.
            quality_score: of each, in [0, 1].

        Raises:
            OptionError: wrong shapes, numbers that do not ascend, or a vector that is not of unit
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
        """Removes templates by number and overwrites them in memory; returns how many existed.

        Their codes in the fast scan are overwritten by ``settle``.
        """
        rows = self._columns.rows(np.unique(self._checked_ids(ids)))
        gone = rows[rows >= 0]
        if not len(gone):
            return 0
        kept = np.ones(len(self), np.bool_)
        kept[gone] = False
        self._columns.keep(kept)
        # Half of the bound: a gallery near the bound does not rebuild again and again.
        if len(self) <= self.options.exact_up_to // 2:
            self._scan = self._tuning = None
        elif self._scan is not None:
            self._scan.remove(kept)
        return len(gone)

    def assign(self, ids: ArrayLike, people: ArrayLike) -> None:
        """Assigns templates to other people; ignores unknown numbers."""
        rows = self._columns.rows(self._checked_ids(ids))
        there = rows >= 0
        self._columns.assign(rows[there], np.asarray(people, np.int64)[there])

    def columns(self) -> TemplateColumns:
        """Columns of the templates; valid until the next change."""
        return self._columns

    def people(self, ids: ArrayLike) -> Ids:
        """Returns the person of each number, ``(N,)``.

        Raises:
            OptionError: an unknown number.
        """
        return self._columns.people[self._found(ids)]

    def vectors(self, ids: ArrayLike) -> Vectors:
        """Returns the templates of these numbers, ``(N, D)`` float32.

        Raises:
            OptionError: an unknown number.
        """
        return self._columns.vectors[self._found(ids)]

    def search(self, vectors: ArrayLike, k: int) -> tuple[NDArray[np.float32], Ids]:
        """Finds the ``k`` closest templates to each of ``(Q, D)`` probes.

        Returns:
            Scores ``(Q, k)`` float32, descending, and numbers ``(Q, k)`` int64. Equal scores are
            sorted by number; -inf and -1 pad if there are fewer than ``k`` templates.

        Raises:
            OptionError: ``k`` below 1, wrong shapes, or a probe that is not of unit length.
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
        """Returns rows of ``columns`` that include the ``k`` closest to each probe, unordered.

        There are a few more if scores are equal or nearly equal.

        Args:
            queries: checked probes: C-contiguous float32 of unit length.
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
        """Returns rows that include the ``k`` closest to each probe, exactly or with the recall."""
        if self._scan is not None and self._tuning is not None:
            count = self._tuning.candidates(k, len(self)) + self._scan.gone
            if 8 * count <= len(self):
                return self._scan.candidates(queries, count)
        return nearest(self._columns.vectors, queries, k)

    @property
    def settled(self) -> bool:
        """Whether the search index is built and tuned."""
        size = len(self)
        return (
            size <= self.options.exact_up_to
            or self.options.recall == 1
            or pieces(self.dimension) is None
            or size < _GROWTH * (self._tuning.size if self._tuning else self._hopeless)
        ) and not (self._scan is not None and self._scan.worn)

    def settle(self) -> None:
        """Builds and tunes the search index now, not at the next search.

        Needed when the number of templates passes the bound or triples, or one in 50 was removed.
        Takes some seconds per million templates, partly on all processors.
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
        """Returns the search index in words: kind, requested and measured recall."""
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
        """Writes a snapshot atomically and syncs it to disk.

        Args:
            path: the file; replaced if it exists.
            state: position of the caller, restored by ``load``.
            cipher: encrypts it; the file name is associated data.
        """
        self.settle()
        if self._scan is not None and self._scan.gone:
            self._scan.refill(self._columns.vectors)  # no code of a removed template is written
        snapshot.save(
            path, self._columns, state=state, cipher=cipher, scan=self._scan, tuning=self._tuning,
            recall=self.options.recall,
        )  # fmt: skip
        self.state = state

    @classmethod
    def load(cls, path: Path, *, options: IndexOptions, cipher: ValueCipher) -> Self:
        """Reads a snapshot.

        Raises:
            GalleryDamagedError: damaged, written with another key, or of another version.
            FileNotFoundError: the file does not exist.
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
                f"ids of shape {out.shape}, {out.dtype}", "give one whole number per template"
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
