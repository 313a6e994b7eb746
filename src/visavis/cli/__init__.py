"""The ``visavis`` command: one thin file a command.

Exit codes: 0 fine (``verify``: same), 1 different (``verify``) or some photos of a batch failed,
2 error.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``visavis`` command."""
    from visavis.cli.app import run

    run()
