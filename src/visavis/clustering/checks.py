"""Input validation and label numbering for clustering."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.clustering.clusterer import Labels
from visavis.errors import OptionError
from visavis.types import Vectors

_CHUNK: Final = 1 << 16
_SLACK: Final = 1e-3


def as_vectors(vectors: ArrayLike) -> Vectors:
    """Returns the templates as C-contiguous ``(N, D)`` float32; N may be 0.

    Raises:
        OptionError: another shape, not real numbers, not finite, or a row is not of unit length
            (by more than 0.001).

    >>> as_vectors([[0.6, 0.8]])
    array([[0.6, 0.8]], dtype=float32)
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:
        raise OptionError(
            f"templates of shape {array.shape} and type {array.dtype}",
            "give an (N, D) float array, one unit vector per face",
        )
    array = np.ascontiguousarray(array, dtype=np.float32)
    for start in range(0, len(array), _CHUNK):
        length = np.sqrt(np.einsum("nd,nd->n", *[array[start : start + _CHUNK]] * 2))
        # NaN compares false with everything.
        bad = np.flatnonzero(~(np.abs(length - 1) <= _SLACK))
        if len(bad):
            raise OptionError(
                f"template {start + int(bad[0])} of length {length[bad[0]]:.4g}",
                "give vectors of unit length: divide each by its norm, and leave out faces "
                "without a template",
            )
    return array


def as_quality_scores(quality_score: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Returns the quality score of each face, ``(n,)`` float64; ones for ``None``.

    Raises:
        OptionError: another shape, or values outside [0, 1].

    >>> as_quality_scores(None, 2)
    array([1., 1.])
    """
    if quality_score is None:
        return np.ones(n)
    array = np.asarray(quality_score)
    if array.shape != (n,) or array.dtype.kind not in "fiub":
        raise OptionError(
            f"quality scores of shape {array.shape} and type {array.dtype} for {n} faces",
            "give one number in [0, 1] per face",
        )
    array = array.astype(np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise OptionError("quality scores outside [0, 1]", "give one number in [0, 1] per face")
    return array


def renumber(labels: NDArray[np.int64]) -> Labels:
    """Renumbers a partition 0 to K-1 in order of first appearance.

    Args:
        labels: ``(N,)`` any integers; a negative one is a face alone.

    >>> renumber(np.array([5, -1, 5, 2, -1]))
    array([0, 1, 0, 2, 3])
    """
    labels = np.asarray(labels, dtype=np.int64).copy()
    alone = np.flatnonzero(labels < 0)
    labels[alone] = labels.max(initial=0) + 1 + np.arange(len(alone))
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]


def canonical_order(vectors: Vectors) -> NDArray[np.int64]:
    """Sorts rows by their bytes: an order that does not depend on the input order.

    Algorithms that break ties by row, or sample rows, give the same partition for every order of
    the faces if they process the rows in this order. Equal rows keep their input order.

    >>> canonical_order(np.array([[0, 1], [1, 0], [0, 1]], dtype=np.float32))
    array([0, 2, 1])
    """
    if not len(vectors):
        return np.zeros(0, dtype=np.int64)
    rows = np.ascontiguousarray(vectors)
    keys = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    return np.argsort(keys, kind="stable").astype(np.int64)
