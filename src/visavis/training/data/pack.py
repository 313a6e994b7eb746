"""One file of aligned crops, mapped into memory and read by many processes at once.

It shows faces: only its owner can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import DataError, OptionError, writing_to
from visavis.training.data import layout
from visavis.types import Record
from visavis.writing import replacing

SIZE: Final = 144
"""Side of a packed crop unless another is asked for."""
SCALE: Final = 0.85
"""Its ``scale``, as in ``faces.align.crop``: a little more around the face than networks want, so
that shifted and turned crops see real pixels."""


@dataclass(frozen=True, slots=True)
class LeftOut(Record):
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
    left_out: tuple[LeftOut, ...]
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
            if layout.digest(crop.data) != expected:
                raise DataError(
                    f"{self.path}: the crop of {name} is damaged (SHA-256 differs)", layout.REMEDY
                )

    def close(self) -> None:
        """Let go of the file: ``crops`` is empty from now on.

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
    index = layout.read_index(path)
    shape = (len(index.digests), index.size, index.size, 3)
    return Pack(
        path=path,
        size=index.size,
        scale=index.scale,
        crops=np.memmap(path, dtype=np.uint8, mode="r", offset=layout.START, shape=shape),
        labels=np.array(index.labels, dtype=np.int64),
        people=tuple(index.people),
        names=tuple(index.names),
        sources=tuple(index.sources),
        left_out=tuple(LeftOut(*row) for row in index.left_out),
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
    left_out: Sequence[LeftOut] = (),
) -> Pack:
    """Write crops that are there already, whole or not at all, and open the result.

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
    index = layout.Index(
        size=size,
        scale=float(scale),
        labels=rows[order].tolist(),
        people=list(people),
        names=[names[k] for k in order],
        sources=[sources[k] if sources is not None else "" for k in order],
        digests=[layout.digest(crop.data) for crop in ordered],
        left_out=[[one.photo, one.reason, one.message] for one in left_out],
        origin=origin,
        request="",
    )
    path = Path(path)
    with (
        writing_to(path, "make room there, or name a file in a folder that exists"),
        replacing(path, private=True) as temporary,
        temporary.open("r+b") as file,
    ):
        file.seek(layout.START)
        for crop in ordered:
            file.write(crop.data)
        layout.finish(file, index)
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
