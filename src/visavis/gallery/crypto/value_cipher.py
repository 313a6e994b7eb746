"""How values are sealed before they are written: with a checksum, or encrypted.

A value is sealed *about* something: the row and column it belongs to. A blob that is moved to
another row does not open there, just as one with a flipped bit does not.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Protocol

_NONCE = 12
_TAG = 16
_BLIND = 16


class ValueCipher(Protocol):
    """Seals values of one gallery."""

    @property
    def encrypted(self) -> bool:
        """Whether what is sealed cannot be read without the key."""
        ...

    def encrypt(self, data: bytes, about: bytes, /) -> bytes:
        """The blob to write."""
        ...

    def decrypt(self, blob: object, about: bytes, /) -> bytes | None:
        """What was sealed, or ``None`` where the blob is not what was written there."""
        ...

    def blind(self, kind: bytes, text: str, /) -> bytes:
        """16 bytes that stand for a text in an index: equal for equal texts, telling nothing."""
        ...


class PlainCipher:
    """Values as they are, with a BLAKE2b checksum after them.

    Args:
        blind_key: 32 bytes, kept in the gallery itself.
    """

    encrypted = False

    def __init__(self, blind_key: bytes) -> None:
        self.blind_key = blind_key
        self._hmac = hmac.new(blind_key, digestmod="sha256")

    def encrypt(self, data: bytes, about: bytes, /) -> bytes:
        return data + _checksum(data, about)

    def decrypt(self, blob: object, about: bytes, /) -> bytes | None:
        if not isinstance(blob, bytes):
            return None
        data = blob[:-_TAG]
        return data if blob[-_TAG:] == _checksum(data, about) else None

    def blind(self, kind: bytes, text: str, /) -> bytes:
        return _blind(self._hmac, kind, text)


class AesCipher:
    """AES-256-GCM with a random 96-bit nonce before each value (NIST SP 800-38D).

    A key is good for 2**32 values; ``rekey(..., reencrypt=True)`` makes another.

    Args:
        data_key: 32 random bytes, from which the keys in use are derived (HKDF-SHA256).
    """

    encrypted = True

    def __init__(self, data_key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.data_key = data_key
        self._aes = AESGCM(derived(data_key, b"visavis gallery values"))
        self._hmac = hmac.new(derived(data_key, b"visavis gallery names"), digestmod="sha256")

    def encrypt(self, data: bytes, about: bytes, /) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aes.encrypt(nonce, data, about)

    def decrypt(self, blob: object, about: bytes, /) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        if not isinstance(blob, bytes) or len(blob) < _NONCE + _TAG:
            return None
        try:
            return self._aes.decrypt(blob[:_NONCE], blob[_NONCE:], about)
        except InvalidTag:
            return None

    def blind(self, kind: bytes, text: str, /) -> bytes:
        return _blind(self._hmac, kind, text)


class CurrentCipher:
    """The seal in use; objects that share it use the new key after a rekey.

    Attributes:
        now: the seal; replaced while nobody else uses the database.
    """

    def __init__(self, cipher: PlainCipher | AesCipher) -> None:
        self.now = cipher

    @property
    def encrypted(self) -> bool:
        return self.now.encrypted

    def encrypt(self, data: bytes, about: bytes, /) -> bytes:
        return self.now.encrypt(data, about)

    def decrypt(self, blob: object, about: bytes, /) -> bytes | None:
        return self.now.decrypt(blob, about)

    def blind(self, kind: bytes, text: str, /) -> bytes:
        return self.now.blind(kind, text)


def derived(secret: bytes, purpose: bytes, *, salt: bytes | None = None) -> bytes:
    """32 bytes for one purpose from a strong secret (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, purpose).derive(secret)


def _checksum(data: bytes, about: bytes) -> bytes:
    code = hashlib.blake2b(about, digest_size=_TAG)
    code.update(data)  # not joined: parts of an index are large
    return code.digest()


def _blind(keyed: hmac.HMAC, kind: bytes, text: str) -> bytes:
    # A copy: the key is hashed once, which is most of the work for a name.
    code = keyed.copy()
    code.update(kind + b"\0" + text.encode())
    return code.digest()[:_BLIND]
