"""Ends a command after an error: one line and an exit status; sets up its output streams.

Exit statuses 0 and 1 are answers (``verify``: same, different). Any error ends with 2, and with
141 if the reader of standard output has closed it (``visavis detect album/ | head -1``).
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, Final, NoReturn

from visavis.errors import VisavisError

ERROR: Final = 2
CLOSED_PIPE: Final = 141  # 128 + SIGPIPE, as shells report a command that this signal killed
TRACEBACK: Final = "VISAVIS_TRACEBACK"


class OutputError(Exception):
    """Standard output cannot be written.

    Not an ``OSError``: Typer ends some of those with status 1.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.errno = error.errno
        self.strerror = error.strerror


class UnexpectedError(Exception):
    """Carries another error past Typer, which would end with status 1."""


class _Descriptor(io.FileIO):
    """A standard stream's descriptor; discards all writes after one has failed."""

    def __init__(self, descriptor: int, *, needed: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._needed = needed
        self._lost = False

    def write(self, data: Any, /) -> int:
        if not self._lost:
            try:
                return super().write(data)
            except OSError as error:
                # What is still in a buffer must not fail again when the program ends.
                self._lost = True
                if self._needed:
                    raise OutputError(error) from error
        return memoryview(data).nbytes


def take_streams() -> None:
    """Replace the standard streams, so that failed writes are handled.

    A failed write to standard output raises ``OutputError``; one to standard error is ignored.
    Native libraries no longer reach standard error: libtiff, for example, prints lines of its own
    about damage before Pillow raises.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for descriptor in (1, 2):
        _occupy(descriptor)
    if os.name != "nt":  # there, a console is no file
        sys.stdout = _text(1, needed=True, encoding=encoding)
    real = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = _text(real, needed=False, encoding="utf-8")


def _occupy(descriptor: int) -> None:
    """Occupy a closed descriptor, so that no opened file gets its number; writes to it fail."""
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDONLY)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)


def _text(descriptor: int, *, needed: bool, encoding: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Descriptor(descriptor, needed=needed))
    lines = not needed or os.isatty(descriptor)
    return io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=lines)


def end(error: BaseException) -> NoReturn:
    """Print the error in one line and exit with its status."""
    if isinstance(error, UnexpectedError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OutputError) and error.errno == errno.EPIPE:
        sys.exit(CLOSED_PIPE)
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    text = f"visavis: {in_one_line(error)}\n"
    sys.stderr.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stderr.flush()
    sys.exit(ERROR)


def in_one_line(error: BaseException) -> str:
    """Format an error as one line: what happened and what to do about it."""
    if isinstance(error, VisavisError):
        return str(error)
    if isinstance(error, OutputError):
        return str(
            VisavisError(
                f"standard output cannot be written ({error.strerror})",
                "the answer is lost: make room on the disk, or write it elsewhere",
            )
        )
    if isinstance(error, OSError) and error.strerror:
        where = [str(name) for name in (error.filename, error.filename2) if name is not None]
        at = f"{' and '.join(where)}: " if where else ""
        return str(
            VisavisError(
                f"{at}{error.strerror}", "check the file, its folder and the free space on the disk"
            )
        )
    if isinstance(error, MemoryError):
        return str(VisavisError("out of memory", "give smaller photos, or --workers 1"))
    return str(
        VisavisError(
            f"a bug in visavis, {type(error).__name__}: {error}",
            f"please report it with the traceback, which {TRACEBACK}=1 shows",
        )
    )
