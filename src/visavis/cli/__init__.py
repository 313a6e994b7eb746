"""The ``visavis`` command. One file per command.

Exit codes: 0 success (``verify``: same), 1 different (``verify``) or some photos of a batch failed,
2 error, 130 interrupted, 141 standard output was closed by its reader.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point of the ``visavis`` command."""
    from visavis.cli import ending

    try:
        ending.take_streams()
        from visavis.cli.app import run

        run()
    except KeyboardInterrupt:  # while the program was loading; later each command handles it
        sys.exit(130)
    except Exception as error:  # a package that does not load, for one
        ending.end(error)
    finally:  # nothing is left to save: Ctrl-C ends it while threads finish their photo
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)
