"""Labelled photos compared in a domain that neither person had a part in.

A mean, and much more so a whitening, fits the people that it was made from better than others: for
P people their own non-mated scores are lower by about 2/P, their mated ones higher. So people are
dealt into folds, and two of them, of folds f and g, are compared in the domain fitted to all
others.
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
"""Fits a domain to ``(N, D)`` templates and whose each is."""

Rows = NDArray[np.int64]


class CrossFit:
    """Scores between photos of labelled people, each pair in a domain fitted to other people.

    Args:
        vectors: ``(N, D)`` float32 unit vectors.
        owners: ``(N,)`` int64, whose photo each is; 4 people at least.
        fit: makes a domain of some of the photos.
        folds: parts of the people; as many people if there are fewer.
        seed: decides who is in which.
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
        """Yield every pair of folds: ``(A,)`` and ``(B,)`` rows, and ``(A, B)`` scores.

        A fold with itself is one of them: pairs within it come twice, photos with themselves, too.

        Args:
            rows: the photos to compare; all when ``None``.
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
        """``(R, R)`` scores of some photos with each other."""
        place = np.full(len(self._x), -1)
        place[rows] = np.arange(len(rows))
        out = np.ones((len(rows), len(rows)), np.float32)
        for a, b, scores in self.blocks(rows):
            out[np.ix_(place[a], place[b])] = scores
            out[np.ix_(place[b], place[a])] = scores.T
        return out

    def pairs(self, first: Rows, second: Rows) -> NDArray[np.float32]:
        """``(K,)`` scores of listed pairs of photos."""
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
