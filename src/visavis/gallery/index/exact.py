"""Exact search, and exact scores for whatever another search proposes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

Ids = NDArray[np.int64]

# Two float32 sums over the same row differ by less than this for unit vectors of 2,048 dimensions.
ROUNDING = np.float32(4e-6)
_SPARE = 8
_MANY = 20
_PIECE = 8192


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS use so many threads when called from this one, then as many as before."""
    import faiss

    before = faiss.omp_get_max_threads()
    if before == threads:
        yield
        return
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def all_processors() -> AbstractContextManager[None]:
    """For a few long calls, as when a structure is made; thousands of short ones would wait for
    each other on busy processors."""
    return faiss_threads(os.cpu_count() or 1)


def among(rows: Vectors, query: Vectors, at: Ids, k: int) -> Ids:
    """Those of the rows ``at`` that hold the ``k`` closest to a ``(D,)`` probe.

    All that tie with the k-th, within rounding, are among them; where there are few to leave out,
    it is all of them.
    """
    if 2 * k >= len(at):
        return at
    rough = rows[at] @ query
    held: Ids = at[rough >= np.partition(rough, -k)[-k] - ROUNDING]
    return held


def closest(
    rows: Vectors, query: Vectors, at: Ids, ids: Ids, k: int
) -> tuple[NDArray[np.float32], Ids]:
    """The ``k`` of some rows that are closest to a ``(D,)`` probe, or all if there are fewer.

    The same pair gives the same score whatever else is searched and by whichever structure.

    Args:
        rows: all rows.
        query: the probe, contiguous.
        at: the rows to look at.
        ids: number of each row of all: equal scores in this order.
        k: how many.

    Returns:
        Inner products, summed in float64, as float32, from high to low, and the rows.
    """
    scores = (rows[at].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    first = np.lexsort((ids[at], -scores))[:k]
    return scores[first], at[first]


def nearest(rows: Vectors, queries: Vectors, k: int) -> list[Ids]:
    """Rows that hold the ``k`` highest scores of each ``(Q, D)`` probe.

    All rows that tie with the k-th, within rounding, are among them, so there may be more than
    ``k``. One pass over the memory for some probes, matrix products for many.
    """
    if k >= len(rows):
        return [np.arange(len(rows))] * len(queries)
    spare = min(k + _SPARE, len(rows))
    values, places = (_few if len(queries) < _MANY else _many)(rows, queries, spare)
    found = []
    for query, value, place in zip(queries, values, places, strict=True):
        bar = np.partition(value, -k)[-k] - ROUNDING
        # Where the last of the spare places is a tie as well, there may be more of them.
        tied = len(rows) > spare and value.min() >= bar
        found.append(np.flatnonzero(rows @ query >= bar) if tied else place[value >= bar])
    return found


def top_scores(rows: Vectors, queries: Vectors, k: int) -> NDArray[np.float32]:
    """The ``k`` highest scores of each probe, ``(Q, k)`` from high to low."""
    values, _ = _many(rows, queries, k)
    return -np.sort(-values, axis=1)


def _few(rows: Vectors, queries: Vectors, top: int) -> tuple[NDArray[np.float32], Ids]:
    import faiss

    found: tuple[NDArray[np.float32], Ids] = faiss.knn(
        queries, rows, top, metric=faiss.METRIC_INNER_PRODUCT
    )
    return found


def _many(rows: Vectors, queries: Vectors, top: int) -> tuple[NDArray[np.float32], Ids]:
    import faiss
    from threadpoolctl import threadpool_limits

    values = np.full((len(queries), top), -np.inf, np.float32)
    places = np.full((len(queries), top), -1, np.int64)
    # numpy's own BLAS: several times as fast as the one that FAISS brings.
    with threadpool_limits(faiss.omp_get_max_threads(), user_api="blas"):
        for start in range(0, len(rows), _PIECE):
            product = queries @ rows[start : start + _PIECE].T
            bar = values.min(axis=1)
            hot = np.flatnonzero(product.max(axis=1) > bar)
            value, place = _new(product[hot], bar[hot], top)
            value = np.concatenate([values[hot], value], axis=1)
            place = np.concatenate([places[hot], place + start], axis=1)
            kept = np.argpartition(value, -top, axis=1)[:, -top:]
            values[hot] = np.take_along_axis(value, kept, 1)
            places[hot] = np.take_along_axis(place, kept, 1)
    return values, places


def _new(
    product: NDArray[np.float32], bar: NDArray[np.float32], top: int
) -> tuple[NDArray[np.float32], Ids]:
    """The ``top`` scores of each line that are above its bar, and their columns; -inf in excess."""
    line, column = np.nonzero(product > bar[:, None])
    counts = np.bincount(line, minlength=len(product))
    most = int(counts.max(initial=0))
    if most > _MANY * top:  # at first all are
        place = np.argpartition(product, -min(top, product.shape[1]), axis=1)[:, -top:]
        return np.take_along_axis(product, place, 1), place
    value = np.full((len(product), most), -np.inf, np.float32)
    place = np.full((len(product), most), -1, np.int64)
    nth = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    value[line, nth], place[line, nth] = product[line, column], column
    return value, place
