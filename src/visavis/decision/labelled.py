"""Makes a calibration from labelled photos or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.decision import llr
from visavis.decision.bootstrap import PeopleBootstrap
from visavis.decision.cross_fit import CrossFit
from visavis.decision.domain import Domain
from visavis.decision.non_mated_model import NonMatedModel, measure_non_mated
from visavis.decision.operating_point import LADDER, measure_points, supported_count
from visavis.decision.pair_scores import PairScores, all_pairs, bin_centers, listed_pairs
from visavis.decision.profile import Calibration, Measured
from visavis.decision.unlabelled import ReferenceShape, measure_shape
from visavis.decision.whitening import choose_shrinkage, fit_domain
from visavis.errors import UnsupportedFmrError
from visavis.types import Vectors

STEPS_PER_DECADE: Final = 10
"""Operating points per decade, so that there is one near any rate."""

QUANTILES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a calibration.

    Attributes:
        name: name of the calibration.
        model: model name.
        model_sha256: hash of the model file.
        pipeline_id: id of the pipeline that made the scores.
        dataset: description of the data.
        photos: photos with a template.
        failures: photos left out.
        created: ISO 8601 date.
        command: the command that reproduces it.
    """

    name: str
    model: str
    model_sha256: str
    pipeline_id: str
    dataset: str
    photos: int
    failures: int = 0
    created: str = ""
    command: str = ""


FEWEST_PEOPLE: Final = 10
"""Fewest people for centering: the mean of fewer is mostly themselves."""


def calibrate_people(
    vectors: Vectors,
    owners: NDArray[np.int64],
    provenance: Provenance,
    *,
    center: bool = True,
    targets: Sequence[float] | None = None,
) -> Calibration:
    """Calibrates on all pairs of labelled photos.

    Args:
        vectors: ``(N, D)`` float32 unit vectors.
        owners: ``(N,)`` int64 person of each photo.
        provenance: what they come from.
        center: make a calibration for similar photos: for templates centered on their mean
            (``Calibration.domain``), whitened if it helps. Otherwise one for any photos: for plain
            templates, with the measurements of centered ones beside them
            (``Calibration.centered``).
        targets: false match rates that must be supported.

    Raises:
        DataError: fewer than two people.
        UnsupportedFmrError: a rate in ``targets``, or even 0.1, is not supported.
    """
    if len(np.unique(owners)) < FEWEST_PEOPLE:
        return _measured(vectors, owners, provenance, targets, None)
    fit = partial(fit_domain, shrinkage=choose_shrinkage(vectors, owners) if center else None)
    plain = _measured(vectors, owners, provenance, targets, None)
    about_mean = _measured(vectors, owners, provenance, targets, CrossFit(vectors, owners, fit))
    return _either(plain, about_mean, fit(vectors, owners) if center else None)


def calibrate_pairs(
    vectors: Vectors,
    owners: NDArray[np.int64],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
    provenance: Provenance,
    *,
    center: bool = True,
    targets: Sequence[float] | None = None,
) -> Calibration:
    """Calibrates on a list of labelled pairs.

    Args:
        vectors: ``(N, D)`` float32 unit vectors.
        owners: ``(N,)`` int64 person of each photo (see ``pair_scores.people_of_pairs``).
        pairs: ``(K,)`` first and second photo of each pair, and whether it is mated.
        provenance: what they come from.
        center: see ``calibrate_people``.
        targets: false match rates that must be supported.

    Raises:
        DataError: no non-mated pair.
        UnsupportedFmrError: a rate in ``targets``, or even 0.1, is not supported.
    """
    first, second, same = pairs
    people = list(zip(owners[first].tolist(), owners[second].tolist(), strict=True))

    def measured(scores: NDArray[np.float32]) -> Calibration:
        return calibrate(listed_pairs(scores, same, people), provenance, targets=targets)

    plain = measured(np.einsum("nd,nd->n", vectors[first], vectors[second]))
    if len(np.unique(owners)) < FEWEST_PEOPLE:
        return plain
    fit = partial(fit_domain, shrinkage=choose_shrinkage(vectors, owners) if center else None)
    about_mean = measured(CrossFit(vectors, owners, fit).pairs(first, second))
    return _either(plain, about_mean, fit(vectors, owners) if center else None)


def _either(plain: Calibration, about_mean: Calibration, domain: Domain | None) -> Calibration:
    if domain is not None:
        return replace(about_mean, domain=domain)
    kept = Measured(about_mean.points, about_mean.evidence, about_mean.reference)
    return replace(plain, centered=kept)


def _measured(
    vectors: Vectors,
    owners: NDArray[np.int64],
    provenance: Provenance,
    targets: Sequence[float] | None,
    cross_fit: CrossFit | None,
) -> Calibration:
    tail = min(1.0, 1.2 * max([LADDER[0], *(targets or [])]))
    return calibrate(
        all_pairs(vectors, owners.tolist(), tail=tail, cross_fit=cross_fit),
        provenance,
        targets=targets,
        shape=measure_shape(vectors, owners, cross_fit=cross_fit),
        non_mated=measure_non_mated(vectors, owners, cross_fit=cross_fit),
    )


def calibrate(
    pairs: PairScores,
    provenance: Provenance,
    *,
    targets: Sequence[float] | None = None,
    replicates: int = 1000,
    shape: ReferenceShape | None = None,
    non_mated: NonMatedModel | None = None,
) -> Calibration:
    """Calibrates on the scores of labelled pairs.

    Args:
        pairs: scores of mated and non-mated pairs.
        provenance: what they come from.
        targets: false match rates that must be supported. In addition, every supported power of ten
            from 0.1 down to 1e-6 is measured, with ten rates per decade.
        replicates: bootstrap replicates for the intervals.
        shape: tail shapes of the photos (``unlabelled.measure_shape``), needed to compare
            unlabelled photos with these.
        non_mated: rates between people (``measure_non_mated``), needed for gallery
            thresholds.

    Raises:
        UnsupportedFmrError: a rate in ``targets``, or even 0.1, is not supported.
    """
    asked = [*(targets or ())]
    for target in asked:
        supported_count(pairs, target)
    ladder = [t for t in LADDER if _supported(pairs, t)] or [LADDER[0]]
    rarest = min(ladder)
    grid = sorted({*asked, *_between(rarest)}, reverse=True)
    rarest = min(grid)
    points = measure_points(
        pairs,
        grid,
        model=provenance.model,
        model_sha256=provenance.model_sha256,
        dataset=provenance.dataset,
        pipeline_id=provenance.pipeline_id,
        bootstrap=PeopleBootstrap.draw(pairs.people, replicates=replicates),
    )
    evidence: tuple[llr.LlrCalibration, ...] = ()
    if len(pairs.mated):
        bounds = llr.caps(pairs, rarest)
        evidence = (
            llr.fit_isotonic(pairs, bounds=bounds),
            llr.fit_logistic(pairs, bounds=bounds),
        )
    return Calibration(
        name=provenance.name,
        model=provenance.model,
        model_sha256=provenance.model_sha256,
        pipeline_id=provenance.pipeline_id,
        method="labelled",
        points=tuple(points),
        evidence=evidence,
        reference=_reference(pairs, shape, non_mated),
        dataset=provenance.dataset,
        people=pairs.people,
        photos=provenance.photos,
        failures=provenance.failures,
        created=provenance.created,
        command=provenance.command,
        note="intervals: 95 %, people resampled",
    )


def _supported(pairs: PairScores, target: float) -> bool:
    try:
        supported_count(pairs, target)
    except UnsupportedFmrError:
        return False
    return True


def _between(rarest: float) -> list[float]:
    """Rates from 0.1 down to ``rarest``, ten per decade."""
    count = int(np.floor(np.log10(0.1 / rarest) * STEPS_PER_DECADE + 1e-9))
    return [float(f"{0.1 * 10 ** (-k / STEPS_PER_DECADE):.3g}") for k in range(count + 1)]


def _reference(
    pairs: PairScores, shape: ReferenceShape | None, non_mated: NonMatedModel | None
) -> dict[str, tuple[float, ...]]:
    """Quantiles of the scores, for comparison with other photos."""
    share = np.cumsum(pairs.histogram) / pairs.non_mated
    centers = bin_centers()
    scores = [round(float(centers[np.searchsorted(share, q)]), 5) for q in QUANTILES]
    reference = {"quantiles": tuple(QUANTILES), "non_mated": tuple(scores)}
    if len(pairs.mated):
        mated = np.quantile(pairs.mated, QUANTILES).round(5)
        reference["mated"] = tuple(float(v) for v in mated)
    if shape is not None:
        reference["shape"] = shape.to_numbers()
    if non_mated is not None:
        reference.update(non_mated.to_reference())
    return reference
