"""The best few rows of each of many queries, while candidates keep coming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_AT_LEAST: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Rows near to queries, each at most once for a query.

    Attributes:
        query: ``(F,)`` int32 row of the query.
        row: ``(F,)`` int32 row that is near to it.
        product: ``(F,)`` float32 their dot product.
    """

    query: NDArray[np.int32]
    row: NDArray[np.int32]
    product: NDArray[np.float32]

    def only(self, kept: NDArray[np.bool_]) -> Found:
        return Found(self.query[kept], self.row[kept], self.product[kept])


class Best:
    """Keeps at most ``k`` rows of each query: those with the highest products, then lowest numbers.

    What is kept does not depend on the order in which they come.

    Args:
        k: how many for each query.
        queries: how many queries there are; twice ``k`` for each is the most that is held.
    """

    def __init__(self, k: int, queries: int) -> None:
        self._k = k
        self._most = max(2 * k * queries, _AT_LEAST)
        self._parts: list[Found] = []
        self._count = 0

    def add(self, found: Found) -> None:
        """Consider more; no row twice for a query, in all."""
        if not len(found.query):
            return
        self._parts.append(found)
        self._count += len(found.query)
        if self._count > self._most:
            self.found()

    def found(self) -> Found:
        """The best of what came until now, in no order."""
        if not self._parts:
            nothing = np.zeros(0, dtype=np.int32)
            return Found(nothing, nothing, np.zeros(0, dtype=np.float32))
        query, row, product = (
            np.concatenate([getattr(part, name) for part in self._parts])
            for name in ("query", "row", "product")
        )
        self._parts = []
        found = Found(query, row, product)
        crowded = np.bincount(query) > self._k
        if crowded.any():
            found = found.only(_among_first(found, crowded, self._k))
        self._parts, self._count = [found], len(found.query)
        return found


def _among_first(found: Found, crowded: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Which are among the k best of their query; of queries not crowded, all."""
    at = np.flatnonzero(crowded[found.query])
    at = at[np.lexsort((found.row[at], -found.product[at], found.query[at]))]
    query = found.query[at]
    first = np.flatnonzero(np.diff(query, prepend=-1))
    rank = np.arange(len(query)) - np.repeat(first, np.diff(first, append=len(query)))
    kept = np.ones(len(found.query), dtype=np.bool_)
    kept[at[rank >= k]] = False
    return kept
