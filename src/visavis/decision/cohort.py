"""Unlabelled photos and the scores of their pairs, plain or centered on their own mean.

All templates of one camera and population have a part in common, and so have all their scores.
Subtracting the mean template removes it, as in speaker recognition before length normalization (D.
Garcia-Romero and C. Y. Espy-Wilson, "Analysis of i-vector length normalization in speaker
recognition systems", Interspeech 2011).

A photo contributes to the mean, so scores of these photos centered on their own mean are lower
than those of later photos, by about 2/N for N photos. Therefore each pair is centered on the mean
of the *other* photos, without probable mates. Probable mates and copies count as one photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.types import Vectors

Floats = NDArray[np.float64]

SHRINKAGE: Final = 10.0
"""The mean of n people is shrunk by n / (n + 10), because a mean of few people is mostly noise.
Measured with 10 to 1,000 photos: docs/concepts/domain-mean.md."""

_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Photos of mostly different people, and the scores of their pairs.

    Attributes:
        vectors: ``(N, D)`` float64 templates, centered where the scores are.
        scores: ``(N, N)`` float64 scores of photo i with photo j.
        two_sided: the first half of the photos is side a, the second side b, and only pairs across
            the sides count.
    """

    vectors: Floats
    scores: Floats
    two_sided: bool = False

    @classmethod
    def plain(cls, a: Vectors, b: Vectors | None = None) -> Cohort:
        """Templates as the network makes them.

        Args:
            a: ``(N, D)`` unit vectors; with ``b`` those of side a.
            b: ``(N, D)`` unit vectors of side b, as many.
        """
        x = a.astype(np.float64) if b is None else np.concatenate([a, b]).astype(np.float64)
        return cls(x, x @ x.T, b is not None)

    @property
    def units(self) -> int:
        """Number of units to sample: photos, or pairs of photos of both sides."""
        return len(self.vectors) // 2 if self.two_sided else len(self.vectors)

    def part(self, units: NDArray[np.int64]) -> Cohort:
        """Returns a subset of the photos, of both sides if there are two."""
        rows = np.concatenate([units, units + self.units]) if self.two_sided else units
        return Cohort(self.vectors[rows], self.scores[np.ix_(rows, rows)], self.two_sided)

    def partners(self) -> NDArray[np.int64]:
        """``(N, M)``: partners of each photo."""
        n, half = len(self.vectors), self.units
        if self.two_sided:
            rows = np.arange(half)
            return np.concatenate([np.tile(rows + half, (half, 1)), np.tile(rows, (half, 1))])
        every = np.broadcast_to(np.arange(n), (n, n))
        return every[~np.eye(n, dtype=bool)].reshape(n, n - 1)

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``(K,)`` first and ``(K,)`` second photo of each pair."""
        if self.two_sided:
            i, j = np.indices((self.units, self.units))
            return i.ravel(), j.ravel() + self.units
        first, second = np.triu_indices(len(self.vectors), 1)
        return first, second

    def pair_scores(self) -> Floats:
        """``(K,)`` scores of ``pairs``."""
        return self.scores[self.pairs()]

    def same_side(self) -> tuple[Cohort, ...]:
        """Returns a cohort per side, with the pairs within that side."""
        if not self.two_sided:
            return (self,)
        half = self.units
        return tuple(
            Cohort(self.vectors[side], self.scores[side, side])
            for side in (slice(0, half), slice(half, None))
        )

    def centered(self, mates: Sequence[Floats]) -> tuple[Cohort, Domain]:
        """Returns the photos centered on their own mean, each side on its own, and that mean.

        Args:
            mates: for each of ``same_side``, ``(K,)`` probability that each pair is mated.
        """
        sides = [
            _Side.weighted(one, probability)
            for one, probability in zip(self.same_side(), mates, strict=True)
        ]
        vectors = np.concatenate([_unit(side.vectors - side.mean) for side in sides])
        means = [side.mean.astype(np.float32) for side in sides]
        counts = [(len(side.vectors), round(side.people)) for side in sides]
        if len(sides) == 1:
            (own,) = sides
            domain = Domain(means[0], *counts[0])
            return Cohort(vectors, own.scores()), domain
        without = np.concatenate([side.without_mates() for side in sides])
        scores = without @ without.T
        return Cohort(vectors, scores, True), Domain(means[0], *counts[0], means[1], *counts[1])


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Photos of one side; ``own`` is the part of each photo and its mates in the sum for the
    mean."""

    vectors: Floats
    total: Floats
    people: float
    own: Floats
    own_weight: Floats

    @classmethod
    def weighted(cls, cohort: Cohort, mates: Floats) -> _Side:
        x = cohort.vectors
        same = np.eye(len(x))
        same[np.triu_indices(len(x), 1)] = mates
        same = np.maximum(same, same.T)
        # A photo with k mates weighs 1 / (1 + k), so a person counts once.
        weight = 1 / same.sum(axis=1)
        share = same * weight
        return cls(x, weight @ x, float(weight.sum()), share @ x, share.sum(axis=1))

    @property
    def mean(self) -> Floats:
        return self.total / (self.people + SHRINKAGE)

    def without_mates(self) -> Floats:
        """Each photo centered on the mean without itself and its mates, of unit length."""
        rest = self.people - self.own_weight + SHRINKAGE
        return _unit(self.vectors - (self.total - self.own) / rest[:, None])

    def scores(self) -> Floats:
        """Scores of each pair centered on the mean without these two and their mates."""
        x, s, y = self.vectors, self.total, self.own
        factor = 1 / (self.people + SHRINKAGE - self.own_weight[:, None] - self.own_weight)
        xs, ys, xy, yy = x @ s, y @ s, x @ y.T, y @ y.T
        # With m the mean without y_i and y_j: x_i . m, and m . m.
        near = (xs[:, None] - xy.diagonal()[:, None] - xy) * factor
        length = yy.diagonal()[:, None] + yy.diagonal() + 2 * yy
        length = (s @ s - 2 * (ys[:, None] + ys) + length) * factor**2
        squared = np.maximum((x**2).sum(axis=1)[:, None] - 2 * near + length, _LEAST)
        return np.asarray(
            (x @ x.T - near - near.T + length) / np.sqrt(squared * squared.T), dtype=np.float64
        )


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _LEAST))
