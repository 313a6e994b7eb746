"""Compares the templates of two photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from visavis.decision.llr import posterior, words
from visavis.decision.profile import Calibration
from visavis.errors import ModelMismatchError, OptionError
from visavis.pipeline.records import FaceUsed, Verification
from visavis.types import PassedOver, Template, Vectors
from visavis.weights.builtin import BUILTIN

_SAME_PIXELS: Final = 1 - 1e-6
_NO_EVIDENCE: Final = "the calibration has no mated pairs, so it weighs no evidence"


def compare(
    first: list[Template],
    second: list[Template],
    *,
    calibration: Calibration,
    pipeline_id: str,
    fmr: float = 1e-3,
    rule: str = "largest",
    prior: float | None = None,
) -> Verification:
    """Compares all templates of two photos; the pair with the highest score counts.

    Templates are centered on the calibration's mean, if it has one; for two cameras the first photo
    is from the first camera.

    Several comparisons increase the probability of a false match, so the threshold is that of
    ``fmr`` divided by their number (Bonferroni).

    Raises:
        ModelMismatchError: templates or calibration of different models.
        UnsupportedFmrError: the calibration does not support the rate.
        OptionError: ``prior`` outside (0, 1).
    """
    if prior is not None and not 0 < prior < 1:
        raise OptionError(f"prior {prior}", "give a probability above 0 and below 1")
    _require_one_model([*first, *second])
    scores = score_matrix(
        np.stack([t.vector for t in first]), np.stack([t.vector for t in second]), calibration
    )
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    score = float(scores[row, column])
    comparisons = scores.size
    point = calibration.operating_point(fmr / comparisons)
    llr = float(calibration.llr(np.array([score]))[0]) if calibration.evidence else float("nan")
    a, b = first[row], second[column]
    reason = doubt(a, b, score=score, threshold=point.threshold)
    return Verification(
        same=None if reason else score >= point.threshold,
        score=score,
        threshold=point.threshold,
        fmr=fmr,
        llr=llr,
        evidence=words(llr, limits=calibration.llr_limits())
        if calibration.evidence
        else _NO_EVIDENCE,
        model=a.model,
        model_sha256=a.model_sha256,
        pipeline_id=pipeline_id,
        calibration=calibration.name,
        operating_point=point,
        rule=rule,
        comparisons=comparisons,
        a=_used(a),
        b=_used(b),
        posterior=None if prior is None or not calibration.evidence else posterior(llr, prior),
        prior=prior,
        warnings=(
            *_photo_warnings(a, rule),
            *_photo_warnings(b, rule),
            *_one_picture(a, b),
            *calibration_warnings(calibration, pipeline_id),
        ),
        reason=reason,
        centered=calibration.domain is not None,
    )


def score_matrix(first: Vectors, second: Vectors, calibration: Calibration) -> Vectors:
    """Returns the scores ``(N, M)`` of ``(N, D)`` with ``(M, D)`` templates of one model."""
    a_side = calibration.project(first, side="a")
    b_side = calibration.project(second, side="b")
    return np.asarray(np.clip(a_side @ b_side.T, -1, 1))


def _require_one_model(templates: Sequence[Template]) -> None:
    """Checks that templates may be compared.

    Raises:
        ModelMismatchError: they are from different model files.
    """
    for template in templates[1:]:
        first = templates[0]
        if template.model_sha256 != first.model_sha256:
            raise ModelMismatchError(
                f"{template.photo} was embedded by {template.model} "
                f"({template.model_sha256[:12]}), {first.photo} by {first.model} "
                f"({first.model_sha256[:12]})",
                "embed both photos with one model",
            )


def _used(template: Template) -> FaceUsed:
    return FaceUsed(
        template.photo,
        template.face,
        template.quality,
        template.faces_found,
        template.passed_over,
        template.magnitude,
    )


def _photo_warnings(template: Template, rule: str) -> list[str]:
    photo = template.photo
    warnings = [f"{photo}: {sentence}" for sentence in template.quality.warnings]
    if template.face.turn:
        warnings.append(
            f"{photo}: the face lies turned {template.face.turn} degrees clockwise in the photo; "
            "it was compared upright"
        )
    if template.passed_over:
        others = "; ".join(_words(one) for one in template.passed_over)
        warnings.append(f"{photo}: the rule '{rule}' passed over {others}")
    elif template.faces_found > 1:
        warnings.append(f"{photo}: {template.faces_found} faces found; all of them were compared")
    return warnings


def _words(passed: PassedOver) -> str:
    x, y, width, height = passed.face.box
    return (
        f"a face of {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f}), confidence "
        f"{passed.face.score:.2f}: {passed.reason}"
    )


def _one_picture(a: Template, b: Template) -> list[str]:
    """Returns a warning if both faces have the same pixels; different photos never score so close
    to 1."""
    if float(a.vector @ b.vector) < _SAME_PIXELS or not np.allclose(a.face.box, b.face.box):
        return []
    return [
        "both photos are the same picture, so the score says nothing about the person; "
        "compare two photos that were taken separately"
    ]


def calibration_warnings(calibration: Calibration, pipeline_id: str) -> list[str]:
    """Returns a warning if a calibration was measured with another pipeline.

    Args:
        calibration: the calibration.
        pipeline_id: id of the pipeline in use.
    """
    if calibration.pipeline_id == pipeline_id:
        return []
    return [
        f"calibration '{calibration.name}' was measured with {calibration.pipeline_id}, not with "
        f"{pipeline_id}: its error rates are not measured for this pipeline; "
        "run `visavis calibrate` with these options"
    ]


# Undecidable scores: photos too poor for a score so near to the threshold. The less a network sees
# of a face (blurred, dark, tiny, covered, turned away), the shorter is its vector before
# normalization (Q. Meng et al., "MagFace: a universal representation for face recognition and
# quality assessment", CVPR 2021). Scores of a poor photo with its mates fall toward non-mated
# scores; scores of two poor photos with each other rise. So a score counts as "different" only if
# it is below the threshold by more than the poorer photo may cost, and as "same" only if it is
# above by more than two poor photos may add, which depends on the better one.


@dataclass(frozen=True, slots=True)
class Margin:
    """Undecidable distance from the threshold, as a function of a template's magnitude.

    Attributes:
        clear: lowest magnitude at which every score is decidable.
        slope: margin per unit of magnitude below that.
        blind: magnitude below which no score is decidable.

    >>> margin = Margin(clear=11.0, slope=0.05, blind=7.0)
    >>> margin.at(12.0), margin.at(9.0), margin.at(6.0)
    (0.0, 0.1, inf)
    """

    clear: float
    slope: float
    blind: float

    def at(self, magnitude: float) -> float:
        """Returns the margin at a magnitude; 0 if unknown."""
        if magnitude < self.blind:
            return inf
        return self.slope * (self.clear - magnitude) if magnitude < self.clear else 0.0


MARGINS: Final = {BUILTIN["sface"].sha256: Margin(clear=11.0, slope=0.05, blind=7.0)}
"""By the model's hash; for other models every score is decided. Chosen on LFW's View 1 training
people: on seventeen kinds of degraded photos it removes most of the wrong decisions, and of all
pairs of 3,443 original photos less than 1 correct decision in 1,000. ``benchmarks/cannot_tell.py``
measures it on other people."""


def doubt(a: Template, b: Template, *, score: float, threshold: float) -> str | None:
    """Returns why a score near the threshold is undecidable, or ``None``.

    Args:
        a: template of one photo.
        b: template of the other photo.
        score: their cosine similarity.
        threshold: decision threshold.
    """
    margin = MARGINS.get(a.model_sha256)
    if margin is None:
        return None
    poor, better = sorted((a, b), key=lambda one: margin.at(one.magnitude), reverse=True)
    # One poor photo lowers scores; two poor photos raise them.
    deciding = poor if score < threshold else better
    if abs(score - threshold) >= margin.at(deciding.magnitude):
        return None
    where = "below" if score < threshold else "above"
    photos = [poor] if deciding is poor else [poor, better]
    shown = " and ".join(f"{one.photo} (magnitude {one.magnitude:.1f})" for one in photos)
    return (
        f"{shown} too poor for a score {abs(score - threshold):.3f} {where} the threshold; use a "
        f"sharp, evenly lit photo of the whole face (magnitude {margin.clear:g} or more)"
    )
