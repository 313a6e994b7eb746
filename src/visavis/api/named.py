"""The result of ``Gallery.identify``, with ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visavis.api.answers import kept
from visavis.identification.answers import IdentifiedPhoto
from visavis.plots import Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NamedPhoto(Drawn, IdentifiedPhoto):
    """An ``IdentifiedPhoto`` with its photo, for ``plot``."""

    __slots__ = ("given",)
    given: Any

    def plot(self) -> Figure:
        """Draws the photo with box, name and score of every face.

        Raises:
            ImageError: the photo no longer exists.
            MissingExtraError: matplotlib is not installed.
        """
        from visavis.api import pictures

        return pictures.of_people(kept(self, "given"), self.faces)
