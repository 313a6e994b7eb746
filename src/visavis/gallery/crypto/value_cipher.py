"""Encrypts stored values, or adds a checksum to them in an unencrypted gallery.

The row and column of a value are authenticated with it (``about``, the associated data). So
``decrypt`` detects a blob moved to another row as well as a flipped bit.
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
    """Encrypts and decrypts the values of one gallery."""

    @property
    def encrypted(self) -> bool:
        """Whether values cannot be read without the key."""
        ...

    def encrypt(self, data: bytes, about: bytes, /) -> bytes:
        """Returns the blob to store."""
        ...

    def decrypt(self, blob: object, about: bytes, /) -> bytes | None:
        """Returns the value, or ``None`` if the blob was changed or moved."""
        ...

    def blind(self, kind: bytes, text: str, /) -> bytes:
        """Returns a 16-byte keyed hash of a text, for lookups; it does not reveal the text."""
        ...


class PlainCipher:
    """Stores plain values, followed by a BLAKE2b checksum.

    Args:
        blind_key: 32 bytes, stored in the gallery.
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

    A key is safe for 2**32 values; ``rekey(..., reencrypt=True)`` makes a new one.

    Args:
        data_key: 32 random bytes, from which the other keys are derived (HKDF-SHA256).
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
    """The current cipher; objects that share it use the new key after a rekey.

    Attributes:
        now: the cipher; replaced while nobody else uses the database.
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
    """Derives 32 bytes for one purpose from a strong secret (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, purpose).derive(secret)


def _checksum(data: bytes, about: bytes) -> bytes:
    code = hashlib.blake2b(about, digest_size=_TAG)
    code.update(data)  # not joined: parts of an index are large
    return code.digest()


def _blind(keyed: hmac.HMAC, kind: bytes, text: str) -> bytes:
    # Copy the state: the key is hashed only once, which is most of the work for a name.
    code = keyed.copy()
    code.update(kind + b"\0" + text.encode())
    return code.digest()[:_BLIND]
