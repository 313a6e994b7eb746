"""Registry entries of model files."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta

from visavis.errors import OptionError, decoding
from visavis.former import MODEL_FIELDS
from visavis.types import Record

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
        licence: SPDX expression.
        use: permitted use, in words.
        training_data: training data according to its authors.
        paper: citation.
        homepage: its origin.
        carriers: distributions that contain it.
        urls: download addresses.
        format: ``onnx``, ``dlib`` or ``joblib-lz4``.
        input_size: side of an embedder's square crop, in pixels.
        dimension: length of an embedder's vector; ``None`` until known.
        mean: see ``std``; in the order of ``colour``.
        std: the input of an embedder is ``(x - mean) / std``, with crop channels x in 0..255.
        colour: channel order, ``rgb`` or ``bgr``.
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
    licence: str
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
    colour: Annotated[str, Meta(pattern=r"^(rgb|bgr)\Z")] = "rgb"
    layout: Annotated[str, Meta(pattern=r"^(NCHW|NHWC)\Z")] = "NCHW"
    crop_scale: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    batch: _Whole | None = None
    runtimes: tuple[str, ...] = ("onnxruntime", "openvino")
    added: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        with decoding(f"model {self.name}", OptionError, _REMEDY):
            msgspec.convert(self, _wire_type(), from_attributes=True)
        for field in ("filename", "licence", "use", "training_data", "paper", "homepage", "added"):
            text = getattr(self, field)
            if not text.isprintable() or (field in {"filename", "licence"} and not text.strip()):
                raise OptionError(f"{field} {text!r}", "give one line of text")

    @property
    def builtin(self) -> bool:
        """Whether the model is built in."""
        return not self.added

    @property
    def preprocessing(self) -> tuple[object, ...]:
        """Preprocessing settings that affect the vector of a crop."""
        return (
            *(self.input_size, self.mean, self.std, self.colour, self.layout),
            self.crop_scale,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelEntry:
        """Reads an entry written by ``to_dict``, in this version or a former one.

        Raises:
            OptionError: a field is missing, unknown or outside its range.
        """
        values = {k: v for k, v in values.items() if k not in MODEL_FIELDS}
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
