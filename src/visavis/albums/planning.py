"""Constraints of a run: corrections, link lists, earlier clusters, faces of one photo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from visavis.albums.knowledge import Knowledge
from visavis.albums.partition import Partition
from visavis.clustering.clusterer import Constraints
from visavis.errors import ConstraintError


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a list between two faces: one person (``must``), or two.

    Attributes:
        a: number of a face.
        b: number of another.
        must: whether they are one person.
        source: file and line.
    """

    a: int
    b: int
    must: bool
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Constraints of a run.

    Attributes:
        sets: rows that must stay together, and pairs of sets that must not join.
        anchors: by earlier cluster, the representative row of its faces; empty if the run starts
            anew.
        free: ``(N,)`` bool: faces in no earlier cluster.
        news: ``(N,)`` bool: faces that may join two earlier clusters: free faces, and faces of
            clusters that the last run did not see.
        photos: ``(N,)`` int64 photo numbers; ``None`` without the one-photo rule.
    """

    sets: Partition
    anchors: dict[int, int]
    free: NDArray[np.bool_]
    news: NDArray[np.bool_]
    photos: NDArray[np.int64] | None

    def constraints(self) -> Constraints:
        """Converts to ``visavis.clustering``'s constraints."""
        cannot = list(self.sets.cannot())
        photos = self.photos
        if photos is not None:
            photos = photos.copy()
            for rows in self._broken(photos):
                # A correction joins two faces of this photo; the other pairs are listed.
                photos[rows] = -1
                cannot += [
                    (a, b)
                    for a, b in combinations(rows, 2)
                    if self.sets.find(a) != self.sets.find(b)
                ]
        return Constraints(photos=photos, must=_pairs(self.sets.must()), cannot=_pairs(cannot))

    def _broken(self, photos: NDArray[np.int64]) -> Iterator[list[int]]:
        """Rows of photos with two faces in one set."""
        inside: dict[int, list[int]] = defaultdict(list)
        for row, photo in enumerate(photos.tolist()):
            inside[photo].append(row)
        for rows in inside.values():
            if len(rows) > 1 and len({self.sets.find(row) for row in rows}) < len(rows):
                yield rows


def plan(
    faces: Sequence[int],
    *,
    knowledge: Knowledge,
    before: Sequence[int | None],
    photos: NDArray[np.int64] | None,
    links: Sequence[Link] = (),
    back: Set[int] = frozenset(),
) -> Plan:
    """Combines all constraints of a run.

    Args:
        faces: face number of each row.
        knowledge: facts from corrections.
        before: earlier cluster of each face, or ``None``. Faces of one stay together unless a link
            list says otherwise.
        photos: ``(N,)`` photo numbers for the one-photo rule.
        links: links of lists.
        back: earlier clusters that the last run did not see.

    Raises:
        ConstraintError: the lists contradict each other or a correction.
    """
    rows = {face: row for row, face in enumerate(faces)}
    sets = Partition(len(faces))
    for members in knowledge.groups.values():
        sets.join_all(rows[face] for face in sorted(members) if face in rows)
    _apart(sets, knowledge, rows)
    _links(sets, links, rows)
    anchors = _earlier(sets, before)
    free = np.array([cluster is None for cluster in before], dtype=bool)
    for row, cluster in enumerate(before):
        if cluster is not None and sets.find(row) != sets.find(anchors[cluster]):
            free[row] = True  # removed by a link list
    news = free | np.array([cluster in back for cluster in before], dtype=bool)
    return Plan(sets, anchors, free, news, photos)


def _apart(sets: Partition, knowledge: Knowledge, rows: Mapping[int, int]) -> None:
    for fact in knowledge.apart:
        one = {sets.find(rows[face]) for face in fact.one if face in rows}
        other = {sets.find(rows[face]) for face in fact.other if face in rows}
        for a, b in product(sorted(one), sorted(other)):
            sets.forbid(a, b)
    called: dict[str, list[int]] = defaultdict(list)
    for group, name in knowledge.names.items():
        here = [rows[face] for face in sorted(knowledge.groups[group]) if face in rows]
        if here:
            called[name].append(here[0])
    # Groups with different names are different people.
    for first, second in combinations(called.values(), 2):
        for a, b in product(first, second):
            sets.forbid(a, b)


def _links(sets: Partition, links: Sequence[Link], rows: Mapping[int, int]) -> None:
    remedy = "take the line out, or take the correction back (`visavis cluster fix OUT list`)"
    for link in links:
        if link.a not in rows or link.b not in rows:
            continue
        if link.a == link.b and not link.must:
            raise ConstraintError(f"{link.source}: f{link.a} apart from itself", "name two faces")
        a, b = rows[link.a], rows[link.b]
        if link.must and not sets.join(a, b):
            raise ConstraintError(
                f"{link.source}: f{link.a} and f{link.b} as one person, whom a correction or "
                "another line keeps apart",
                remedy,
            )
        if not link.must and not sets.forbid(a, b):
            raise ConstraintError(
                f"{link.source}: f{link.a} and f{link.b} as two people, whom a correction or "
                "another line makes one",
                remedy,
            )


def _earlier(sets: Partition, before: Sequence[int | None]) -> dict[int, int]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, cluster in enumerate(before):
        if cluster is not None:
            members[cluster].append(row)
    anchors: dict[int, int] = {}
    for cluster, inside in sorted(members.items()):
        # Most of the cluster stays; conflicting faces are removed.
        anchor = max(inside, key=lambda row: (sets.size(row), -row))
        sets.join_all([anchor, *inside])
        anchors[cluster] = anchor
    return anchors


def _pairs(pairs: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    return np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
