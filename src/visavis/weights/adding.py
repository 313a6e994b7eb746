"""Checks for adding a user's model to the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from visavis.errors import ModelDamagedError, ModelUnavailableError, OptionError
from visavis.reading import open_regular
from visavis.weights.digest import sha256_of
from visavis.weights.disk import replacing
from visavis.weights.entry import ModelEntry

_CHUNK: Final = 1 << 20


def identify(file: Path) -> tuple[str, int]:
    """Returns SHA-256 and size of the file to add.

    Raises:
        ModelUnavailableError: it is missing or cannot be read.
    """
    try:
        return sha256_of(file, afresh=True), file.stat().st_size
    except OSError as error:
        raise ModelUnavailableError(
            f"{file} cannot be read ({error.strerror})", "give the path of an .onnx file"
        ) from error


def check_same(known: ModelEntry, given: ModelEntry) -> None:
    """Refuses to change a registered model; its runtimes may change.

    Raises:
        OptionError: the name is registered with another file or other settings.
    """
    check_same_file(known, given.sha256)
    old, new = known.to_dict(), given.to_dict()
    told_apart = [k for k in new if k not in {"added", "filename", "runtimes"} and old[k] != new[k]]
    if told_apart:
        field = told_apart[0]
        raise OptionError(
            f"model {known.name!r} is registered with {field} {old[field]!r}, not {new[field]!r}",
            _another_name(known),
        )


def check_same_file(known: ModelEntry, sha256: str) -> None:
    """Refuses another file for a registered name.

    Raises:
        OptionError: the name is registered with another file.
    """
    if known.sha256 != sha256:
        raise OptionError(
            f"model name {known.name!r} is taken by another file (sha256 {known.sha256[:12]}, "
            f"added {known.added})",
            _another_name(known),
        )


def _another_name(known: ModelEntry) -> str:
    return f"choose another name, or first: visavis models remove {known.name}"


def check_twins(given: ModelEntry, others: Iterable[ModelEntry]) -> None:
    """Refuses the same file under another name with other input settings.

    Templates are identified by the hash of the model file; with two settings of one file, templates
    would look comparable but are not.

    Raises:
        OptionError: such a model is registered.
    """
    for other in others:
        if other.sha256 == given.sha256 and other.preprocessing != given.preprocessing:
            raise OptionError(
                f"this file is registered as {other.name!r} with other input settings "
                f"(size {other.input_size}, mean {other.mean}, std {other.std}, {other.colour}, "
                f"{other.layout}, crop scale {other.crop_scale:g})",
                f"use it as --model {other.name}, or the same settings"
                if other.builtin
                else f"use the same settings, or first: visavis models remove {other.name}",
            )


def keep(source: Path, target: Path, entry: ModelEntry) -> None:
    """Copies the file into the cache, unless an intact copy exists.

    Raises:
        ModelDamagedError: the file has changed since it was hashed.
        ModelUnavailableError: it cannot be read.
        ModelError: the cache cannot be written.
    """
    if target.is_file() and sha256_of(target) == entry.sha256:
        return
    try:
        reader = open_regular(source)
    except OSError as error:
        raise ModelUnavailableError(
            f"{source} cannot be read ({error.strerror})", "give the path of an .onnx file"
        ) from error
    digest = hashlib.sha256()
    with reader, replacing(target) as file:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise ModelDamagedError(
                f"{source} has changed while it was added", "add it again when nothing writes to it"
            )
