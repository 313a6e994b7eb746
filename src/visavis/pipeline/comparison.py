"""From two photos' templates to a Verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from visavis.decision.evidence import posterior, words
from visavis.decision.profile import Calibration
from visavis.errors import ModelMismatchError, OptionError
from visavis.pipeline.records import FaceUsed, Verification
from visavis.types import PassedOver, Template
from visavis.weights.builtin import BUILTIN

_SAME_PIXELS: Final = 1 - 1e-6
_NO_EVIDENCE: Final = "the calibration has no mated pairs, so it weighs no evidence"


def compare(
    first: list[Template],
    second: list[Template],
    *,
    calibration: Calibration,
    settings: str,
    fmr: float = 1e-3,
    rule: str = "largest",
    prior: float | None = None,
) -> Verification:
    """Compare each template of one photo with each of the other; the closest pair counts.

    Scores are about the calibration's mean, where it has one; of two cameras the first photo is
    from the first.

    With several comparisons the chance of a false match adds up, so the threshold is taken at
    ``fmr`` divided by their number (Bonferroni), which keeps the answer's FMR at ``fmr``.

    Raises:
        ModelMismatchError: templates or calibration of different models.
        UnsupportedFmrError: the calibration's data cannot support the rate.
        OptionError: ``prior`` outside (0, 1).
    """
    if prior is not None and not 0 < prior < 1:
        raise OptionError(f"prior {prior}", "give a probability above 0 and below 1")
    _require_one_model([*first, *second])
    a_side = calibration.project(np.stack([t.vector for t in first]), side="a")
    b_side = calibration.project(np.stack([t.vector for t in second]), side="b")
    scores = a_side @ b_side.T
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    score = float(np.clip(scores[row, column], -1, 1))
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
        settings=settings,
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
            *calibration_warnings(calibration, settings),
        ),
        reason=reason,
        centered=calibration.domain is not None,
    )


def _require_one_model(templates: Sequence[Template]) -> None:
    """Check that templates may be compared.

    Raises:
        ModelMismatchError: two of them were made by different model files.
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
    """A warning if both faces are the same pixels; different photos never score so close to 1."""
    if float(a.vector @ b.vector) < _SAME_PIXELS or not np.allclose(a.face.box, b.face.box):
        return []
    return [
        "both photos are the same picture, so the score says nothing about the person; "
        "compare two photos that were taken separately"
    ]


def calibration_warnings(calibration: Calibration, settings: str) -> list[str]:
    """A sentence where a calibration was measured with another pipeline than the one in use.

    Args:
        calibration: the calibration.
        settings: of the pipeline in use.
    """
    if calibration.settings == settings:
        return []
    return [
        f"calibration '{calibration.name}' was measured with {calibration.settings}, not with "
        f"{settings}: its error rates are not measured for this pipeline; "
        "run `visavis calibrate` with these options"
    ]


# Scores that cannot tell: the photos show too little for a score so near the threshold.
#
# The vector that a network makes of a face, before it is scaled to unit length, is the shorter the
# less of the face the network could see: blurred, dark, tiny, covered, turned away (Q. Meng et al.,
# "MagFace: a universal representation for face recognition and quality assessment", CVPR 2021). The
# scores of a poor photo with its mates fall toward those of strangers; those of two poor photos
# with each other rise. So a score counts as "different" only where it lies below the threshold by
# more than the poorer photo may have cost, and as "same" only where it lies above by more than two
# poor photos may have added, which is what the better of them is short of.


@dataclass(frozen=True, slots=True)
class Margin:
    """How near to the threshold a score cannot tell, by the magnitude of a template.

    Attributes:
        clear: magnitude from which on a score tells at any distance.
        slope: margin for each unit of magnitude below that.
        blind: magnitude below which no score tells.

    >>> margin = Margin(clear=11.0, slope=0.05, blind=7.0)
    >>> margin.at(12.0), margin.at(9.0), margin.at(6.0)
    (0.0, 0.1, inf)
    """

    clear: float
    slope: float
    blind: float

    def at(self, magnitude: float) -> float:
        """Margin at a magnitude, 0 where it is not known."""
        if magnitude < self.blind:
            return inf
        return self.slope * (self.clear - magnitude) if magnitude < self.clear else 0.0


MARGINS: Final = {BUILTIN["sface"].sha256: Margin(clear=11.0, slope=0.05, blind=7.0)}
"""By the model's hash; no others are measured, so with other models every score tells. Chosen on
LFW's View 1 training people: on seventeen kinds of degraded photos it takes away most of the wrong
answers, and of all pairs of 3,443 photos as they are less than 1 right answer in 1,000.
``benchmarks/cannot_tell.py`` measures it on other people."""


def doubt(a: Template, b: Template, *, score: float, threshold: float) -> str | None:
    """Why a score cannot tell whether two templates are one person's; ``None`` where it can.

    Args:
        a: the template of one photo.
        b: that of the other.
        score: their cosine similarity.
        threshold: from which on a pair is decided mated.
    """
    margin = MARGINS.get(a.model_sha256)
    if margin is None:
        return None
    poor, better = sorted((a, b), key=lambda one: margin.at(one.magnitude), reverse=True)
    # What lowers scores is one poor photo; what raises them is that both are.
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
