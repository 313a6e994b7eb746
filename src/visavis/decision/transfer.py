"""Makes a calibration for unlabelled photos from an estimate and a labelled reference."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from visavis.decision.labelled import Provenance
from visavis.decision.llr import LlrCalibration
from visavis.decision.non_mated_model import NonMatedModel
from visavis.decision.operating_point import MINIMUM_ERRORS, TINY
from visavis.decision.profile import Calibration
from visavis.decision.unlabelled import NonMatedEstimate
from visavis.errors import CalibrationError, ModelMismatchError, OptionError, UnsupportedFmrError
from visavis.types import OperatingPoint

Floats = NDArray[np.float64]


def transfer(
    reference: Calibration,
    estimate: NonMatedEstimate,
    provenance: Provenance,
    *,
    targets: Sequence[float] | None = None,
) -> Calibration:
    """Transfers a labelled calibration to other photos.

    Thresholds come from ``estimate``. Their FMR is the target rate, and its interval is the
    uncertainty of the estimate. For galleries, the reference's rates between people are shifted,
    down to the lowest rate that the reference supports; the shape of the tail is the reference's,
    and the interval widens at rates that few pairs of the new photos reach. Likelihood ratios are
    shifted, too: a score gets that of the reference score with the same FMR. This assumes that
    mated scores shifted in the same way. FNMR stays unknown (NaN), because it needs labels.

    Args:
        reference: a labelled calibration of the same model and pipeline.
        estimate: non-mated scores of the unlabelled photos.
        provenance: origin of the new calibration.
        targets: rates that must be supported; ``None``: those of the reference that are.

    Raises:
        CalibrationError: the estimate is for centered templates, and the reference is not.
        ModelMismatchError: the reference is for another model file.
        UnsupportedFmrError: a rate in ``targets`` is too low for the number of pairs.
        OptionError: a rate is outside (0, 1).
    """
    if estimate.domain is not None:
        about = reference.about(estimate.domain)
        if about is None:
            raise CalibrationError(
                f"reference calibration '{reference.name}', which has no measurements on centered "
                "templates",
                "calibrate the reference's photos again: `visavis calibrate`",
            )
        reference = about
    if reference.model_sha256 != provenance.model_sha256:
        raise ModelMismatchError(
            f"reference calibration '{reference.name}' of {reference.model}, photos embedded by "
            f"{provenance.model}",
            "choose a reference made with the same model",
        )
    rates = {p.target_fmr for p in reference.points if _supports(estimate, p.target_fmr)}
    for target in targets or ():
        if not 0 < target < 1:
            raise OptionError(f"a false match rate of {target}", "give one in (0, 1), such as 1e-3")
        if not _supports(estimate, target):
            raise UnsupportedFmrError(
                f"a false match rate of {target:g} from {estimate.photos:,} unlabelled photos "
                f"({estimate.pairs:,} pairs)",
                f"give about {photos_needed(target):,} photos, or ask for a higher rate",
            )
        rates.add(target)
    points = tuple(_point(estimate, provenance, rate) for rate in sorted(rates, reverse=True))
    spread = float(np.exp(1.96 * estimate.log_sd(1e-3)))
    return Calibration(
        name=provenance.name,
        model=provenance.model,
        model_sha256=provenance.model_sha256,
        pipeline_id=provenance.pipeline_id,
        method="unlabelled",
        points=points,
        evidence=tuple(_shifted(one, reference, estimate) for one in reference.evidence),
        reference=_reference_moved(reference, estimate),
        dataset=provenance.dataset,
        photos=provenance.photos,
        failures=provenance.failures,
        created=provenance.created,
        command=provenance.command,
        domain=estimate.domain,
        note=f"estimated without labels from '{reference.name}'; at FMR 1e-3 the true rate lies "
        f"within a factor of {spread:.2g} of the claim with 95 % confidence; FNMR is not known",
    )


def photos_needed(target: float) -> int:
    """Returns the number of unlabelled photos that support a false match rate: ten expected false
    matches.

    >>> photos_needed(1e-3), photos_needed(1e-4)
    (142, 448)
    """
    return ceil((1 + sqrt(1 + 8 * MINIMUM_ERRORS / max(target, TINY))) / 2)


def _supports(estimate: NonMatedEstimate, rate: float) -> bool:
    return estimate.pairs * rate >= MINIMUM_ERRORS


def _point(estimate: NonMatedEstimate, provenance: Provenance, rate: float) -> OperatingPoint:
    threshold = float(estimate.threshold(rate))
    return OperatingPoint(
        model=provenance.model,
        model_sha256=provenance.model_sha256,
        threshold=threshold,
        fmr=rate,
        fmr_ci=estimate.fmr_interval(threshold),
        fnmr=float("nan"),
        dataset=provenance.dataset,
        pairs=estimate.pairs,
        target_fmr=rate,
        pipeline_id=provenance.pipeline_id,
    )


def _reference_moved(
    reference: Calibration, estimate: NonMatedEstimate
) -> dict[str, tuple[float, ...]] | None:
    """The reference numbers for these photos; tail shapes are unchanged."""
    moved = _people_moved(reference, estimate) or {}
    if shape := (reference.reference or {}).get("shape"):
        moved["shape"] = shape
    return moved or None


def _people_moved(
    reference: Calibration, estimate: NonMatedEstimate
) -> dict[str, tuple[float, ...]] | None:
    """The reference's rates between people, shifted to these photos; ``None`` if unknown."""
    people = NonMatedModel.from_reference(reference.reference)
    if people is None:
        return None
    kept = (people.fmr * people.pairs >= MINIMUM_ERRORS) & (people.fmr < 1)
    if not kept.any():
        return None
    rates = people.fmr[kept]
    # Includes the reference's uncertainty about the shape of the tail.
    own = np.array([people.variance(float(score)) for score in people.scores[kept]])
    moved = NonMatedModel(
        scores=np.maximum.accumulate(estimate.threshold(rates)),
        fmr=rates,
        spread=people.spread[kept],
        people=people.people,
        log_sd=np.sqrt(estimate.log_sd(rates) ** 2 + own),
    )
    answer = moved.to_reference()
    known = reference.reference or {}
    if "mated" in known:
        mated = (
            _equivalent_scores(np.asarray(known["mated"]), reference, estimate).clip(-1, 1).round(5)
        )
        answer |= {"quantiles": known["quantiles"], "mated": tuple(float(v) for v in mated)}
    return answer


def _shifted(
    evidence: LlrCalibration, reference: Calibration, estimate: NonMatedEstimate
) -> LlrCalibration:
    """Evidence maps at the scores with the same FMR."""
    moved = _equivalent_scores(np.asarray(evidence.scores), reference, estimate)
    return LlrCalibration(
        evidence.method,
        tuple(float(v) for v in np.maximum.accumulate(moved).round(5)),
        evidence.llrs,
    )


def _equivalent_scores(
    scores: Floats, reference: Calibration, estimate: NonMatedEstimate
) -> Floats:
    """Scores with the same FMR here as ``scores`` in the reference."""
    anchors = sorted((p.threshold, float(-ndtri(p.fmr))) for p in reference.points)
    thresholds = [t for t, _ in anchors]
    deviates = [d for _, d in anchors]
    quantiles = (reference.reference or {}).get("quantiles", ())
    lower = [
        (score, float(ndtri(q)))
        for q, score in zip(
            quantiles, (reference.reference or {}).get("non_mated", ()), strict=True
        )
        if score < thresholds[0]
    ]
    thresholds = [s for s, _ in lower] + thresholds
    deviates = [d for _, d in lower] + deviates
    inside = np.interp(scores, thresholds, deviates)
    # Extrapolates with the slope of the whole.
    slope = (deviates[-1] - deviates[0]) / (thresholds[-1] - thresholds[0])
    inside = np.where(
        scores > thresholds[-1], deviates[-1] + (scores - thresholds[-1]) * slope, inside
    )
    inside = np.where(
        scores < thresholds[0], deviates[0] + (scores - thresholds[0]) * slope, inside
    )
    return estimate.background.score(estimate.shape.model_deviate(inside))
