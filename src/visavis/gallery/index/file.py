"""What of an index is on disk, chunk by chunk: numbers, rows, codes of the fast scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import GalleryDamagedError
from visavis.gallery.index.fast_scan import FastScan
from visavis.gallery.index.options import IndexOptions
from visavis.gallery.index.person_index import IdMap, PersonIndex
from visavis.gallery.index.snapshot import CHUNK, Reader, ValueCipher, Writer
from visavis.gallery.index.tuning import Tuning
from visavis.gallery.index.vectors import VectorIndex
from visavis.writing import replacing


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What an index is made of, row by row."""

    body: VectorIndex
    numbers: IdMap
    owners: PersonIndex


def save(path: Path, parts: Parts, *, state: int, cipher: ValueCipher | None) -> None:
    """Write it beside ``path`` and move it there."""
    import faiss

    body, numbers = parts.body, parts.numbers
    header: dict[str, object] = {
        "dimension": body.dimension,
        "count": len(numbers),
        "state": state,
        "codec": "float32",
        "owners": True,
        "scan": None,
    }
    if body.scan is not None and body.tuning is not None:
        header["scan"] = {
            "tuning": asdict(body.tuning),
            "recall": body.options.recall,
            "bytes": body.scan.nbytes,
            "faiss": faiss.__version__,
        }
    with replacing(path, private=True) as partial, partial.open("wb") as file:
        writer = Writer(file, header, cipher=cipher)
        writer.write(b"")  # of a codec, which former versions could have
        for column in (numbers.ids, parts.owners.people, parts.owners.usability):
            for start in range(0, len(column), CHUNK // 8):
                writer.write(_little(column[start : start + CHUNK // 8]))
        for _, block in body.rows.blocks():
            step = max(CHUNK // max(block[:1].nbytes, 1), 1)
            for start in range(0, len(block), step):
                writer.write(_little(block[start : start + step]))
        if header["scan"] is not None and body.scan is not None:
            writer.write(_little(body.scan.representatives))
            for chunk in body.scan.chunks():
                writer.write(chunk)
        writer.end()


def load(path: Path, *, options: IndexOptions, decrypt: ValueCipher | None) -> tuple[Parts, int]:
    """Read it; the state comes last.

    Raises:
        GalleryDamagedError: it is not what was written, or keeps less than is asked for now.
    """
    with path.open("rb") as file:
        reader = Reader(file, path=path, decrypt=decrypt)
        try:
            return _read(reader, path, options)
        except (KeyError, TypeError, ValueError) as error:
            raise GalleryDamagedError(
                f"{path} is of another version", "delete it: it is made again from the table"
            ) from error


def _read(reader: Reader, path: Path, options: IndexOptions) -> tuple[Parts, int]:
    header = reader.header
    dimension, count, state, _ = (
        int(header[key]) for key in ("dimension", "count", "state", "owners")
    )
    body, numbers = VectorIndex(dimension, options=options), IdMap()
    if header["codec"] != "float32":
        raise ValueError(header["codec"])
    reader.read()
    for payload in reader.chunks(8 * count):
        numbers.append(np.frombuffer(payload, "<i8"))
    owners = PersonIndex()
    people = [np.frombuffer(payload, "<i8") for payload in reader.chunks(8 * count)]
    usability = [np.frombuffer(payload, "<f8") for payload in reader.chunks(8 * count)]
    for whose, usable in zip(people, usability, strict=True):
        owners.append(whose, usable)
    for payload in reader.chunks(4 * dimension * count):
        body.rows.append(np.frombuffer(payload, "<f4").reshape(-1, dimension))
    if header["scan"] is not None:
        _read_scan(reader, body)
    reader.end()
    body.settle()
    return Parts(body, numbers, owners), state


def _read_scan(reader: Reader, body: VectorIndex) -> None:
    import faiss

    about = reader.header["scan"]
    scan = FastScan(body.dimension)
    scan.representatives = np.frombuffer(reader.read(), "<f4").astype(np.float32)
    codes = np.empty(about["bytes"], np.uint8)
    same = about["faiss"] == faiss.__version__ and len(body.rows) > 0
    if same:
        codes = scan.restore(len(body.rows))
    at = 0
    for payload in reader.chunks(about["bytes"]):
        codes[at : at + len(payload)] = np.frombuffer(payload, np.uint8)
        at += len(payload)
    if not same:
        # How codes lie in memory is FAISS's own business and may change.
        for _, block in body.rows.blocks():
            scan.add(block)
    if about["recall"] == body.options.recall and len(body.rows) > body.options.exact_up_to // 2:
        body.scan, body.tuning = scan, Tuning(**about["tuning"])


def _little(array: NDArray[Any]) -> memoryview:
    kind = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, kind).reshape(-1).data.cast("B")
