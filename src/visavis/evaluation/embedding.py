"""Templates of a protocol's photos."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis import images
from visavis.errors import VisavisError
from visavis.evaluation.protocols import Protocol
from visavis.types import Face, Image, Vectors

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer

_BATCH: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What became of each of P photos.

    Attributes:
        vectors: P arrays ``(K, D)`` of unit rows, K the faces that the rule kept; K is 0 where the
            photo failed.
        faces: the faces of these rows; empty for photos that were aligned crops already.
        reasons: why a photo failed, such as ``no-face``; "" where it did not.
    """

    vectors: tuple[Vectors, ...]
    faces: tuple[tuple[Face, ...], ...]
    reasons: tuple[str, ...]


def embed(
    protocol: Protocol,
    recognizer: Recognizer,
    *,
    rule: str,
    cache: EmbeddingCache | None,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> Embedded:
    """Templates of all photos; one that fails is a reason, never an end."""
    if protocol.aligned:
        return _embed_crops(protocol, recognizer, cache, progress)
    none = np.zeros((0, recognizer.embedder.dimension), dtype=np.float32)
    vectors: list[Vectors] = []
    faces: list[tuple[Face, ...]] = []
    reasons: list[str] = []
    for result in recognizer.embed_many(
        protocol.photos, rule=rule, cache=cache, workers=workers, progress=progress
    ):
        own = [template.vector for template in result.templates]
        vectors.append(np.stack(own) if own else none)
        faces.append(tuple(template.face for template in result.templates))
        reasons.append("" if own else result.reason or "no-face")
    return Embedded(tuple(vectors), tuple(faces), tuple(reasons))


def _embed_crops(
    protocol: Protocol,
    recognizer: Recognizer,
    cache: EmbeddingCache | None,
    progress: Callable[[int, int], None] | None,
) -> Embedded:
    embedder = recognizer.embedder
    settings = f"{recognizer.settings}, aligned crops"
    total = len(protocol.photos)
    none = np.zeros((0, embedder.dimension), dtype=np.float32)
    vectors: list[Vectors] = [none] * total
    reasons = [""] * total
    for start in range(0, total, _BATCH):
        waiting: list[tuple[int, str, Image]] = []
        for k in range(start, min(start + _BATCH, total)):
            photo = protocol.photos[k]
            data = photo.read_bytes() if isinstance(photo, Path) else photo
            digest = hashlib.sha256(data).hexdigest()
            kept = cache.get(digest, settings, embedder.sha256) if cache is not None else None
            if kept is not None:
                vectors[k] = kept[1]
                continue
            try:
                waiting.append((k, digest, _fit(images.decode(data), embedder.input_size)))
            except VisavisError as error:
                reasons[k] = error.reason
        if waiting:
            rows = embedder.embed(np.stack([crop for _, _, crop in waiting]))
            for (k, digest, _), row in zip(waiting, rows, strict=True):
                vectors[k] = row[None]
                if cache is not None:
                    cache.put(digest, settings, embedder.sha256, {"faces": [{}]}, row[None])
        if progress is not None:
            progress(min(start + _BATCH, total), total)
    return Embedded(tuple(vectors), ((),) * total, tuple(reasons))


def _fit(crop: Image, side: int) -> Image:
    """The crop at the side that the embedder takes; the alignment's frame scales with it."""
    import cv2

    if crop.shape[:2] == (side, side):
        return crop
    way = cv2.INTER_AREA if side < crop.shape[0] else cv2.INTER_LINEAR
    resized: Image = cv2.resize(crop, (side, side), interpolation=way)
    return resized
