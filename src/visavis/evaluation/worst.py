"""The pairs that went most wrong: what to look at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.scores import ScoreFile

MOST: Final = 12


@dataclass(frozen=True, slots=True)
class Worst:
    """Rows of a score file, the worst first.

    Attributes:
        matches: the non-mated pairs with the highest scores.
        non_matches: the mated pairs with the lowest scores.
    """

    matches: tuple[int, ...]
    non_matches: tuple[int, ...]


def worst(scores: ScoreFile, *, most: int = MOST) -> Worst:
    """The ``most`` worst pairs of each kind.

    Args:
        scores: the score file.
        most: how many of a kind.
    """

    def first(rows: NDArray[np.bool_], badness: NDArray[np.float64]) -> tuple[int, ...]:
        places = np.flatnonzero(rows)
        order = np.argsort(-badness[places], kind="stable")[:most]
        return tuple(places[order].tolist())

    return Worst(
        matches=first(scores.scored & ~scores.same, scores.score),
        non_matches=first(scores.scored & scores.same, -scores.score),
    )
