"""Rules for choosing faces in photos with several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from visavis.errors import NoFaceError, OptionError, SeveralFacesError
from visavis.types import Face, PassedOver

RULES: Final = ("largest", "central", "clear", "best-match", "refuse", "all")
"""``largest``: the largest area times weight. ``central``: the face nearest to the center, without
those that are much smaller than the largest. ``clear``: the largest, if its area times weight is at
least four times that of every other face; else an error. ``best-match``: all faces are compared and
the best pair counts (at a threshold corrected for the number of comparisons). ``refuse``: an error
if several faces are clear. ``all``: every face, for embedding only. The weight is the quality
score, which blur, small size, bad light, pose and low confidence of the detector reduce."""

_UNCLEAR: Final = 0.5
"""A face below this share of the best weight is unclear; ``refuse`` ignores it."""

_SMALL: Final = 0.1
"""A face below this share of the largest area times weight is never chosen by ``central``."""


_CLEARLY_LARGEST: Final = 4.0

_REMEDY: Final = "crop the photo to one person, or choose the rule largest or central"


@dataclass(frozen=True, slots=True)
class Choice:
    """The faces that a rule chose, and the others.

    Attributes:
        indices: positions of the chosen faces, at least one.
        passed_over: the other faces, each with the reason.
    """

    indices: tuple[int, ...]
    passed_over: tuple[PassedOver, ...] = ()


def check(rule: str, *, allow: tuple[str, ...] = RULES) -> str:
    """Returns ``rule``; raises OptionError if it is not accepted."""
    if rule not in allow:
        raise OptionError(f"face rule {rule!r}", f"choose one of {', '.join(allow)}")
    return rule


def choose(
    faces: Sequence[Face],
    rule: str,
    *,
    size: tuple[int, int],
    photo: str,
    weights: Sequence[float] | None = None,
) -> Choice:
    """Chooses faces by ``rule``, at least one.

    Args:
        faces: any order.
        rule: one of ``RULES``.
        size: width and height of the photo in pixels.
        photo: the photo's name, for messages.
        weights: quality score of each face in [0, 1] (``visavis.faces.quality``); ``None``: the
            detector's scores.

    Raises:
        NoFaceError: ``faces`` is empty.
        SeveralFacesError: the rule is ``refuse`` and several faces are clear, or it is ``clear``
            and no face is much larger than the others.
    """
    check(rule)
    if not faces:
        raise NoFaceError(
            f"{photo}: no face found in {size[0]}x{size[1]} pixels",
            "use a sharper photo that shows the whole face, eyes at least 10 pixels apart",
        )
    if rule in {"best-match", "all"} or len(faces) == 1:
        return Choice(tuple(range(len(faces))))
    weights = [face.score for face in faces] if weights is None else weights
    areas = [face.area * weight for face, weight in zip(faces, weights, strict=True)]
    clear = [weight >= _UNCLEAR * max(weights) for weight in weights]
    if rule == "refuse":
        if sum(clear) > 1:
            raise SeveralFacesError(f"{photo}: {sum(clear)} faces found", _REMEDY)
        kept = clear.index(True)
    elif rule == "central":
        large = [k for k, area in enumerate(areas) if area >= _SMALL * max(areas)]
        kept = min(large, key=lambda k: _distance(faces[k], size))
    else:
        kept = max(range(len(faces)), key=areas.__getitem__)
        if rule == "clear" and areas[kept] < _CLEARLY_LARGEST * sorted(areas)[-2]:
            raise SeveralFacesError(
                f"{photo}: {len(faces)} faces found, none far larger than the others", _REMEDY
            )
    reasons = [
        "unclear"
        if not clear[k]
        else "off-center"
        if rule == "central" and areas[k] >= _SMALL * max(areas)
        else "smaller"
        for k in range(len(faces))
    ]
    return Choice(
        (kept,),
        tuple(PassedOver(face, reasons[k]) for k, face in enumerate(faces) if k != kept),
    )


def _distance(face: Face, size: tuple[int, int]) -> float:
    x, y, width, height = face.box
    return (x + width / 2 - size[0] / 2) ** 2 + (y + height / 2 - size[1] / 2) ** 2
