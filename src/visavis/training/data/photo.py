"""A photo to pack: whose, what it is called, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visavis import images


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of one person, a file of its own.

    Attributes:
        person: whose.
        name: relative to its source and stable between machines, such as ``Ann/ann_0001.jpg``;
            each once in a pack.
        path: the file its bytes are in.
        offset: where its record begins, in a file of many (``rec.RecordPhoto``).
    """

    person: str
    name: str
    path: Path
    offset: int = 0

    def read(self) -> bytes:
        """The encoded photo.

        Raises:
            ImageError: it cannot be read.
        """
        return images.read_bytes(self.path, name=self.name)
