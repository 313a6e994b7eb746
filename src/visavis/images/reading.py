"""Reads sources to bytes: one bounded read that neither blocks nor uses the network."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import IO, Any

from visavis.errors import ImageNotFoundError, ImageTruncatedError, ImageUnsupportedError
from visavis.images.describe import describe
from visavis.images.limits import DEFAULT_LIMITS, Limits
from visavis.reading import FLAGS, kind_of

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
