"""Photos named on a command line: files, folders, and standard input."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from visavis.errors import ImageNotFoundError, ImageTruncatedError, OptionError

STANDARD_INPUT: Final = frozenset({"-", "/dev/stdin"})
_NAME: Final = "standard input"


class _Stream(io.BytesIO):
    """Bytes read from standard input, with the name that messages use."""

    name = _NAME


def gather(given: Sequence[str]) -> tuple[list[Path | bytes], list[str]]:
    """Return the photos and their names.

    A file stays a path. A folder becomes the sorted files below it that have a photo's suffix.
    ``-`` becomes the bytes of standard input.

    Raises:
        ImageNotFoundError: a folder holds no photo, or there is no standard input.
        ImageTruncatedError: standard input is empty.
        OptionError: standard input is named twice.
    """
    from visavis.api.photos import photos_in

    _check_once(given)
    photos: list[Path | bytes] = []
    names: list[str] = []
    for name in given:
        if name in STANDARD_INPUT:
            photos.append(_standard_input())
            names.append(_NAME)
        elif os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            inside = photos_in(Path(name))
            photos += inside
            names += map(str, inside)
        else:
            photos.append(Path(name))
            names.append(name)
    return photos, names


def single(given: Sequence[str]) -> list[str | _Stream]:
    """Return photos, without searching folders: paths as named, standard input's bytes for ``-``.

    Raises:
        ImageNotFoundError, ImageTruncatedError, OptionError: see ``gather``.
    """
    _check_once(given)
    return [_Stream(_standard_input()) if name in STANDARD_INPUT else name for name in given]


def _check_once(given: Sequence[str]) -> None:
    if sum(name in STANDARD_INPUT for name in given) > 1:
        raise OptionError("standard input twice", "it is one photo: name the other one's file")


def _standard_input() -> bytes:
    from visavis.api.photos import read_bytes

    remedy = "pipe one photo into it, such as `visavis detect - < photo.jpg`"
    if sys.stdin is None:
        raise ImageNotFoundError("standard input is closed", remedy)
    if sys.stdin.isatty():
        raise ImageNotFoundError("standard input is a terminal", remedy)
    try:
        return read_bytes(sys.stdin.buffer, name=_NAME)
    except ImageTruncatedError as error:
        raise ImageTruncatedError(error.got, remedy) from error
