"""Option records whose limits stand in their annotations, checked by msgspec. Needs no torch."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from visavis.errors import DataError, OptionError
from visavis.reading import read_bytes

T = TypeVar("T")

_MOST: Final = sys.float_info.max  # infinity is above it; NaN is within no limits
Share = Annotated[float, Meta(ge=0, le=1)]
PartialShare = Annotated[float, Meta(ge=0, lt=1)]
ProperShare = Annotated[float, Meta(gt=0, lt=1)]
NonZeroShare = Annotated[float, Meta(gt=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0, le=_MOST)]
Positive = Annotated[float, Meta(gt=0, le=_MOST)]
Whole = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]

_BOOLEANS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def kinds_of(record: Any) -> dict[str, Any]:
    """Annotation by field of a dataclass, with its limits."""
    return typing.get_type_hints(record, include_extras=True)


def check(record: Any) -> None:
    """Check every field of a dataclass against its annotation, except nested dataclasses.

    Raises:
        OptionError: names the first field outside its limits, its value, and what it accepts.
    """
    for name, kind in kinds_of(type(record)).items():
        value = getattr(record, name)
        if not dataclasses.is_dataclass(value):
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                raise OptionError(f"{name} {value!r}", f"give {accepted(kind)}") from error


def parse(name: str, text: str, kind: Any) -> Any:
    """Read a field's value from text.

    Args:
        name: of the field, for the message.
        text: a number, a name, ``true``/``yes``/``on``/``1`` or their opposites; ``none`` for a
            field that may be empty.
        kind: the field's annotation.

    Raises:
        OptionError: the text is no value of that kind.
    """
    word, options = text.strip().lower(), _alternatives(kind)
    if type(None) in options and word in {"none", "null", ""}:
        return None
    try:
        return msgspec.convert(
            _BOOLEANS.get(word, word) if bool in options else text, kind, strict=False
        )
    except msgspec.ValidationError as error:
        raise OptionError(f"--{name} {text!r}", f"give {accepted(kind)}") from error


def accepted(kind: Any) -> str:
    """Returns a description of the accepted values of a field.

    >>> accepted(Count | None), accepted(PartialShare)
    ('a whole number of 1 or more or none', 'a number in [0, 1)')
    """
    return " or ".join(_in_words(option) for option in _alternatives(kind))


def read_json(path: Path, kind: type[T], remedy: str) -> T:
    """Read a JSON file as a dataclass, or as ``dict``.

    Raises:
        DataError: it cannot be read, or a field is missing or of another type; names the field.
    """
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", remedy) from error


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {types.UnionType, Union} else (kind,)


def _in_words(kind: Any) -> str:
    if kind is type(None):
        return "none"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is not Annotated:
        return _WORDS[kind]
    base, limits = get_args(kind)
    above, least = limits.gt is not None, limits.gt if limits.ge is None else limits.ge
    if limits.lt is None and limits.le in {None, _MOST}:
        return f"{_WORDS[base]} " + (f"above {least:g}" if above else f"of {least:g} or more")
    most = limits.le if limits.lt is None else limits.lt
    ends = ("(" if above else "[", ")" if limits.lt is not None else "]")
    if ends == ("[", "]"):
        return f"{_WORDS[base]} between {least:g} and {most:g}"
    return f"{_WORDS[base]} in {ends[0]}{least:g}, {most:g}{ends[1]}"
