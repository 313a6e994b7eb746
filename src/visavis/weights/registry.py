"""The registry: entries of model files, and the user's own in one JSON file in the home folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta

from visavis.errors import (
    ModelDamagedError,
    ModelError,
    ModelUnavailableError,
    OptionError,
    decoding,
)
from visavis.former import MODEL_FIELDS, RENAMED
from visavis.reading import open_regular
from visavis.types import Record
from visavis.weights.files import locked, replacing, sha256_of

Triple: TypeAlias = tuple[float, float, float]

_Finite: TypeAlias = Annotated[float, Meta(gt=-1e300, lt=1e300)]
_Positive: TypeAlias = Annotated[float, Meta(gt=0, lt=1e300)]
_Whole: TypeAlias = Annotated[int, Meta(ge=1)]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_REMEDY: Final = "give what the documentation of ModelEntry says"


@dataclass(frozen=True, slots=True)
class Carrier(Record):
    """A Python distribution that contains a model file. Its code is never imported.

    Attributes:
        distribution: name on the package index.
        path: the file inside the installed distribution, with ``/``.
        extra: the visavis extra that installs it; empty if the base install does.
    """

    distribution: str
    path: str
    extra: str = ""


@dataclass(frozen=True, slots=True)
class ModelEntry(Record):
    """One registered model file.

    Copies are searched in the local cache, then in the ``carriers``, then (only if downloads are
    allowed) at the ``urls``, each in order.

    Attributes:
        name: 1 to 64 of ``a-z 0-9 . _ -``, the first a letter or digit.
        kind: ``detector``, ``embedder`` or ``landmarks``.
        filename: original file name.
        sha256: hash of the file, 64 lower-case hexadecimal digits.
        size: size of the file in bytes.
        license: SPDX expression.
        use: permitted use, in words.
        training_data: training data according to its authors.
        paper: citation.
        homepage: its origin.
        carriers: distributions that contain it.
        urls: download addresses.
        format: ``onnx``, ``openvino``, ``torch-export``, ``torchscript``, ``dlib`` or
            ``joblib-lz4``.
        input_size: side of an embedder's square crop, in pixels.
        dimension: length of an embedder's vector; ``None`` until known.
        mean: see ``std``; in the order of ``color``.
        std: the input of an embedder is ``(x - mean) / std``, with crop channels x in 0..255.
        color: channel order, ``rgb`` or ``bgr``.
        layout: axis order, ``NCHW`` or ``NHWC``.
        crop_scale: size of the face in the crop relative to the 112x112 template; below 1 the crop
            shows more around it.
        batch: batch size of an embedder; ``None``: any.
        runtimes: names of the runtimes that support the graph.
        added: time of adding, ISO 8601 in UTC; empty for built-in models.

    Raises:
        OptionError: a field outside its range.
    """

    name: str
    kind: Annotated[str, Meta(pattern=r"^(detector|embedder|landmarks)\Z")]
    filename: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: _Whole
    license: str
    use: str = ""
    training_data: str = ""
    paper: str = ""
    homepage: str = ""
    carriers: tuple[Carrier, ...] = ()
    urls: tuple[str, ...] = ()
    format: str = "onnx"
    input_size: Annotated[int, Meta(ge=1, le=4096)] | None = None
    dimension: _Whole | None = None
    mean: tuple[_Finite, _Finite, _Finite] = (0.0, 0.0, 0.0)
    std: tuple[_Positive, _Positive, _Positive] = (1.0, 1.0, 1.0)
    color: Annotated[str, Meta(pattern=r"^(rgb|bgr)\Z")] = "rgb"
    layout: Annotated[str, Meta(pattern=r"^(NCHW|NHWC)\Z")] = "NCHW"
    crop_scale: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    batch: _Whole | None = None
    runtimes: tuple[str, ...] = ("onnxruntime", "openvino")
    added: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        with decoding(f"model {self.name}", OptionError, _REMEDY):
            msgspec.convert(self, _wire_type(), from_attributes=True)
        for field in ("filename", "license", "use", "training_data", "paper", "homepage", "added"):
            text = getattr(self, field)
            if not text.isprintable() or (field in {"filename", "license"} and not text.strip()):
                raise OptionError(f"{field} {text!r}", "give one line of text")

    @property
    def builtin(self) -> bool:
        """Whether the model is built in."""
        return not self.added

    @property
    def preprocessing(self) -> tuple[object, ...]:
        """Preprocessing settings that affect the vector of a crop."""
        return (
            *(self.input_size, self.mean, self.std, self.color, self.layout),
            self.crop_scale,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelEntry:
        """Reads an entry written by ``to_dict``, in this version or a former one.

        Raises:
            OptionError: a field is missing, unknown or outside its range.
        """
        values = {RENAMED.get(k, k): v for k, v in values.items() if k not in MODEL_FIELDS}
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise OptionError(f"{unknown[0]}: an unknown field", _REMEDY)
        with decoding("a model's entry", OptionError, _REMEDY):
            return msgspec.convert(values, cls)


@cache
def _wire_type() -> type[msgspec.Struct]:
    """The fields of ``ModelEntry`` as a type that msgspec checks without calling its checks."""
    return msgspec.defstruct("Entry", get_type_hints(ModelEntry, include_extras=True).items())


def check_name(name: object) -> str:
    """Returns the name if it is valid for a model.

    Names occur in commands and may become file names, so they are lower-case ASCII and cannot lead
    out of a folder.

    Raises:
        OptionError: it is invalid.

    >>> check_name("arcface-r50.v2")
    'arcface-r50.v2'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise OptionError(
            f"model name {name!r}",
            "use 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit, such as arcface-r50",
        )
    return name


def triple(values: float | tuple[float, ...] | list[float], /) -> Triple:
    """Converts one number for all channels, or one per channel, to three.

    Raises:
        OptionError: not one or three finite numbers.

    >>> triple(127.5)
    (127.5, 127.5, 127.5)
    """
    numbers = tuple(values) if isinstance(values, (tuple, list)) else (values,)
    three = numbers * 3 if len(numbers) == 1 else numbers
    with decoding("mean or std", OptionError, "give one finite number, or three"):
        return msgspec.convert(three, tuple[_Finite, _Finite, _Finite])


_VERSION: Final = 1
_RESTORE: Final = (
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
            raise ModelError(f"{self._source}: not UTF-8 text", _RESTORE) from error
        with decoding(self._source, ModelError, _RESTORE):
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
                raise ModelError(
                    f"{self._source}: model {number}: {error.got}", _RESTORE
                ) from error
            if entry.name in entries:
                raise ModelError(f"{self._source}: two models are called {entry.name!r}", _RESTORE)
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
                f"(size {other.input_size}, mean {other.mean}, std {other.std}, {other.color}, "
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
