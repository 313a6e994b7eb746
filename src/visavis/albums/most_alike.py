"""Pairs of clusters that a person should look at: the most alike of those that are kept apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from visavis.albums.judging import Judged, alike
from visavis.albums.knowledge import Knowledge
from visavis.albums.records import AlbumCluster, LikelySame, RunSettings
from visavis.albums.store import KnownFace
from visavis.clustering.thresholds import FmrCurve
from visavis.faces.quality import POOR

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
