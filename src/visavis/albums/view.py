"""Creates an ``Album`` from state and templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.albums.judging import FaceScores, alike, judge
from visavis.albums.knowledge import Knowledge, replay
from visavis.albums.records import (
    Album,
    AlbumCluster,
    AlbumFace,
    LikelySame,
    MergedClusters,
    RunSettings,
)
from visavis.albums.store import AlbumStore, KnownFace
from visavis.clustering.thresholds import FmrCurve
from visavis.decision.domain import Domain
from visavis.errors import DataError
from visavis.faces.quality import POOR
from visavis.types import Vectors


@dataclass(frozen=True, slots=True)
class GalleryName:
    """Gallery name of a cluster."""

    name: str
    score: float


def album_of(
    store: AlbumStore,
    vectors: Mapping[int, NDArray[np.float32]],
) -> Album:
    """Creates the album after the last run and later corrections.

    Args:
        store: state of the collection.
        vectors: plain templates by face; faces without one get no score.

    Returns:
        The album; scores are in the domain of the last run.

    Raises:
        DataError: there was no run.
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
    quality_score = np.array([face.quality_score for face in placed], dtype=np.float64)
    rows = _rows(placed, vectors)
    domain = Domain.from_dict(outcome["domain"]) if vectors and outcome.get("domain") else None
    judged = judge(rows if domain is None else domain.apply(rows), clusters_now, quality_score)
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
            MergedClusters(one["kept"], tuple(one["gone"]), tuple(one["faces"]), one["why"])
            for one in outcome["merged"]
        ),
        new_faces=outcome["new_faces"],
        corrections=sum(not one.undone for one in corrections),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _rows(placed: Sequence[KnownFace], vectors: Mapping[int, NDArray[np.float32]]) -> Vectors:
    """``(N, D)`` templates; NaN if unknown."""
    width = next((len(vector) for vector in vectors.values()), 1)
    rows = np.full((len(placed), width), np.nan, dtype=np.float32)
    for row, face in enumerate(placed):
        if face.id in vectors:
            rows[row] = vectors[face.id]
    return rows


def _faces(
    here: Iterable[KnownFace],
    placed: Sequence[KnownFace],
    judged: FaceScores,
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
            face.id, face.photo, face.number, face.box, face.quality_score, face.cluster, score,
            doubt, confirmed, face.landmarks,
        )  # fmt: skip
    return answer


def _clusters(
    placed: Iterable[KnownFace],
    faces: Mapping[int, AlbumFace],
    judged: FaceScores,
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
    return (face.score if np.isfinite(face.score) else 0.0) * (0.5 + 0.5 * face.quality_score)


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


MOST: Final = 24
"""Most listed pairs."""

MORE_NON_MATED: Final = 10.0
"""FMR of the lowest listed score, relative to the FMR of the threshold."""

_BELOW: Final = 0.05
"""Listed range below the threshold if the run did not store the rates."""


def most_alike(
    placed: Sequence[KnownFace],
    judged: FaceScores,
    knowledge: Knowledge,
    clusters: Sequence[AlbumCluster],
    *,
    run: tuple[RunSettings, Mapping[str, Any]],
) -> list[LikelySame]:
    """Returns the most similar pairs of clusters that are not known to be two people.

    Similarity is the mean score between their faces, down to the score with ten times the FMR of
    the threshold. A listed pair is not a finding: a large collection has more similar pairs of
    different people than missed pairs of one person.

    Args:
        placed: faces in clusters.
        judged: cluster means.
        knowledge: facts from corrections.
        clusters: largest first.
        run: settings and results of the last run.
    """
    settings, outcome = run
    rates = outcome.get("fmr_curve")
    curve = FmrCurve(**_tuples(rates)) if rates else None
    least = settings.threshold - _BELOW
    if curve is not None:
        accepted = min(MORE_NON_MATED * curve.rate(settings.threshold), 0.5)
        least = min(curve.score(accepted), settings.threshold)
    best: dict[int, float] = defaultdict(float)
    for face in placed:
        best[int(face.cluster or 0)] = max(best[int(face.cluster or 0)], face.quality_score)
    # Clusters of poor faces only are not comparable. For too many clusters, only the largest are
    # compared.
    only = [one.id for one in clusters if best[one.id] >= POOR][:50_000]
    apart = _apart(placed, knowledge, clusters)
    if settings.same_photo:
        apart |= _seen_together(placed)
    return [
        LikelySame(a, b, score, float("nan") if curve is None else curve.rate(score))
        for a, b, score in alike(judged, least=least, most=MOST, apart=apart, only=only)
    ]


def _tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()}


def _apart(
    placed: Iterable[KnownFace], knowledge: Knowledge, clusters: Iterable[AlbumCluster]
) -> set[tuple[int, int]]:
    """Pairs of different people according to corrections and names, smaller number first."""
    cluster_of = {face.id: int(face.cluster or 0) for face in placed}
    apart: set[tuple[int, int]] = set()
    for fact in knowledge.apart:
        ones = {cluster_of[face] for face in fact.one if face in cluster_of}
        others = {cluster_of[face] for face in fact.other if face in cluster_of}
        apart |= {(min(a, b), max(a, b)) for a in ones for b in others if a != b}
    named = [one.id for one in clusters if one.named_by == "you"]
    return apart | {(min(a, b), max(a, b)) for a in named for b in named if a != b}


def _seen_together(placed: Iterable[KnownFace]) -> set[tuple[int, int]]:
    inside: dict[str, set[int]] = defaultdict(set)
    for face in placed:
        inside[face.photo].add(int(face.cluster or 0))
    return {
        (a, b)
        for together in inside.values()
        if 1 < len(together) <= 200
        for a in together
        for b in together
        if a < b
    }
