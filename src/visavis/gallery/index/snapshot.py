"""Files of checked chunks: written in a stream, read in a stream, every byte accounted for.

A file is a magic word, then chunks. A chunk is its length (4 bytes) and a body: SHA-256 over the
file's random number, the chunk's place and its payload; then the payload. With a seal the body is
sealed, so that chunks of another file, another order or another length are noticed in either case.
The first chunk is a JSON header that holds the random number; the last is empty.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from visavis.errors import GalleryDamagedError, GalleryKeyError

CHUNK = 8 << 20
_MAGIC = {False: b"visavis index 1\n", True: b"visavis sealed 1"}
_DIGEST = 32
_REMEDY = "delete it: it is made again from the gallery's table"

ValueCipher = Callable[[bytes], bytes]


class Writer:
    """Writes the chunks of one file.

    Args:
        file: open for writing, at its start.
        header: JSON values.
        seal: encrypts a body, or ``None``.
    """

    def __init__(
        self, file: BinaryIO, header: dict[str, Any], *, cipher: ValueCipher | None
    ) -> None:
        self._file, self._cipher, self._place = file, cipher, 0
        self._nonce = secrets.token_bytes(16)
        file.write(_MAGIC[cipher is not None])
        nonce, self._nonce = self._nonce, b""
        self.write(json.dumps({**header, "nonce": nonce.hex()}).encode())
        self._nonce = nonce

    def write(self, payload: bytes | memoryview) -> None:
        """Append a chunk."""
        digest = _digest(self._nonce, self._place, payload)
        self._place += 1
        if self._cipher is None:
            self._file.write((_DIGEST + len(payload)).to_bytes(4, "little"))
            self._file.write(digest)
            self._file.write(payload)
            return
        body = self._cipher(b"".join((digest, payload)))
        self._file.write(len(body).to_bytes(4, "little"))
        self._file.write(body)

    def end(self) -> None:
        """Append the empty chunk that says nothing is missing."""
        self.write(b"")


class Reader:
    """Reads the chunks of one file.

    Args:
        file: open for reading, at its start.
        path: what errors name.
        decrypt: decrypts a body, or ``None``.

    Raises:
        GalleryDamagedError: a chunk is not what was written.
        GalleryKeyError: the file is sealed and ``decrypt`` is missing, or the other way round.
    """

    def __init__(self, file: BinaryIO, *, path: Path, decrypt: ValueCipher | None) -> None:
        self._file, self._path, self._decrypt, self._place = file, path, decrypt, 0
        self._nonce = b""
        magic = file.read(len(_MAGIC[True]))
        if magic == _MAGIC[decrypt is None]:
            what = "give the gallery's key" if decrypt is None else "open it without a key"
            raise GalleryKeyError(f"{path} is {'' if decrypt is None else 'not '}encrypted", what)
        if magic != _MAGIC[decrypt is not None]:
            raise self._damaged("does not start like an index")
        try:
            self.header: dict[str, Any] = json.loads(bytes(self.read()))
            self._nonce = bytes.fromhex(self.header["nonce"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged("has no header") from error

    def read(self) -> memoryview | bytes:
        """The next chunk's payload.

        Raises:
            GalleryDamagedError: it is not what was written, or missing.
        """
        length = int.from_bytes(self._file.read(4), "little")
        if not _DIGEST <= length <= 2 * CHUNK:
            raise self._damaged(f"has no chunk {self._place}")
        body = self._file.read(length)
        if len(body) != length:
            raise self._damaged("ends early")
        if self._decrypt is not None:
            body = self._decrypt(body)
        payload = memoryview(body)[_DIGEST:]
        if body[:_DIGEST] != _digest(self._nonce, self._place, payload):
            raise self._damaged(f"differs from what was written in chunk {self._place}")
        self._place += 1
        return payload if self._place > 1 else bytes(payload)

    def chunks(self, size: int) -> Iterator[memoryview | bytes]:
        """Payloads until ``size`` bytes have been read."""
        while size > 0:
            payload = self.read()
            size -= len(payload)
            if not len(payload) or size < 0:
                raise self._damaged("has a chunk of the wrong length")
            yield payload

    def end(self) -> None:
        """Check that the file ends here."""
        if len(self.read()) or self._file.read(1):
            raise self._damaged("goes on after its end")

    def _damaged(self, what: str) -> GalleryDamagedError:
        return GalleryDamagedError(f"{self._path} {what}", _REMEDY)


def _digest(nonce: bytes, place: int, payload: bytes | memoryview) -> bytes:
    hashed = hashlib.sha256(nonce + place.to_bytes(8, "little"))
    hashed.update(payload)
    return hashed.digest()
