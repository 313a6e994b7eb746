"""State and templates, brought together into an ``Album``: what results are written from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis.albums.judging import Judged, alike, judge
from visavis.albums.knowledge import Knowledge, replay
from visavis.albums.records import (
    Album,
    AlbumCluster,
    AlbumFace,
    LikelySame,
    Merged,
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


MOST: Final = 24
"""How many pairs are listed at most."""

MORE_STRANGERS: Final = 10.0
"""Of pairs of strangers' photos, so many times as many may be as alike as a pair that is listed, as
there are at the threshold."""

_BELOW: Final = 0.05
"""How far below the threshold a pair may score where the run did not keep the rates."""


def most_alike(
    placed: Sequence[KnownFace],
    judged: Judged,
    knowledge: Knowledge,
    clusters: Sequence[AlbumCluster],
    *,
    run: tuple[RunSettings, Mapping[str, Any]],
) -> list[LikelySame]:
    """The most alike pairs of clusters that nothing says to be two people.

    Alike is what the mean score of a face of one with a face of the other is, down to where ten
    times as many strangers score as at the threshold. It is no finding: in a large collection there
    are more pairs of strangers so alike than pairs of one person that were not joined.

    Args:
        placed: the faces that are in a cluster.
        judged: their clusters' means.
        knowledge: what corrections say.
        clusters: largest first.
        run: settings and outcome of the last run.
    """
    settings, outcome = run
    rates = outcome.get("strangers")
    strangers = FmrCurve(**_tuples(rates)) if rates else None
    least = settings.threshold - _BELOW
    if strangers is not None:
        accepted = min(MORE_STRANGERS * strangers.rate(settings.threshold), 0.5)
        least = min(strangers.score(accepted), settings.threshold)
    best: dict[int, float] = defaultdict(float)
    for face in placed:
        best[int(face.cluster or 0)] = max(best[int(face.cluster or 0)], face.usability)
    # Of poor faces alone nobody can say whether they are the same. Beyond so many clusters only
    # the largest are looked at.
    only = [one.id for one in clusters if best[one.id] >= POOR][:50_000]
    apart = _apart(placed, knowledge, clusters)
    if settings.same_photo:
        apart |= _seen_together(placed)
    return [
        LikelySame(a, b, score, float("nan") if strangers is None else strangers.rate(score))
        for a, b, score in alike(judged, least=least, most=MOST, apart=apart, only=only)
    ]


def _tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()}


def _apart(
    placed: Iterable[KnownFace], knowledge: Knowledge, clusters: Iterable[AlbumCluster]
) -> set[tuple[int, int]]:
    """Pairs that corrections and names say to be two people, the smaller number first."""
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
