"""What a pack in the making has got so far: crops in one file, a line a photo in another.

Photos are worked off in a fixed order, so line k is about photo k. A crop is written before its
line; whatever a kill cut off, of either, is dropped when the work goes on. Only their owner can
read them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DataError
from visavis.training.data import layout
from visavis.training.data.pack import LeftOut
from visavis.writing import private_file

_SYNC: Final = 256  # photos between two forced writes to disk


@dataclass(frozen=True, slots=True)
class Kept:
    """A photo that gave a crop: digest of the crop, SHA-256 of the photo's bytes."""

    digest: str
    source: str


class Journal:
    """The two files beside a pack that is being made; one process at a time.

    Args:
        out: the pack to be.
        request: identifies photos and options.
        crop_bytes: bytes of a crop.
        anew: drop what was begun.
        replace: drop it where it was begun for another request.

    Attributes:
        crops: the file of crops, which becomes the pack.
        lines: the file of lines.
        done: what became of the photos so far, in their order.

    Raises:
        DataError: the work was begun for another request.
        OSError: the files cannot be written.
    """

    def __init__(
        self, out: Path, *, request: str, crop_bytes: int, anew: bool, replace: bool = False
    ) -> None:
        self.crops = out.with_name(f"{out.name}.partial")
        self.lines = out.with_name(f"{out.name}.partial.jsonl")
        self._crop_bytes = crop_bytes
        self.done: list[Kept | LeftOut] = []
        begun = None if anew else self._begun()
        if replace and begun != request:
            begun = None
        if begun is not None and begun != request:
            raise DataError(
                f"{self.crops}: begun for other photos or options",
                "give the same ones to go on, or start over: `visavis data pack --anew`",
            )
        if begun is None:
            for path, content in ((self.crops, b""), (self.lines, _json({"request": request}))):
                private_file(path)
                path.write_bytes(content)
        length = self._recover()
        kept = sum(isinstance(one, Kept) for one in self.done)
        self._file = self.crops.open("r+b")
        self._file.truncate(layout.START + kept * crop_bytes)
        self._file.seek(0, os.SEEK_END)
        self._log = self.lines.open("r+b")
        self._log.truncate(length)
        self._log.seek(0, os.SEEK_END)

    def _begun(self) -> str | None:
        """The request of work that was begun; ``None`` where there is none to go on with."""
        try:
            with self.lines.open("rb") as log:
                first = _parse(log.readline())
        except FileNotFoundError:
            return None
        return first.get("request") if first is not None and self.crops.exists() else None

    def _recover(self) -> int:
        """Read back whole lines whose crops are whole; returns the bytes of these lines."""
        with self.lines.open("rb") as log, self.crops.open("rb") as crops:
            length = len(log.readline())
            crops.seek(layout.START)
            for line in log:
                row = _parse(line)
                if row is None:
                    break
                if "digest" in row:
                    # A crop cut short has another digest too.
                    if layout.digest(crops.read(self._crop_bytes)) != row["digest"]:
                        break
                    self.done.append(Kept(row["digest"], row["source"]))
                else:
                    self.done.append(LeftOut(row["name"], row["reason"], row["message"]))
                length += len(line)
        return length

    def keep(self, crop: NDArray[np.uint8], source: str) -> None:
        """Add the next photo's crop."""
        pixels = np.ascontiguousarray(crop).tobytes()
        row = Kept(layout.digest(pixels), source)
        self._file.write(pixels)
        self._file.flush()
        self._add(row, {"digest": row.digest, "source": source})

    def leave_out(self, one: LeftOut) -> None:
        """Add the reason why the next photo has no crop."""
        self._add(one, {"name": one.photo, "reason": one.reason, "message": one.message})

    def _add(self, row: Kept | LeftOut, plain: dict[str, Any]) -> None:
        self.done.append(row)
        self._log.write(_json(plain))
        self._log.flush()
        if len(self.done) % _SYNC == 0:
            os.fsync(self._file.fileno())
            os.fsync(self._log.fileno())

    def finish(self, out: Path, index: layout.Index) -> None:
        """Make the crops a pack and give it its name."""
        layout.finish(self._file, index)
        os.fsync(self._file.fileno())
        self.close()
        self.crops.replace(out)
        self.lines.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove both files: nothing in them is worth going on with."""
        self.close()
        self.crops.unlink(missing_ok=True)
        self.lines.unlink(missing_ok=True)

    def close(self) -> None:
        """Close both files; what was done stays for the next time."""
        self._file.close()
        self._log.close()


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode("ascii") + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line's values; ``None`` where it was cut off or is not one of ours."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    wanted = ({"request"}, {"digest", "source"}, {"name", "reason", "message"})
    return row if isinstance(row, dict) and set(row) in wanted else None
