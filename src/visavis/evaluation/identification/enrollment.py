"""One random enrollment: enrolled people, probes, and search results."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import people_mean
from visavis.decision.profile import Calibration
from visavis.errors import DataError, OptionError
from visavis.gallery.fusion import FUSIONS, fused_scores, simulated_non_mated
from visavis.gallery.space import about_own_mean
from visavis.gallery.store import Fusion
from visavis.metrics.identification import ranks
from visavis.types import Vectors

_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Templates of known people, one per photo.

    Attributes:
        vectors: ``(N, D)`` float32 unit vectors.
        people: ``(N,)`` int64 person of each photo, from 0.
        quality_score: ``(N,)`` float64 in [0, 1].
        names: name of each person.
    """

    vectors: Vectors
    people: NDArray[np.int64]
    quality_score: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of an enrollment.

    Attributes:
        enroll: number of people enrolled; ``None``: half of those with an extra photo as a probe.
            Larger numbers include people without one.
        photos: enrolled photos per person.
        non_mated: number of non-mated probes, one photo per person; ``None``: all people who are
            not enrolled.
        fusion: how scores of a person's templates are combined.
        rank: highest rank of the right candidate.
    """

    enroll: int | None = None
    photos: int = 1
    non_mated: int | None = None
    fusion: Fusion = "weighted"
    rank: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Scores of one enrollment's probes.

    Attributes:
        mated: ``(Q,)`` score of each mated probe with its own person.
        places: ``(Q,)`` rank of the own person.
        owners: ``(Q,)`` person of each mated probe.
        best: ``(K,)`` highest score of each non-mated probe.
        non_mated: ``(K,)`` person of each non-mated probe.
        own: non-mated scores of the gallery, as used for thresholds.
        calibration: calibration that gives the space of the scores; ``None``: plain templates.
        plain: the same enrollment with plain templates, if these scores are centered.
    """

    mated: NDArray[np.float64]
    places: NDArray[np.int64]
    owners: NDArray[np.int64]
    best: NDArray[np.float64]
    non_mated: NDArray[np.int64]
    own: NDArray[np.float32]
    calibration: Calibration | None = None
    plain: Round | None = None


def size_of(faces: Faces, plan: Plan) -> tuple[int, int]:
    """Returns the number of enrolled people and of non-mated probes.

    Raises:
        DataError: too few people with enough photos, or nobody is left as a non-mated probe.
        OptionError: a number below 1, an unknown fusion.
    """
    if plan.fusion not in FUSIONS:
        raise OptionError(f"--fusion {plan.fusion}", f"choose one of {', '.join(FUSIONS)}")
    if plan.photos < 1 or (plan.enroll is not None and plan.enroll < 1) or plan.rank < 1:
        raise OptionError(
            f"{plan.enroll} people with {plan.photos} photos, rank {plan.rank}", "give 1 or more"
        )
    photos = np.bincount(faces.people, minlength=len(faces.names))
    able, known = int((photos > plan.photos).sum()), int((photos > 0).sum())
    fit = int((photos >= plan.photos).sum())
    enroll = plan.enroll if plan.enroll is not None else max(able // 2, 1)
    if not able:
        raise DataError(
            f"nobody of {known:,} people with {plan.photos + 1} usable photos",
            "give people with more photos, or enroll fewer photos of each: one more is the probe",
        )
    if enroll > fit:
        raise DataError(
            f"{fit:,} people with {plan.photos} or more usable photos, of {known:,}",
            f"enroll at most {fit:,} people",
        )
    left = known - enroll
    if left < 1:
        raise DataError(
            f"all {known:,} people enrolled", "enroll fewer: others are needed as non-mated probes"
        )
    return enroll, left if plan.non_mated is None else min(plan.non_mated, left)


def draw(
    faces: Faces, plan: Plan, rng: np.random.Generator, calibration: Calibration | None = None
) -> Round:
    """Enrolls people at random and searches for everybody else's photos.

    With a calibration, templates are centered on its mean or the gallery's own, as in a gallery.

    All other photos of enrolled people are mated probes; one random photo of each other person is a
    non-mated probe, so that each person counts once.
    """
    enroll, non_mated = size_of(faces, plan)
    photos = np.bincount(faces.people, minlength=len(faces.names))
    able = np.flatnonzero(photos > plan.photos)
    chosen = rng.choice(able, min(enroll, len(able)), replace=False)
    if len(chosen) < enroll:
        bare = np.flatnonzero(photos == plan.photos)
        chosen = np.concatenate([chosen, rng.choice(bare, enroll - len(chosen), replace=False)])
    others = np.setdiff1d(np.flatnonzero(photos), chosen)
    others = rng.choice(others, non_mated, replace=False)
    order = rng.permutation(len(faces.people))
    owner = faces.people[order]
    # Random rank of each photo among its person's photos.
    by_person = np.argsort(owner, kind="stable")
    starts = np.concatenate([[0], np.cumsum(photos)])
    turn = np.empty(len(owner), dtype=np.int64)
    turn[by_person] = np.arange(len(owner)) - starts[owner[by_person]]
    column = np.full(len(faces.names), -1)
    column[chosen] = np.arange(enroll)
    mine = column[owner] >= 0
    enrolled = order[mine & (turn < plan.photos)]
    probes = order[mine & (turn >= plan.photos)]
    outside = np.zeros(len(faces.names), dtype=bool)
    outside[others] = True
    visitors = order[outside[owner] & (turn == 0)]

    enrolled_as, probes_as = column[faces.people[enrolled]], column[faces.people[probes]]
    known = calibration
    if calibration is not None:
        mean = people_mean(faces.vectors[enrolled], enrolled_as)
        known = about_own_mean(calibration, mean, enroll)
    rows = ((enrolled, enrolled_as), (probes, probes_as), visitors)
    plain = _round((faces, faces), plan, *rows)
    if known is None or known.domain is None:
        return replace(plain, calibration=known)
    a, b = (replace(faces, vectors=known.project(faces.vectors, side=side)) for side in ("a", "b"))
    return replace(_round((a, b), plan, *rows), calibration=known, plain=plain)


_Rows = NDArray[np.int64]


def _round(
    sides: tuple[Faces, Faces], plan: Plan, enrolled: tuple[_Rows, _Rows],
    probes: tuple[_Rows, _Rows], visitors: _Rows,
) -> Round:  # fmt: skip
    """Searches photos of side b among photos of side a."""
    faces, probed = sides
    vectors, weights, owners = (
        faces.vectors[enrolled[0]],
        faces.quality_score[enrolled[0]],
        enrolled[1],
    )

    def search(rows: _Rows) -> NDArray[np.float32]:
        return fused_scores(
            probed.vectors[rows], vectors, owners, fusion=plan.fusion, quality_score=weights
        )

    rows, columns = probes
    mated, places = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores = search(rows[part])
        mated[part] = scores[np.arange(len(scores)), columns[part]]
        places[part] = ranks(scores, columns[part])
    best = [
        search(visitors[start : start + _BLOCK]).max(axis=1)
        for start in range(0, len(visitors), _BLOCK)
    ]
    return Round(
        mated=mated,
        places=places,
        owners=faces.people[rows],
        best=np.concatenate(best).astype(np.float64),
        non_mated=faces.people[visitors],
        own=simulated_non_mated(vectors, owners, fusion=plan.fusion, quality_score=weights),
    )
