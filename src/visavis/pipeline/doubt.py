"""Scores that cannot tell: the photos show too little for a score so near the threshold.

The vector that a network makes of a face, before it is scaled to unit length, is the shorter the
less of the face the network could see: blurred, dark, tiny, covered, turned away (Q. Meng et al.,
"MagFace: a universal representation for face recognition and quality assessment", CVPR 2021). The
scores of a poor photo with its mates fall towards those of strangers; those of two poor photos with
each other rise. So a score counts as "different" only where it lies below the threshold by more
than the poorer photo may have cost, and as "same" only where it lies above by more than two poor
photos may have added, which is what the better of them is short of.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from visavis.types import Template
from visavis.weights.builtin import BUILTIN


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
