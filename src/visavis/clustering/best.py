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
    key = _keys(found.query[at], found.product[at])
    query = found.query[at]
    ends = np.cumsum(np.bincount(query, minlength=len(crowded)))
    # Of each crowded query, the key of its k-th best.
    last = np.zeros(len(crowded), dtype=np.uint64)
    last[crowded] = np.sort(key)[np.concatenate([[0], ends[:-1]])[crowded] + k - 1]
    near = key <= last[query]
    tied = np.bincount(query[near], minlength=len(crowded)) > k
    kept = np.ones(len(found.query), dtype=np.bool_)
    kept[at[~near]] = False
    if tied.any():
        equal = near & tied[query]
        at, query = at[equal], query[equal]
        order = np.lexsort((found.row[at], key[equal]))
        start = np.searchsorted(query[order], query[order])
        kept[at[order[np.arange(len(at)) - start >= k]]] = False
    return kept


def _keys(query: NDArray[np.int32], product: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Numbers that rise with the query, and within one as the product falls."""
    # Adding 0 makes one of the two zeros.
    bits = (product + np.float32(0)).view(np.uint32)
    falling = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))
    return (query.astype(np.uint64) << np.uint64(32)) | falling
