"""Union-find of faces with forbidden unions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Partition:
    """Disjoint sets of rows 0 to N-1; some pairs of sets may not be joined.

    Args:
        rows: number of rows, N.

    >>> sets = Partition(3)
    >>> sets.join(0, 1), sets.forbid(1, 2), sets.join(0, 2), sets.forbid(0, 1)
    (True, True, False, False)
    """

    def __init__(self, rows: int) -> None:
        self._parent = list(range(rows))
        self._size = [1] * rows
        self._forbidden: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return len(self._parent)

    def find(self, row: int) -> int:
        """Returns the representative of the set of ``row``."""
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def size(self, row: int) -> int:
        """Returns the size of the set of ``row``."""
        return self._size[self.find(row)]

    def join(self, a: int, b: int) -> bool:
        """Joins the sets of two rows; ``False``, without a change, if forbidden."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return True
        if b in self._forbidden.get(a, ()):
            return False
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._parent[b] = a
        self._size[a] += self._size[b]
        for other in self._forbidden.pop(b, ()):
            self._forbidden[other].discard(b)
            self._forbidden[other].add(a)
            self._forbidden.setdefault(a, set()).add(other)
        return True

    def forbid(self, a: int, b: int) -> bool:
        """Forbids joining the sets of two rows; ``False`` if they are one set."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return False
        self._forbidden.setdefault(a, set()).add(b)
        self._forbidden.setdefault(b, set()).add(a)
        return True

    def join_all(self, rows: Iterable[int]) -> None:
        """Joins the sets of all these rows where allowed."""
        first: int | None = None
        for row in rows:
            if first is None:
                first = row
            else:
                self.join(first, row)

    def must(self) -> Iterator[tuple[int, int]]:
        """Returns pairs that connect every set."""
        for row in range(len(self._parent)):
            root = self.find(row)
            if root != row:
                yield root, row

    def cannot(self) -> Iterator[tuple[int, int]]:
        """Returns one pair of rows per forbidden pair of sets."""
        for a, others in sorted(self._forbidden.items()):
            yield from ((a, b) for b in sorted(others) if a < b)
