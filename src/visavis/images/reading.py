"""Reads sources to bytes: one bounded read that neither blocks nor uses the network."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
from PIL import Image as PillowImage

from visavis.errors import (
    ImageNotFoundError,
    ImageTooLargeError,
    ImageTruncatedError,
    ImageUnsupportedError,
    OptionError,
)
from visavis.reading import FLAGS, kind_of
from visavis.types import Record

_MOST_EXIF: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits(Record):
    """Limits that are checked before memory is used.

    Attributes:
        max_pixels: most pixels (width x height), checked on the header before decoding. Decoding
            needs 10 bytes per pixel for a JPEG, up to 22 for a WebP with transparency.
        max_bytes: most bytes of an encoded photo, checked before it is read completely.
        min_side: lowest width and height in pixels.

    Raises:
        OptionError: a limit is not an integer of at least 1.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 100_000_000
    min_side: int = 1

    def __post_init__(self) -> None:
        for option in ("max_pixels", "max_bytes", "min_side"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(
                    f"Limits({option}={value!r})", "give a whole number of at least 1"
                )

    def check_bytes(self, count: int, name: str) -> None:
        """Refuses an encoded photo of too many bytes."""
        if count > self.max_bytes:
            raise ImageTooLargeError(
                f"{name} has more than {self.max_bytes:,} bytes",
                "store the photo smaller, or raise Limits(max_bytes=...)",
            )

    def check_size(self, width: int, height: int, name: str) -> None:
        """Refuses a photo of too many or too few pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLargeError(
                f"{name} claims {width} x {height} = {width * height:,} pixels, "
                f"more than {self.max_pixels:,}",
                "scale the photo down, or raise Limits(max_pixels=...) if you trust it",
            )
        if min(width, height) < self.min_side:
            raise ImageUnsupportedError(
                f"{name} is {width} x {height} pixels",
                f"give a photo of at least {self.min_side} x {self.min_side}",
            )


DEFAULT_LIMITS = Limits()


def check_exif(size: int, name: str) -> None:
    """Refuses too much EXIF data, because reading it is slow."""
    if size > _MOST_EXIF:
        raise ImageUnsupportedError(
            f"{name} has more than {_MOST_EXIF:,} bytes of EXIF data", "save it without them"
        )


def refuse_excess(name: str, kind: str, what: str) -> NoReturn:
    """Refuses a file that needs too much time or memory relative to its image.

    Args:
        name: name of the photo in messages.
        kind: its format.
        what: the excessive part.
    """
    raise ImageUnsupportedError(
        f"{name} is {with_article(kind)} with {what}", "save it anew as a plain JPEG or PNG"
    )


_LONGEST = 240


def describe(source: Any, /) -> str:
    """Returns the name of a source for messages, on one printable line.

    Args:
        source: anything; see :func:`visavis.images.decode`.

    Returns:
        The path, or the kind and size of the source. Paths that do not print plainly (control
        characters, invalid text, spaces at the ends) are quoted and escaped; very long ones are
        shortened in the middle.

    >>> describe("people/ann.jpg")
    'people/ann.jpg'
    >>> describe(bytes(1234))
    'bytes (1,234 B)'
    >>> describe(np.zeros((480, 640, 3), np.uint8))
    'array (480, 640, 3) uint8'
    """
    if isinstance(source, np.ndarray):
        return f"array {source.shape} {source.dtype}"
    if isinstance(source, PillowImage.Image):
        return f"PIL image ({source.mode} {source.width} x {source.height})"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"bytes ({memoryview(source).nbytes:,} B)"
    if isinstance(source, (str, os.PathLike)):
        return printable(os.fsdecode(source))
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return printable(name) if isinstance(name, str) and name else "file object"
    return f"object of type {type(source).__name__}"


def printable(text: str) -> str:
    """Returns text unchanged if it prints plainly on one line; otherwise quoted and escaped."""
    if not text or not text.isprintable() or text != text.strip():
        text = repr(text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    return text


def with_article(noun: str) -> str:
    """Adds ``a`` or ``an`` to a noun.

    >>> with_article("icon"), with_article("JPEG")
    ('an icon', 'a JPEG')
    """
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"


_URL = re.compile(r"(?i)(https?|ftps?|s3|gs|file|data):")
_NO_NETWORK = (
    "is a URL; visavis does not fetch from the network",
    "download the photo and pass its path or bytes",
)
_URLS = {
    "file": ("is a URL", "pass the plain path, without 'file://'"),
    "data": ("is a data URL", "decode its base64 part and pass the bytes"),
}
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_PROBLEMS = {
    errno.EACCES: ("may not be read (permission denied)", "change its permissions"),
    errno.EPERM: ("may not be read (permission denied)", "change its permissions"),
    errno.ELOOP: ("is a loop of symbolic links", "name the photo itself"),
    errno.ENAMETOOLONG: ("is too long for a path", "pass a path, or image data as bytes"),
}
_CHUNK = 1 << 20


def read_bytes(
    source: Any, /, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> bytes:
    """Returns the encoded photo of a path, a binary file object or bytes, read once.

    Hash and decode these bytes instead of reading the file twice::

        data = read_bytes(path)
        key = digest(data)
        pixels = decode(data, name=describe(path))

    Args:
        source: path (``str`` or ``os.PathLike``), binary file object (read from its current
            position, not closed), or bytes.
        limits: at most ``limits.max_bytes + 1`` bytes are read.
        name: name of the photo in messages; default ``describe(source)``.

    Raises:
        ImageNotFoundError: no such regular file, or not readable. Pipes, sockets, devices and URLs
            are refused.
        ImageTooLargeError: more than ``limits.max_bytes`` bytes.
        ImageTruncatedError: empty.
        ImageUnsupportedError: another kind of source.
    """
    name = describe(source) if name is None else name
    if isinstance(source, (bytes, bytearray, memoryview)):
        limits.check_bytes(memoryview(source).nbytes, name)
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        data = _read_path(os.fsdecode(source), limits, name)
    elif hasattr(source, "read"):
        data = _read_stream(source, limits, name)
    else:
        raise ImageUnsupportedError(
            name, "pass a path, bytes, a binary file object, a PIL image or a uint8 array"
        )
    if not data:
        raise ImageTruncatedError(f"{name} is empty (0 bytes)", _empty_remedy(source))
    return data


def _read_path(path: str, limits: Limits, name: str) -> bytes:
    if not path:
        raise ImageNotFoundError("the path is empty", "name a photo")
    try:
        _refuse_irregular(Path(path).stat().st_mode, name)
        with os.fdopen(os.open(path, FLAGS), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            _refuse_irregular(status.st_mode, name)
            limits.check_bytes(status.st_size, name)
            return _drain(file, limits, name, expected=status.st_size)
    except (OSError, ValueError) as error:  # ValueError: a null character, a lone surrogate
        if isinstance(error, ImageNotFoundError):
            raise
        raise ImageNotFoundError(*_path_problem(error, path, name)) from error


def _read_stream(stream: IO[bytes], limits: Limits, name: str) -> bytes:
    try:
        return _drain(stream, limits, name)
    except (OSError, ValueError) as error:  # ValueError: the file object is closed
        raise ImageNotFoundError(
            f"{name} cannot be read ({error})", "pass an open, readable binary file object"
        ) from error


def _drain(stream: IO[bytes], limits: Limits, name: str, *, expected: int = _CHUNK) -> bytes:
    parts: list[bytes] = []
    total = 0
    while total <= limits.max_bytes:
        want = max(expected - total, 0) + 1  # one byte more than expected, to detect the end
        part = stream.read(min(max(want, 1 << 12), limits.max_bytes + 1 - total))
        if not isinstance(part, (bytes, bytearray)):
            raise ImageUnsupportedError(
                f"{name}: read() gave {type(part).__name__}, not bytes",
                "open the file in binary mode ('rb') and blocking",
            )
        if not part:
            break
        parts.append(bytes(part))
        total += len(part)
    limits.check_bytes(total, name)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse_irregular(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise ImageNotFoundError(f"{name} is a folder", "name one photo in it")
    raise ImageNotFoundError(
        f"{name} is {kind_of(mode)}, not a regular file",
        "pass its bytes or an open file object instead",
    )


def _path_problem(error: OSError | ValueError, path: str, name: str) -> tuple[str, str]:
    """Returns problem and remedy for a path that could not be opened or read."""
    if url := _URL.match(path):
        problem, remedy = _URLS.get(url[1].lower(), _NO_NETWORK)
        return f"{name} {problem}", remedy
    if not isinstance(error, OSError) or error.errno is None:
        return f"{name} is not a valid path ({error})", "check the path"
    if error.errno in _MISSING:
        remedy = "check the path"
        if path.startswith("~"):
            remedy = "'~' is not expanded: use Path(...).expanduser()"
        elif path != path.strip():
            remedy = "remove the spaces around the path"
        return f"{name} not found", remedy
    problem, remedy = _PROBLEMS.get(
        error.errno,
        (f"cannot be read ({os.strerror(error.errno)})", "check the file and its disk"),
    )
    return f"{name} {problem}", remedy


def _empty_remedy(source: Any) -> str:
    if hasattr(source, "read") and hasattr(source, "seek"):
        return "rewind it with seek(0) if it was read before"
    return "copy or download the photo again"
