"""Approximate nearest-neighbor search for large sets: rows grouped into k-means cells.

An inverted file processes one query after the other. Here one cell is processed after the other,
with all queries that probe it: the same pairs are compared, but as matrix products, and each cell
is read from memory once. Rows are sorted by cell, and similar cells are adjacent, so that memory is
read sequentially.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from threading import local
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.forking import load_faiss
from visavis.types import Vectors

_MIN_BUFFERED: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """Pairs of a query and a near row, each pair at most once.

    Attributes:
        query: ``(F,)`` int32 row of the query.
        row: ``(F,)`` int32 row near to it.
        product: ``(F,)`` float32 their dot product.
    """

    query: NDArray[np.int32]
    row: NDArray[np.int32]
    product: NDArray[np.float32]

    def only(self, kept: NDArray[np.bool_]) -> Neighbors:
        return Neighbors(self.query[kept], self.row[kept], self.product[kept])


class TopK:
    """Keeps the ``k`` rows with the highest products for each query; ties go to the lowest row.

    The result does not depend on the order of the input.

    Args:
        k: rows per query.
        queries: number of queries; at most twice ``k`` pairs per query are in memory.
    """

    def __init__(self, k: int, queries: int) -> None:
        self._k = k
        self._most = max(2 * k * queries, _MIN_BUFFERED)
        self._parts: list[Neighbors] = []
        self._count = 0

    def add(self, found: Neighbors) -> None:
        """Adds pairs. A pair must not be added twice."""
        if not len(found.query):
            return
        self._parts.append(found)
        self._count += len(found.query)
        if self._count > self._most:
            self.found()

    def found(self) -> Neighbors:
        """Returns the best pairs added so far, unordered."""
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
    """Flags pairs among the k best of their query; all pairs of queries not crowded."""
    at = np.flatnonzero(crowded[found.query])
    key = _keys(found.query[at], found.product[at])
    query = found.query[at]
    ends = np.cumsum(np.bincount(query, minlength=len(crowded)))
    # The key of each crowded query's k-th best pair.
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
    """Sort keys: ascending by query, then descending by product."""
    # Adding 0 turns -0.0 into 0.0.
    bits = (product + np.float32(0)).view(np.uint32)
    falling = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))
    return (query.astype(np.uint64) << np.uint64(32)) | falling


_CELL: Final = 256
_CELLS_PER_ROOT: Final = 4.0
_TRAINING: Final = 20
_ROUNDS: Final = 8
_BLOCK: Final = 1 << 12
_PRODUCTS: Final = 1 << 18


def cells_for(n: int) -> int:
    """Returns the number of cells for ``n`` rows.

    One cell per 256 rows, so that the work grows linearly. Beyond a million rows 4 sqrt(n):
    otherwise finding a row's cells would take longer than searching them.

    >>> [cells_for(n) for n in (100, 25_600, 1_000_000, 100_000_000)]
    [1, 100, 3906, 40000]
    """
    return max(1, min(n // _CELL, int(_CELLS_PER_ROOT * n**0.5)))


def search_cells(
    queries: Vectors, base: Vectors, k: int, *, probes: int, least: float = -np.inf
) -> Neighbors:
    """Finds the best rows of ``base`` for each query, among the cells nearest to the query.

    Cells come from spherical k-means on 20 rows per cell. Results do not depend on the number of
    threads (FAISS's setting).

    Args:
        queries: ``(Q, D)`` float32; ``base`` itself where each of its rows is one.
        base: ``(N, D)`` float32, one row or more.
        k: most rows per query, 1 or more.
        probes: cells searched per query.
        least: pairs with a lower dot product are left out.
    """
    from threadpoolctl import threadpool_limits

    faiss = load_faiss()

    count = cells_for(len(base))
    centers = _centers(base, count)
    probes = min(probes, count)
    # Matrices this small gain little from several BLAS threads, but much from running in parallel.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(
            max(faiss.omp_get_max_threads(), 1),
            initializer=faiss.omp_set_num_threads,
            initargs=(1,),
        ) as pool,
    ):
        probed = _nearest(centers, queries, probes, pool)
        home = probed[:, 0] if queries is base else _nearest(centers, base, 1, pool)[:, 0]
        # Sorted by cell, so that each cell is contiguous in memory, and its queries nearly so.
        order = _sorted_by_cell(home, count)
        own = order if queries is base else _sorted_by_cell(probed[:, 0], count)
        base = base[order]
        queries = base if own is order else queries[own]
        probing = (_sorted_by_cell(probed[own].ravel(), count) // probes).astype(np.int32)
        cells = zip(
            _split_by_cell(np.arange(len(base)), home, count),
            _split_by_cell(probing, probed.ravel(), count),
            strict=True,
        )
        # Products below a query's floor cannot be among its best; rises during the search.
        floor = np.full(len(queries), least, dtype=np.float32)
        best = TopK(k, len(queries))
        for parts in pool.map(_Search(queries, base, floor, k), cells):
            for part in parts:
                best.add(part)
    found = best.found()
    query, row = own[found.query], order[found.row]
    return Neighbors(query.astype(np.int32), row.astype(np.int32), found.product)


def _centers(base: Vectors, count: int) -> Any:
    """FAISS index of the cell centers, ordered so that similar centers are adjacent."""
    faiss = load_faiss()
    index = _means(base[:: max(1, len(base) // (_TRAINING * count))], count)
    centers = faiss.rev_swig_ptr(index.get_xb(), count * base.shape[1]).reshape(count, -1)
    groups = _means(centers, round(count**0.5)).search(centers, 1)[1][:, 0]
    ordered = faiss.IndexFlatIP(base.shape[1])
    ordered.add(centers[np.argsort(groups, kind="stable")])
    return ordered


def _means(rows: Vectors, count: int) -> Any:
    """FAISS index of the centers of a spherical k-means."""
    faiss = load_faiss()
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


def _sorted_by_cell(cells: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Positions sorted by cell."""
    # numpy uses radix sort for 16-bit integers, which is much faster.
    short = cells.astype(np.uint16) if count <= 1 << 16 else cells
    return np.argsort(short, kind="stable")


def _split_by_cell(
    values: NDArray[Any], cells: NDArray[np.int32], count: int
) -> list[NDArray[Any]]:
    """Splits values that are sorted by cell into one array per cell."""
    return np.split(values, np.cumsum(np.bincount(cells, minlength=count))[:-1])


class _Search:
    """Compares the rows of a cell with the queries that probe it.

    Args:
        queries: ``(Q, D)``.
        base: ``(N, D)``, sorted by cell.
        floor: ``(Q,)`` lowest useful product per query; raised in place.
        k: rows per query.
    """

    def __init__(self, queries: Vectors, base: Vectors, floor: NDArray[np.float32], k: int) -> None:
        self._queries = queries
        self._base = base
        self._floor = floor
        self._k = k
        self._own = local()

    def __call__(self, cell: tuple[NDArray[np.int64], NDArray[np.int32]]) -> list[Neighbors]:
        rows, probing = cell
        if not len(rows):
            return []
        first, inside = int(rows[0]), self._base[rows[0] : rows[0] + len(rows)].T
        step = max(1, _PRODUCTS // len(rows))
        return [
            self._compare(first, inside, probing[start : start + step])
            for start in range(0, len(probing), step)
        ]

    def _compare(self, first: int, inside: Vectors, subset: NDArray[np.int32]) -> Neighbors:
        """Returns each query's k best rows at or above its floor."""
        many_rows = inside.shape[1]
        shape = len(subset), len(inside)
        some = self._buffer("some", len(subset) * len(inside), np.float32).reshape(shape)
        np.take(self._queries, subset, axis=0, out=some, mode="clip")
        flat = self._buffer("product", len(subset) * many_rows, np.float32)
        product = np.matmul(some, inside, out=flat.reshape(len(subset), many_rows))
        reached = self._buffer("reached", product.size, np.bool_).reshape(product.shape)
        np.greater_equal(product, self._floor[subset][:, None], out=reached)
        at = np.flatnonzero(reached)
        query, row = np.divmod(at, many_rows)
        many = np.bincount(query, minlength=len(subset)) > self._k
        if many.any():
            kept = ~many[query]
            full = np.flatnonzero(many)
            top = np.argpartition(product[full], many_rows - self._k, axis=1)
            top = top[:, many_rows - self._k :]
            self._floor[subset[full]] = product[full[:, None], top].min(axis=1)
            query = np.concatenate([query[kept], np.repeat(full, self._k)])
            row = np.concatenate([row[kept], top.ravel()])
        return Neighbors(subset[query], (row + first).astype(np.int32), product[query, row])

    def _buffer(self, name: str, size: int, kind: type) -> NDArray[Any]:
        """A reusable array of this thread."""
        buffer: NDArray[Any] | None = getattr(self._own, name, None)
        if buffer is None or len(buffer) < size:
            buffer = np.empty(size, dtype=kind)
            setattr(self._own, name, buffer)
        return buffer[:size]
