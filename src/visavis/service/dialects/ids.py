"""Ids of stored faces, as other services' clients know them: UUIDs."""

from __future__ import annotations

from typing import Final
from uuid import UUID

_FRAME: Final = 8 << 76 | 2 << 62
"""Version 8 (RFC 9562: own layout) and variant; the other bits but the last 62 are 0."""

_NUMBERS: Final = 1 << 62


def face_uuid(number: int) -> str:
    """Returns the UUID of a face by its number in the gallery; a rename or a restart keeps both.

    >>> face_uuid(42)
    '00000000-0000-8000-8000-00000000002a'
    """
    return str(UUID(int=_FRAME | number))


def face_number(text: str) -> int | None:
    """Returns the number of a face by its UUID, or ``None`` if that is no face's.

    >>> face_number("00000000-0000-8000-8000-00000000002A"), face_number("42")
    (42, None)
    """
    try:
        whole = UUID(text).int
    except ValueError:
        return None
    number = whole & (_NUMBERS - 1)
    return number if number and whole == _FRAME | number else None
