"""Scores of all pairs of many photos in little memory: the tail exactly, the rest as a histogram.

Ten thousand photos have fifty million non-mated pairs. Operating points need the exact highest
scores and the people they belong to; for the rest a histogram is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.cross_fit import CrossFit
from visavis.errors import DataError, OptionError

Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""``(A,)`` and ``(B,)`` photos and their ``(A, B)`` scores; B begins with A, or they are
disjoint."""

_SAMPLE: Final = 400_000

BIN_WIDTH: Final = 1e-4
"""Width of a histogram bin in score units."""

BINS: Final = round(2 / BIN_WIDTH)


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Scores of mated and non-mated pairs.

    Attributes:
        mated: ``(M,)`` float32 scores of mated pairs, ascending.
        mated_people: ``(M,)`` int32 person of each, an index below ``people``.
        tail: ``(T,)`` float32, the highest non-mated scores, descending; includes every score at or
            above ``tail[-1]``.
        tail_people: ``(T, 2)`` int32, the two people of each.
        histogram: ``(20000,)`` int64 counts of **all** non-mated scores, bins of 1e-4 from -1.
        non_mated: number of non-mated pairs.
        photos: ``(P,)`` int64 photos per person. If ``exhaustive``, the non-mated pairs are all
            pairs of photos of different people.
        exhaustive: whether all pairs were scored; otherwise a list was, and ``tail`` holds all of
            it.
    """

    mated: NDArray[np.float32]
    mated_people: NDArray[np.int32]
    tail: NDArray[np.float32]
    tail_people: NDArray[np.int32]
    histogram: NDArray[np.int64]
    non_mated: int
    photos: NDArray[np.int64]
    exhaustive: bool = True

    @property
    def people(self) -> int:
        """Number of people."""
        return len(self.photos)


def bin_centers() -> NDArray[np.float64]:
    """Returns the ``(20000,)`` centers of the histogram bins."""
    return np.asarray((np.arange(BINS) + 0.5) * BIN_WIDTH - 1.0, dtype=np.float64)


def all_pairs(
    vectors: ArrayLike, people: Sequence[object], *, tail: float = 0.1, block: int = 1024,
    cross_fit: CrossFit | None = None,
) -> PairScores:  # fmt: skip
    """Scores every pair of N photos.

    Time: one N x N matrix product. Memory: the share ``tail`` of it.

    Args:
        vectors: ``(N, D)`` unit vectors.
        people: N labels; equal labels are mated.
        tail: share of the non-mated pairs to store exactly, in (0, 1].
        block: rows per block of the product.
        cross_fit: of the same photos in the same order: where the scores come from instead.

    Raises:
        DataError: fewer than two people, or lengths differ.
        OptionError: ``tail`` is outside (0, 1].

    >>> scores = all_pairs([[1, 0], [0.8, 0.6], [0, 1]], ["ann", "ann", "bob"], tail=1)
    >>> scores.mated, scores.tail
    (array([0.8], dtype=float32), array([0.6, 0. ], dtype=float32))
    """
    if not 0 < tail <= 1:
        raise OptionError(f"tail={tail}", "give a share of the pairs in (0, 1]")
    x = np.asarray(vectors, dtype=np.float32)
    owner = np.unique([str(p) for p in people], return_inverse=True)[1].astype(np.int32)
    if x.ndim != 2 or len(x) != len(owner):
        raise DataError(
            f"vectors of shape {x.shape} for {len(owner)} labels", "give one (D,) row per label"
        )
    photos = np.bincount(owner).astype(np.int64)
    if len(photos) < 2:
        raise DataError(
            f"photos of {len(photos)} person" + ("" if len(photos) == 1 else "s"),
            "non-mated pairs need photos of at least two people",
        )
    i, j = _drawn(owner)
    if cross_fit is None:
        blocks = _blocks(x, owner, block)
        chunks = [slice(k, k + 50_000) for k in range(0, len(i), 50_000)]
        sample = np.concatenate([np.einsum("nd,nd->n", x[i[c]], x[j[c]]) for c in chunks])
    else:
        blocks, sample = cross_fit.blocks(), cross_fit.pairs(i, j)
    floor = _tail_floor(sample, tail)
    histogram = np.zeros(BINS, dtype=np.int64)
    mated: list[NDArray[np.float32]] = []
    mated_people: list[NDArray[np.int32]] = []
    high: list[NDArray[np.float32]] = []
    high_people: list[NDArray[np.int32]] = []
    for a, b, scores in blocks:
        same = owner[a][:, None] == owner[b]
        # If b begins with the photos of a, each pair occurs in both directions: count one.
        once = np.triu(np.ones_like(same), 1 if a[0] == b[0] else -len(a))
        i, j = np.nonzero(same & once)
        mated.append(scores[i, j])
        mated_people.append(owner[a][i])
        other = once & ~same
        histogram += histogram_of(scores[other])
        i, j = np.nonzero(other & (scores >= floor))
        high.append(scores[i, j])
        high_people.append(np.stack([owner[a][i], owner[b][j]], axis=1))
    return _sorted(
        np.concatenate(mated),
        np.concatenate(mated_people),
        np.concatenate(high),
        np.concatenate(high_people),
        histogram=histogram,
        photos=photos,
        exhaustive=True,
    )


def listed_pairs(
    scores: ArrayLike, same: ArrayLike, people: Sequence[tuple[object, object]]
) -> PairScores:
    """Collects the scores of a list of pairs.

    Args:
        scores: ``(K,)`` scores in [-1, 1].
        same: ``(K,)`` booleans: mated or not.
        people: K pairs of labels, the people of each pair (see ``people_of_pairs``).

    Raises:
        DataError: lengths differ, there is no non-mated pair, or a score is not in [-1, 1].

    >>> listed_pairs([0.9, 0.1], [True, False], [("ann", "ann"), ("ann", "bob")]).non_mated
    1
    """
    s = np.asarray(scores, dtype=np.float32)
    mates = np.asarray(same, dtype=bool)
    if s.ndim != 1 or s.shape != mates.shape or len(people) != len(s):
        raise DataError(
            f"{s.shape} scores, {mates.shape} labels, {len(people)} pairs of people",
            "give one of each per pair",
        )
    if not (np.abs(s) <= 1.0 + 1e-5).all():
        raise DataError("scores outside [-1, 1]", "give cosine similarities")
    if mates.all():
        raise DataError("no non-mated pair", "a false match rate needs pairs of different people")
    flat = [str(p) for pair in people for p in pair]
    _, index = np.unique(flat, return_inverse=True)
    who = index.reshape(-1, 2).astype(np.int32)
    return _sorted(
        s[mates],
        who[mates, 0],
        s[~mates],
        who[~mates],
        histogram=histogram_of(s[~mates]),
        photos=np.ones(int(index.max()) + 1, dtype=np.int64),
        exhaustive=False,
    )


def people_of_pairs(
    photos: int, first: NDArray[np.int64], second: NDArray[np.int64], same: NDArray[np.bool_]
) -> list[str]:
    """Assigns a person to each photo of a pair list without names: mated photos are one person,
    transitively.

    Args:
        photos: number of photos.
        first: ``(K,)`` index of each pair's first photo.
        second: ``(K,)`` index of its second photo.
        same: ``(K,)`` whether each pair is mated.

    >>> people_of_pairs(3, np.array([0, 1]), np.array([1, 2]), np.array([True, False]))
    ['0', '0', '1']
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = (np.ones(int(same.sum())), (first[same], second[same]))
    _, group = connected_components(coo_matrix(links, shape=(photos, photos)), directed=False)
    return [str(g) for g in group]


def histogram_of(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Returns ``(20000,)`` int64 counts of scores in bins of 1e-4 from -1 to 1."""
    index = np.floor((scores.astype(np.float64) + 1.0) / BIN_WIDTH).astype(np.int64)
    return np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)


def _blocks(x: NDArray[np.float32], owner: NDArray[np.int32], block: int) -> Iterator[Block]:
    # Sorting by person puts mates side by side, which keeps the masks small.
    order = np.argsort(owner, kind="stable")
    x = x[order]
    for start in range(0, len(x), block):
        rows = np.arange(start, min(start + block, len(x)))
        yield order[rows], order[start:], np.clip(x[rows] @ x[start:].T, -1.0, 1.0)


def _drawn(owner: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Scores of non-mated pairs: all, or a sample."""
    n = len(owner)
    if n * (n - 1) // 2 <= _SAMPLE:
        i, j = np.triu_indices(n, 1)
    else:
        i, j = np.random.default_rng(0).integers(0, n, (2, _SAMPLE))
    keep = owner[i] != owner[j]
    return i[keep], j[keep]


def _tail_floor(sample: NDArray[np.float32], tail: float) -> float:
    """Returns a score below which at least 1 - tail of the non-mated scores lie, estimated from a
    sample.

    Adds ten standard errors of the quantile, so the stored share practically never falls short of
    ``tail``.
    """
    share = tail + 10 * np.sqrt(tail * (1 - tail) / len(sample)) + 10 / len(sample)
    return float(np.quantile(sample, 1 - share)) - 1e-6 if share < 1 else -2.0


def _sorted(
    mated: NDArray[np.float32],
    mated_people: NDArray[np.int32],
    tail: NDArray[np.float32],
    tail_people: NDArray[np.int32],
    *,
    histogram: NDArray[np.int64],
    photos: NDArray[np.int64],
    exhaustive: bool,
) -> PairScores:
    up = np.argsort(mated, kind="stable")
    down = np.argsort(-tail, kind="stable")
    return PairScores(
        mated=mated[up],
        mated_people=mated_people[up],
        tail=tail[down],
        tail_people=tail_people[down],
        histogram=histogram,
        non_mated=int(histogram.sum()),
        photos=photos,
        exhaustive=exhaustive,
    )
