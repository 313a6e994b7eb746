"""What corrections mean, once more: a table of pairs of faces, nothing clever."""

from __future__ import annotations

from itertools import combinations

from visavis.albums.knowledge import Correction


class Oracle:
    """Pairs of faces that are one person, and pairs that are two. The later word counts."""

    def __init__(self) -> None:
        self.same: set[frozenset[int]] = set()
        self.apart: set[frozenset[int]] = set()
        self.not_faces: set[int] = set()
        self.names: dict[frozenset[int], str] = {}

    def group(self, face: int) -> set[int]:
        """The face and all that are known to be the same person."""
        return {face}.union(*(pair for pair in self.same if face in pair))

    def apply(self, one: Correction) -> None:
        for face in (*one.leave, *one.not_faces):
            self.same = {pair for pair in self.same if face not in pair}
            self.names = {
                rest: name for faces, name in self.names.items() if (rest := faces - {face})
            }
        self.not_faces |= set(one.not_faces)
        self.not_faces -= set(one.together)
        if one.together:
            union: set[int] = set()
            names = []
            for face in one.together:
                group = self.group(face)
                if not group <= union:
                    names += [name for faces, name in self.names.items() if faces & group]
                union |= group
            self.names = {faces: name for faces, name in self.names.items() if not faces & union}
            pairs = {frozenset(pair) for pair in combinations(sorted(union), 2)}
            self.same |= pairs
            self.apart -= pairs
            name = one.name if one.name is not None else (names[0] if names else "")
            if name:
                self.names[frozenset(union)] = name
        both = {frozenset((a, b)) for a in one.leave for b in one.apart}
        self.apart |= both - self.same
