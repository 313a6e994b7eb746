"""Cross-fitted scores: each pair is compared in a domain fitted to other people.

A mean, and even more a whitening, fits the people it was computed from better than others: for P
people their own non-mated scores are lower by about 2/P, and their mated scores higher. So people
are divided into folds, and a pair of people from folds f and g is compared in the domain fitted to
all other folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import Domain
from visavis.types import Vectors

FOLDS: Final = 10

Fit = Callable[[Vectors, NDArray[np.int64]], Domain]
"""Fits a domain to ``(N, D)`` templates and the person of each."""

Rows = NDArray[np.int64]


class CrossFit:
    """Scores of labelled photos, each pair in a domain fitted to other people.

    Args:
        vectors: ``(N, D)`` float32 unit vectors.
        owners: ``(N,)`` int64 person of each photo; at least 4 people.
        fit: fits a domain to some of the photos.
        folds: number of folds; at most the number of people.
        seed: random seed for the folds.
    """

    def __init__(
        self, vectors: Vectors, owners: Rows, fit: Fit, *, folds: int = FOLDS, seed: int = 0
    ) -> None:
        self._x = vectors
        self._owners = np.unique(owners, return_inverse=True)[1]
        people = int(self._owners.max()) + 1
        self._folds = min(folds, people)
        dealt = np.random.default_rng(seed).permutation(people) % self._folds
        self._fold = dealt[self._owners]
        self._fit = fit
        self._domains: dict[tuple[int, int], Domain] = {}

    def blocks(self, rows: Rows | None = None) -> Iterator[tuple[Rows, Rows, NDArray[np.float32]]]:
        """Yields every pair of folds: ``(A,)`` and ``(B,)`` rows, and ``(A, B)`` scores.

        Includes each fold with itself: pairs within it come twice, and photos with themselves.

        Args:
            rows: photos to compare; ``None`` for all.
        """
        some = np.arange(len(self._x)) if rows is None else rows
        parts = [some[self._fold[some] == f] for f in range(self._folds)]
        for f in range(self._folds):
            for g in range(f, self._folds):
                a, b = parts[f], parts[g]
                if len(a) and len(b):
                    domain = self._domain(f, g)
                    scores = domain.apply(self._x[a]) @ domain.apply(self._x[b]).T
                    yield a, b, np.clip(scores, -1.0, 1.0)

    def matrix(self, rows: Rows) -> NDArray[np.float32]:
        """Returns ``(R, R)`` scores of some photos with each other."""
        place = np.full(len(self._x), -1)
        place[rows] = np.arange(len(rows))
        out = np.ones((len(rows), len(rows)), np.float32)
        for a, b, scores in self.blocks(rows):
            out[np.ix_(place[a], place[b])] = scores
            out[np.ix_(place[b], place[a])] = scores.T
        return out

    def pairs(self, first: Rows, second: Rows) -> NDArray[np.float32]:
        """Returns ``(K,)`` scores of listed pairs of photos."""
        out = np.empty(len(first), np.float32)
        folds = np.sort(np.stack([self._fold[first], self._fold[second]]), axis=0)
        for f, g in np.unique(folds, axis=1).T.tolist():
            mine = np.flatnonzero((folds[0] == f) & (folds[1] == g))
            domain = self._domain(f, g)
            a, b = domain.apply(self._x[first[mine]]), domain.apply(self._x[second[mine]])
            out[mine] = np.clip(np.einsum("nd,nd->n", a, b), -1.0, 1.0)
        return out

    def _domain(self, f: int, g: int) -> Domain:
        if (f, g) not in self._domains:
            others = (self._fold != f) & (self._fold != g)
            if not others.any():  # two people
                others[:] = True
            self._domains[f, g] = self._fit(self._x[others], self._owners[others])
        return self._domains[f, g]
