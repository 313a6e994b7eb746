"""Templates of an index with their numbers, people and quality scores, as columns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

Ids = NDArray[np.int64]

_STEP: Final = 8 << 20
_LOOSE: Final = 8192


class Column:
    """An array that grows in place, without a second copy in memory.

    Args:
        dtype: dtype of the values.
        shape: shape of a row.
        reserve: rows to have room for.
    """

    def __init__(self, dtype: Any, shape: tuple[int, ...] = (), *, reserve: int = 0) -> None:
        self._data = np.empty((reserve, *shape), dtype)
        self._spare = max(_STEP // max(self._data.itemsize * int(np.prod(shape)), 1), 1)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> NDArray[Any]:
        """The rows, as a view that is valid until the next change."""
        return self._data[: self._count]

    def append(self, rows: NDArray[Any]) -> None:
        """Appends rows."""
        end = self._count + len(rows)
        if end > len(self._data):
            shape = (end + min(self._spare, end // 8), *self._data.shape[1:])
            try:
                self._data.resize(shape)  # Linux remaps pages without copying
            except ValueError:  # a view of it exists
                grown = np.empty(shape, self._data.dtype)
                grown[: self._count] = self.values
                self._data = grown
        self._data[self._count : end] = rows
        self._count = end

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Keeps the selected rows in order; overwrites the others with zeros."""
        done = 0
        for start in range(0, self._count, self._spare):
            part = self.values[start : start + self._spare][which[start : start + self._spare]]
            self._data[done : done + len(part)] = part
            done += len(part)
        self._data[done : self._count] = 0
        self._count = done


class TemplateColumns:
    """Number, person, quality score and template of each row; numbers ascend.

    Rows are looked up by person in a sorted order, made at the first lookup. Newer rows are
    searched one by one until there are enough of them to sort again.

    Args:
        dimension: dimension of a template.
        reserve: rows to have room for.
    """

    def __init__(self, dimension: int, *, reserve: int = 0) -> None:
        self._ids = Column(np.int64, reserve=reserve)
        self._people = Column(np.int64, reserve=reserve)
        self._quality_score = Column(np.float64, reserve=reserve)
        self._vectors = Column(np.float32, (dimension,), reserve=reserve)
        self._keys, self._order = np.empty(0, np.int64), np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Ids:
        """Template number of each row, ``(N,)``, ascending; a view, like the others."""
        return self._ids.values

    @property
    def people(self) -> Ids:
        """Person of each row, ``(N,)``."""
        return self._people.values

    @property
    def quality_score(self) -> NDArray[np.float64]:
        """Quality score of each row, ``(N,)``."""
        return self._quality_score.values

    @property
    def vectors(self) -> Vectors:
        """Template of each row, ``(N, D)`` float32."""
        return self._vectors.values

    def append(
        self, ids: Ids, people: Ids, quality_score: NDArray[np.float64], vectors: Vectors
    ) -> None:
        """Appends rows; their numbers ascend and exceed all present numbers."""
        self._ids.append(ids)
        self._people.append(people)
        self._quality_score.append(quality_score)
        self._vectors.append(vectors)

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Keeps the selected rows in order; overwrites the others."""
        for column in (self._ids, self._people, self._quality_score, self._vectors):
            column.keep(which)
        self._unsort()

    def assign(self, rows: Ids, people: Ids) -> None:
        """Assigns rows to other people."""
        self.people[rows] = people
        self._unsort()

    def rows(self, ids: Ids) -> Ids:
        """Returns the row of each number; -1 if absent."""
        if not len(self):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        return np.where(self.ids[at] == ids, at, -1)

    def rows_of(self, people: Ids) -> Ids:
        """Returns all rows of these people, ascending."""
        if len(self) - len(self._keys) > _LOOSE:
            self._order = np.argsort(self.people, kind="stable").astype(np.int32)
            self._keys = self.people[self._order]
        wanted = np.unique(people)
        starts = np.searchsorted(self._keys, wanted)
        counts = np.searchsorted(self._keys, wanted, side="right") - starts
        spans = np.repeat(starts - np.cumsum(counts) + counts, counts)
        sorted_in = np.sort(self._order[spans + np.arange(len(spans))].astype(np.int64))
        loose = np.flatnonzero(np.isin(self.people[len(self._keys) :], wanted)) + len(self._keys)
        return np.concatenate([sorted_in, loose])

    def _unsort(self) -> None:
        self._keys, self._order = self._keys[:0], self._order[:0]
