"""The file that a gallery is exported to: a zip of Parquet tables and a manifest.

Format 1. Members, in this order, stored without zip compression and with a fixed date:

``faces-00000.parquet``, ``faces-00001.parquet``, ...
    ``person`` text, ``vector`` list of float32 of unit length, ``model`` text, ``model_sha256``
    text, ``settings`` text, ``usability`` float64, ``source`` text, ``source_sha256`` text,
    ``expires`` text (ISO 8601 UTC) or null, ``crop`` PNG bytes or null; in order of enrollment.
``people.parquet``
    ``name`` text, ``attributes`` text (a JSON object, keys in order); by name in code point order.
``times-00000.parquet``, ..., ``times-people.parquet``
    ``created`` text, row by row beside the faces and the people. For information: a gallery that
    takes the faces in gives them times of its own.
``manifest.json``
    ``format`` 1, ``made_by``, ``exported`` (ISO 8601 UTC), ``people``, ``faces``, ``crops``,
    ``models`` (name by hash), ``members`` (``name``, ``bytes``, ``sha256`` of each), ``content``
    (SHA-256 over the SHA-256 of each faces and people table before sealing: equal for galleries
    that hold the same), ``keyring``, and ``seal`` over all of that.

Without a key the tables are Parquet files that any data tool reads, and the file is readable for
its owner only. In an encrypted export each table is AES-256-GCM about its name (12 bytes nonce,
content, 16 bytes tag), under a random key that the keyring holds wrapped with the user's key or
passphrase. Names, templates, attributes and crops are inside; the manifest shows how many there
are, and of which models.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from visavis.errors import DataError, GalleryDamagedError, GalleryKeyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.crypto.keyring import open_keyring, plain_keyring, wrapped_keyring
from visavis.gallery.crypto.value_cipher import ValueCipher

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_LARGEST: Final = 1 << 30
_COUNTED: Final = ("faces-", "people.")
_DAMAGED: Final = "export the gallery again, or copy the file again from where it is whole"


@dataclass(frozen=True, slots=True)
class Member:
    """A table in the file."""

    name: str
    bytes: int
    sha256: str


class ExportWriter:
    """Writes members one after another, then the manifest.

    Args:
        path: where the zip is made; must not exist. It is made readable for its owner only.
        key: encrypts when given.
    """

    def __init__(self, path: Path, key: Key | None) -> None:
        cipher: ValueCipher
        self.keyring, cipher = plain_keyring() if key is None else wrapped_keyring(key)
        self.cipher = cipher
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        self._file = os.fdopen(descriptor, "w+b")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
        self._members: list[Member] = []
        self._content = hashlib.sha256()

    @property
    def content(self) -> str:
        """Digest of what was written so far, the same for the same people and faces."""
        return self._content.hexdigest()

    def table(self, name: str, columns: Mapping[str, Any]) -> None:
        """Write a table of Arrow arrays."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.table(dict(columns)), buffer, compression="zstd")
        plain = buffer.getvalue()
        if name.startswith(_COUNTED):
            self._content.update(hashlib.sha256(plain).digest())
        self._put(
            name, self.cipher.encrypt(plain, name.encode()) if self.cipher.encrypted else plain
        )

    def _put(self, name: str, data: bytes) -> None:
        if name != MANIFEST:
            self._members.append(Member(name, len(data), hashlib.sha256(data).hexdigest()))
        entry = zipfile.ZipInfo(name, _DATE)
        entry.external_attr = 0o600 << 16
        self._zip.writestr(entry, data)

    def close(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest and bring everything to the disk."""
        manifest = {
            **facts, "format": FORMAT, "content": self.content, "keyring": json.loads(self.keyring),
            "members": [{"name": m.name, "bytes": m.bytes, "sha256": m.sha256}
                        for m in self._members],
        }  # fmt: skip
        manifest["seal"] = self.cipher.blind(b"manifest", _canonical(manifest)).hex()
        self._put(MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, also where the disk is too full for its end."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()
        with contextlib.suppress(OSError):
            self._file.close()


class ExportReader:
    """Reads and verifies a file that ``ExportWriter`` made.

    Raises:
        DataError: not such a file, or of a newer format.
        GalleryKeyError: it is encrypted and the key is missing or wrong, or the other way round.
        GalleryDamagedError: something in it is not what was written.
    """

    def __init__(self, path: Path, key: Key | None) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest = json.loads(self._take(MANIFEST, 1 << 26))
            number = self.manifest["format"]
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror or error})", "name an exported gallery"
            ) from error
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
            raise DataError(
                f"{path} is not an exported gallery", "`visavis gallery export` makes one"
            ) from error
        if number != FORMAT:
            raise DataError(f"{path} has format {number}", f"this visavis reads format {FORMAT}")
        self._open(key)

    def _open(self, key: Key | None) -> None:
        try:
            ring = self.manifest["keyring"]
            if ring["kind"] == "plain" and key is not None:
                raise GalleryKeyError(f"the export {self.path} is not encrypted", "give no key")
            self.cipher: ValueCipher = open_keyring(
                json.dumps(ring), key, where=f"the export {self.path}"
            )
            body = {name: value for name, value in self.manifest.items() if name != "seal"}
            whole = self.cipher.blind(b"manifest", _canonical(body)).hex() == self.manifest["seal"]
            self.members = [
                Member(str(m["name"]), int(m["bytes"]), str(m["sha256"]))
                for m in self.manifest["members"]
            ]
        except (KeyError, ValueError, TypeError) as error:
            raise self._damaged("its manifest") from error
        if not whole:
            raise self._damaged("its manifest")

    def _damaged(self, what: str) -> GalleryDamagedError:
        return GalleryDamagedError(
            f"{self.path} is damaged: {what} is not what was written", _DAMAGED
        )

    def _take(self, name: str, most: int) -> bytes:
        if self._zip.getinfo(name).file_size > most:
            raise ValueError(name)
        return self._zip.read(name)

    def verify(self) -> None:
        """Check every member's checksum and that none is missing or added."""
        listed = [member.name for member in self.members]
        if [*listed, MANIFEST] != self._zip.namelist():
            raise self._damaged("its list of tables")
        for member in self.members:
            self._bytes(member)

    def _bytes(self, member: Member) -> bytes:
        try:
            data = self._take(member.name, _LARGEST)
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError) as error:
            raise self._damaged(member.name) from error
        if len(data) != member.bytes or hashlib.sha256(data).hexdigest() != member.sha256:
            raise self._damaged(member.name)
        return data

    def tables(self, start: str) -> Iterator[list[dict[str, Any]]]:
        """Rows of the tables whose names begin so, table by table."""
        for member in self.members:
            if member.name.startswith(start):
                yield self._rows(member)

    def settings(self) -> set[str]:
        """The settings that made the templates."""
        found: set[Any] = set()
        for member in self.members:
            if member.name.startswith("faces-"):
                for column in self._table(member, ["settings"]).columns:
                    found.update(column.unique().to_pylist())
        return found - {None}

    def _table(self, member: Member, columns: list[str] | None = None) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self._bytes(member)
        plain = self.cipher.decrypt(data, member.name.encode()) if self.cipher.encrypted else data
        if plain is None:
            raise self._damaged(member.name)
        try:
            return pq.read_table(pa.BufferReader(plain), columns=columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(member.name) from error

    def _rows(self, member: Member) -> list[dict[str, Any]]:
        import pyarrow as pa

        table = self._table(member)
        try:
            rows: list[dict[str, Any]] = table.drop(["vector"]).to_pylist() if (
                "vector" in table.column_names
            ) else table.to_pylist()  # fmt: skip
            if "vector" in table.column_names:
                column = table["vector"].combine_chunks()
                flat = column.values.to_numpy(zero_copy_only=False)
                ends = column.offsets.to_numpy()
                for row, first, last in zip(rows, ends[:-1], ends[1:], strict=True):
                    row["vector"] = flat[first:last]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(member.name) from error
        return rows

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _canonical(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"))
