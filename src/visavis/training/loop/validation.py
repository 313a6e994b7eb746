"""Verification accuracy on the validation people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.errors import DataError
from visavis.metrics import verification
from visavis.types import Record

LIMIT = 20_000_000
"""Comparisons at most; of more, those of a sample of photos with everybody are taken."""


@dataclass(frozen=True, slots=True)
class ValidationMetrics(Record):
    """Figures of one validation.

    Attributes:
        auc: chance that a mated score beats a non-mated one, in [0, 1].
        mated: mean score of mated pairs.
        non_mated: mean score of non-mated pairs.
        rank: effective rank of all validation embeddings.
        fnmr: FNMR by FMR (``"1e-2"``), for each rate that the pairs can show.
        mated_pairs: number of mated pairs.
        non_mated_pairs: number of non-mated pairs.
        people: number of people.
        photos: number of photos.
    """

    auc: float
    mated: float
    non_mated: float
    rank: float
    fnmr: dict[str, float]
    mated_pairs: int
    non_mated_pairs: int
    people: int
    photos: int


@dataclass(frozen=True, slots=True, eq=False)
class Validation(Record):
    """A validation with its scores.

    Attributes:
        metrics: the figures.
        mated: ``(M,)`` float32 scores of mated pairs.
        non_mated: ``(N,)`` float32 scores of non-mated pairs.
    """

    metrics: ValidationMetrics
    mated: NDArray[np.float32]
    non_mated: NDArray[np.float32]

    @property
    def auc(self) -> float:
        """AUC of the metrics."""
        return self.metrics.auc


def effective_rank(vectors: Tensor) -> float:
    """Effective rank of a set of vectors.

    The exponential of the entropy of the singular values, each as a share of their sum; O. Roy and
    M. Vetterli, "The effective rank", EUSIPCO 2007. Taken about the origin, not the mean: vectors
    that are all alike have rank 1.

    Args:
        vectors: ``(N, D)`` float.

    Returns:
        A number in [1, min(N, D)]; NaN where a value is not finite.

    >>> effective_rank(torch.eye(3)), effective_rank(torch.ones(4, 2))
    (3.0, 1.0)
    """
    wide = vectors.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(wide).all()):
        return float("nan")
    gram = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0)
    # Eigenvalues are squares: below this, they are rounding errors of the largest.
    values = values[values > values[-1] * 1e-12].sqrt()
    if not len(values):
        return 1.0
    shares = values / values.sum()
    return round(float(torch.exp(-(shares * shares.log()).sum())), 6)


def validate(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], *, limit: int = LIMIT
) -> Validation:
    """Compare all photos with each other.

    Args:
        vectors: ``(N, D)`` float32 of unit length.
        labels: ``(N,)`` person of each.
        limit: comparisons at most. Where all are more, a sample of the photos is compared with
            all of them, the same sample each time.

    Raises:
        DataError: no mated, or no non-mated pair.
    """
    mated, other = pair_scores(vectors, labels, limit=limit)
    if not len(mated) or not len(other):
        raise DataError(
            f"{len(mated)} mated and {len(other)} non-mated validation pairs",
            "validation needs two people with two photos: add people or raise validation_share",
        )
    rates = verification.supported_fmrs(len(other))
    metrics = ValidationMetrics(
        auc=verification.roc_auc(mated, other),
        mated=float(mated.mean(dtype=np.float64)),
        non_mated=float(other.mean(dtype=np.float64)),
        rank=effective_rank(torch.from_numpy(vectors)),
        fnmr={
            verification.fmr_name(rate): verification.fnmr_at_fmr(mated, other, rate)
            for rate in rates
        },
        mated_pairs=len(mated),
        non_mated_pairs=len(other),
        people=len(np.unique(labels)),
        photos=len(labels),
    )
    return Validation(metrics, mated, other)


def pair_scores(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], *, limit: int = LIMIT
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores of the mated and of the non-mated pairs, block by block; see ``validate``."""
    n = len(labels)
    probes = n
    if n * (n - 1) // 2 > limit:
        probes = max(1, limit // n)
        order = np.random.default_rng(0).permutation(n)
        vectors, labels = vectors[order], labels[order]
    mated: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    other: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    block = max(1, min(512, 2**24 // max(n, 1)))
    for start in range(0, probes, block):
        stop = min(start + block, probes)
        scores = np.clip(vectors[start:stop] @ vectors[start:].T, -1.0, 1.0)
        same = labels[start:stop, None] == labels[None, start:]
        later = np.arange(n - start)[None, :] > np.arange(stop - start)[:, None]
        mated.append(scores[same & later])
        other.append(scores[~same & later])
    return np.concatenate(mated), np.concatenate(other)
