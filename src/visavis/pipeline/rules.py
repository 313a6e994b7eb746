"""Which face counts where a photo has several."""

from __future__ import annotations

from typing import Final

from visavis.errors import NoFaceError, OptionError, SeveralFacesError
from visavis.types import Face

RULES: Final = ("largest", "central", "best-match", "refuse", "all")
"""``largest``: the biggest box, its area weighted by the detector's confidence. ``central``: the
one nearest the photo's centre. ``best-match``: all faces are compared and the closest pair counts
(at a threshold corrected for the number of comparisons). ``refuse``: several faces are an error.
``all``: every face, for embedding only."""


def check(rule: str, *, allow: tuple[str, ...] = RULES) -> str:
    """Return ``rule``, or raise OptionError naming the accepted ones."""
    if rule not in allow:
        raise OptionError(f"face rule {rule!r}", f"choose one of {', '.join(allow)}")
    return rule


def choose(faces: list[Face], rule: str, *, size: tuple[int, int], source: str) -> list[Face]:
    """The faces that ``rule`` keeps, at least one.

    Args:
        faces: largest first.
        rule: one of ``RULES``.
        size: width and height of the photo in pixels.
        source: the photo, for messages.

    Raises:
        NoFaceError: ``faces`` is empty.
        SeveralFacesError: the rule is ``refuse`` and there are several.
    """
    check(rule)
    if not faces:
        raise NoFaceError(
            f"{source}: no face found in {size[0]}x{size[1]} pixels",
            "use a sharper photo that shows the whole face, eyes at least 10 pixels apart",
        )
    if rule == "refuse" and len(faces) > 1:
        raise SeveralFacesError(
            f"{source}: {len(faces)} faces found",
            "crop the photo to one person, or choose the rule largest, central or best-match",
        )
    if rule in {"best-match", "all"}:
        return list(faces)
    if rule == "central":
        middle = (size[0] / 2, size[1] / 2)
        return [min(faces, key=lambda face: _distance(face, middle))]
    return [max(faces, key=lambda face: face.area * face.score)]


def _distance(face: Face, point: tuple[float, float]) -> float:
    x, y, width, height = face.box
    return (x + width / 2 - point[0]) ** 2 + (y + height / 2 - point[1]) ** 2
