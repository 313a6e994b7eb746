"""Nearest rows of very many: sorted into cells, and looked through a cell at a time.

An inverted file takes each query to the cells nearest to it. Here each cell is taken to all the
queries that look at it: the same pairs are compared, but as products of matrices, and what is in
the cell is read from memory once. Rows are sorted by cell first, and cells that are near to each
other follow each other, so that memory is walked through and not jumped about in.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from threading import local
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

_AT_LEAST: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """Rows near to queries, each at most once for a query.

    Attributes:
        query: ``(F,)`` int32 row of the query.
        row: ``(F,)`` int32 row that is near to it.
        product: ``(F,)`` float32 their dot product.
    """

    query: NDArray[np.int32]
    row: NDArray[np.int32]
    product: NDArray[np.float32]

    def only(self, kept: NDArray[np.bool_]) -> Neighbors:
        return Neighbors(self.query[kept], self.row[kept], self.product[kept])


class TopK:
    """Keeps at most ``k`` rows of each query: those with the highest products, then lowest numbers.

    What is kept does not depend on the order in which they come.

    Args:
        k: how many for each query.
        queries: how many queries there are; twice ``k`` for each is the most that is held.
    """

    def __init__(self, k: int, queries: int) -> None:
        self._k = k
        self._most = max(2 * k * queries, _AT_LEAST)
        self._parts: list[Neighbors] = []
        self._count = 0

    def add(self, found: Neighbors) -> None:
        """Consider more; no row twice for a query, in all."""
        if not len(found.query):
            return
        self._parts.append(found)
        self._count += len(found.query)
        if self._count > self._most:
            self.found()

    def found(self) -> Neighbors:
        """The best of what came until now, in no order."""
        if not self._parts:
            nothing = np.zeros(0, dtype=np.int32)
            return Neighbors(nothing, nothing, np.zeros(0, dtype=np.float32))
        query, row, product = (
            np.concatenate([getattr(part, name) for part in self._parts])
            for name in ("query", "row", "product")
        )
        self._parts = []
        found = Neighbors(query, row, product)
        crowded = np.bincount(query) > self._k
        if crowded.any():
            found = found.only(_among_first(found, crowded, self._k))
        self._parts, self._count = [found], len(found.query)
        return found


def _among_first(found: Neighbors, crowded: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
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


_CELL: Final = 256
_MOST: Final = 4.0
_TRAINING: Final = 20
_ROUNDS: Final = 8
_BLOCK: Final = 1 << 12
_PRODUCTS: Final = 1 << 18


def cells_for(n: int) -> int:
    """Into how many cells so many rows are sorted.

    One for 256 rows, so that work is in proportion to the rows. Beyond a million of them
    4 sqrt(n), lest finding a row's cells takes longer than looking through them.

    >>> [cells_for(n) for n in (100, 25_600, 1_000_000, 100_000_000)]
    [1, 100, 3906, 40000]
    """
    return max(1, min(n // _CELL, int(_MOST * n**0.5)))


def search_cells(
    queries: Vectors, base: Vectors, k: int, *, probes: int, least: float = -np.inf
) -> Neighbors:
    """The best rows of ``base`` for each query, of those in the cells nearest to it.

    The cells lie around the centers of a spherical k-means over 20 rows a cell. The same arguments
    give the same rows, whatever the threads (as many as FAISS has).

    Args:
        queries: ``(Q, D)`` float32; ``base`` itself where each of its rows is one.
        base: ``(N, D)`` float32, one row or more.
        k: how many for each query at most, 1 or more.
        probes: cells looked at for each query.
        least: dot products below are left out.
    """
    import faiss
    from threadpoolctl import threadpool_limits

    count = cells_for(len(base))
    centers = _centers(base, count)
    probes = min(probes, count)
    # Products as small as these gain little by several threads each, and several of them much.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(
            max(faiss.omp_get_max_threads(), 1),
            initializer=faiss.omp_set_num_threads,
            initargs=(1,),
        ) as pool,
    ):
        looked = _nearest(centers, queries, probes, pool)
        home = looked[:, 0] if queries is base else _nearest(centers, base, 1, pool)[:, 0]
        # A cell after the other: each is then one piece of memory, and so nearly are those who ask.
        order = _rising(home, count)
        own = order if queries is base else _rising(looked[:, 0], count)
        base = base[order]
        queries = base if own is order else queries[own]
        asking = (_rising(looked[own].ravel(), count) // probes).astype(np.int32)
        cells = zip(
            _pieces(np.arange(len(base)), home, count),
            _pieces(asking, looked.ravel(), count),
            strict=True,
        )
        # No lower product can be among a query's best: raised by what was found.
        floor = np.full(len(queries), least, dtype=np.float32)
        best = TopK(k, len(queries))
        for parts in pool.map(_Search(queries, base, floor, k), cells):
            for part in parts:
                best.add(part)
    found = best.found()
    query, row = own[found.query], order[found.row]
    return Neighbors(query.astype(np.int32), row.astype(np.int32), found.product)


def _centers(base: Vectors, count: int) -> Any:
    """Index of the cells' centers, those near to each other close by."""
    import faiss

    index = _means(base[:: max(1, len(base) // (_TRAINING * count))], count)
    centers = faiss.rev_swig_ptr(index.get_xb(), count * base.shape[1]).reshape(count, -1)
    groups = _means(centers, round(count**0.5)).search(centers, 1)[1][:, 0]
    ordered = faiss.IndexFlatIP(base.shape[1])
    ordered.add(centers[np.argsort(groups, kind="stable")])
    return ordered


def _means(rows: Vectors, count: int) -> Any:
    """Index of the centers of a spherical k-means."""
    import faiss

    means = faiss.Clustering(rows.shape[1], count)
    means.spherical = True
    means.niter = _ROUNDS
    means.seed = 1
    means.min_points_per_centroid = 1
    means.max_points_per_centroid = max(2 * _TRAINING, len(rows) // count + 1)
    index = faiss.IndexFlatIP(rows.shape[1])
    means.train(np.ascontiguousarray(rows), index)
    return index


def _nearest(centers: Any, rows: Vectors, k: int, pool: Executor) -> NDArray[np.int32]:
    found = np.empty((len(rows), k), dtype=np.int32)

    def search(start: int) -> None:
        found[start : start + _BLOCK] = centers.search(rows[start : start + _BLOCK], k)[1]

    list(pool.map(search, range(0, len(rows), _BLOCK)))
    return found


def _rising(cells: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Positions of cell 0, then of cell 1 and so on."""
    # numpy sorts 16 bits by their digits, in a fraction of the time.
    short = cells.astype(np.uint16) if count <= 1 << 16 else cells
    return np.argsort(short, kind="stable")


def _pieces(values: NDArray[Any], cells: NDArray[np.int32], count: int) -> list[NDArray[Any]]:
    """What belongs to each cell, of values sorted by cell."""
    return np.split(values, np.cumsum(np.bincount(cells, minlength=count))[:-1])


class _Search:
    """Takes a cell to the queries that look at it.

    Args:
        queries: ``(Q, D)``.
        base: ``(N, D)``, sorted by cell.
        floor: ``(Q,)`` product below which none is wanted; raised in place.
        k: how many for each query.
    """

    def __init__(self, queries: Vectors, base: Vectors, floor: NDArray[np.float32], k: int) -> None:
        self._queries = queries
        self._base = base
        self._floor = floor
        self._k = k
        self._own = local()

    def __call__(self, cell: tuple[NDArray[np.int64], NDArray[np.int32]]) -> list[Neighbors]:
        rows, asking = cell
        if not len(rows):
            return []
        first, inside = int(rows[0]), self._base[rows[0] : rows[0] + len(rows)].T
        step = max(1, _PRODUCTS // len(rows))
        return [
            self._look(first, inside, asking[start : start + step])
            for start in range(0, len(asking), step)
        ]

    def _look(self, first: int, inside: Vectors, asked: NDArray[np.int32]) -> Neighbors:
        """The k best of some rows for each of some queries, unless below its floor."""
        many_rows = inside.shape[1]
        shape = len(asked), len(inside)
        some = self._buffer("some", len(asked) * len(inside), np.float32).reshape(shape)
        np.take(self._queries, asked, axis=0, out=some, mode="clip")
        flat = self._buffer("product", len(asked) * many_rows, np.float32)
        product = np.matmul(some, inside, out=flat.reshape(len(asked), many_rows))
        reached = self._buffer("reached", product.size, np.bool_).reshape(product.shape)
        np.greater_equal(product, self._floor[asked][:, None], out=reached)
        at = np.flatnonzero(reached)
        query, row = np.divmod(at, many_rows)
        many = np.bincount(query, minlength=len(asked)) > self._k
        if many.any():
            kept = ~many[query]
            full = np.flatnonzero(many)
            top = np.argpartition(product[full], many_rows - self._k, axis=1)
            top = top[:, many_rows - self._k :]
            self._floor[asked[full]] = product[full[:, None], top].min(axis=1)
            query = np.concatenate([query[kept], np.repeat(full, self._k)])
            row = np.concatenate([row[kept], top.ravel()])
        return Neighbors(asked[query], (row + first).astype(np.int32), product[query, row])

    def _buffer(self, name: str, size: int, kind: type) -> NDArray[Any]:
        """A piece of memory of this thread, used again and again."""
        held: NDArray[Any] | None = getattr(self._own, name, None)
        if held is None or len(held) < size:
            held = np.empty(size, dtype=kind)
            setattr(self._own, name, held)
        return held[:size]
