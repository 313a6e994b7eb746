"""Input validation for metrics: one-dimensional, finite, real scores."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError

Scores: TypeAlias = NDArray[np.floating[Any]]
"""``(N,)`` float32 or float64 similarity scores, higher is closer."""

Flags: TypeAlias = NDArray[np.bool_]
"""``(N,)`` bool, true where a pair is mated."""


def as_scores(values: ArrayLike, name: str, *, empty: bool = False) -> Scores:
    """Returns the values as a one-dimensional float array; float32 stays float32.

    Args:
        values: numbers, one per pair.
        name: their name in errors.
        empty: accept an empty array.

    Raises:
        OptionError: not one-dimensional, not real numbers, empty, or a value is not finite.
            Failed comparisons have no score: they are left out and counted, never passed as NaN.

    >>> as_scores([1, 0], "scores")
    array([1., 0.])
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.ndim != 1 or array.dtype.kind != "f":
        # numpy gives an empty list the type float64.
        raise OptionError(
            f"{name} of shape {array.shape} and type {array.dtype}", "give one real number per pair"
        )
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    if array.size == 0:
        if empty:
            return array
        raise OptionError(f"no {name}", "give at least one")
    # The minimum of an array that holds NaN is NaN: no temporary array for large inputs.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise OptionError(
            f"{bad} of {array.size} {name} are not finite",
            "leave pairs that failed out of the scores and report them as failures",
        )
    return array


def as_flags(values: ArrayLike, name: str, length: int) -> Flags:
    """Returns the values as ``(length,)`` bool.

    Raises:
        OptionError: another shape, or values that are not booleans or 0 and 1.

    >>> as_flags([1, 0], "labels", 2)
    array([ True, False])
    """
    array = np.asarray(values)
    if array.shape != (length,):
        raise OptionError(f"{name} of shape {array.shape}", f"give {length}, one per pair")
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        raise OptionError(f"{name} other than true and false", "give booleans, or 1 and 0")
    return array.astype(np.bool_)


def split(scores: ArrayLike, same: ArrayLike) -> tuple[Scores, Scores]:
    """Splits scores into mated and non-mated; either may be empty.

    Raises:
        OptionError: lengths differ, or a score is not finite.

    >>> split([0.9, 0.1, 0.8], [True, False, True])
    (array([0.9, 0.8]), array([0.1]))
    """
    values = as_scores(scores, "scores")
    mated = as_flags(same, "labels", len(values))
    return values[mated], values[~mated]
