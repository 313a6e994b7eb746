"""What stands beside the rows of an index: template numbers, people, and how usable each is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class IdMap:
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


_LOOSE = 8192


class PersonIndex:
    """Two columns beside the rows, and the way back from a person to their rows.

    Rows are sorted by person when they are first asked for; those that came or changed since are
    looked through one by one, and sorted in when they are many. 28 bytes a row.
    """

    def __init__(self) -> None:
        self._person = np.empty(0, np.int64)
        self._usability = np.empty(0, np.float64)
        self._count = 0
        self._keys = np.empty(0, np.int64)
        self._order = np.empty(0, np.int32)
        self._firm = 0  # rows from here on came after sorting
        self._changed: list[Ids] = []

    def __len__(self) -> int:
        return self._count

    @property
    def people(self) -> Ids:
        """Person of each row, ``(N,)``, a view."""
        return self._person[: self._count]

    @property
    def usability(self) -> NDArray[np.float64]:
        """Usability of each row, ``(N,)``, a view."""
        return self._usability[: self._count]

    def append(self, people: Ids, usability: NDArray[np.float64]) -> None:
        """Give persons and usability to the next rows."""
        end = self._count + len(people)
        if end > len(self._person):
            room = max(end, self._count + self._count // 8 + 1024)
            for name in ("_person", "_usability"):
                old = getattr(self, name)
                grown = np.empty(room, old.dtype)
                grown[: self._count] = old[: self._count]
                setattr(self, name, grown)
        self._person[self._count : end] = people
        self._usability[self._count : end] = usability
        self._count = end

    def assign(self, rows: Ids, people: Ids) -> None:
        """Give rows to other people."""
        self._person[rows] = people
        self._changed.append(rows)

    def fill(self, holes: Ids, movers: Ids, count: int) -> None:
        """Copy rows ``movers`` over rows ``holes`` and keep the first ``count``."""
        self._person[holes] = self._person[movers]
        self._usability[holes] = self._usability[movers]
        self._changed.append(holes)
        self._count, self._firm = count, min(self._firm, count)

    def rows(self, people: Ids) -> Ids:
        """All rows of these people, rising."""
        if self._loose() > _LOOSE:
            self._sort()
        wanted = np.unique(people)
        starts = np.searchsorted(self._keys, wanted)
        counts = np.searchsorted(self._keys, wanted, side="right") - starts
        spans = np.repeat(starts - np.cumsum(counts) + counts, counts)
        firm = self._order[spans + np.arange(len(spans))].astype(np.int64)
        if not self._loose():
            return np.sort(firm[firm < self._count])
        found = np.concatenate([firm, np.arange(self._firm, self._count), *self._changed])
        found = found[found < self._count]
        at = np.minimum(np.searchsorted(wanted, self._person[found]), len(wanted) - 1)
        return np.unique(found[wanted[at] == self._person[found]]) if len(wanted) else found[:0]

    def _loose(self) -> int:
        return self._count - self._firm + sum(map(len, self._changed))

    def _sort(self) -> None:
        self._order = np.argsort(self.people, kind="stable").astype(np.int32)
        self._keys = self.people[self._order]
        self._changed, self._firm = [], self._count
