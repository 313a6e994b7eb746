"""Fuses the templates of a person into one score.

Three rules: the closest template (``max``), the mean template (``mean``), and the mean weighted by
quality score (``weighted``). Means have unit length, so that their score is a cosine, too.
``benchmarks/open_set.py`` compares them; results are in docs/concepts/identification.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.types import Vectors

if TYPE_CHECKING:
    from visavis.decision.domain import Domain
    from visavis.gallery.store import Fusion

FUSIONS: Final = ("max", "mean", "weighted")

DEFAULT_FUSION: Final = "weighted"

_VANISHING: Final = 1e-6
_BLOCK: Final = 256


def fused_scores(
    probes: Vectors,
    vectors: Vectors,
    owners: NDArray[np.int64],
    /,
    *,
    fusion: Fusion,
    quality_score: ArrayLike | None = None,
    people: int | None = None,
) -> NDArray[np.float32]:
    """Returns the score of each probe with each person.

    Args:
        probes: ``(Q, D)`` float32 unit vectors.
        vectors: ``(T, D)`` float32 unit vectors, the templates of all people in any order.
        owners: ``(T,)`` person of each template, integers from 0 to P-1.
        fusion: ``max``, ``mean`` or ``weighted``.
        quality_score: ``(T,)`` in [0, 1], the weights of ``weighted``; equal if ``None``.
        people: P; the largest owner plus one if ``None``.

    Returns:
        ``(Q, P)`` float32 cosine similarities in [-1, 1]; -1 for a person without templates.

    Raises:
        OptionError: wrong shapes, owners out of range, or an unknown fusion.

    >>> ann, bob = [[1, 0], [0.6, 0.8]], [[0, 1]]
    >>> fused_scores([[1, 0]], [*ann, *bob], [0, 0, 1], fusion="max")
    array([[1., 0.]], dtype=float32)
    >>> fused_scores([[1, 0]], [*ann, *bob], [0, 0, 1], fusion="mean").round(4)
    array([[0.8944, 0.    ]], dtype=float32)
    """
    x, owner, count = _checked(vectors, owners, people)
    q = np.asarray(probes, dtype=np.float32)
    if q.ndim != 2 or q.shape[1] != x.shape[1]:
        raise OptionError(
            f"probes of shape {q.shape} for templates of shape {x.shape}", "give (Q, D) of one D"
        )
    if fusion == "max":
        return max_scores(np.clip(q @ x.T, -1.0, 1.0), owner, people=count)
    if fusion not in FUSIONS:
        raise OptionError(f"fusion {fusion!r}", f"choose one of {', '.join(FUSIONS)}")
    means = mean_templates(
        x, owner, weights=quality_score if fusion == "weighted" else None, people=count
    )
    scores = np.clip(q @ means.T, -1.0, 1.0)
    scores[:, np.bincount(owner, minlength=count) == 0] = -1.0
    return np.asarray(scores, dtype=np.float32)


def max_scores(
    scores: NDArray[np.float32], owners: NDArray[np.int64], /, *, people: int | None = None
) -> NDArray[np.float32]:
    """Returns the highest score of each person's templates.

    Args:
        scores: ``(Q, T)`` float32, one column per template.
        owners: ``(T,)`` integers from 0 to P-1.
        people: P; the largest owner plus one if ``None``.

    Returns:
        ``(Q, P)`` float32; -1 for a person without templates.

    >>> max_scores(np.array([[0.1, 0.7, 0.4]], np.float32), np.array([1, 1, 0]))
    array([[0.4, 0.7]], dtype=float32)
    """
    values, owner, count = _checked(np.asarray(scores).T, owners, people)
    best = np.full((values.shape[1], count), -1.0, dtype=np.float32)
    if len(owner):
        order = np.argsort(owner, kind="stable")
        starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
        best[:, owner[order][starts]] = np.maximum.reduceat(values.T[:, order], starts, axis=1)
    return best


def mean_templates(
    vectors: Vectors,
    owners: NDArray[np.int64],
    /,
    *,
    weights: ArrayLike | None = None,
    people: int | None = None,
) -> Vectors:
    """Returns the mean template of each person, normalized to unit length.

    If all weights of a person are zero, they count equally. If the mean is zero (the templates
    cancel out), the person's first template is used.

    Args:
        vectors: ``(T, D)`` float32 unit vectors.
        owners: ``(T,)`` integers from 0 to P-1.
        weights: ``(T,)`` non-negative; equal if ``None``.
        people: P; the largest owner plus one if ``None``.

    Returns:
        ``(P, D)`` float32; a row of zeros for a person without templates.

    Raises:
        OptionError: wrong shapes, owners out of range, or weights that are negative or not finite.

    >>> mean_templates([[1, 0], [0, 1]], [0, 0], weights=[1, 0])
    array([[1., 0.]], dtype=float32)
    """
    x, owner, count = _checked(vectors, owners, people)
    weight = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (len(x),) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise OptionError(
            f"weights of shape {weight.shape} for {len(x)} templates",
            "give one finite number of at least 0 per template",
        )
    total = np.bincount(owner, weight, count)
    weight = np.where(total[owner] > 0, weight, 1.0)
    means = np.zeros((count, x.shape[1]))
    np.add.at(means, owner, x.astype(np.float64) * weight[:, None])
    # Templates have length 1, so a sum that is short beside the weights has canceled out.
    length = np.linalg.norm(means, axis=1)
    held, first = np.unique(owner, return_index=True)
    for person, row in zip(held.tolist(), first.tolist(), strict=True):
        if length[person] <= _VANISHING * max(total[person], _VANISHING):
            means[person], length[person] = x[row], np.linalg.norm(x[row])
    means[held] /= length[held, None]
    return means.astype(np.float32)


def fused_probe(
    vectors: Vectors, /, *, weights: ArrayLike, domain: Domain | None = None
) -> tuple[Vectors, float]:
    """Returns one probe for several templates of one face, and a factor for its scores.

    The probe's score with a person, times the factor, is the weighted mean of the templates' scores
    with that person. A mean of scores varies less than single scores, so non-mated faces reach a
    threshold of single templates no more often by it. The score of the *normalized* mean template
    alone grows with the number of templates, for non-mated faces, too.

    Args:
        vectors: ``(N, D)`` float32 unit vectors, N at least 1.
        weights: ``(N,)`` non-negative; equal if all are zero.
        domain: domain of the search, in which the mean is taken.

    Returns:
        ``(1, D)`` float32 unit vector, and the length of the mean, in [0, 1].

    >>> probe, factor = fused_probe(np.array([[1, 0], [0, 1]], np.float32), weights=[1, 1])
    >>> (factor * probe @ np.array([0.6, 0.8])).round(4).tolist()
    [0.7]
    """
    weight = np.asarray(weights, dtype=np.float64)
    if not weight.any():
        weight = np.ones(len(vectors))
    x = vectors if domain is None else domain.apply(vectors, side="b")
    mean = weight @ x.astype(np.float64) / weight.sum()
    length = float(np.linalg.norm(mean))
    if length <= _VANISHING:
        return vectors[:1], 0.0
    unit = np.asarray(mean[None] / length, dtype=np.float32)
    return (unit if domain is None else domain.restore(unit, side="b")), min(length, 1.0)


def simulated_non_mated(
    vectors: Vectors,
    owners: NDArray[np.int64],
    /,
    *,
    fusion: Fusion = DEFAULT_FUSION,
    quality_score: ArrayLike | None = None,
    most: int = 2000,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Returns non-mated scores of people in memory, as ``GalleryStore.non_mated`` does.

    Draws one template of each of up to ``most`` people as a probe, and returns its highest fused
    score with any other person.

    Args:
        vectors: ``(T, D)`` float32 unit vectors.
        owners: ``(T,)`` person of each template, integers from 0.
        fusion: ``max``, ``mean`` or ``weighted``.
        quality_score: ``(T,)`` in [0, 1], the weights of ``weighted``.
        most: maximum number of people to draw.
        seed: random seed for people and templates.

    Returns:
        ``(P,)`` float32; empty if there are fewer than two people.

    >>> simulated_non_mated([[1, 0], [0.6, 0.8], [0, 1]], [0, 1, 2])
    array([0.6, 0.8, 0.8], dtype=float32)
    """
    x, owner, count = _checked(vectors, owners, None)
    held = np.unique(owner)
    if len(held) < 2:
        return np.zeros(0, dtype=np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(owner))
    drawn = order[np.unique(owner[order], return_index=True)[1]]
    if len(drawn) > most:
        drawn = np.sort(rng.choice(drawn, most, replace=False))
    best = np.empty(len(drawn), dtype=np.float32)
    for start in range(0, len(drawn), _BLOCK):
        some = drawn[start : start + _BLOCK]
        scores = fused_scores(
            x[some], x, owner, fusion=fusion, quality_score=quality_score, people=count
        )
        scores[np.arange(len(some)), owner[some]] = -2.0
        best[start : start + len(some)] = scores.max(axis=1)
    return best


def _checked(
    vectors: ArrayLike, owners: ArrayLike, people: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    x = np.asarray(vectors, dtype=np.float32)
    owner = np.asarray(owners)
    if x.ndim != 2 or owner.shape != (len(x),) or (len(owner) and owner.dtype.kind not in "iu"):
        raise OptionError(
            f"templates of shape {x.shape}, owners of shape {owner.shape}",
            "give (T, D) templates and (T,) whole numbers",
        )
    owner = owner.astype(np.int64)
    count = int(owner.max(initial=-1)) + 1 if people is None else people
    if len(owner) and not (owner.min() >= 0 and owner.max() < count):
        raise OptionError(
            f"owners from {owner.min()} to {owner.max()}", f"number people from 0 to {count - 1}"
        )
    return x, owner, count
