"""Wraps the key that encrypts a gallery with the user's key.

Values are encrypted with a random *data key*. The gallery stores it wrapped (AES-256-GCM) with a
key derived from the user's key. So changing the user's key rewrites one short value, not every
template.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from visavis.errors import GalleryDamagedError, GalleryKeyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.value_cipher import AesCipher, PlainCipher, derived

SCRYPT_COST: Final = 2**17
"""N of scrypt with r = 8, p = 1: 128 MiB and some tenths of a second per guess."""

_LIMIT: Final = 2**20
_NONCE: Final = bytes(12)  # each wrapping key is used once: its salt is always new
_ABOUT: Final = b"visavis gallery data key"


def plain_keyring() -> tuple[str, PlainCipher]:
    """Returns keyring text and cipher of an unencrypted gallery."""
    blind = secrets.token_bytes(32)
    return json.dumps({"kind": "plain", "blind": blind.hex()}), PlainCipher(blind)


def wrapped_keyring(
    key: Key, *, data_key: bytes | None = None, cost: int = SCRYPT_COST
) -> tuple[str, AesCipher]:
    """Returns keyring text and cipher of an encrypted gallery.

    Args:
        key: the user's key.
        data_key: the current data key; a new one if ``None``.
        cost: N of scrypt, for a passphrase.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = data_key or secrets.token_bytes(32)
    ring: dict[str, Any] = {
        "kind": "passphrase" if key.passphrase else "key",
        "salt": secrets.token_hex(32),
    }
    if key.passphrase:
        ring["cost"] = cost
    ring["wrapped"] = AESGCM(_wrapping_key(key, ring)).encrypt(_NONCE, data, _ABOUT).hex()
    return json.dumps(ring), AesCipher(data)


def open_keyring(text: str, key: Key | None, *, where: str) -> PlainCipher | AesCipher:
    """Returns the cipher of a gallery.

    Args:
        text: keyring text of one of the functions above.
        key: the user's key, or ``None``.
        where: for messages: ``the gallery door.gallery``, ``the export a.visavis``.

    Raises:
        GalleryKeyError: the key is missing, wrong, or not needed.
        GalleryDamagedError: the text is not a keyring.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        ring = json.loads(text)
        kind = ring["kind"]
        if kind == "plain":
            if key is None:
                return PlainCipher(bytes.fromhex(ring["blind"]))
            raise GalleryKeyError(
                f"{where} is not encrypted, but a key was given",
                "leave the key out, or encrypt the gallery: `visavis gallery rekey`",
            )
        if key is None:
            raise GalleryKeyError(f"{where} is encrypted", "give its key")
        if key.passphrase != (kind == "passphrase"):
            raise GalleryKeyError(f"this is not the key of {where}", f"give its {kind}")
        wrapped = bytes.fromhex(ring["wrapped"])
        data = AESGCM(_wrapping_key(key, ring)).decrypt(_NONCE, wrapped, _ABOUT)
    except InvalidTag as error:
        raise GalleryKeyError(
            f"this is not the key of {where}",
            "give the key that it was made or last rekeyed with",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryDamagedError(
            f"the keyring of {where} cannot be read", "restore it from a backup"
        ) from error
    return AesCipher(data)


def _wrapping_key(key: Key, ring: dict[str, Any]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    salt = bytes.fromhex(ring["salt"])
    if not key.passphrase:
        return derived(key.secret, _ABOUT, salt=salt)
    cost = int(ring["cost"])
    if not 2 <= cost <= _LIMIT:
        raise ValueError(cost)
    return Scrypt(salt, 32, cost, 8, 1).derive(key.secret)
