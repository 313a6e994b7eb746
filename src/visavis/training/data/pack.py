"""One file of aligned crops, mapped into memory and read by many processes at once.

It shows faces: only its owner can read it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import DataError, OptionError, writing_to
from visavis.reading import open_regular
from visavis.types import Record
from visavis.writing import replacing

MAGIC: Final = b"VISAVIS PACK 01\n"
START: Final = 4096
"""Offset of the first crop."""
_HEAD: Final = struct.Struct("<16sQQ32s")
_CRC: Final = struct.Struct("<I")
REMEDY: Final = "pack the photos again with `visavis data pack --anew`"


def digest(crop: bytes | memoryview) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a crop's pixels."""
    return hashlib.sha256(crop).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Index:
    """Index of a pack; attributes as in ``Pack``, one digest for each crop."""

    size: int
    scale: float
    labels: list[int]
    people: list[str]
    names: list[str]
    sources: list[str]
    digests: list[str]
    left_out: list[list[str]]
    origin: str
    request: str

    @property
    def crop_bytes(self) -> int:
        """Bytes of one crop."""
        return self.size * self.size * 3

    def fingerprint(self) -> str:
        """SHA-256 over geometry, crops, labels and names: the same data, the same fingerprint."""
        content = [self.size, self.scale, self.labels, self.people, self.names, self.digests]
        return hashlib.sha256(_json(content)).hexdigest()


def finish(file: BinaryIO, index: Index) -> None:
    """Write index and header; the crops are in ``file`` already, from ``START`` on."""
    fields = {name: getattr(index, name) for name in Index.__slots__}
    body = zlib.compress(_json(fields), 6)
    at = START + len(index.digests) * index.crop_bytes
    file.truncate(at)
    file.seek(at)
    file.write(body)
    head = _HEAD.pack(MAGIC, at, len(body), hashlib.sha256(body).digest())
    file.seek(0)
    file.write(head + _CRC.pack(zlib.crc32(head)))
    file.flush()


def read_index(path: Path) -> Index:
    """The index of a finished pack.

    Raises:
        DataError: no file, not a pack, cut off, or damaged outside the crops.
    """
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD.size + _CRC.size)
            at, length, sha256 = _read_head(path, head)
            end = file.seek(0, 2)
            if end != at + length:
                raise DataError(f"{path}: {end} bytes where {at + length} were written", REMEDY)
            file.seek(at)
            body = file.read(length)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error})",
            "give a file that `visavis data pack` made",
        ) from error
    if hashlib.sha256(body).digest() != sha256:
        raise DataError(f"{path}: its index is damaged (SHA-256 differs)", REMEDY)
    index = _decode(path, body)
    if at != START + len(index.digests) * index.crop_bytes:
        raise DataError(f"{path}: its index does not fit its crops", REMEDY)
    return index


def _read_head(path: Path, head: bytes) -> tuple[int, int, bytes]:
    if head[:12] != MAGIC[:12]:
        raise DataError(f"{path}: not a pack", "give a file that `visavis data pack` made")
    if len(head) < _HEAD.size + _CRC.size:
        raise DataError(f"{path}: a pack cut off after {len(head)} bytes", REMEDY)
    if _CRC.unpack_from(head, _HEAD.size)[0] != zlib.crc32(head[: _HEAD.size]):
        raise DataError(f"{path}: its header is damaged (CRC-32 differs)", REMEDY)
    magic, at, length, sha256 = _HEAD.unpack_from(head)
    if magic != MAGIC:
        version = magic[13:15].decode("ascii", "replace")
        raise DataError(f"{path}: a pack of version {version}", "upgrade visavis to read it")
    return at, length, sha256


def _decode(path: Path, body: bytes) -> Index:
    # The hash fits, so this is what a writer wrote: another version of us, at worst.
    try:
        return msgspec.convert(json.loads(zlib.decompress(body)), Index)
    except (ValueError, zlib.error) as error:
        raise DataError(f"{path}: its index cannot be read ({error})", REMEDY) from error


def _json(value: Any) -> bytes:
    # File names that are not UTF-8 come as lone surrogates, which \uXXXX escapes carry.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


SIZE: Final = 144
"""Side of a packed crop unless another is asked for."""
SCALE: Final = 0.85
"""Its ``scale``, as in ``faces.align.crop``: a little more around the face than networks want, so
that shifted and turned crops see real pixels."""


@dataclass(frozen=True, slots=True)
class SkippedPhoto(Record):
    """A photo that gave no crop.

    Attributes:
        photo: its path, relative to its source.
        reason: a short stable name, such as ``no-face`` or ``image-truncated``.
        message: the error in one line.
    """

    photo: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """An open pack: read-only, and reopened from its path when pickled into another process.

    Attributes:
        path: the file.
        size: side of the crops in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.
        crops: ``(N, size, size, 3)`` RGB uint8, mapped from the file; rows of one person lie
            together.
        labels: ``(N,)`` row of each crop's person in ``people``.
        people: names, each once; everybody has a crop.
        names: ``(N,)`` source of each crop, relative: ``Ann/ann_0001.jpg``.
        sources: ``(N,)`` SHA-256 of the photos' bytes, "" where it was not given.
        left_out: photos that gave no crop.
        origin: what it was made from, in words.
        fingerprint: SHA-256 over geometry, crops, labels and names.
        request: identifies photos and options it was packed from; "" for ``write_pack``.
        digests: what ``verify`` compares with, one a crop.
    """

    path: Path
    size: int
    scale: float
    crops: NDArray[np.uint8]
    labels: NDArray[np.int64]
    people: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]
    left_out: tuple[SkippedPhoto, ...]
    origin: str
    fingerprint: str
    request: str
    digests: tuple[str, ...]

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, tuple[Path, str]]:
        return (_reopen, (self.path, self.fingerprint))

    def verify(self) -> None:
        """Compare every crop with the digest taken when it was written.

        Raises:
            DataError: one differs; the first is named.
        """
        for name, crop, expected in zip(self.names, self.crops, self.digests, strict=True):
            if digest(crop.data) != expected:
                raise DataError(
                    f"{self.path}: the crop of {name} is damaged (SHA-256 differs)", REMEDY
                )

    def close(self) -> None:
        """Closes the file; ``crops`` is empty afterwards.

        The mapping ends when nothing else refers to it (slices taken earlier keep it).
        """
        none = np.zeros((0, self.size, self.size, 3), dtype=np.uint8)
        object.__setattr__(self, "crops", none)


def open_pack(path: Path) -> Pack:
    """Open a finished pack; its crops are mapped, not read.

    Raises:
        DataError: no such file, not a pack, cut off, or damaged outside the crops (inside them,
            ``Pack.verify`` tells).
    """
    path = Path(path)
    index = read_index(path)
    shape = (len(index.digests), index.size, index.size, 3)
    return Pack(
        path=path,
        size=index.size,
        scale=index.scale,
        crops=np.memmap(path, dtype=np.uint8, mode="r", offset=START, shape=shape),
        labels=np.array(index.labels, dtype=np.int64),
        people=tuple(index.people),
        names=tuple(index.names),
        sources=tuple(index.sources),
        left_out=tuple(SkippedPhoto(*row) for row in index.left_out),
        origin=index.origin,
        fingerprint=index.fingerprint(),
        request=index.request,
        digests=tuple(index.digests),
    )


def _reopen(path: Path, fingerprint: str) -> Pack:
    pack = open_pack(path)
    if pack.fingerprint != fingerprint:
        raise DataError(f"{path}: another pack took its place", "start again with the new one")
    return pack


def write_pack(
    path: Path,
    crops: Iterable[NDArray[np.uint8]],
    labels: ArrayLike,
    people: Sequence[str],
    names: Sequence[str],
    *,
    size: int,
    scale: float,
    origin: str,
    sources: Sequence[str] | None = None,
    left_out: Sequence[SkippedPhoto] = (),
) -> Pack:
    """Write crops from memory to a pack, atomically, and open it.

    For photos, and for more than memory holds, see ``packing.pack``.

    Args:
        path: the file; what stood there is replaced.
        crops: N arrays ``(size, size, 3)`` uint8, or one ``(N, size, size, 3)``.
        labels: N rows of ``people``; the file is sorted by them, rows of one person in the order
            given.
        people: names, each once, each with a crop.
        names: N names of the photos, each once.
        size: side of the crops in pixels.
        scale: size of the face in them.
        origin: what the crops were made from, in words.
        sources: N SHA-256 of the photos' bytes.
        left_out: photos that gave no crop.

    Raises:
        OptionError: numbers, shapes or labels do not fit together.
        DataError: the file cannot be written.
    """
    rows = np.asarray(labels)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise OptionError(f"labels of shape {rows.shape}, {rows.dtype}", "give N whole numbers")
    given = [np.asarray(crop) for crop in crops]
    for crop in given:
        if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
            raise OptionError(
                f"a crop of shape {crop.shape}, {crop.dtype}", f"give ({size}, {size}, 3) uint8"
            )
    _check(rows, len(given), people, names, sources)
    order = np.argsort(rows, kind="stable")
    ordered = [np.ascontiguousarray(given[k]) for k in order]
    index = Index(
        size=size,
        scale=float(scale),
        labels=rows[order].tolist(),
        people=list(people),
        names=[names[k] for k in order],
        sources=[sources[k] if sources is not None else "" for k in order],
        digests=[digest(crop.data) for crop in ordered],
        left_out=[[one.photo, one.reason, one.message] for one in left_out],
        origin=origin,
        request="",
    )
    return _written(Path(path), ordered, index)


def _written(path: Path, crops: Iterable[NDArray[np.uint8]], index: Index) -> Pack:
    with (
        writing_to(path, "make room there, or name a file in a folder that exists"),
        replacing(path, private=True, durable=True) as temporary,
        temporary.open("r+b") as file,
    ):
        file.seek(START)
        for crop in crops:
            file.write(crop.data)
        finish(file, index)
    return open_pack(path)


def _check(
    labels: NDArray[Any],
    crops: int,
    people: Sequence[str],
    names: Sequence[str],
    sources: Sequence[str] | None,
) -> None:
    counts = {len(labels), crops, len(names)} | ({len(sources)} if sources is not None else set())
    if counts == {0}:
        raise OptionError("no crops", "give one or more")
    if len(counts) != 1:
        raise OptionError(
            f"{crops} crops, {len(labels)} labels, {len(names)} names", "give as many of each"
        )
    for kind, values in (("people", people), ("names", names)):
        if len(set(values)) != len(values):
            raise OptionError(f"{kind} that repeat", "name each once")
    if sorted(set(labels.tolist())) != list(range(len(people))):
        raise OptionError(
            f"labels of {len(set(labels.tolist()))} people for {len(people)} names",
            "use every row of people, from 0 on, and no other",
        )


def without(pack: Pack, rows: ArrayLike, out: Path, *, left_out: Sequence[SkippedPhoto]) -> Pack:
    """Write a copy of a pack without ``rows``; people without a crop are dropped.

    Args:
        pack: the pack to copy from.
        rows: rows to leave out.
        out: the file to write, not the pack itself.
        left_out: why, a reason a row; added to the pack's own.

    Raises:
        OptionError: a row that is not there, or ``out`` is the pack.
        DataError: nothing is left, or the file cannot be written.
    """
    dropped = np.unique(np.asarray(rows, dtype=np.int64))
    if dropped.size and not 0 <= dropped[0] <= dropped[-1] < len(pack):
        raise OptionError(f"rows {dropped[0]} to {dropped[-1]}", f"there are {len(pack)}")
    if out.exists() and out.samefile(pack.path):
        raise OptionError(f"{out}: is the pack itself", "name another file")
    kept = np.setdiff1d(np.arange(len(pack)), dropped)
    if not len(kept):
        raise DataError(f"{pack.path}: no crop is left", "leave fewer out")
    people, labels = np.unique(pack.labels[kept], return_inverse=True)
    index = Index(
        size=pack.size,
        scale=pack.scale,
        labels=labels.tolist(),
        people=[pack.people[person] for person in people],
        names=[pack.names[row] for row in kept],
        sources=[pack.sources[row] for row in kept],
        digests=[pack.digests[row] for row in kept],
        left_out=[[o.photo, o.reason, o.message] for o in (*pack.left_out, *left_out)],
        origin=pack.origin,
        request="",
    )
    return _written(out, (pack.crops[row] for row in kept), index)
