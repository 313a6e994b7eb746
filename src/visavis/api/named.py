"""The answer of ``Gallery.identify``, which draws itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visavis.api.answers import kept
from visavis.identification.records import IdentifiedPhoto
from visavis.plots import Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NamedPhoto(Drawn, IdentifiedPhoto):
    """An ``IdentifiedPhoto``, with the photo for ``plot``."""

    __slots__ = ("given",)
    given: Any

    def plot(self) -> Figure:
        """Draw the photo with a box for every face, who it is, and the score.

        Raises:
            ImageError: the photo is not there any more.
            MissingExtraError: matplotlib is not installed.
        """
        from visavis.api import pictures

        return pictures.of_people(kept(self, "given"), self.faces)
