"""Photos to a pack: decode, find the face, align, write; killed at any time, it goes on."""

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
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import DataError, ImageUnsupportedError, OptionError, VisavisError, writing_to
from visavis.faces import align
from visavis.training.data import layout
from visavis.training.data.journal import Journal, Kept
from visavis.training.data.pack import SCALE, SIZE, LeftOut, Pack, open_pack
from visavis.training.data.photo import Photo
from visavis.types import Image
from visavis.writing import private_folder

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

    The file appears under its name when it is whole. Until then, the work so far lies beside it
    (``OUT.partial``, ``OUT.partial.jsonl``): the same call goes on from there, and after the end
    it only opens the file. A photo that gives no crop is left out with its reason, never an end.

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
                if not any(isinstance(row, Kept) for row in journal.done):
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
    """SHA-256 over what decides the pack's content: options, photos, and their files' state."""
    state: dict[Path, tuple[int, int]] = {}
    digest = hashlib.sha256(json.dumps([size, scale, how]).encode())
    for photo in photos:
        if photo.path not in state:
            try:
                stat = photo.path.stat()
                state[photo.path] = (stat.st_size, stat.st_mtime_ns)
            except OSError:
                state[photo.path] = (-1, -1)
        row = [photo.person, photo.name, photo.offset, *state[photo.path]]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


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
    """Give the file a free name beside its own: it may have taken somebody hours."""
    names = (out.with_name(f"{out.stem}-{k}{out.suffix}") for k in itertools.count(1))
    out.rename(next(name for name in names if not name.exists()))


def _made(out: Path) -> Pack:
    if out.is_dir():
        raise DataError(f"{out}: is a folder", "name a file")
    try:
        return open_pack(out)
    except DataError as error:
        raise DataError(
            f"{out}: is there already, and is no pack that can be read",
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
    """Work off the photos that the journal lacks, side by side, and write them in order."""
    workers = workers or os.cpu_count() or 1
    local = threading.local()

    def work(photo: Photo) -> tuple[Image, str] | LeftOut:
        try:
            data = photo.read()
            pixels = images.decode(data, name=photo.name)
            if finder is None:
                landmarks = _landmarks_of_crop(pixels, photo.name)
            else:
                if not hasattr(local, "find"):
                    local.find = finder()
                landmarks = local.find(pixels, photo.name)
            return align.crop(
                pixels, landmarks, size=geometry[0], scale=geometry[1]
            ), images.digest(data)
        except VisavisError as error:
            return LeftOut(photo.name, error.reason, str(error))

    rest = iter(photos[len(journal.done) :])
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[tuple[Image, str] | LeftOut]] = deque()
        while True:
            while len(ahead) < _AHEAD * workers and (photo := next(rest, None)) is not None:
                ahead.append(pool.submit(work, photo))
            if not ahead:
                return
            result = ahead.popleft().result()
            if isinstance(result, LeftOut):
                journal.leave_out(result)
            else:
                journal.keep(*result)
            if progress is not None:
                progress(len(journal.done), len(photos))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _landmarks_of_crop(pixels: Image, name: str) -> NDArray[np.float64]:
    height, width = pixels.shape[:2]
    if height != width:
        raise ImageUnsupportedError(
            f"{name}: {width}x{height} pixels, an aligned crop is square", "pack it with a detector"
        )
    return align.positions(size=width)


def _index(
    journal: Journal,
    photos: Sequence[Photo],
    geometry: tuple[int, float],
    origin: str,
    request: str,
) -> layout.Index:
    kept = [
        (photo, row)
        for photo, row in zip(photos, journal.done, strict=True)
        if isinstance(row, Kept)
    ]
    left_out = [row for row in journal.done if isinstance(row, LeftOut)]
    if not kept:
        raise DataError(
            f"none of {len(photos)} photos gave a crop, the first because: {left_out[0].message}",
            "give photos that show faces",
        )
    people = {person: k for k, person in enumerate(dict.fromkeys(p.person for p, _ in kept))}
    return layout.Index(
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
