"""Processes many photos in parallel, with a cache; a bad photo does not stop the run."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from PIL import Image as PillowImage

from visavis import images
from visavis.errors import DataError, FaceError, OptionError, VisavisError
from visavis.pipeline.extractor import Extractor, Prepared
from visavis.pipeline.records import PhotoResult
from visavis.types import Face, Image, PassedOver, Quality, Vectors, to_plain

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache

SKIPPED: Final = "skipped"
"""The ``reason`` of a photo left out by ``skip``."""

CHUNK: Final = 16
"""Consecutive photos whose faces are embedded in one call. They are decoded one at a time."""
_Named = Sequence[tuple[int, Any, str]]
_NO_VECTORS: Final[Vectors] = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _CachedFace:
    face: Face
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class _CachedPhoto:
    """Cached values of a photo besides its vectors."""

    faces: tuple[_CachedFace, ...] = ()
    found: int = 0
    passed_over: tuple[PassedOver, ...] = ()
    reason: str | None = None
    message: str = ""
    source: str = ""


def embed_many(
    extractor: Extractor,
    photos: Sequence[Any],
    *,
    names: Sequence[str] | None,
    rule: str,
    cache: EmbeddingCache | None,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
    skip: Callable[[int, str], bool] | None,
    look: Callable[[int, Image, Sequence[Face]], None] | None,
) -> Iterator[PhotoResult]:
    """See ``Recognizer.embed_many``."""
    workers = workers or os.cpu_count() or 1
    if workers < 1:
        raise OptionError(f"{workers} workers", "ask for 1 or more")
    if names is None:
        names = [images.describe(photo) for photo in photos]
    if len(names) != len(photos):
        raise OptionError(f"{len(names)} names for {len(photos)} photos", "give one per photo")
    starts = range(0, len(photos), CHUNK)
    waiting = iter(starts)
    local = threading.local()

    def work(start: int) -> list[PhotoResult]:
        part = slice(start, start + CHUNK)
        chunk = list(zip(range(*part.indices(len(photos))), photos[part], names[part], strict=True))
        if workers == 1:
            return _chunk(extractor, chunk, rule, cache, skip, look)
        # One clone and one core per thread: a session serializes concurrent calls.
        if not hasattr(local, "clone"):
            local.clone = extractor.clone(threads=1)
        return _chunk(local.clone, chunk, rule, cache, skip, look)

    done = 0
    pool = ThreadPoolExecutor(workers)
    try:
        # Submits only a few chunks ahead, so that an abandoned iterator stops soon, and forgets
        # those that were yielded, so that memory does not grow with the number of photos.
        ahead = deque(pool.submit(work, start) for start in islice(waiting, 2 * workers))
        for _ in starts:
            results = ahead.popleft().result()
            ahead.extend(pool.submit(work, start) for start in islice(waiting, 1))
            for result in results:
                done += 1
                if progress is not None:
                    progress(done, len(photos))
                yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunk(  # noqa: PLR0917
    extractor: Extractor,
    photos: _Named,
    rule: str,
    cache: EmbeddingCache | None,
    skip: Callable[[int, str], bool] | None,
    look: Callable[[int, Image, Sequence[Face]], None] | None,
) -> list[PhotoResult]:
    results: list[PhotoResult | None] = [None] * len(photos)
    waiting: list[tuple[int, str, Prepared]] = []
    pipeline_id = f"{extractor.pipeline_id}, {rule}"
    for k, (number, photo, source) in enumerate(photos):
        digest = ""
        try:
            data, digest = read(extractor, photo, source)
            if skip is not None and skip(number, digest):
                results[k] = PhotoResult(source, (), SKIPPED, "left out as asked", digest)
                continue
            kept = None
            if cache is not None and digest:
                kept = cache.get(digest, pipeline_id, extractor.model_sha256)
            if kept is not None:
                results[k] = _restored(extractor, source, digest, *kept)
                continue
            prepared = _prepared(extractor, data, rule, source, look and partial(look, number))
        except FaceError as error:
            results[k] = PhotoResult(source, (), error.reason, str(error), digest)
            if cache is not None and digest:
                failed = _CachedPhoto(reason=error.reason, message=str(error), source=source)
                cache.put(
                    digest, pipeline_id, extractor.model_sha256, to_plain(failed), _NO_VECTORS
                )
        except DataError:  # of the cache, not of this photo
            raise
        except VisavisError as error:
            results[k] = PhotoResult(source, (), error.reason, str(error), digest)
        else:
            waiting.append((k, digest, prepared))
    if waiting:
        vectors = extractor.embedder.embed(np.concatenate([p.crops for _, _, p in waiting]))
        start = 0
        for k, digest, prepared in waiting:
            own = vectors[start : start + len(prepared.faces)]
            start += len(prepared.faces)
            found = tuple(extractor.templates(prepared, own))
            results[k] = PhotoResult(prepared.photo, found, sha256=digest)
            if cache is not None and digest:
                both = zip(prepared.faces, prepared.qualities, strict=True)
                faces = tuple(_CachedFace(*one) for one in both)
                kept_photo = _CachedPhoto(faces, prepared.faces_found, prepared.passed_over)
                cache.put(digest, pipeline_id, extractor.model_sha256, to_plain(kept_photo), own)
    return [result for result in results if result is not None]


def read(extractor: Extractor, photo: Any, source: str) -> tuple[Any, str]:
    """Returns the encoded photo with its hash; decoded pixels have none."""
    if isinstance(photo, (np.ndarray, PillowImage.Image)):
        return photo, ""
    data = images.read_bytes(photo, limits=extractor.options.limits, name=source)
    return data, hashlib.sha256(data).hexdigest()


def _prepared(
    extractor: Extractor, data: Any, rule: str, source: str,
    look: Callable[[Image, Sequence[Face]], None] | None,
) -> Prepared:  # fmt: skip
    if look is None:
        return extractor.prepare(data, rule=rule, name=source)
    pixels = images.decode(data, limits=extractor.options.limits, name=source)
    prepared = extractor.prepare(pixels, rule=rule, name=source)
    look(pixels, prepared.faces)
    return prepared


def _restored(
    extractor: Extractor, source: str, digest: str, kept: dict[str, Any], vectors: Vectors
) -> PhotoResult:
    record = msgspec.convert(
        kept, _CachedPhoto, dec_hook=lambda _, value: np.array(value, np.float32)
    )
    if not record.faces:
        # The same bytes may have another name now.
        message = record.message.replace(record.source, source, 1)
        return PhotoResult(source, (), record.reason, message, digest)
    prepared = Prepared(
        photo=source,
        faces=tuple(one.face for one in record.faces),
        qualities=tuple(one.quality for one in record.faces),
        crops=np.zeros((0, 0, 0, 3), dtype=np.uint8),
        faces_found=record.found,
        passed_over=record.passed_over,
    )
    return PhotoResult(source, tuple(extractor.templates(prepared, vectors)), sha256=digest)
