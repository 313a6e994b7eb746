"""Change fields of a recipe by name, from text."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

from visavis.errors import OptionError
from visavis.training.recipes.recipe import Recipe

FIXED: Final = frozenset({"name", "source", "expected"})
"""Fields that say which recipe it is; they are not overridden."""

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_NONE: Final = frozenset({"none", "null", ""})


def with_overrides(recipe: Recipe, changes: Mapping[str, str]) -> Recipe:
    """The recipe with some fields changed.

    Args:
        recipe: what to start from; it stays as it is.
        changes: value by field name, such as ``{"lr": "0.1", "loss.margin": "0.3"}``. Dashes in
            names count as underscores. ``none`` clears a field that may be empty.

    Raises:
        OptionError: a name is no field (the nearest ones are named), or a value does not fit.
    """
    kinds = field_kinds(recipe)
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for given, text in changes.items():
        name = given.replace("-", "_")
        if name not in kinds:
            raise _unknown(given, name, list(kinds))
        value = _parse(given, text, kinds[name])
        part, dot, field = name.partition(".")
        if dot:
            nested.setdefault(part, {})[field] = value
        else:
            own[name] = value
    for part, values in nested.items():
        own[part] = dataclasses.replace(getattr(recipe, part), **values)
    return dataclasses.replace(recipe, **own)


def field_kinds(recipe: Recipe) -> dict[str, Any]:
    """Type by name of every field that can be overridden, nested ones as ``loss.margin``."""
    kinds: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(type(recipe)).items():
        if name.startswith("_") or name in FIXED:
            continue
        if dataclasses.is_dataclass(kind):
            inner = typing.get_type_hints(kind)
            kinds |= {f"{name}.{f.name}": inner[f.name] for f in dataclasses.fields(kind)}
        else:
            kinds[name] = kind
    return kinds


def _parse(name: str, text: str, kind: Any) -> Any:
    options = _alternatives(kind)
    if type(None) in options and text.strip().lower() in _NONE:
        return None
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(text, option)
        except ValueError:
            continue
    raise OptionError(f"--{name} {text!r}", f"give {_in_words(options)}")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        return typing.get_args(kind)
    return (kind,)


def _convert(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        accepted = typing.get_args(kind)
        if text not in accepted:
            raise ValueError
        return text
    if kind is bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError
        return word in _TRUE
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_convert(part, inner) for part in text.replace(",", " ").split())
    return text


def _in_words(options: tuple[Any, ...]) -> str:
    words: list[str] = []
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            words.append("one of " + ", ".join(typing.get_args(option)))
        elif typing.get_origin(option) is tuple:
            words.append("numbers separated by commas")
        else:
            words.append(_WORDS.get(option, "text"))
    return " or ".join(words)


_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "none",
    str: "text",
}


def _unknown(given: str, name: str, known: list[str]) -> OptionError:
    same_leaf = [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2]]
    close = same_leaf or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not close:
        leaves = {k.rpartition(".")[2]: k for k in known}
        found = difflib.get_close_matches(name, list(leaves), n=3, cutoff=0.5)
        close = [leaves[leaf] for leaf in found]
    hint = f"did you mean {' or '.join(f'--{c}' for c in close)}? " if close else ""
    return OptionError(
        f"no field of the recipe is called --{given}",
        f"{hint}all fields: visavis train recipes NAME",
    )
