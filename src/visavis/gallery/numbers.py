"""Which template number is in which row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class Numbers:
    """Template numbers by row and rows by number, in arrays: 9 bytes a row.

    Numbers that come in rising order, as a database gives them out, are looked up by bisection
    without anything beside them; other orders cost a sorted copy.
    """

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._alive = np.empty(0, np.bool_)
        self._count = 0
        self._living = 0
        self._rising = True
        self._sorted: tuple[Ids, Ids] | None = None

    def __len__(self) -> int:
        """Rows, erased ones included."""
        return self._count

    @property
    def living(self) -> int:
        """Rows that are not erased."""
        return self._living

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether each row is there still, ``(N,)``."""
        return self._alive[: self._count]

    @property
    def ids(self) -> Ids:
        """Template number of each row, ``(N,)``, erased ones included."""
        return self._ids[: self._count]

    def append(self, ids: Ids) -> None:
        """Give numbers to the next rows."""
        end = self._count + len(ids)
        if end > len(self._ids):
            size = max(end, len(self._ids) + len(self._ids) // 4 + 1024)
            grown, alive = np.empty(size, np.int64), np.empty(size, np.bool_)
            grown[: self._count], alive[: self._count] = self.ids, self.alive
            self._ids, self._alive = grown, alive
        if self._rising and len(ids):
            last = self._ids[self._count - 1] if self._count else -1
            self._rising = bool(ids[0] > last and np.all(ids[1:] > ids[:-1]))
        self._ids[self._count : end] = ids
        self._alive[self._count : end] = True
        self._count, self._sorted = end, None
        self._living += len(ids)

    def rows(self, ids: Ids) -> Ids:
        """Row of each number, -1 where it is not there (any more)."""
        if not self._count or not len(ids):
            return np.full(len(ids), -1, np.int64)
        keys, order = (self.ids, None) if self._rising else self._by_number()
        if not len(keys):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
        rows = at if order is None else order[at]
        return np.where((self.ids[rows] == ids) & self.alive[rows], rows, -1)

    def erase(self, rows: Ids) -> None:
        """Note that rows (each once, all of them alive) are gone."""
        self._alive[rows] = False
        self._living -= len(rows)
        self._sorted = None

    def _by_number(self) -> tuple[Ids, Ids]:
        if self._sorted is None:
            living = np.flatnonzero(self.alive)
            order = living[np.argsort(self.ids[living], kind="stable")]
            self._sorted = self.ids[order], order
        return self._sorted
