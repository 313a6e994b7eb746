"""Bad and odd photos, each with the exact outcome that it must have.

Every file is made when asked for; nothing binary is committed. For the commands' tests too::

    for case in corpus(tmp_path): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visavis.errors import VisavisError


@dataclass(frozen=True)
class Case:
    """One source and its outcome.

    Attributes:
        name: readable and unique.
        source: mostly a path; str, bytes or an array where that is the point.
        expect: the exact class of the error, None where the photo is read.
        contains: words that the message has.
        pixels: what is read, None where an error is expected.
        tolerance: how far off a level may be (0 for lossless).
    """

    name: str
    source: Any
    expect: type[VisavisError] | None = None
    contains: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    tolerance: int = 0


@dataclass(frozen=True)
class Recipe:
    """How to make a case: ``make`` gives the content of a file, or any other source."""

    name: str
    make: Callable[[Path], Any]
    expect: type[VisavisError] | None = None
    contains: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    tolerance: int = 0
    file: str | None = None
    """Name of the file that the made bytes go in; None to pass on what was made."""

    def cook(self, folder: Path) -> Case:
        """Make the case in ``folder``."""
        source = self.make(folder)
        if self.file is not None:
            path = folder / self.file
            path.write_bytes(source)
            source = path
        return Case(self.name, source, self.expect, self.contains, self.pixels, self.tolerance)


def recipes() -> list[Recipe]:
    """Every recipe, by readable name."""
    from tests.images.recipes import damaged, foreign, formats, modes, oversized, paths

    rooms = (paths, foreign, damaged, oversized, modes, formats)
    return [recipe for room in rooms for recipe in room.recipes()]


def corpus(folder: Path) -> list[Case]:
    """Every case, its file made in ``folder``."""
    return [recipe.cook(folder) for recipe in recipes()]
