"""State and templates, brought together into an ``Album``: what results are written from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.albums.judging import Judged, judge
from visavis.albums.knowledge import Knowledge, replay
from visavis.albums.most_alike import most_alike
from visavis.albums.records import (
    Album,
    AlbumCluster,
    AlbumFace,
    Merged,
    RunSettings,
)
from visavis.albums.store import AlbumStore, KnownFace
from visavis.decision.domain import Domain
from visavis.errors import DataError
from visavis.types import Vectors


@dataclass(frozen=True, slots=True)
class GalleryName:
    """Whom a gallery knows a cluster as."""

    name: str
    score: float


def album_of(
    store: AlbumStore,
    vectors: Mapping[int, NDArray[np.float32]],
) -> Album:
    """What the last run and the corrections since then come to.

    Args:
        store: the state.
        vectors: templates by face, as the network makes them; faces without one get no score.

    Returns:
        The album, whose scores are in the space of the last run.

    Raises:
        DataError: no run was made yet.
    """
    last = store.last_run()
    if last is None:
        raise DataError(f"{store.path}: no run was finished", "run `visavis cluster DIR --out OUT`")
    run, made, plain, outcome = last
    settings = RunSettings(**{**plain, "fpir": _number(plain["fpir"])})
    corrections = store.corrections()
    knowledge = replay(corrections)
    here = [face for face in store.faces() if face.here]
    placed = [face for face in here if face.cluster is not None]
    clusters_now = np.array([face.cluster for face in placed], dtype=np.int64)
    usability = np.array([face.usability for face in placed], dtype=np.float64)
    rows = _rows(placed, vectors)
    domain = Domain.from_dict(outcome["domain"]) if vectors and outcome.get("domain") else None
    judged = judge(rows if domain is None else domain.apply(rows), clusters_now, usability)
    faces = _faces(here, placed, judged, knowledge, settings.threshold)
    by_gallery = {
        int(cluster): GalleryName(name, score)
        for cluster, (name, score) in outcome.get("gallery_names", {}).items()
    }
    clusters = _clusters(placed, faces, judged, knowledge, by_gallery)
    return Album(
        run=run,
        made=made,
        settings=settings,
        files=tuple(store.files()),
        faces=faces,
        clusters=tuple(clusters),
        likely_same=tuple(most_alike(placed, judged, knowledge, clusters, run=(settings, outcome))),
        merged=tuple(
            Merged(one["kept"], tuple(one["gone"]), tuple(one["faces"]), one["why"])
            for one in outcome["merged"]
        ),
        new_faces=outcome["new_faces"],
        corrections=sum(not one.undone for one in corrections),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _rows(placed: Sequence[KnownFace], vectors: Mapping[int, NDArray[np.float32]]) -> Vectors:
    """``(N, D)`` templates, NaN where not known."""
    width = next((len(vector) for vector in vectors.values()), 1)
    rows = np.full((len(placed), width), np.nan, dtype=np.float32)
    for row, face in enumerate(placed):
        if face.id in vectors:
            rows[row] = vectors[face.id]
    return rows


def _faces(
    here: Iterable[KnownFace],
    placed: Sequence[KnownFace],
    judged: Judged,
    knowledge: Knowledge,
    threshold: float,
) -> dict[int, AlbumFace]:
    row_of = {face.id: row for row, face in enumerate(placed)}
    answer: dict[int, AlbumFace] = {}
    for face in here:
        row = row_of.get(face.id)
        confirmed = face.id in knowledge.group_of
        score = float(judged.own[row]) if row is not None else float("nan")
        doubt = judged.doubt(row, threshold) if row is not None and not confirmed else ""
        answer[face.id] = AlbumFace(
            face.id, face.photo, face.number, face.box, face.usability, face.cluster, score, doubt,
            confirmed, face.landmarks,
        )  # fmt: skip
    return answer


def _clusters(
    placed: Iterable[KnownFace],
    faces: Mapping[int, AlbumFace],
    judged: Judged,
    knowledge: Knowledge,
    gallery_names: Mapping[int, GalleryName],
) -> list[AlbumCluster]:
    inside: dict[int, list[AlbumFace]] = defaultdict(list)
    for face in placed:
        inside[int(face.cluster or 0)].append(faces[face.id])
    clusters = []
    for number, members in inside.items():
        members.sort(key=lambda f: (bool(f.doubt), -_typical(f), f.id))
        scores = [f.score for f in members if np.isfinite(f.score)]
        name, named_by, name_score = _name(number, members, knowledge, gallery_names)
        clusters.append(
            AlbumCluster(
                id=number,
                name=name,
                named_by=named_by,
                name_score=name_score,
                faces=tuple(f.id for f in members),
                photos=len({f.photo_sha256 for f in members}),
                cohesion=float(np.mean(scores)) if scores else float("nan"),
                doubtful=sum(bool(f.doubt) for f in members),
            )
        )
    clusters.sort(key=lambda one: (-len(one.faces), one.id))
    return clusters


def _typical(face: AlbumFace) -> float:
    return (face.score if np.isfinite(face.score) else 0.0) * (0.5 + 0.5 * face.usability)


def _name(
    number: int,
    members: Iterable[AlbumFace],
    knowledge: Knowledge,
    gallery_names: Mapping[int, GalleryName],
) -> tuple[str, str, float]:
    groups = {knowledge.group_of[f.id] for f in members if f.id in knowledge.group_of}
    names = sorted(knowledge.names[group] for group in groups if group in knowledge.names)
    if names:
        return names[0], "you", float("nan")
    if number in gallery_names:
        return gallery_names[number].name, "gallery", gallery_names[number].score
    return "", "", float("nan")
