"""Parses ``--FIELD VALUE`` for every field of a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from visavis.errors import OptionError


def take_apart(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Splits the rest of a command line into words and fields.

    Args:
        words: plain words, ``--field value`` and ``--field=value``, in order.

    Returns:
        The plain words, and the values by field.

    Raises:
        OptionError: a field without a value, or given twice.

    >>> take_apart(["photos/", "--lr", "0.1", "--loss.margin=0.3"])
    (['photos/'], {'lr': '0.1', 'loss.margin': '0.3'})
    """
    plain: list[str] = []
    fields: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            if not left or left[0].startswith("--"):
                raise OptionError(f"{word} without a value", f"give one: {word} VALUE")
            value = left.pop(0)
        if name in fields:
            raise OptionError(f"{word} twice", "give each field once")
        fields[name] = value
    return plain, fields
