"""Exact search, and exact scores for whatever another search proposes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from visavis.gallery.rows import Rows
from visavis.types import Vectors

Ids = NDArray[np.int64]

# Two float32 sums over the same row differ by less than this for unit vectors of 2,048 dimensions.
ROUNDING = np.float32(4e-6)
_SPARE = 8


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


def score(rows: Rows, query: Vectors, at: Ids) -> NDArray[np.float32]:
    """Inner products of one ``(D,)`` probe with some rows, summed in float64, as float32.

    The same pair gives the same score whatever else is searched and by whichever structure.
    """
    wide = rows.take(at).astype(np.float64)
    return (wide @ query.astype(np.float64)).astype(np.float32)


def best(scores: NDArray[np.float32], ids: Ids, k: int) -> tuple[NDArray[np.float32], Ids]:
    """The ``k`` highest scores and their ids, equal scores by id; -inf and -1 where fewer."""
    order = np.lexsort((ids, -scores))[:k]
    out, who = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int64)
    out[: len(order)], who[: len(order)] = scores[order], ids[order]
    return out, who


def nearest(rows: Rows, queries: Vectors, k: int, *, start: int = 0) -> list[Ids]:
    """Rows from ``start`` on that hold the ``k`` highest scores of each ``(Q, D)`` probe.

    All rows that tie with the k-th, within rounding, are among them, so there may be more than
    ``k``. One pass over the memory for up to 20 probes, a matrix product for more.
    """
    import faiss

    spare = k + _SPARE
    values, places = [], []
    for first, block in rows.blocks(start):
        top = min(spare, len(block))
        score_, at = faiss.knn(queries, block, top, metric=faiss.METRIC_INNER_PRODUCT)
        values.append(score_)
        places.append(np.where(at < 0, -1, at + first))
    if not values:
        return [np.empty(0, np.int64) for _ in queries]
    value, place = np.concatenate(values, axis=1), np.concatenate(places, axis=1)
    value[place < 0] = -np.inf
    found = []
    for number, query in enumerate(queries):
        row, at = value[number], place[number]
        if len(row) <= k:
            found.append(at[at >= 0])
            continue
        bar = np.partition(row, len(row) - k)[len(row) - k] - ROUNDING
        if any(len(v[number]) == spare and v[number, -1] >= bar > -np.inf for v in values):
            found.append(_above(rows, query, bar, start))
        else:
            found.append(at[(at >= 0) & (row >= bar)])
    return found


def _above(rows: Rows, query: Vectors, bar: np.float32, start: int) -> Ids:
    hits = [first + np.flatnonzero(block @ query >= bar) for first, block in rows.blocks(start)]
    return np.concatenate(hits)
