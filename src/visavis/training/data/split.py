"""Splits people into training and validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import DataError, OptionError
from visavis.types import Record

_FEWEST: Final = 2  # validation people with two photos: the least that gives pairs of both kinds


@dataclass(frozen=True, slots=True, eq=False)
class Split(Record):
    """Rows of a pack, split by person.

    Attributes:
        train_rows: rows to train on, ascending int64.
        validation_rows: rows of the other people, ascending int64; empty for share 0.
    """

    train_rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]


def split_people(labels: ArrayLike, *, share: float, seed: int) -> Split:
    """Select validation people at random.

    The share counts people, and is taken of those with one photo and of those with more alike, so
    that both parts are of one kind. At least two validation people have two photos or more:
    without them there would be no mated or no non-mated pair to validate on. Two people at least,
    one of them with two photos, are left to train on.

    Args:
        labels: ``(N,)`` person of each row, any whole numbers.
        share: share of people for validation, in [0, 1).
        seed: decides who; at least 0.

    Raises:
        OptionError: ``share`` or ``seed`` outside its range.
        DataError: too few people with two photos for what is asked.

    >>> split = split_people([0, 0, 1, 1, 2, 2, 3, 3], share=0.5, seed=0)
    >>> len(split.train_rows), len(split.validation_rows)
    (4, 4)
    """
    rows = np.asarray(labels)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise OptionError(f"labels of shape {rows.shape}, {rows.dtype}", "give N whole numbers")
    if not 0 <= share < 1:
        raise OptionError(f"a validation share of {share}", "give a number from 0 to below 1")
    if seed < 0:
        raise OptionError(f"seed {seed}", "give 0 or more")
    people, counts = np.unique(rows, return_counts=True)
    chosen: list[NDArray[np.int64]] = []
    if share:
        rng = np.random.default_rng(seed)
        several = rng.permutation(people[counts > 1])
        single = rng.permutation(people[counts == 1])
        taken = max(round(share * len(several)), _FEWEST)
        alone = round(share * len(single))
        if len(several) - taken < 1 or len(people) - taken - alone < _FEWEST:
            enough = len(several) > _FEWEST and len(people) > _FEWEST + 1
            raise DataError(
                f"people: {len(people)}, of whom {len(several)} with two photos or more, where "
                f"{share:g} of all people are to be kept for validation",
                f"add people: at least {_FEWEST + 2} are needed, {_FEWEST + 1} of them with two "
                "photos or more" + (", or lower the validation share" if enough else ""),
            )
        chosen = [several[:taken], single[:alone]]
    held = np.isin(rows, np.concatenate(chosen)) if chosen else np.zeros(len(rows), dtype=bool)
    return Split(np.flatnonzero(~held), np.flatnonzero(held))
