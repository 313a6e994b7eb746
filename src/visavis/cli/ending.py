"""How a command ends: one line and an exit status for every error, and the streams it writes to.

Exit statuses 0 and 1 are answers (``verify``: same, different). Whatever goes wrong ends in 2, and
in 141 where the reader of standard output went away (``visavis detect album/ | head -1``).
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, Final, NoReturn

from visavis.errors import VisavisError

ERROR: Final = 2
CLOSED_PIPE: Final = 141  # 128 + SIGPIPE, as shells say it of a command that died of it
TRACEBACK: Final = "VISAVIS_TRACEBACK"


class OutputError(Exception):
    """Standard output cannot be written.

    It is no ``OSError``: of these, Typer ends some with status 1.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.errno = error.errno
        self.strerror = error.strerror


class UnexpectedError(Exception):
    """Carries another error past Typer, which would end with status 1."""


class _Descriptor(io.FileIO):
    """A standard stream's descriptor; after a write that failed, writes go nowhere."""

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
    """Make writes to standard output that fail an ``OutputError``, those to standard error nothing.

    Native libraries lose standard error: libtiff, for one, tells about damage in lines of its own
    before Pillow raises.
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
    """Keep a closed descriptor from becoming a file's; what is written to it fails."""
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
    """Say what happened in one line and exit."""
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
    """What happened, and what to do about it."""
    if isinstance(error, VisavisError):
        return str(error)
    if isinstance(error, OutputError):
        return str(
            VisavisError(
                f"standard output cannot be written ({error.strerror})",
                "the answer is lost: make room, or write it elsewhere",
            )
        )
    if isinstance(error, OSError) and error.strerror:
        where = [str(name) for name in (error.filename, error.filename2) if name is not None]
        at = f"{' and '.join(where)}: " if where else ""
        return str(
            VisavisError(f"{at}{error.strerror}", "check the file, its folder and the room on disk")
        )
    if isinstance(error, MemoryError):
        return str(VisavisError("out of memory", "give smaller photos, or --workers 1"))
    return str(
        VisavisError(
            f"a bug of visavis, {type(error).__name__}: {error}",
            f"please report it with the traceback, which {TRACEBACK}=1 shows",
        )
    )
