"""Combined effect of corrections, replayed in order.

A correction is stored as facts about faces, never about clusters: which faces are one person, which
are not, which are no faces, and a person's name. So it survives any new clustering. If two
contradict each other the later one wins, and the replaced one is reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from visavis.types import Record


@dataclass(frozen=True, slots=True)
class Correction(Record):
    """One correction, as facts about faces.

    Attributes:
        id: 1, 2, 3, ... in the order they were made.
        time: ISO 8601 UTC.
        kind: ``merge``, ``split``, ``move``, ``not-a-face`` or ``name``.
        text: the request, such as ``merge 3 7``.
        leave: faces that leave their group.
        together: faces of one person.
        apart: faces of other people than those of ``leave``.
        not_faces: false detections.
        name: name of the person of ``together``; ``None``: unchanged.
        undone: whether it was undone.
    """

    id: int
    time: str
    kind: str
    text: str
    leave: tuple[int, ...] = ()
    together: tuple[int, ...] = ()
    apart: tuple[int, ...] = ()
    not_faces: tuple[int, ...] = ()
    name: str | None = None
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Apart:
    """Every face of ``one`` is a different person than every face of ``other``."""

    one: frozenset[int]
    other: frozenset[int]
    correction: int


@dataclass(slots=True)
class Knowledge:
    """Facts after some corrections.

    Attributes:
        groups: faces that are one person, by group number.
        group_of: group number by face.
        names: name by group.
        apart: pairs of sets of faces of different people; never in one group.
        not_faces: correction by face.
        replaced: by correction, the earlier ones that it overrides in part.
    """

    groups: dict[int, set[int]] = field(default_factory=dict)
    group_of: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    apart: list[Apart] = field(default_factory=list)
    not_faces: dict[int, int] = field(default_factory=dict)
    replaced: dict[int, set[int]] = field(default_factory=dict)
    _joined: dict[int, list[int]] = field(default_factory=dict)
    _named: dict[int, int] = field(default_factory=dict)

    def apply(self, correction: Correction) -> None:
        """Applies one more correction, which wins over earlier ones."""
        over: set[int] = set()
        for face in (*correction.leave, *correction.not_faces):
            over |= self._leave(face)
        for face in correction.not_faces:
            self.not_faces[face] = correction.id
        for face in correction.together:
            if (earlier := self.not_faces.pop(face, None)) is not None:
                over.add(earlier)
        if correction.together:
            over |= self._join(correction)
        own = {self.group_of[face] for face in correction.leave if face in self.group_of}
        # Faces joined by the same correction are not apart.
        others = frozenset(f for f in correction.apart if self.group_of.get(f) not in own)
        if correction.leave and others:
            self.apart.append(Apart(frozenset(correction.leave), others, correction.id))
        over.discard(correction.id)
        if over:
            self.replaced[correction.id] = over

    def _leave(self, face: int) -> set[int]:
        group = self.group_of.pop(face, None)
        if group is None:
            return set()
        members = self.groups[group]
        members.discard(face)
        if not members:
            del self.groups[group]
            self.names.pop(group, None)
            self._named.pop(group, None)
        return set(self._joined.pop(face, ()))

    def _join(self, correction: Correction) -> set[int]:
        over: set[int] = set()
        touched = {self.group_of[f] for f in correction.together if f in self.group_of}
        members = set(correction.together).union(*(self.groups[g] for g in touched))
        # The name of the first group in the correction stays.
        order = [self.group_of[f] for f in correction.together if f in self.group_of]
        named = [g for g in dict.fromkeys(order) if g in self.names]
        group = next(iter(named or order), None)
        if group is None:
            group = self._free(correction.id)
        over |= {self._named[g] for g in named[1:] if self.names[g] != self.names[group]}
        for other in touched - {group}:
            del self.groups[other]
            self.names.pop(other, None)
            self._named.pop(other, None)
        self.groups[group] = members
        for face in members:
            self.group_of[face] = group
        for face in correction.together:
            self._joined.setdefault(face, []).append(correction.id)
        if correction.name is not None:
            if group in self.names and self.names[group] != correction.name:
                over.add(self._named[group])
            self.names[group] = correction.name
            self._named[group] = correction.id
            if not correction.name:
                del self.names[group], self._named[group]
        return over | self._reconcile(members)

    def _free(self, wanted: int) -> int:
        """Returns a free group number: a correction creates at most one group."""
        return wanted if wanted not in self.groups else max(self.groups) + 1

    def _reconcile(self, members: set[int]) -> set[int]:
        """Drops facts that two of these are different people."""
        over: set[int] = set()
        rest: list[Apart] = []
        for fact in self.apart:
            inside = fact.one & members
            if not inside or not fact.other & members:
                rest.append(fact)
                continue
            over.add(fact.correction)
            for one, other in (
                (fact.one - inside, fact.other),
                (inside, fact.other - members),
            ):
                if one and other:
                    rest.append(Apart(one, other, fact.correction))
        self.apart = rest
        return over


def replay(corrections: Iterable[Correction]) -> Knowledge:
    """Returns the facts after these corrections, in order, without undone ones."""
    knowledge = Knowledge()
    for correction in corrections:
        if not correction.undone:
            knowledge.apply(correction)
    return knowledge
