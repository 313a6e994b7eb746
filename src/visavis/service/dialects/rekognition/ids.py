"""Ids of faces and photos, and tokens of pages: derived from what galleries store."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final
from uuid import UUID

from visavis.service.dialects.rekognition.wire import aws

if TYPE_CHECKING:
    from visavis.api.records import StoredFace

_NUMBERS: Final = 1 << 62
_CHECKED: Final = 8
"""Bytes of a page's check sum."""


def face_id(face: StoredFace) -> str:
    """Returns the id of a face, as long as it is in its gallery, also after a rename or a merge.

    A UUID of version 8: 60 bits of a hash of time and photo, which differ between galleries, and
    the face's number.
    """
    about = f"{face.id} {face.created} {face.photo_sha256}".encode()
    mark = int.from_bytes(hashlib.sha256(about).digest()[:8], "big") >> 4
    return _uuid(mark, face.id)


def number_of(text: str) -> int:
    """Returns the number of the face that has an id, if any has; see ``face_id``."""
    return UUID(text).int % _NUMBERS


def image_id(photo_sha256: str, face: str) -> str:
    """Returns the id of a photo, from its hash; a face's own id if that is not known."""
    if len(photo_sha256) != 64:
        return face
    digest = bytes.fromhex(photo_sha256)
    return _uuid(int.from_bytes(digest[:8], "big") >> 4, int.from_bytes(digest[8:16], "big"))


def derived_id(text: str) -> str:
    """Returns a UUID that is always the same for a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return _uuid(int.from_bytes(digest[:8], "big") >> 4, int.from_bytes(digest[8:16], "big"))


def _uuid(high: int, low: int) -> str:
    """Returns a UUID of version 8 (RFC 9562) with 60 and 62 bits of one's own."""
    whole = (high >> 12) << 80 | 8 << 76 | (high & 0xFFF) << 64 | 2 << 62 | low % _NUMBERS
    return str(UUID(int=whole))


def page_token(page: str, after: int) -> str:
    """Returns the token of the next page.

    Args:
        page: what is listed.
        after: number of the last row.
    """
    place = after.to_bytes(8, "big")
    return base64.urlsafe_b64encode(place + _check(page, place)).decode().rstrip("=")


def page_start(page: str, token: str | None) -> int:
    """Returns where a page starts: 0, or what ``page_token`` was given.

    Raises:
        ProblemError: not a token of this list.
    """
    if token is None:
        return 0
    try:
        plain = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    place, check = plain[:8], plain[8:]
    if len(place) != 8 or check != _check(page, place):
        raise aws("InvalidPaginationTokenException", "NextToken is not valid for this list.")
    return int.from_bytes(place, "big")


def _check(page: str, place: bytes) -> bytes:
    return hashlib.sha256(b"page\0" + place + page.encode()).digest()[:_CHECKED]
