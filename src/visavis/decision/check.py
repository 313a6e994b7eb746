"""Checks whether the error rates of a calibration hold for other photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from visavis.decision.profile import Calibration
from visavis.decision.transfer import photos_needed
from visavis.decision.unlabelled import (
    NonMatedEstimate,
    ReferenceShape,
    estimate_non_mated,
)
from visavis.errors import CalibrationError, UnsupportedFmrError
from visavis.types import OperatingPoint, Record, Vectors

TRUST_BELOW: Final = 1.55
"""Between 1.2, where a warning would be noise, and 2, where silence would be wrong: their
geometric mean, so that the estimate may err by a factor of 1.29 either way."""

RATES: Final = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class RateCheck(Record):
    """One claimed false match rate compared with the rate estimated on the photos.

    Attributes:
        claimed_fmr: FMR at ``threshold`` according to the calibration.
        threshold: score.
        estimated_fmr: FMR estimated on these photos.
        interval: 95 % interval of it.
        factor: ``estimated_fmr / claimed_fmr``.
        factor_interval: 95 % interval of the factor.
        holds: whether the factor is below 1.55.
        right_threshold: the estimated score for ``claimed_fmr`` on these photos.
    """

    claimed_fmr: float
    threshold: float
    estimated_fmr: float
    interval: tuple[float, float]
    factor: float
    factor_interval: tuple[float, float]
    holds: bool
    right_threshold: float


@dataclass(frozen=True, slots=True)
class Check(Record):
    """Verdict on a folder of photos.

    Attributes:
        calibration: name of the calibration that was checked.
        dataset: what it was measured on.
        trusted: whether the decisive rate holds.
        decisive_fmr: the rate that the verdict is about.
        rates: one row for each rate that the photos can test.
        photos: photos used.
        failures: photos without a usable face.
        pairs: pairs among the photos.
        suspected_mated_pairs: pairs that are probably mated, left out.
        verdict: the result as a sentence.
        remedy: what to do; empty if the rates hold.
    """

    calibration: str
    dataset: str
    trusted: bool
    decisive_fmr: float
    rates: tuple[RateCheck, ...]
    photos: int
    failures: int
    pairs: int
    suspected_mated_pairs: float
    verdict: str
    remedy: str


def check(
    vectors: Vectors,
    calibration: Calibration,
    *,
    other: Vectors | None = None,
    fmr: float = 1e-3,
    failures: int = 0,
    folder: str = "DIR",
    seed: int = 0,
) -> Check:
    """Tests a calibration on unlabelled photos.

    An FMR below the claimed one is reported, but is no failure.

    Args:
        vectors: ``(N, D)`` unit vectors of mostly different people; at least 50, better 200.
        calibration: the calibration to test.
        other: ``(M, D)`` photos of the second camera, for a calibration of two cameras; ``vectors``
            are of the first then.
        fmr: the decisive rate.
        failures: number of photos without a template, for the record.
        folder: folder name for the remedy.
        seed: random seed of the half-samples for the intervals.

    Raises:
        CalibrationError: fewer than 50 photos; a calibration of two cameras needs ``other``.
        UnsupportedFmrError: the calibration has no rate as low as ``fmr``.
    """
    decisive = calibration.operating_point(fmr)
    two_sided = calibration.domain is not None and calibration.domain.mean_b is not None
    if two_sided and other is None:
        raise CalibrationError(
            f"calibration '{calibration.name}', which compares photos of two cameras",
            "give photos of both: --unlabelled-b for the second",
        )
    estimate = estimate_non_mated(
        calibration.project(vectors),
        None if other is None else calibration.project(other, side="b"),
        center=False,
        shape=shape_of(calibration),
        seed=seed,
    )
    points = {p.target_fmr: p for p in (decisive, *_supported(calibration))}
    rates = tuple(_rate(estimate, points[target]) for target in sorted(points, reverse=True))
    row = next(r for r in rates if r.claimed_fmr == fmr)
    return Check(
        calibration=calibration.name,
        dataset=calibration.dataset,
        trusted=row.holds,
        decisive_fmr=fmr,
        rates=rates,
        photos=estimate.photos,
        failures=failures,
        pairs=estimate.pairs,
        suspected_mated_pairs=round(estimate.mated_pairs, 1),
        verdict=_verdict(row),
        remedy="" if row.holds else _remedy(fmr, estimate.photos, folder),
    )


def _remedy(fmr: float, photos: int, folder: str) -> str:
    needed = photos_needed(fmr)
    few = f"add photos ({needed:,} for a rate of {fmr:g}) and " if photos < needed else ""
    return (
        f"{few}run `visavis calibrate --unlabelled {folder} --name mine`, then pass "
        "--calibration mine"
    )


def shape_of(calibration: Calibration, *, centered: bool = False) -> ReferenceShape:
    """Returns the tail shapes of a calibration; the default if it has none.

    Args:
        calibration: the calibration.
        centered: for scores of centered templates.
    """
    known = calibration.centered if centered and calibration.domain is None else None
    reference = calibration.reference if known is None else known.reference
    numbers = (reference or {}).get("shape")
    return ReferenceShape.from_numbers(numbers) if numbers else ReferenceShape()


def _supported(calibration: Calibration) -> list[OperatingPoint]:
    points = []
    for rate in RATES:
        try:
            points.append(calibration.operating_point(rate))
        except UnsupportedFmrError:
            continue
    return points


def _rate(estimate: NonMatedEstimate, point: OperatingPoint) -> RateCheck:
    claimed = point.target_fmr
    estimated = float(estimate.fmr(point.threshold))
    low, high = estimate.fmr_interval(point.threshold)
    factor = estimated / claimed
    return RateCheck(
        claimed_fmr=claimed,
        threshold=point.threshold,
        estimated_fmr=estimated,
        interval=(low, high),
        factor=factor,
        factor_interval=(low / claimed, high / claimed),
        holds=factor < TRUST_BELOW,
        right_threshold=float(estimate.threshold(claimed)),
    )


def _verdict(row: RateCheck) -> str:
    low, high = row.factor_interval
    between = f"95 % interval {low:.2g} to {high:.2g} times"
    if not row.holds:
        return (
            f"not trusted: at the threshold for FMR {row.claimed_fmr:g} these photos show about "
            f"{row.factor:.2g} times as many false matches ({between})"
        )
    if row.factor < 1 / TRUST_BELOW:
        return (
            f"trusted, and strict: the FMR here is about {row.factor:.2g} times the "
            f"{row.claimed_fmr:g} claimed ({between}); a calibration on these photos would miss "
            "fewer mated pairs"
        )
    return (
        f"trusted: the FMR here is about {row.factor:.2g} times the {row.claimed_fmr:g} claimed "
        f"({between})"
    )
