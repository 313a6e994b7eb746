"""Answers that draw themselves: ``.plot()``, which Jupyter shows. They keep the photo given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visavis.errors import OptionError
from visavis.pipeline.records import Verification
from visavis.plots import Drawn
from visavis.types import Face

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class VerifiedPair(Drawn, Verification):
    """A ``Verification``, with the two photos for ``plot``."""

    __slots__ = ("photos",)
    photos: tuple[Any, Any]

    def plot(self) -> Figure:
        """Draw both photos with their faces, both crops, and the score against the threshold.

        Raises:
            ImageError: a photo is not there any more.
            MissingExtraError: matplotlib is not installed.
        """
        from visavis.api import pictures

        a, b = kept(self, "photos")
        return pictures.of_pairs([("", None, self, a, b)])


class DetectedFaces(Drawn, list[Face]):
    """Faces of a photo, largest first, with the photo for ``plot``."""

    __slots__ = ("photo",)
    photo: Any

    def plot(self) -> Figure:
        """Draw the photo with a box, landmarks and the detector's score for every face.

        Raises:
            ImageError: the photo is not there any more.
            MissingExtraError: matplotlib is not installed.
        """
        from visavis.api import pictures

        return pictures.of_faces(kept(self, "photo"), self)


def kept(answer: Drawn, name: str) -> Any:
    """The photo of an answer.

    Raises:
        OptionError: it was left behind, as where the answer was pickled.
    """
    found = getattr(answer, name, None)
    if found is None:
        raise OptionError("an answer without its photo", "ask again, and draw it here")
    return found
