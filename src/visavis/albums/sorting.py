"""One run: sorts photos into an album, with stable numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visavis.albums.knowledge import Knowledge, replay
from visavis.albums.planning import Link, plan
from visavis.albums.recognizing import left_to_right, same_faces
from visavis.albums.records import FoundFace, MergedClusters, PhotoFile, RunSettings
from visavis.albums.regrouping import Grouping, group
from visavis.albums.store import AlbumStore, KnownFace
from visavis.clustering.clusterer import Clusterer, Labels
from visavis.clustering.thresholds import FmrCurve
from visavis.decision.domain import Domain
from visavis.decision.profile import Calibration
from visavis.errors import ModelMismatchError
from visavis.former import SORT_AGAIN, incomparable, levelled
from visavis.pipeline import collection
from visavis.types import to_plain


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPhotos:
    """Result of detection and embedding.

    Attributes:
        files: all files.
        faces: faces by photo hash.
    """

    files: tuple[PhotoFile, ...]
    faces: Mapping[str, Sequence[FoundFace]]


@dataclass(frozen=True, slots=True, eq=False)
class RunFaces:
    """Faces of this run.

    Attributes:
        faces: faces by number.
        back: clusters that the last run did not see.
    """

    faces: Mapping[int, FoundFace]
    back: frozenset[int]


def remember_faces(store: AlbumStore, found: DetectedPhotos) -> RunFaces:
    """Assigns face numbers: that of the known face at the same position, or a new one."""
    here: set[int] = set()
    known: dict[str, list[KnownFace]] = defaultdict(list)
    for face in store.faces():
        if face.here and face.cluster is not None:
            here.add(face.cluster)
        if face.photo in found.faces:
            known[face.photo].append(face)
    store.all_away()
    store.replace_files(found.files)
    numbered: dict[int, FoundFace] = {}
    back: set[int] = set()
    for photo, faces in found.faces.items():
        before = known.get(photo, [])
        places = left_to_right([face.box for face in faces])
        which = same_faces([face.box for face in faces], [face.box for face in before])
        # New faces are numbered from left to right.
        for k in sorted(range(len(faces)), key=lambda k: places[k]):
            old = which[k]
            if old is None:
                numbered[store.add_face(photo, faces[k], places[k])] = faces[k]
            else:
                store.saw_face(before[old].id, faces[k], places[k])
                numbered[before[old].id] = faces[k]
                back |= {before[old].cluster or 0} - here
    return RunFaces(numbered, frozenset(back))


def require_comparable(store: AlbumStore) -> None:
    """Raises ModelMismatchError if a former version sorted by levelled templates.

    Its clusters would constrain templates of this version.
    """
    last = store.last_run()
    if last is not None and levelled(last[2]["pipeline_id"]):
        what = f"{store.path}: sorted"
        raise ModelMismatchError(incomparable(what, last[2]["pipeline_id"]), SORT_AGAIN)


def about_own_mean(store: AlbumStore, seen: RunFaces, calibration: Calibration) -> Calibration:
    """Returns the calibration centered on the collection; see ``pipeline.collection``."""
    no_faces = replay(store.corrections()).not_faces
    faces = [face for face in sorted(seen.faces) if face not in no_faces]
    quality_score = np.array([seen.faces[face].quality_score for face in faces], dtype=np.float64)
    return collection.about_own_mean(calibration, _stacked(seen.faces, faces), quality_score)


def sort_faces(
    store: AlbumStore,
    seen: RunFaces,
    clusterer: Clusterer,
    *,
    settings: RunSettings,
    threshold: Callable[[int], float],
    links: Sequence[Link] = (),
    anew: bool = False,
    curve: FmrCurve | None = None,
    domain: Domain | None = None,
) -> None:
    """Clusters the faces and records the run; call within ``store.changing()``.

    Args:
        store: state, after ``remember_faces``.
        seen: result of ``remember_faces``.
        clusterer: groups templates.
        settings: recorded with the run and the resulting threshold.
        threshold: maps the number of clusters to the score threshold of two faces.
        links: links from must-link and cannot-link lists.
        anew: ignore earlier clusters. Corrections still hold, and a cluster with most of an earlier
            one's faces gets its number.
        curve: the calibration's rates, stored with the run.
        domain: domain of the scores, stored with the run; ``None``: plain templates.

    Raises:
        ConstraintError: the links contradict each other or a correction.
        ModelMismatchError: see ``require_comparable``.
    """
    if not anew:
        require_comparable(store)
    knowledge = replay(store.corrections())
    known = {face.id: face for face in store.faces()}
    found = seen.faces
    faces = [face for face in sorted(found) if face not in knowledge.not_faces]
    before = [known[face].cluster for face in faces]
    todo = plan(
        faces,
        knowledge=knowledge,
        before=[None] * len(faces) if anew else before,
        back=seen.back,
        photos=_photo_numbers(known[face] for face in faces) if settings.same_photo else None,
        links=links,
    )
    vectors = _stacked(found, faces)
    grouping = group(
        domain.apply(vectors) if domain is not None and faces else vectors,
        todo,
        clusterer,
        quality_score=np.array([found[face].quality_score for face in faces], dtype=np.float64),
        threshold=threshold,
    )
    merged = _renumber(store, faces, before, known=known, knowledge=knowledge, grouping=grouping)
    new = sum(cluster is None for cluster in before)
    score = threshold(len(set(grouping.labels.tolist())))
    settings = replace(settings, threshold=score)
    store.add_run(
        to_plain(asdict(settings)),
        {
            "new_faces": new,
            "merged": [one.to_dict() for one in merged] if not anew else [],
            "fmr_curve": None if curve is None else curve.to_dict(),
            "domain": None if domain is None else domain.to_dict(),
        },
    )


def _photo_numbers(faces: Iterable[KnownFace]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(f.photo, len(numbers)) for f in faces], dtype=np.int64)


def _stacked(found: Mapping[int, FoundFace], faces: Sequence[int]) -> NDArray[np.float32]:
    if not faces:
        return np.zeros((0, 1), dtype=np.float32)
    return np.stack([found[face].vector for face in faces])


def _renumber(
    store: AlbumStore,
    faces: Sequence[int],
    before: Sequence[int | None],
    *,
    known: Mapping[int, KnownFace],
    knowledge: Knowledge,
    grouping: Grouping,
) -> list[MergedClusters]:
    named = {
        int(known[face].cluster or 0)
        for face, group_number in knowledge.group_of.items()
        if group_number in knowledge.names and face in known
    }
    numbering = number(grouping.labels, before, named=named, fresh=store.new_cluster)
    now = [numbering.of_label[label] for label in grouping.labels.tolist()]
    store.assign(
        (face, after) for face, was, after in zip(faces, before, now, strict=True) if was != after
    )
    _carry_away(store, faces, now, known=known, knowledge=knowledge, heir=numbering.heir)
    evidence: dict[frozenset[int], tuple[int, ...]] = {
        frozenset(one.clusters): tuple(faces[row] for row in one.rows) for one in grouping.evidence
    }
    merged: dict[int, tuple[list[int], list[int]]] = {}
    for gone, kept in numbering.heir.items():
        into = merged.setdefault(kept, ([], []))
        into[0].append(gone)
        into[1].extend(
            face
            for pair, steps in evidence.items()
            if gone in pair
            for face in steps
            if face not in into[1]
        )
    return [
        MergedClusters(kept, tuple(gone), tuple(steps), "new photos" if steps else "must-link")
        for kept, (gone, steps) in sorted(merged.items())
    ]


def _carry_away(
    store: AlbumStore,
    faces: Sequence[int],
    now: Sequence[int],
    *,
    known: Mapping[int, KnownFace],
    knowledge: Knowledge,
    heir: Mapping[int, int],
) -> None:
    """Faces of missing photos follow their cluster, or the faces they are confirmed with."""
    present = dict(zip(faces, now, strict=True))
    leads = {
        group_number: next((present[f] for f in sorted(members) if f in present), None)
        for group_number, members in knowledge.groups.items()
    }
    moves = []
    for face in known.values():
        if face.id in present or face.cluster is None:
            continue
        to = leads.get(knowledge.group_of.get(face.id, -1))
        if to is None:
            to = heir.get(face.cluster, face.cluster)
        if to != face.cluster:
            moves.append((face.id, to))
    store.assign(moves)


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers for the clusters of a run.

    Attributes:
        of_label: number of each label.
        heir: for earlier numbers without a label, the number that most of their faces have now.
    """

    of_label: dict[int, int]
    heir: dict[int, int]


def number(
    labels: Labels,
    before: Sequence[int | None],
    *,
    named: Set[int] = frozenset(),
    fresh: Callable[[], int],
) -> Numbering:
    """Gives each label the earlier number of most of its faces, or a new one.

    New numbers go to the largest first. If two labels claim one number, the one with more of its
    faces gets it; if one label can claim several, a named cluster comes first, then the one with
    most faces.

    Args:
        labels: ``(N,)``.
        before: earlier number of each face, or ``None``.
        named: earlier numbers with a name.
        fresh: returns a new number.

    >>> import numpy as np
    >>> number(np.array([0, 0, 1, 1, 2]), [7, 7, 9, 4, None], fresh=lambda: 10)
    Numbering(of_label={0: 7, 1: 4, 2: 10}, heir={9: 4})
    """
    shared: Counter[tuple[int, int]] = Counter()
    size: Counter[int] = Counter()
    for label, cluster in zip(labels.tolist(), before, strict=True):
        size[label] += 1
        if cluster is not None:
            shared[label, cluster] += 1
    ranked = sorted(
        shared.items(), key=lambda item: (item[0][1] not in named, -item[1], item[0][1])
    )
    of_label: dict[int, int] = {}
    taken: set[int] = set()
    for (label, cluster), _ in ranked:
        if label not in of_label and cluster not in taken:
            of_label[label] = cluster
            taken.add(cluster)
    for label, _ in size.most_common():  # equal ones in order of appearance
        if label not in of_label:
            of_label[label] = fresh()
    went: dict[int, Counter[int]] = defaultdict(Counter)
    for (label, cluster), count in shared.items():
        if cluster not in taken:
            went[cluster][of_label[label]] += count
    heir = {
        cluster: min(counts, key=lambda to: (-counts[to], to))
        for cluster, counts in sorted(went.items())
    }
    return Numbering({label: of_label[label] for label in size}, heir)
