"""Checks names of people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from visavis.errors import (
    OptionError,
    PersonExistsError,
    UnknownFaceError,
    UnknownPersonError,
)

LONGEST = 200
"""Maximum number of characters of a name in NFC."""

_COMPARED = 10_000
_REMEDY = f"a name has 1 to {LONGEST} visible characters, no spaces at its ends"
_REFUSED = {"Cc": "a control character", "Cs": "half a surrogate pair", "Zl": "a line separator",
            "Zp": "a paragraph separator"}  # fmt: skip
_JOINING = frozenset("\u200c\u200d")  # Persian and Indian names need them
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def composed(name: str) -> str:
    """Returns the name in Unicode normal form C (NFC), as it is compared and stored.

    >>> composed("Jose\\u0301") == "Jos\\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def usable_name(name: object) -> str:
    """Returns a checked name in NFC.

    Args:
        name: 1 to 200 characters, no white space at either end, no control characters,
            no invisible ones except joiners (U+200C, U+200D).

    Raises:
        OptionError: the name breaks one of these rules.

    >>> usable_name("O'Brien, Zoë")
    "O'Brien, Zoë"
    """
    if not isinstance(name, str):
        raise OptionError(f"a person's name is a {type(name).__name__}", _REMEDY)
    if name.isascii() and name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST:
        return name
    plain = composed(name)
    if not plain:
        raise OptionError("a person's name is empty", _REMEDY)
    if len(plain) > LONGEST:
        raise OptionError(f"the name '{plain[:20]}…' has {len(plain)} characters", _REMEDY)
    for character in plain:
        found = _REFUSED.get(unicodedata.category(character))
        if unicodedata.category(character) == "Cf" and character not in _JOINING:
            found = "a character that is not shown"
        if character in _TURNING:
            found = "a sign that turns the direction of writing, and so shows another name"
        if found:
            raise OptionError(f"the name {plain[:40]!a} contains {found}", _REMEDY)
    if plain != plain.strip():
        raise OptionError(f"the name {plain!r} begins or ends with white space", _REMEDY)
    return plain


def unknown_person(name: str, enrolled: Iterable[str]) -> UnknownPersonError:
    """Returns the error for an unknown name; its remedy suggests up to three similar names.

    >>> str(unknown_person("Ane", ["Anne", "Bob"]))
    "nobody called 'Ane' is enrolled; did you mean 'Anne'?"
    """
    similar = get_close_matches(name, list(islice(enrolled, _COMPARED)), n=3, cutoff=0.6)
    remedy = (
        "did you mean " + " or ".join(f"'{s}'" for s in similar) + "?"
        if similar
        else "`visavis people list` shows who is"
    )
    return UnknownPersonError(f"nobody called '{name}' is enrolled", remedy)


def unknown_id(person_id: str) -> UnknownPersonError:
    """The error for an opaque id that nobody has."""
    return UnknownPersonError(
        f"nobody has the id {person_id[:40]!a}", "`visavis people list --json` shows the ids"
    )


def enrolled_already(name: str) -> PersonExistsError:
    """The error for a new person's name that somebody has."""
    return PersonExistsError(f"'{name}' is enrolled already", "choose another name")


def unknown_face(face: int) -> UnknownFaceError:
    """The error for a number that no face has."""
    return UnknownFaceError(f"there is no face {face}", "`visavis people show` lists a person's")


def without_name(path: str, name: str) -> str:
    """Returns a photo's path with "…" in place of a person's name.

    Finds the name in any case, with spaces or underscores between its words, and not inside longer
    words.

    >>> without_name("staff/Anna Li/anna_li_0001.jpg", "Anna Li")
    'staff/…/…_0001.jpg'
    """
    words = [re.escape(word) for word in re.split(r"[\s_]+", composed(name)) if word]
    pattern = r"(?<![^\W\d_])" + r"[\s_]+".join(words) + r"(?![^\W\d_])"
    return re.sub(pattern, "…", composed(path), flags=re.IGNORECASE) if words else path
