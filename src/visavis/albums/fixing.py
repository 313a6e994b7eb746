"""Corrections of clusters; each is stored as facts about faces and applied at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from visavis.albums.knowledge import Correction, Knowledge, replay
from visavis.albums.store import AlbumStore, KnownFace, now
from visavis.errors import OptionError
from visavis.types import Record

LONGEST_NAME: Final = 200
"""Longest name, in characters."""


@dataclass(frozen=True, slots=True)
class CorrectionResult(Record):
    """Result of a correction.

    Attributes:
        correction: the correction, or the undone one.
        done: description in one sentence.
        replaced: earlier corrections that it overrides in part: number and request.
        notes: further remarks.
    """

    correction: Correction
    done: str
    replaced: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()


class Fixer:
    """Applies corrections to one collection. Call within ``store.changing()``, one per correction.

    Clusters and faces are given by number; see ``visavis.albums.references`` for their text form.

    Args:
        store: state of the collection.
    """

    def __init__(self, store: AlbumStore) -> None:
        self._store = store
        self._faces = {face.id: face for face in store.faces()}
        self._inside: dict[int, list[int]] = defaultdict(list)
        for face in self._faces.values():
            if face.cluster is not None:
                self._inside[face.cluster].append(face.id)

    def merge(self, clusters: Sequence[int]) -> CorrectionResult:
        """Merges clusters; the first keeps its number and its name, if any.

        Raises:
            OptionError: fewer than two, or an unknown cluster.
        """
        wanted = list(dict.fromkeys(clusters))
        if len(wanted) < 2:
            raise OptionError(f"merge {_words(clusters)}", "name two clusters or more")
        together = [face for cluster in wanted for face in self._members(cluster)]
        moves = dict.fromkeys(together, wanted[0])
        done = f"{_words(wanted[1:])} now part of {wanted[0]}: {len(together)} faces"
        notes = self._twice(together)
        return self._keep("merge", f"merge {_words(wanted)}", done, moves, together=together,
                          notes=notes)  # fmt: skip

    def split(self, cluster: int, faces: Sequence[int]) -> CorrectionResult:
        """Splits faces off a cluster; they are one other person and become a new cluster.

        Raises:
            OptionError: unknown cluster, faces that are not in it, or all of its faces.
        """
        members = self._members(cluster)
        out = list(dict.fromkeys(faces))
        for face in out:
            if face not in members:
                raise OptionError(
                    f"f{face}, which is not in cluster {cluster} but in {self._where(face)}",
                    "name faces of the cluster; `move` takes a face from any cluster to another",
                )
        rest = [face for face in members if face not in set(out)]
        if not out or not rest:
            raise OptionError(
                f"split {cluster} with {len(out)} of its {len(members)} faces",
                "name some of its faces, not all",
            )
        number = self._store.new_cluster()
        done = f"{_refs(out)} now cluster {number}, apart from {cluster}"
        text = f"split {cluster} {_refs(out)}"
        moves = dict.fromkeys(out, number)
        return self._keep("split", text, done, moves, leave=out, together=out, apart=rest)

    def move(self, faces: Sequence[int], cluster: int) -> CorrectionResult:
        """Moves faces to another cluster; they are not the person of their current one.

        Raises:
            OptionError: unknown cluster or face, or they are in it already.
        """
        members = self._members(cluster)
        out = [face for face in dict.fromkeys(faces) if self._face(face).cluster != cluster]
        if not out:
            raise OptionError(f"move {_refs(faces)} {cluster}", "they are in that cluster already")
        left = {self._faces[face].cluster for face in out} - {None}
        rest = [f for old in sorted(left, key=str) for f in self._inside[old or 0]]
        rest = [face for face in rest if face not in set(out)]
        done = f"{_refs(out)} now in cluster {cluster}"
        return self._keep(
            "move",
            f"move {_refs(out)} {cluster}",
            done,
            dict.fromkeys(out, cluster),
            leave=out,
            together=[*members, *out],
            apart=rest,
            notes=self._twice([*members, *out]),
        )

    def not_a_face(self, faces: Sequence[int]) -> CorrectionResult:
        """Removes false detections, or faces that should not be sorted.

        Raises:
            OptionError: unknown face, or all are removed already.
        """
        out = [face for face in dict.fromkeys(faces) if self._face(face).cluster is not None]
        if not out:
            raise OptionError(f"not-a-face {_refs(faces)}", "left out already")
        moves: dict[int, int | None] = dict.fromkeys(out)
        text = f"not-a-face {_refs(out)}"
        return self._keep("not-a-face", text, f"{_refs(out)} left out", moves, not_faces=out)

    def name(self, cluster: int, name: str) -> CorrectionResult:
        """Names a cluster and confirms its current faces; an empty name removes the name.

        Raises:
            OptionError: unknown cluster; a name that is not printable, too long, a number, or in
                use.
        """
        members = self._members(cluster)
        name = " ".join(name.split())
        if not name.isprintable():
            raise OptionError(f"the name {name!r}", "use letters that can be printed")
        if re.fullmatch(r"\d+", name):
            raise OptionError(
                f"the name {name!r}, which is how clusters are numbered", "add a letter to it"
            )
        if len(name) > LONGEST_NAME:
            raise OptionError(f"a name of {len(name)} characters", f"use at most {LONGEST_NAME}")
        for other, called in self.names().items():
            if called == name and other != cluster and name:
                raise OptionError(
                    f"the name {name!r}, which cluster {other} has",
                    f"one person? `merge {other} {cluster}`; two? give another name",
                )
        done = f"cluster {cluster} is {name}" if name else f"cluster {cluster} has no name now"
        text = f'name {cluster} "{name}"'
        return self._keep("name", text, done, {}, together=members, name=name)

    def undo(self) -> CorrectionResult:
        """Undoes the last correction that is not undone.

        Faces that it moved go back, unless a later run or correction moved them.

        Raises:
            OptionError: nothing to undo.
        """
        standing = [one for one in self._store.corrections() if not one.undone]
        if not standing:
            raise OptionError("undo", "there is no correction to undo")
        last = standing[-1]
        self._store.set_undone(last.id)
        back = {
            face: was
            for face, was, became in self._store.moves(last.id)
            if face in self._faces and self._faces[face].cluster == became
        }
        alone = self._blocked_returns(back, replay(standing[:-1]))
        for face in alone:
            back[face] = self._store.new_cluster()
        self._store.assign(back.items())
        notes = (
            (f"{_refs(alone)} alone now: with whom they were is somebody they cannot be with",)
            if alone
            else ()
        )
        return CorrectionResult(last, f"taken back: {last.text}", notes=notes)

    def _blocked_returns(self, back: Mapping[int, int | None], knowledge: Knowledge) -> list[int]:
        """Faces that cannot go back because a different person is in the cluster now."""
        last = self._store.last_run()
        same_photo = last is not None and last[2]["same_photo"]
        away = set(back)
        found = []
        for face, was in back.items():
            others = set(self._inside.get(was or 0, ())) - away
            if knowledge.groups.get(knowledge.group_of.get(face, -1), set()) & others:
                continue
            photo = self._faces[face].photo
            twice = same_photo and any(self._faces[other].photo == photo for other in others)
            apart = any(
                (face in fact.one and fact.other & others)
                or (face in fact.other and fact.one & others)
                for fact in knowledge.apart
            )
            if was is not None and (twice or apart):
                found.append(face)
        return found

    def names(self) -> dict[int, str]:
        """Returns the user's names of clusters."""
        knowledge = replay(self._store.corrections())
        return {
            int(self._faces[face].cluster or 0): knowledge.names[group]
            for face, group in knowledge.group_of.items()
            if group in knowledge.names and face in self._faces
        }

    def _members(self, cluster: int) -> list[int]:
        if not self._inside.get(cluster):
            raise OptionError(
                f"cluster {cluster}", "there is no such cluster; clusters.csv lists them"
            )
        return self._inside[cluster]

    def _face(self, face: int) -> KnownFace:
        if face not in self._faces:
            raise OptionError(f"f{face}", "there is no such face; clusters.csv lists them")
        return self._faces[face]

    def _where(self, face: int) -> str:
        cluster = self._face(face).cluster
        return "none" if cluster is None else str(cluster)

    def _twice(self, together: Sequence[int]) -> tuple[str, ...]:
        """Returns a note if a photo now shows one person twice."""
        photos: dict[str, list[int]] = defaultdict(list)
        for face in together:
            photos[self._face(face).photo].append(face)
        twice = [faces for faces in photos.values() if len(faces) > 1]
        if not twice:
            return ()
        count = f"{len(twice)} photo{'s' if len(twice) > 1 else ''} now show this person twice"
        return (f"{count}: {'; '.join(_refs(faces) for faces in twice[:3])}",)

    def _keep(
        self,
        kind: str,
        text: str,
        done: str,
        moves: dict[int, int] | dict[int, int | None],
        *,
        leave: Iterable[int] = (),
        together: Iterable[int] = (),
        apart: Iterable[int] = (),
        not_faces: Iterable[int] = (),
        name: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> CorrectionResult:
        before = self._store.corrections()
        correction = Correction(
            self._store.next_correction(),
            now(),
            kind,
            text,
            leave=tuple(leave),
            together=tuple(together),
            apart=tuple(apart),
            not_faces=tuple(not_faces),
            name=name,
        )
        knowledge = replay([*before, correction])
        made = [
            (face, self._faces[face].cluster, to)
            for face, to in moves.items()
            if self._faces[face].cluster != to
        ]
        self._store.add_correction(correction, made)
        self._store.assign((face, to) for face, _, to in made)
        asked = {one.id: one.text for one in before}
        replaced = sorted(knowledge.replaced.get(correction.id, ()))
        return CorrectionResult(correction, done, tuple((k, asked[k]) for k in replaced), notes)


def _refs(faces: Iterable[int]) -> str:
    return " ".join(f"f{face}" for face in faces)


def _words(clusters: Iterable[int]) -> str:
    return " ".join(str(cluster) for cluster in clusters)
