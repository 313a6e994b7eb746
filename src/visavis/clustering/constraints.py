"""Checks constraints and contracts faces to groups.

Must-links are transitive, so faces connected by them form one *group*. A *clique* is a set of
groups that are all different people: the groups in one photo, or the two groups of a cannot-link. A
clustering is valid if each group is in one cluster and no cluster has two groups of a clique.
Cliques are stored as members, not as pairs: a class photo of 40 people takes 40 numbers, not 780.

An explicit must-link between two faces of one photo overrides the rule that they are two people (a
mirror, a collage, a photo of a photo). A chain of must-links over another photo does not: it is a
contradiction, because one of its links is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.checks import renumber
from visavis.clustering.clusterer import Constraints, Labels
from visavis.errors import ConstraintError, OptionError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedConstraints:
    """Consistent constraints.

    Attributes:
        group: ``(N,)`` the group of each face, numbered in order of first appearance.
        count: number of groups G.
        clique: ``(E,)`` clique of each membership, ascending.
        member: ``(E,)`` its group, ascending within a clique; every clique has two or more.
    """

    group: Indices
    count: int
    clique: Indices
    member: Indices

    def clashing(self, labels: Labels) -> NDArray[np.bool_]:
        """Flags memberships ``(E,)`` that clash: two groups of a clique are in one cluster.

        Args:
            labels: ``(G,)`` cluster of each group; negative: in none.
        """
        cluster = labels[self.member]
        order = np.lexsort((cluster, self.clique))
        equal = (
            (self.clique[order][1:] == self.clique[order][:-1])
            & (cluster[order][1:] == cluster[order][:-1])
            & (cluster[order][1:] >= 0)
        )
        clash = np.zeros(len(cluster), dtype=np.bool_)
        clash[order[1:]] |= equal
        clash[order[:-1]] |= equal
        return clash

    def reorder(self, order: Indices) -> ResolvedConstraints:
        """The same constraints with face ``order[k]`` as face k."""
        group = renumber(self.group[order])
        place = np.zeros(self.count, dtype=np.int64)
        place[self.group[order]] = group
        member = place[self.member]
        by = np.lexsort((member, self.clique))
        return ResolvedConstraints(group, self.count, self.clique[by], member[by])

    def joined(self, links: Indices) -> ResolvedConstraints:
        """The same constraints, with groups joined.

        Args:
            links: ``(M, 2)`` faces to join; their groups are in no clique.
        """
        joined = _components(self.group[links], self.count)
        return ResolvedConstraints(
            joined[self.group], int(joined.max(initial=-1)) + 1, self.clique, joined[self.member]
        )


def resolve(constraints: Constraints | None, n: int) -> ResolvedConstraints:
    """Checks constraints and contracts the must-links.

    Args:
        constraints: ``None`` for none.
        n: number of faces.

    Raises:
        OptionError: arrays of other shapes or types.
        ConstraintError: an unknown face, or a contradiction; names two faces.

    >>> must = np.array([[0, 3]])
    >>> found = resolve(Constraints(photos=np.array([0, 0, 1, 1]), must=must), 4)
    >>> found.group, found.clique, found.member
    (array([0, 1, 2, 0]), array([0, 0, 1, 1]), array([0, 1, 0, 2]))
    """
    if constraints is None:
        none = np.zeros(0, dtype=np.int64)
        return ResolvedConstraints(np.arange(n), n, none, none)
    must = _links(constraints.must, "must-link", n)
    cannot = _links(constraints.cannot, "cannot-link", n)
    photos = _photos(constraints.photos, n)
    group = _components(must, n)
    _refuse_cannot(cannot, group)
    in_photo = np.flatnonzero(photos >= 0)
    if len(in_photo) and len(must):
        _refuse_photos(must, photos, group)
    # One clique per photo, then one per cannot-link.
    _, codes = np.unique(photos[in_photo], return_inverse=True)
    photo_count = int(codes.max(initial=-1)) + 1
    clique = np.concatenate([codes, photo_count + np.repeat(np.arange(len(cannot)), 2)])
    member = np.concatenate([group[in_photo], group[cannot].ravel()])
    clique, member = _of_two(clique, member)
    return ResolvedConstraints(group, int(group.max(initial=-1)) + 1, clique, member)


def held(constraints: Constraints | None, labels: Labels) -> bool:
    """Returns whether a clustering satisfies all constraints.

    Args:
        constraints: what must hold.
        labels: ``(N,)`` cluster of each face.

    Raises:
        OptionError, ConstraintError: see ``resolve``.

    >>> held(Constraints(cannot=np.array([[0, 1]])), np.array([0, 0, 1]))
    False
    """
    resolved = resolve(constraints, len(labels))
    of_group = np.zeros(resolved.count, dtype=np.int64)
    of_group[resolved.group] = labels
    together = bool((of_group[resolved.group] == labels).all())
    return together and not resolved.clashing(of_group).any()


def _of_two(clique: Indices, member: Indices) -> tuple[Indices, Indices]:
    """Sorted, renumbered memberships without duplicates and without cliques of one."""
    if not len(clique):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.lexsort((member, clique))
    clique, member = clique[order].astype(np.int64), member[order].astype(np.int64)
    new = np.concatenate([[True], (clique[1:] != clique[:-1]) | (member[1:] != member[:-1])])
    clique, member = clique[new], member[new]
    _, codes, sizes = np.unique(clique, return_inverse=True, return_counts=True)
    several = sizes[codes] > 1
    rank = np.cumsum(sizes > 1) - 1
    return rank[codes[several]], member[several]


def _links(links: Any, name: str, n: int) -> Indices:
    array = np.asarray(links)
    if array.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise OptionError(
            f"{name}s of shape {array.shape} and type {array.dtype}",
            "give an (M, 2) integer array, two row numbers per link",
        )
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise ConstraintError(
            f"a {name} of face {int(array[outside][0])}, of {n} faces",
            "name faces by row number, from 0",
        )
    return array.astype(np.int64)


def _photos(photos: Any, n: int) -> Indices:
    if photos is None:
        return np.full(n, -1, dtype=np.int64)
    array = np.asarray(photos)
    if array.shape != (n,) or (n and array.dtype.kind not in "iu"):
        raise OptionError(
            f"photos of shape {array.shape} and type {array.dtype} for {n} faces",
            "give one integer per face, -1 where the photo is unknown",
        )
    if array.min(initial=0) < -1:
        raise OptionError(f"photo {int(array.min())}", "number photos from 0, and use -1 for none")
    return array.astype(np.int64)


def _components(links: Indices, n: int) -> Indices:
    """Connected components, numbered by first appearance."""
    if not len(links):
        return np.arange(n)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), dtype=np.bool_), (links[:, 0], links[:, 1])), (n, n))
    _, labels = connected_components(graph.tocsr(), directed=False)
    return renumber(labels)


def _refuse_cannot(cannot: Indices, group: Indices) -> None:
    joined = np.flatnonzero(group[cannot[:, 0]] == group[cannot[:, 1]])
    if not len(joined):
        return
    a, b = cannot[joined[0]].tolist()
    if a == b:
        raise ConstraintError(f"a cannot-link of face {a} with itself", "remove it")
    raise ConstraintError(
        f"faces {a} and {b} have a cannot-link, and must-links join them",
        "remove that cannot-link or one of the must-links between the two",
    )


def _refuse_photos(must: Indices, photos: Indices, group: Indices) -> None:
    """Raises if a group has two faces of one photo without a must-link inside that photo."""
    inside = must[photos[must[:, 0]] == photos[must[:, 1]]]
    linked = _components(inside, len(photos))
    order = np.lexsort((linked, group, photos))
    one, other = order[:-1], order[1:]
    bad = np.flatnonzero(
        (photos[one] >= 0)
        & (photos[one] == photos[other])
        & (group[one] == group[other])
        & (linked[one] != linked[other])
    )
    if len(bad):
        a, b = sorted((int(one[bad[0]]), int(other[bad[0]])))
        raise ConstraintError(
            f"faces {a} and {b} are in one photo, and must-links through other photos join them",
            "remove one of the links, or link the two directly if they are one person "
            "(a mirror, a collage)",
        )
