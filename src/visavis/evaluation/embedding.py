"""Templates of a protocol's photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visavis.evaluation.protocols import Protocol
from visavis.types import Face, Vectors

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPhotos:
    """What became of each of P photos.

    Attributes:
        vectors: P arrays ``(K, D)`` of unit rows, K the faces that the rule kept; K is 0 where the
            photo failed.
        faces: the faces of these rows.
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
) -> EmbeddedPhotos:
    """Templates of all photos; one that fails is a reason, never an end."""
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
    return EmbeddedPhotos(tuple(vectors), tuple(faces), tuple(reasons))
