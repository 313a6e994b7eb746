"""What is known of one model file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, Final

from visavis.errors import OptionError
from visavis.former import MODEL_FIELDS
from visavis.types import Record

Triple = tuple[float, float, float]

KINDS: Final = ("detector", "embedder", "landmarks")
COLOURS: Final = ("rgb", "bgr")
LAYOUTS: Final = ("NCHW", "NHWC")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LARGEST_INPUT: Final = 4096


@dataclass(frozen=True, slots=True)
class Carrier(Record):
    """A Python distribution that carries a model file. Its code is never imported.

    Attributes:
        distribution: name on the package index.
        path: the file inside the installed distribution, with ``/``.
        extra: the extra of visavis that installs it; empty where the base install does.
    """

    distribution: str
    path: str
    extra: str = ""


@dataclass(frozen=True, slots=True)
class ModelEntry(Record):
    """One registered model file.

    A copy is looked for in the local cache, then in the ``carriers``, then (only when a download is
    allowed) at the ``urls``, each in the order given.

    Attributes:
        name: 1 to 64 of ``a-z 0-9 . _ -``, the first a letter or digit.
        kind: ``detector``, ``embedder`` or ``landmarks``.
        filename: what its makers call the file.
        sha256: of the file, 64 lower-case hexadecimal digits.
        size: of the file, in bytes.
        licence: SPDX expression.
        use: what the file may be used for, in words.
        training_data: what it was trained on, as far as its makers say.
        paper: what to cite.
        homepage: where it comes from.
        carriers: distributions that carry it.
        urls: where it can be downloaded.
        format: ``onnx``, ``dlib`` or ``joblib-lz4``.
        input_size: side of an embedder's square crop, in pixels.
        dimension: length of an embedder's vector; ``None`` until known.
        mean: see ``std``; in the order of ``colour``.
        std: an embedder is fed ``(x - mean) / std``, x being the crop's channels in 0..255.
        colour: channel order the embedder wants, ``rgb`` or ``bgr``.
        layout: axis order the embedder wants, ``NCHW`` or ``NHWC``.
        crop_scale: size of the face in the crop, relative to the 112x112 template's; below 1 the
            crop shows more around it.
        batch: crops an embedder takes at once; ``None`` when any number.
        runtimes: those that were found to run the graph, by name.
        added: when the user added it, ISO 8601 in UTC; empty for built-in models.

    Raises:
        OptionError: a field outside what is said above.
    """

    name: str
    kind: str
    filename: str
    sha256: str
    size: int
    licence: str
    use: str = ""
    training_data: str = ""
    paper: str = ""
    homepage: str = ""
    carriers: tuple[Carrier, ...] = ()
    urls: tuple[str, ...] = ()
    format: str = "onnx"
    input_size: int | None = None
    dimension: int | None = None
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    colour: str = "rgb"
    layout: str = "NCHW"
    crop_scale: float = 1.0
    batch: int | None = None
    runtimes: tuple[str, ...] = ("onnxruntime", "openvino")
    added: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        _one_of("kind", self.kind, KINDS)
        _one_of("colour", self.colour, COLOURS)
        _one_of("layout", self.layout, LAYOUTS)
        for field in ("filename", "licence", "use", "training_data", "paper", "homepage", "added"):
            _line(field, getattr(self, field), needed=field in {"filename", "licence"})
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise OptionError(f"sha256 {self.sha256!r}", "give 64 lower-case hexadecimal digits")
        _whole("size", self.size, upper=None)
        _whole("input_size", self.input_size, upper=_LARGEST_INPUT, optional=True)
        _whole("dimension", self.dimension, upper=None, optional=True)
        _whole("batch", self.batch, upper=None, optional=True)
        _tuple_of("carriers", self.carriers, Carrier)
        _tuple_of("urls", self.urls, str)
        _tuple_of("runtimes", self.runtimes, str)
        if not 0.5 <= self.crop_scale <= 2:
            raise OptionError(f"crop_scale {self.crop_scale}", "give one from 0.5 to 2")
        _triple("mean", self.mean)
        _triple("std", self.std)
        if min(self.std) <= 0:
            raise OptionError(f"std {self.std}", "each channel's std must be above 0")

    @property
    def builtin(self) -> bool:
        """Whether the model came with visavis."""
        return not self.added

    @property
    def preprocessing(self) -> tuple[object, ...]:
        """All that decides which vector a crop becomes, besides the file itself."""
        return (
            *(self.input_size, self.mean, self.std, self.colour, self.layout),
            self.crop_scale,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelEntry:
        """The entry that ``to_dict`` wrote, in this version or a former one.

        Raises:
            OptionError: a field is missing, unknown or outside its range.
        """
        known = {field.name for field in fields(cls)}
        values = {k: v for k, v in values.items() if k not in MODEL_FIELDS}
        if unknown := sorted(set(values) - known):
            raise OptionError(
                f"unknown field {unknown[0]!r}", f"known are {', '.join(sorted(known))}"
            )
        lists: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        try:
            if "carriers" in lists:
                lists["carriers"] = tuple(Carrier(**carrier) for carrier in lists["carriers"])
            return cls(**lists)
        except TypeError as error:
            raise OptionError(f"fields that do not fit ({error})", "see ModelEntry") from error


def check_name(name: object) -> str:
    """The name itself, if a model may have it.

    Names appear in commands and may become file names in other rooms, so they are lower-case ASCII
    and never lead out of a folder.

    Raises:
        OptionError: it may not.

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
    """One number for all channels, or one for each, as three.

    Raises:
        OptionError: neither one nor three finite numbers.

    >>> triple(127.5)
    (127.5, 127.5, 127.5)
    """
    numbers = tuple(values) if isinstance(values, (tuple, list)) else (values,)
    three = numbers * 3 if len(numbers) == 1 else numbers
    _triple("mean or std", three)
    return (float(three[0]), float(three[1]), float(three[2]))


def _one_of(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{field} {value!r}", f"choose one of {', '.join(allowed)}")


def _line(field: str, value: object, *, needed: bool) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise OptionError(f"{field} {value!r}", "give one line of text")
    if needed and not value.strip():
        raise OptionError(f"an empty {field}", f"say the model's {field}")


def _tuple_of(field: str, value: object, kind: type) -> None:
    if not isinstance(value, tuple) or not all(isinstance(v, kind) for v in value):
        raise OptionError(f"{field} {value!r}", f"give a tuple of {kind.__name__}")


def _whole(field: str, value: object, *, upper: int | None, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{field} {value!r}", "give a whole number above 0")
    if upper is not None and value > upper:
        raise OptionError(f"{field} {value}", f"it may be {upper} at most")


def _triple(field: str, value: object) -> None:
    right = (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        and all(math.isfinite(v) for v in value)
    )
    if not right:
        raise OptionError(
            f"{field} {value!r}", "give one finite number, or three in the order of the channels"
        )
