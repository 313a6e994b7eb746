"""Packing of photos: decode, detect, align, write; resumes after a kill."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import DataError, ImageUnsupportedError, OptionError, VisavisError, writing_to
from visavis.faces import align
from visavis.training.data.pack import (
    SCALE,
    SIZE,
    START,
    Index,
    Pack,
    SkippedPhoto,
    digest,
    finish,
    open_pack,
)
from visavis.training.data.sources import Photo
from visavis.types import Image
from visavis.writing import private_file, private_folder

_SYNC: Final = 256  # photos between two forced writes to disk


@dataclass(frozen=True, slots=True)
class PackedPhoto:
    """A packed photo: digest of its crop, SHA-256 of its bytes."""

    digest: str
    source: str


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A journal line: first the request, then one line for each photo, packed or skipped."""

    request: str | None = None
    digest: str | None = None
    source: str = ""
    name: str = ""
    reason: str = ""
    message: str = ""


class Journal:
    """Progress journal of an unfinished pack: two files beside it, for one process at a time.

    Args:
        out: file of the finished pack.
        request: identifies photos and options.
        crop_bytes: bytes of a crop.
        anew: discard unfinished work.
        replace: discard unfinished work of another request.

    Attributes:
        crops: the file of crops, which becomes the pack.
        lines: the file of lines.
        done: what became of the photos so far, in their order.

    Raises:
        DataError: the work was begun for another request.
        OSError: the files cannot be written.
    """

    def __init__(
        self, out: Path, *, request: str, crop_bytes: int, anew: bool, replace: bool = False
    ) -> None:
        self.crops = out.with_name(f"{out.name}.partial")
        self.lines = out.with_name(f"{out.name}.partial.jsonl")
        self._crop_bytes = crop_bytes
        self.done: list[PackedPhoto | SkippedPhoto] = []
        begun = None if anew else self._begun()
        if replace and begun != request:
            begun = None
        if begun is not None and begun != request:
            raise DataError(
                f"{self.crops}: begun for other photos or options",
                "give the same ones to continue, or start again: `visavis data pack --anew`",
            )
        if begun is None:
            for path, content in (
                (self.crops, b""),
                (self.lines, _encoded(_Line(request=request))),
            ):
                private_file(path)
                path.write_bytes(content)
        length = self._recover()
        kept = sum(isinstance(one, PackedPhoto) for one in self.done)
        self._file = self.crops.open("r+b")
        self._file.truncate(START + kept * crop_bytes)
        self._file.seek(0, os.SEEK_END)
        self._log = self.lines.open("r+b")
        self._log.truncate(length)
        self._log.seek(0, os.SEEK_END)

    def _begun(self) -> str | None:
        """The request of work that was begun; ``None`` where there is none to go on with."""
        try:
            with self.lines.open("rb") as log:
                first = _parse(log.readline())
        except FileNotFoundError:
            return None
        return first.request if first is not None and self.crops.exists() else None

    def _recover(self) -> int:
        """Read back whole lines whose crops are whole; returns the bytes of these lines."""
        with self.lines.open("rb") as log, self.crops.open("rb") as crops:
            length = len(log.readline())
            crops.seek(START)
            for line in log:
                row = _parse(line)
                if row is None:
                    break
                if row.digest is None:
                    self.done.append(SkippedPhoto(row.name, row.reason, row.message))
                # A crop cut short has another digest too.
                elif digest(crops.read(self._crop_bytes)) == row.digest:
                    self.done.append(PackedPhoto(row.digest, row.source))
                else:
                    break
                length += len(line)
        return length

    def add(self, result: tuple[Image, str] | SkippedPhoto) -> None:
        """Add the next photo: its crop and the SHA-256 of its bytes, or why it has no crop."""
        if isinstance(result, SkippedPhoto):
            self.done.append(result)
            line = _Line(name=result.photo, reason=result.reason, message=result.message)
        else:
            pixels, source = np.ascontiguousarray(result[0]).tobytes(), result[1]
            line = _Line(digest=digest(pixels), source=source)
            self.done.append(PackedPhoto(str(line.digest), source))
            self._file.write(pixels)
            self._file.flush()
        self._log.write(_encoded(line))
        self._log.flush()
        if len(self.done) % _SYNC == 0:
            os.fsync(self._file.fileno())
            os.fsync(self._log.fileno())

    def finish(self, out: Path, index: Index) -> None:
        """Add index and header, and rename the file to its final name."""
        finish(self._file, index)
        os.fsync(self._file.fileno())
        self.close()
        self.crops.replace(out)
        self.lines.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove both files."""
        self.close()
        self.crops.unlink(missing_ok=True)
        self.lines.unlink(missing_ok=True)

    def close(self) -> None:
        """Close both files; progress is kept."""
        self._file.close()
        self._log.close()


def _encoded(line: _Line) -> bytes:
    # File names that are not UTF-8 come as lone surrogates, which \uXXXX escapes carry.
    return json.dumps(msgspec.to_builtins(line), ensure_ascii=True).encode("ascii") + b"\n"


def _parse(line: bytes) -> _Line | None:
    """A line's values; ``None`` if it is cut off, or was not written here."""
    if not line.endswith(b"\n"):
        return None
    try:
        return msgspec.convert(json.loads(line), _Line)
    except ValueError:
        return None


Find = Callable[[Image, str], NDArray[np.floating]]
"""Takes an upright RGB photo and its name; returns the ``(5, 2)`` landmarks of the face that
counts, or raises a ``VisavisError`` such as ``NoFaceError``."""

_AHEAD: Final = 8  # photos in work or waiting, a worker
_LARGEST: Final = 2048  # pixels of a crop's side


def pack(
    photos: Sequence[Photo],
    out: Path,
    *,
    finder: Callable[[], Find] | None,
    how: str,
    origin: str,
    size: int = SIZE,
    scale: float = SCALE,
    workers: int | None = None,
    anew: bool = False,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Pack:
    """Align the face of each photo and write all crops into one file.

    The file gets its name when it is complete. Until then, the unfinished work is beside it
    (``OUT.partial``, ``OUT.partial.jsonl``): the same call continues it, and opens the file if it
    is complete. A photo without a crop is left out with its reason and does not stop the run.

    Args:
        photos: in any order; packed person by person, people as they first come.
        out: the file to make; folders are made.
        finder: called once a worker thread, gives the function that finds the face; ``None`` where
            the photos are square crops that are aligned already, as ``align.crop`` makes them with
            scale 1.
        how: names detector, its options and the rule that chose the face; work begun in another
            way is not gone on with.
        origin: what the photos are, in words.
        size: side of the crops in pixels, 8 to 2048.
        scale: size of the face in them, as in ``align.crop``.
        workers: photos in work at once; all cores when ``None``.
        anew: drop what was begun or finished before.
        replace: where it is of other photos or options, drop what was begun, and set what was
            finished aside (``data-1.pack`` for ``data.pack``).
        progress: called with (done, total).

    Raises:
        OptionError: no photos, a name twice, or an option outside its range.
        DataError: ``out`` was made, or begun, from other photos or options, or by another process
            at this moment; no photo gave a crop; or the file cannot be written.
    """
    ordered = _by_person(photos)
    if not 8 <= size <= _LARGEST:
        raise OptionError(f"size {size} of the crops", f"give 8 to {_LARGEST} pixels")
    if not 0.1 <= scale <= 10:
        raise OptionError(f"crop scale {scale:g}", "give a number from 0.1 to 10")
    if workers is not None and workers < 1:
        raise OptionError(f"{workers} workers", "give 1 or more")
    out = Path(out)
    request = _request(ordered, size, scale, how)
    with writing_to(out, "make room there, or name a file in another folder"):
        private_folder(out.parent)
        with _alone(out):
            if out.exists() and not anew:
                made = _made(out)
                if made.request == request:
                    return made
                made.close()
                if not replace:
                    raise DataError(
                        f"{out}: is there already, made from other photos or options",
                        "name another place, or remove that file (`visavis data pack` does with "
                        "--anew)",
                    )
                _set_aside(out)
            journal = Journal(
                out, request=request, crop_bytes=size * size * 3, anew=anew, replace=replace
            )
            try:
                _fill(journal, ordered, finder, (size, scale), workers=workers, progress=progress)
                if not any(isinstance(row, PackedPhoto) for row in journal.done):
                    journal.drop()
                journal.finish(out, _index(journal, ordered, (size, scale), origin, request))
            finally:
                journal.close()
    return open_pack(out)


def _by_person(photos: Sequence[Photo]) -> list[Photo]:
    if not photos:
        raise OptionError("no photos", "give one or more")
    names: set[str] = set()
    people: dict[str, list[Photo]] = {}
    for photo in photos:
        if photo.name in names:
            raise OptionError(f"{photo.name} comes twice", "give every photo once")
        names.add(photo.name)
        people.setdefault(photo.person, []).append(photo)
    return [photo for own in people.values() for photo in own]


def _request(photos: Sequence[Photo], size: int, scale: float, how: str) -> str:
    """SHA-256 over options, photos, and size and time of their files."""
    state: dict[Path, tuple[int, int]] = {}
    state_hash = hashlib.sha256(json.dumps([size, scale, how]).encode())
    for photo in photos:
        if photo.path not in state:
            try:
                stat = photo.path.stat()
                state[photo.path] = (stat.st_size, stat.st_mtime_ns)
            except OSError:
                state[photo.path] = (-1, -1)
        row = [photo.person, photo.name, photo.offset, *state[photo.path]]
        state_hash.update(json.dumps(row).encode())
    return state_hash.hexdigest()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(
            f"{out}: another process is packing it", "wait for it, or name another file"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _set_aside(out: Path) -> None:
    """Rename the file to a free name; making it may have taken hours."""
    names = (out.with_name(f"{out.stem}-{k}{out.suffix}") for k in itertools.count(1))
    out.rename(next(name for name in names if not name.exists()))


def _made(out: Path) -> Pack:
    if out.is_dir():
        raise DataError(f"{out}: is a folder", "name a file")
    try:
        return open_pack(out)
    except DataError as error:
        raise DataError(
            f"{out}: is there already, but is not a readable pack",
            "name another file, or replace it: `visavis data pack --anew`",
        ) from error


def _fill(
    journal: Journal,
    photos: Sequence[Photo],
    finder: Callable[[], Find] | None,
    geometry: tuple[int, float],
    *,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Process the photos that the journal lacks in parallel and write them in order."""
    workers = workers or os.cpu_count() or 1
    crop = cropper(finder, size=geometry[0], scale=geometry[1])

    def work(photo: Photo) -> tuple[Image, str] | SkippedPhoto:
        try:
            data = photo.read()
            return crop(photo, data), images.digest(data)
        except VisavisError as error:
            return SkippedPhoto(photo.name, error.reason, str(error))

    rest = iter(photos[len(journal.done) :])
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[tuple[Image, str] | SkippedPhoto]] = deque()
        while True:
            while len(ahead) < _AHEAD * workers and (photo := next(rest, None)) is not None:
                ahead.append(pool.submit(work, photo))
            if not ahead:
                return
            journal.add(ahead.popleft().result())
            if progress is not None:
                progress(len(journal.done), len(photos))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cropper(
    finder: Callable[[], Find] | None, *, size: int, scale: float = 1.0
) -> Callable[[Photo, bytes], Image]:
    """A function from a photo and its bytes to the aligned crop, for many threads at once.

    Args:
        finder: called once a thread; see ``pack``.
        size: side of the crops in pixels.
        scale: size of the face in them.
    """
    local = threading.local()

    def crop(photo: Photo, data: bytes) -> Image:
        pixels = images.decode(data, name=photo.name)
        height, width = pixels.shape[:2]
        if finder is not None:
            if not hasattr(local, "find"):
                local.find = finder()
            landmarks = local.find(pixels, photo.name)
        elif height == width:
            landmarks = align.positions(size=width)
        else:
            raise ImageUnsupportedError(
                f"{photo.name}: {width}x{height} pixels, an aligned crop is square",
                "pack it with a detector",
            )
        return align.crop(pixels, landmarks, size=size, scale=scale)

    return crop


def _index(
    journal: Journal,
    photos: Sequence[Photo],
    geometry: tuple[int, float],
    origin: str,
    request: str,
) -> Index:
    kept = [
        (photo, row)
        for photo, row in zip(photos, journal.done, strict=True)
        if isinstance(row, PackedPhoto)
    ]
    left_out = [row for row in journal.done if isinstance(row, SkippedPhoto)]
    if not kept:
        raise DataError(
            f"none of {len(photos)} photos gave a crop, the first because: {left_out[0].message}",
            "give photos that show faces",
        )
    people = {person: k for k, person in enumerate(dict.fromkeys(p.person for p, _ in kept))}
    return Index(
        size=geometry[0],
        scale=geometry[1],
        labels=[people[photo.person] for photo, _ in kept],
        people=list(people),
        names=[photo.name for photo, _ in kept],
        sources=[row.source for _, row in kept],
        digests=[row.digest for _, row in kept],
        left_out=[[one.photo, one.reason, one.message] for one in left_out],
        origin=origin,
        request=request,
    )
