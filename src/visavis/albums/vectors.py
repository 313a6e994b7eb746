"""Templates of an album's faces, from the embedding cache or by detection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.albums.recognizing import Box, same_faces
from visavis.albums.records import FoundFace, PhotoFile
from visavis.albums.sorting import DetectedPhotos
from visavis.albums.store import AlbumStore, KnownFace
from visavis.embedding.cache import EmbeddingCache
from visavis.faces.quality import quality_score
from visavis.pipeline import PhotoResult, Recognizer

RULE = "all"


def kept(
    store: AlbumStore, cache: EmbeddingCache, *, pipeline_id: str, model_sha256: str
) -> dict[int, NDArray[np.float32]]:
    """Returns the cached templates of the faces; opens no photo.

    Args:
        store: state of the collection.
        cache: the embedding cache.
        pipeline_id: ``Recognizer.pipeline_id``.
        model_sha256: hash of the model file.
    """
    inside: dict[str, list[KnownFace]] = defaultdict(list)
    for face in store.faces():
        if face.here and face.cluster is not None:
            inside[face.photo].append(face)
    answer: dict[int, NDArray[np.float32]] = {}
    for photo, faces in inside.items():
        found = cache.get(photo, f"{pipeline_id}, {RULE}", model_sha256)
        if found is None:
            continue
        plain, vectors = found
        boxes: list[Box] = [tuple(one["face"]["box"]) for one in plain["faces"]]
        for face, which in zip(faces, same_faces([f.box for f in faces], boxes), strict=True):
            if which is not None:
                answer[face.id] = vectors[which]
    return answer


def look(
    root: Path,
    photos: list[Path],
    recognizer: Recognizer,
    *,
    cache: EmbeddingCache | None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DetectedPhotos:
    """Detects and embeds all faces of all photos; a bad photo is a file with a reason.

    Args:
        root: the collection's folder.
        photos: files below it.
        recognizer: detector and embedder.
        cache: the embedding cache; with one, an interrupted run continues.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with (done, total).
    """
    files: list[PhotoFile] = []
    faces: dict[str, list[FoundFace]] = {}
    results = recognizer.embed_many(
        photos, rule=RULE, cache=cache, workers=workers, progress=progress
    )
    for path, result in zip(photos, results, strict=True):
        name = path.relative_to(root).as_posix()
        files.append(PhotoFile(name, result.sha256, result.reason, result.message))
        if result.templates and result.sha256 not in faces:
            faces[result.sha256] = _faces(result)
    return DetectedPhotos(tuple(files), faces)


def _faces(result: PhotoResult) -> list[FoundFace]:
    return [
        FoundFace(
            box=_box(template.face.box),
            landmarks=np.asarray(template.face.landmarks, dtype=np.float32),
            quality_score=quality_score(template.quality),
            vector=np.array(template.vector, dtype=np.float32),
        )
        for template in result.templates
    ]


def _box(values: Any) -> Box:
    x, y, width, height = (float(value) for value in values)
    return (x, y, width, height)
