"""A made-up collection: photos of people whose templates are drawn around their own center."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from visavis.albums.records import FoundFace, PhotoFile, RunSettings
from visavis.albums.sorting import DetectedPhotos, remember_faces, sort_faces
from visavis.albums.store import AlbumStore
from visavis.clustering.clusterer import Clusterer
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import FmrCurve

THRESHOLD = 0.5
DIMENSION = 24

SETTINGS = RunSettings(
    root="photos",
    model="toy",
    model_sha256="ab" * 32,
    pipeline_id="toy",
    algorithm="average",
    false_merge=0.01,
    threshold=float("nan"),
    calibration="toy",
)


def at_score(score: float) -> GraphLinkage:
    """The default clusterer with every threshold at one score."""
    curve = FmrCurve((score - 0.05, score), (0.4, 0.2), typical=min(0.0, score - 0.06))
    return GraphLinkage(curve)


def template(person: int, draw: int, *, noise: float = 0.12) -> np.ndarray:
    """A unit vector near the person's own; scores of one person are about 0.75, of two about 0."""
    center = np.random.default_rng([7, person]).standard_normal(DIMENSION)
    center /= np.linalg.norm(center)
    own = np.random.default_rng([8, person, draw]).standard_normal(DIMENSION)
    vector = center + noise * own
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def found_face(vector: np.ndarray, place: int = 0, *, quality_score: float = 1.0) -> FoundFace:
    """A face in the ``place``-th place of its photo."""
    landmarks = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], dtype=np.float32)
    shift = np.array([100 * place, 0], dtype=np.float32)
    box = (100.0 * place + 10, 10.0, 80.0, 90.0)
    return FoundFace(box, landmarks + shift, quality_score, vector)


Photos = dict[str, list[FoundFace]]


def photo(name: str, people: Sequence[int]) -> tuple[str, list[FoundFace]]:
    """A photo that shows some people from left to right."""
    draw = int(name)
    return name, [found_face(template(who, draw), k) for k, who in enumerate(people)]


def found(photos: Photos) -> DetectedPhotos:
    """What a look at the photos finds."""
    return DetectedPhotos(tuple(PhotoFile(f"{name}.jpg", name) for name in photos), photos)


def run(
    store: AlbumStore,
    photos: Photos,
    *,
    clusterer: Clusterer | None = None,
    threshold: Callable[[int], float] = lambda clusters: THRESHOLD,
    **options: object,
) -> None:
    """One run over the photos."""
    with store.changing():
        seen = remember_faces(store, found(photos))
        sort_faces(
            store,
            seen,
            clusterer or at_score(THRESHOLD),
            settings=SETTINGS,
            threshold=threshold,
            **options,  # type: ignore[arg-type]
        )


def clusters(store: AlbumStore, *, away: bool = False) -> dict[int, int | None]:
    """The cluster of each face that is here (or of all)."""
    return {face.id: face.cluster for face in store.faces() if face.here or away}


def inside(store: AlbumStore) -> dict[int, set[int]]:
    """The faces of each cluster."""
    answer: dict[int, set[int]] = {}
    for face, cluster in clusters(store).items():
        if cluster is not None:
            answer.setdefault(cluster, set()).add(face)
    return answer


def photos_of(people: Iterable[Sequence[int]]) -> Photos:
    """Photos 0, 1, 2, ..., each of some people."""
    return dict(photo(str(k), who) for k, who in enumerate(people))


def new_store(folder: Path) -> AlbumStore:
    """An empty state."""
    return AlbumStore(folder / "album.sqlite", create=True)
