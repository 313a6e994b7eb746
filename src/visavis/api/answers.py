"""Results with ``.plot()``, which Jupyter displays. They keep a reference to the photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visavis.errors import OptionError
from visavis.pipeline.records import Verification
from visavis.plots import Drawn
from visavis.types import Face

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class VerifiedPair(Drawn, Verification):
    """A ``Verification`` with its two photos, for ``plot``."""

    __slots__ = ("photos",)
    photos: tuple[Any, Any]

    def plot(self) -> Figure:
        """Draws both photos with faces, both crops, and the score with the threshold.

        Raises:
            ImageError: a photo no longer exists.
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
        """Draws the photo with box, landmarks and detector score of every face.

        Raises:
            ImageError: the photo no longer exists.
            MissingExtraError: matplotlib is not installed.
        """
        from visavis.api import pictures

        return pictures.of_faces(kept(self, "photo"), self)


def kept(answer: Drawn, name: str) -> Any:
    """Returns the photo of a result.

    Raises:
        OptionError: the photo is missing, for example after pickling.
    """
    found = getattr(answer, name, None)
    if found is None:
        raise OptionError("an answer without its photo", "ask again, and draw it here")
    return found
