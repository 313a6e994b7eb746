"""Models added by the user, in one JSON file in the home folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from visavis.errors import ModelError, OptionError, decoding
from visavis.weights.disk import locked, replacing
from visavis.weights.entry import ModelEntry

_VERSION: Final = 1
_REMEDY: Final = (
    "restore it from a backup, or move it away and add your models again with `visavis models add`"
)


class _Registry(msgspec.Struct):
    version: int
    models: list[dict[str, Any]]


class UserModels:
    """Entries by name, in a file that is written atomically and under a lock.

    Args:
        file: may be missing.
        lock_timeout: seconds to wait for the lock.
    """

    def __init__(self, file: Path, *, lock_timeout: float) -> None:
        self._file = file
        self._source = f"{file}, a registry of models"
        self._lock_timeout = lock_timeout

    def load(self) -> dict[str, ModelEntry]:
        """Returns all entries, sorted by name; empty if the file is missing.

        Raises:
            ModelError: the file cannot be read or is not a model registry.
        """
        try:
            text = self._file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ModelError(
                f"{self._file} cannot be read ({error.strerror})",
                "allow reading it, or choose another home folder (VISAVIS_HOME for the commands)",
            ) from error
        except UnicodeDecodeError as error:
            raise ModelError(f"{self._source}: not UTF-8 text", _REMEDY) from error
        with decoding(self._source, ModelError, _REMEDY):
            registry = msgspec.json.decode(text, type=_Registry)
        if registry.version != _VERSION:
            raise ModelError(
                f"{self._file} is of version {registry.version}",
                f"this visavis reads version {_VERSION}; update visavis",
            )
        entries: dict[str, ModelEntry] = {}
        for number, values in enumerate(registry.models, start=1):
            try:
                entry = ModelEntry.from_dict(values)
            except OptionError as error:
                raise ModelError(f"{self._source}: model {number}: {error.got}", _REMEDY) from error
            if entry.name in entries:
                raise ModelError(f"{self._source}: two models are called {entry.name!r}", _REMEDY)
            entries[entry.name] = entry
        return dict(sorted(entries.items()))

    @contextmanager
    def changing(self) -> Iterator[dict[str, ModelEntry]]:
        """Yields the entries for changes in place; written if the block succeeds.

        Raises:
            ModelError: see ``load``, or the file cannot be written.
            ModelUnavailableError: another process holds the lock.
        """
        with locked(self._file, timeout=self._lock_timeout):
            entries = self.load()
            before = dict(entries)
            yield entries
            if entries != before:
                self._save(entries)

    def _save(self, entries: dict[str, ModelEntry]) -> None:
        models = [entry.to_dict() for _, entry in sorted(entries.items())]
        text = json.dumps({"version": _VERSION, "models": models}, ensure_ascii=False, indent=2)
        with replacing(self._file) as file:
            file.write(text.encode("utf-8") + b"\n")
