"""The ``visavis`` command: one thin file a command.

Exit codes: 0 fine (``verify``: same), 1 different (``verify``) or some photos of a batch failed,
2 error.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Entry point of the ``visavis`` command."""
    _keep_native_libraries_quiet()
    try:
        from visavis.cli.app import run

        run()
    except KeyboardInterrupt:  # while the program was loading; later a command has its say
        sys.exit(130)
    finally:  # nothing is left to save: a Ctrl-C while threads finish their photo just ends it
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _keep_native_libraries_quiet() -> None:
    """Our messages go on to the real standard error; what C libraries write there does not.

    libtiff, for one, tells about damage in lines of its own before Pillow raises.
    """
    try:
        real = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    except OSError:
        return  # no standard error at all (a service, perhaps)
    sys.stderr = os.fdopen(real, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
