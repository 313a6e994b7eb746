"""``--FIELD VALUE`` for every field of a recipe: taken apart before the recipe looks at them."""

from __future__ import annotations

from collections.abc import Sequence

from visavis.errors import OptionError


def take_apart(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split what a command line has besides its own options.

    Args:
        words: plain words, ``--field value`` and ``--field=value``, in their order.

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
