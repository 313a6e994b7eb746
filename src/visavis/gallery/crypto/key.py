"""The user's key to an encrypted gallery."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from visavis.errors import GalleryKeyError, OptionError
from visavis.writing import sync_folder

_LENGTH = 32
_REMEDY = (
    "a key is 32 random bytes: raw in a file, as 64 hexadecimal digits, or in base64; "
    "`openssl rand -hex 32` makes one"
)
_SHORTEST_PASSPHRASE = 8


@dataclass(frozen=True, slots=True)
class Key:
    """32 random bytes, or a passphrase. ``repr`` shows neither.

    Attributes:
        secret: the bytes.
        passphrase: whether they are a passphrase, which scrypt protects against guessing.
    """

    secret: bytes = field(repr=False)
    passphrase: bool = False

    @classmethod
    def generate(cls) -> Self:
        """Returns a new random key."""
        return cls(secrets.token_bytes(_LENGTH))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads a key from 64 hexadecimal digits or base64 of 32 bytes.

        Raises:
            GalleryKeyError: the text is neither.

        >>> Key.from_text("00" * 32)
        Key(passphrase=False)
        """
        plain = "".join(text.split())
        for read in (bytes.fromhex, _base64):
            try:
                secret = read(plain)
            except ValueError:
                continue
            if len(secret) == _LENGTH:
                return cls(secret)
        raise GalleryKeyError(f"a key of {len(plain)} characters cannot be read", _REMEDY)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Reads a key from a file: 32 raw bytes, or text for ``from_text``.

        Raises:
            GalleryKeyError: the file cannot be read or contains no key.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise GalleryKeyError(
                f"the key file {path} cannot be read ({error.strerror or error})", _REMEDY
            ) from error
        if len(content) == _LENGTH:
            return cls(content)
        try:
            return cls.from_text(content.decode("ascii"))
        except (UnicodeDecodeError, GalleryKeyError) as error:
            raise GalleryKeyError(
                f"the key file {path} holds no key ({len(content)} bytes)", _REMEDY
            ) from error

    @classmethod
    def from_passphrase(cls, text: str) -> Self:
        """Returns a key from a passphrase. A random key is stronger.

        Raises:
            GalleryKeyError: fewer than 8 characters.
        """
        if len(text) < _SHORTEST_PASSPHRASE:
            raise GalleryKeyError(
                f"a passphrase of {len(text)} characters", f"use {_SHORTEST_PASSPHRASE} or more"
            )
        return cls(text.encode("utf-8", "surrogatepass"), passphrase=True)

    def to_text(self) -> str:
        """Returns the secret as hexadecimal digits for ``from_text``.

        Raises:
            GalleryKeyError: the key is a passphrase.
        """
        if self.passphrase:
            raise GalleryKeyError("a passphrase has no other form", "keep the passphrase itself")
        return self.secret.hex()

    def to_file(self, path: Path) -> None:
        """Writes the key to a new file that only its owner can read, and syncs it to disk.

        Raises:
            OptionError: the file exists or cannot be written.
            GalleryKeyError: the key is a passphrase.
        """
        text = self.to_text() + "\n"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                path.unlink()
                raise
        except OSError as error:
            raise OptionError(
                f"{path} cannot be made ({error.strerror or error})", "name a new file for the key"
            ) from error
        sync_folder(path.parent)


def readers(path: Path) -> str:
    """Returns who else can read a key file, in words; "" if nobody can, or if unknown.

    As with an SSH key, nobody else should be able to read the user's own file. A file of another
    owner may be readable by a group (as container secrets are), but not by everybody.

    Args:
        path: an existing file.
    """
    if os.name == "nt":
        return ""
    found = path.stat()
    if found.st_mode & 0o004:
        return "everybody"
    return "its group" if found.st_mode & 0o040 and found.st_uid == os.geteuid() else ""


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError from error
