"""One random enrollment: who is enrolled, who probes, and what the search finds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visavis.decision.domain import people_mean
from visavis.decision.profile import Calibration
from visavis.errors import DataError, OptionError
from visavis.gallery.fusion import FUSIONS, fused_scores, simulated_strangers
from visavis.gallery.space import about_own_mean
from visavis.gallery.store import Fusion
from visavis.metrics.identification import ranks
from visavis.types import Vectors

_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """One template a photo, of people whose names are known.

    Attributes:
        vectors: ``(N, D)`` float32 unit vectors.
        people: ``(N,)`` int64 from 0, whose photo each is.
        usability: ``(N,)`` float64 in [0, 1].
        names: name of each person.
    """

    vectors: Vectors
    people: NDArray[np.int64]
    usability: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How people are enrolled.

    Attributes:
        enrol: people enrolled; ``None`` for half of those with a photo to spare as a probe. Where
            more are asked for, people without one fill up the gallery.
        photos: photos enrolled of each.
        strangers: strangers who probe, with one photo each; all people who are not enrolled when
            ``None``.
        fusion: how a person's templates become one score.
        rank: how many candidates may hold the right one.
    """

    enrol: int | None = None
    photos: int = 1
    strangers: int | None = None
    fusion: Fusion = "weighted"
    rank: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What one enrollment's probes scored.

    Attributes:
        mated: ``(Q,)`` score of each mated probe with its own person.
        places: ``(Q,)`` rank of the own person.
        owners: ``(Q,)`` who each mated probe is.
        best: ``(K,)`` highest score of each stranger.
        strangers: ``(K,)`` who each is.
        own: the gallery's own scores, as the product uses them for its threshold.
        calibration: in whose space all these are; ``None`` for templates as they are.
        plain: the same enrollment with templates as they are, where these scores are about a mean.
    """

    mated: NDArray[np.float64]
    places: NDArray[np.int64]
    owners: NDArray[np.int64]
    best: NDArray[np.float64]
    strangers: NDArray[np.int64]
    own: NDArray[np.float32]
    calibration: Calibration | None = None
    plain: Round | None = None


def size_of(faces: Faces, plan: Plan) -> tuple[int, int]:
    """How many people a plan enrolls, and how many strangers probe.

    Raises:
        DataError: too few people with enough photos, or nobody is left as a stranger.
        OptionError: a number below 1, an unknown fusion.
    """
    if plan.fusion not in FUSIONS:
        raise OptionError(f"--fusion {plan.fusion}", f"choose one of {', '.join(FUSIONS)}")
    if plan.photos < 1 or (plan.enrol is not None and plan.enrol < 1) or plan.rank < 1:
        raise OptionError(
            f"{plan.enrol} people with {plan.photos} photos, rank {plan.rank}", "give 1 or more"
        )
    photos = np.bincount(faces.people, minlength=len(faces.names))
    able, known = int((photos > plan.photos).sum()), int((photos > 0).sum())
    fit = int((photos >= plan.photos).sum())
    enrol = plan.enrol if plan.enrol is not None else max(able // 2, 1)
    if not able:
        raise DataError(
            f"nobody of {known:,} people with {plan.photos + 1} usable photos",
            "give people with more photos, or enroll fewer photos of each: one more is the probe",
        )
    if enrol > fit:
        raise DataError(
            f"{fit:,} people with {plan.photos} or more usable photos, of {known:,}",
            f"enroll at most {fit:,} people",
        )
    left = known - enrol
    if left < 1:
        raise DataError(
            f"all {known:,} people enrolled", "enroll fewer: strangers are people who are not"
        )
    return enrol, left if plan.strangers is None else min(plan.strangers, left)


def draw(
    faces: Faces, plan: Plan, rng: np.random.Generator, calibration: Calibration | None = None
) -> Round:
    """Enroll people at random and search for everybody else's photos.

    With a calibration the search is about its mean or the gallery's own, as the product's is.

    Photos of an enrolled person that are not enrolled are mated probes, all of them; of each
    stranger one photo, drawn at random, is a non-mated probe, so that every stranger counts once.
    """
    enrol, strangers = size_of(faces, plan)
    photos = np.bincount(faces.people, minlength=len(faces.names))
    able = np.flatnonzero(photos > plan.photos)
    chosen = rng.choice(able, min(enrol, len(able)), replace=False)
    if len(chosen) < enrol:
        bare = np.flatnonzero(photos == plan.photos)
        chosen = np.concatenate([chosen, rng.choice(bare, enrol - len(chosen), replace=False)])
    others = np.setdiff1d(np.flatnonzero(photos), chosen)
    others = rng.choice(others, strangers, replace=False)
    order = rng.permutation(len(faces.people))
    owner = faces.people[order]
    # The place of each photo among its person's, in random order.
    by_person = np.argsort(owner, kind="stable")
    starts = np.concatenate([[0], np.cumsum(photos)])
    turn = np.empty(len(owner), dtype=np.int64)
    turn[by_person] = np.arange(len(owner)) - starts[owner[by_person]]
    column = np.full(len(faces.names), -1)
    column[chosen] = np.arange(enrol)
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
        known = about_own_mean(calibration, mean, enrol)
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
    """Search photos of side a for photos of side b: rows, and whose they are in the gallery."""
    faces, probed = sides
    vectors, weights, owners = faces.vectors[enrolled[0]], faces.usability[enrolled[0]], enrolled[1]

    def search(rows: _Rows) -> NDArray[np.float32]:
        return fused_scores(
            probed.vectors[rows], vectors, owners, fusion=plan.fusion, usability=weights
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
        strangers=faces.people[visitors],
        own=simulated_strangers(vectors, owners, fusion=plan.fusion, usability=weights),
    )
