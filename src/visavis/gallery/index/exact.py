"""Exact search, and exact scores for candidates of another search."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from numpy.typing import NDArray

from visavis.forking import forked, load_faiss
from visavis.types import Vectors

Ids = NDArray[np.int64]

# Two float32 sums over the same row differ by less, for unit vectors of up to 2,048 dimensions.
ROUNDING = np.float32(4e-6)
_SPARE = 8
_MANY = 20
_PIECE = 8192


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Sets the number of FAISS threads for calls from this thread, and restores it.

    In a forked process it is 1, see ``load_faiss``.
    """
    faiss = load_faiss()
    threads = 1 if forked() else threads
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
    """Uses all processors for a few long calls, such as building an index.

    Thousands of short calls would wait for each other on busy processors.
    """
    return faiss_threads(os.cpu_count() or 1)


def among(rows: Vectors, query: Vectors, at: Ids, k: int) -> Ids:
    """Returns those rows of ``at`` that include the ``k`` closest to a ``(D,)`` probe.

    All rows equal to the k-th, within rounding, are included; all of ``at`` if it is short.
    """
    if 2 * k >= len(at):
        return at
    rough = rows[at] @ query
    held: Ids = at[rough >= np.partition(rough, -k)[-k] - ROUNDING]
    return held


def closest(
    rows: Vectors, query: Vectors, at: Ids, ids: Ids, k: int
) -> tuple[NDArray[np.float32], Ids]:
    """Returns the ``k`` rows of ``at`` closest to a ``(D,)`` probe; all of them if fewer.

    The score of a pair does not depend on the other rows or on the kind of index.

    Args:
        rows: all rows.
        query: the probe, contiguous.
        at: rows to search.
        ids: number of each of all rows, to sort equal scores.
        k: number of rows.

    Returns:
        Inner products (summed in float64, as float32), descending, and their rows.
    """
    scores = (rows[at].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    first = np.lexsort((ids[at], -scores))[:k]
    return scores[first], at[first]


def nearest(rows: Vectors, queries: Vectors, k: int) -> list[Ids]:
    """Returns rows that include the ``k`` highest scores of each ``(Q, D)`` probe.

    All rows equal to the k-th, within rounding, are included, so there may be more than ``k``. A
    few probes take one pass over the memory, many take matrix products.
    """
    if k >= len(rows):
        return [np.arange(len(rows))] * len(queries)
    spare = min(k + _SPARE, len(rows))
    values, places = (_few if len(queries) < _MANY else _many)(rows, queries, spare)
    found = []
    for query, value, place in zip(queries, values, places, strict=True):
        bar = np.partition(value, -k)[-k] - ROUNDING
        # If the last spare place is a tie, too, there may be more ties.
        tied = len(rows) > spare and value.min() >= bar
        found.append(np.flatnonzero(rows @ query >= bar) if tied else place[value >= bar])
    return found


def top_scores(rows: Vectors, queries: Vectors, k: int) -> NDArray[np.float32]:
    """Returns the ``k`` highest scores of each probe, ``(Q, k)``, descending."""
    values, _ = _many(rows, queries, k)
    return -np.sort(-values, axis=1)


def _few(rows: Vectors, queries: Vectors, top: int) -> tuple[NDArray[np.float32], Ids]:
    faiss = load_faiss()
    found: tuple[NDArray[np.float32], Ids] = faiss.knn(
        queries, rows, top, metric=faiss.METRIC_INNER_PRODUCT
    )
    return found


def _many(rows: Vectors, queries: Vectors, top: int) -> tuple[NDArray[np.float32], Ids]:
    from threadpoolctl import threadpool_limits

    faiss = load_faiss()

    values = np.full((len(queries), top), -np.inf, np.float32)
    places = np.full((len(queries), top), -1, np.int64)
    # NumPy's BLAS is several times as fast as the one in FAISS.
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
    """Returns the ``top`` scores of each row above its bound, and their columns; -inf pads."""
    line, column = np.nonzero(product > bar[:, None])
    counts = np.bincount(line, minlength=len(product))
    most = int(counts.max(initial=0))
    if most > _MANY * top:  # at first all pass
        place = np.argpartition(product, -min(top, product.shape[1]), axis=1)[:, -top:]
        return np.take_along_axis(product, place, 1), place
    value = np.full((len(product), most), -np.inf, np.float32)
    place = np.full((len(product), most), -1, np.int64)
    nth = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    value[line, nth], place[line, nth] = product[line, column], column
    return value, place
