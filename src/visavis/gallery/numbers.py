"""Which template number is in which row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class Numbers:
    """Template numbers by row and rows by number, in arrays: 8 bytes a row.

    Numbers that come in rising order, as a database gives them out, are looked up by bisection
    without anything beside them; after removals, and in other orders, a sorted copy with its rows
    is made at the next look-up: 16 bytes a row.
    """

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._count = 0
        self._rising = True
        self._sorted: tuple[Ids, Ids] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> Ids:
        """Template number of each row, ``(N,)``, a view."""
        return self._ids[: self._count]

    def append(self, ids: Ids) -> None:
        """Give numbers to the next rows."""
        end = self._count + len(ids)
        if end > len(self._ids):
            grown = np.empty(max(end, self._count + self._count // 8 + 1024), np.int64)
            grown[: self._count] = self.ids
            self._ids = grown
        if self._rising and len(ids):
            last = self._ids[self._count - 1] if self._count else -1
            self._rising = bool(ids[0] > last and np.all(ids[1:] > ids[:-1]))
        self._ids[self._count : end] = ids
        self._count, self._sorted = end, None

    def rows(self, ids: Ids) -> Ids:
        """Row of each number, -1 where it is not there."""
        if not self._count:
            return np.full(len(ids), -1, np.int64)
        keys, order = (self.ids, None) if self._rising else self._by_number()
        at = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
        rows = at if order is None else order[at]
        return np.where(keys[at] == ids, rows, -1)

    def fill(self, holes: Ids, movers: Ids, count: int) -> None:
        """Copy rows ``movers`` over rows ``holes`` and keep the first ``count``."""
        self._ids[holes] = self._ids[movers]
        self._rising = self._rising and not len(holes)
        self._count, self._sorted = count, None

    def _by_number(self) -> tuple[Ids, Ids]:
        if self._sorted is None:
            order = np.argsort(self.ids, kind="stable")
            self._sorted = self.ids[order], order
        return self._sorted
