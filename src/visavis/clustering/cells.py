"""Nearest rows of very many: sorted into cells, and looked through a cell at a time.

An inverted file takes each query to the cells nearest to it. Here each cell is taken to all the
queries that look at it: the same pairs are compared, but as products of matrices, and what is in
the cell is read from memory once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.best import Best, Found
from visavis.types import Vectors

_CELL: Final = 256
_MOST: Final = 4.0
_TRAINING: Final = 20
_ROUNDS: Final = 8
_BLOCK: Final = 1 << 15
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
) -> Found:
    """The best rows of ``base`` for each query, of those in the cells nearest to it.

    The cells lie around the centres of a spherical k-means over 20 rows a cell. The same arguments
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
    centres = _centres(base, count)
    looked = _nearest(centres, queries, min(probes, count))
    home = looked[:, 0] if queries is base else _nearest(centres, base, 1)[:, 0]
    # No lower product can be among a query's best: raised by what was found.
    floor = np.full(len(queries), least, dtype=np.float32)
    best = Best(k, len(queries))
    look = partial(_look, queries, base, floor, k)
    jobs = _jobs(_by_cell(home, count), _by_cell(looked.ravel(), count), looked.shape[1])
    # Products as small as these gain little by several threads each, and several of them much.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(max(faiss.omp_get_max_threads(), 1)) as pool,
    ):
        for found in pool.map(look, jobs):
            best.add(found)
    return best.found()


def _centres(base: Vectors, count: int) -> Any:
    """Index of the cells' centres."""
    import faiss

    means = faiss.Clustering(base.shape[1], count)
    means.spherical = True
    means.niter = _ROUNDS
    means.seed = 1
    means.min_points_per_centroid = 1
    means.max_points_per_centroid = 2 * _TRAINING
    index = faiss.IndexFlatIP(base.shape[1])
    step = max(1, len(base) // (_TRAINING * count))
    means.train(np.ascontiguousarray(base[::step]), index)
    return index


def _nearest(centres: Any, rows: Vectors, k: int) -> NDArray[np.int32]:
    found = np.empty((len(rows), k), dtype=np.int32)
    for start in range(0, len(rows), _BLOCK):
        found[start : start + _BLOCK] = centres.search(rows[start : start + _BLOCK], k)[1]
    return found


def _by_cell(cells: NDArray[np.int32], count: int) -> list[NDArray[np.int64]]:
    """Positions of each cell."""
    ends = np.cumsum(np.bincount(cells, minlength=count))
    return np.split(np.argsort(cells, kind="stable"), ends[:-1])


def _jobs(
    inside: list[NDArray[np.int64]], asking: list[NDArray[np.int64]], times: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows in a cell, and queries that look at them, some at a time; each query comes ``times``."""
    for rows, asked in zip(inside, asking, strict=True):
        if len(rows):
            step = max(1, _PRODUCTS // len(rows))
            for start in range(0, len(asked), step):
                yield rows, asked[start : start + step] // times


def _look(
    queries: Vectors,
    base: Vectors,
    floor: NDArray[np.float32],
    k: int,
    job: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Found:
    """The k best of some rows for each of some queries, unless below its floor."""
    rows, asked = job
    product = queries[asked] @ base[rows].T
    reached = product >= floor[asked][:, None]
    many = np.flatnonzero(np.count_nonzero(reached, axis=1) > k)
    if len(many):
        some = product[many]
        top = np.argpartition(some, len(rows) - k, axis=1)[:, len(rows) - k :]
        floor[asked[many]] = np.take_along_axis(some, top, axis=1).min(axis=1)
        reached[many] = False
        reached[many[:, None], top] = True
    at = np.flatnonzero(reached)
    query, row = np.divmod(at, len(rows))
    return Found(asked[query].astype(np.int32), rows[row].astype(np.int32), product.ravel()[at])
