"""CSV tables of photos with person and cluster."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from visavis.errors import DataError
from visavis.evaluation.clustering.records import (
    ClusteringEvaluation,
    ClusteringRow,
    ClusteringSummary,
    LabelledFaces,
    sizes,
)
from visavis.evaluation.tables import Table, read_table
from visavis.images import photos_by_person
from visavis.metrics import clustering as metrics
from visavis.version import __version__
from visavis.writing import replacing


def write(path: Path, faces: LabelledFaces) -> None:
    """Writes the columns photo, person, cluster, reason; a photo without a cluster has a reason."""
    with (
        replacing(path, private=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("photo", "person", "cluster", "reason"))
        for photo, person, cluster, reason in zip(
            faces.photo, faces.person, faces.cluster.tolist(), faces.reason, strict=True
        ):
            writer.writerow((photo, person, "" if reason else cluster, reason))


def read(found: Path, labels: Path | None = None) -> LabelledFaces:
    """Reads clusters from any system, with the true people.

    Args:
        found: CSV with a column ``cluster`` (any text; empty: failed photo), and ``person``, unless
            ``labels`` has it. ``visavis cluster`` writes such files.
        labels: CSV with ``photo`` and ``person``, or a folder with one subfolder per person, to
            which the photos of ``found`` are relative; ``found`` then needs ``photo``. Both tables
            may have ``face``, for several faces in a photo. If only ``found`` has it, the person's
            face is unknown in photos with several, which count as failed. Row order is free;
            labelled faces missing in ``found`` count as failed.

    Raises:
        DataError: a file cannot be read or lacks a column, a face occurs twice in a file, or a face
            of ``found`` has no label.
    """
    needed = {"cluster": "the cluster found"}
    if labels is None:
        needed["person"] = "who it truly is, or name a table or folder of that by --labels"
        table = read_table(found, required=needed)
        rows = [
            (_face(row), row["person"], row["cluster"], row.get("reason", ""))
            for _, row in table.records()
        ]
    else:
        needed["photo"] = "which photo it is"
        table = read_table(found, required=needed)
        truth, by_face = _truth(labels)
        clusters = _by_face(table) if by_face else _by_photo(table)
        for face in clusters:
            if face not in truth:
                raise DataError(
                    f"{found}: {face!r} is not in {labels}", "give every clustered face a label"
                )
        rows = [(face, who, *clusters.get(face, ("", ""))) for face, who in truth.items()]
    names: dict[str, int] = {}
    cluster = [names.setdefault(c.strip(), len(names)) if c.strip() else -1 for *_, c, _ in rows]
    if not names:
        raise DataError(f"{found}: no row has a cluster", "give the clusters found")
    return LabelledFaces(
        photo=tuple(face for face, *_ in rows),
        person=tuple(person for _, person, *_ in rows),
        cluster=np.array(cluster, dtype=np.int64),
        reason=tuple(
            "" if c >= 0 else why or "no-cluster"
            for c, (*_, why) in zip(cluster, rows, strict=True)
        ),
    )


def evaluate(faces: LabelledFaces, *, name: str, command: str = "") -> ClusteringEvaluation:
    """Computes the metrics of given labels, without photos."""
    clustered = faces.cluster >= 0
    found = faces.cluster[clustered]
    who = np.array(faces.person)[clustered]
    row = ClusteringRow(
        false_merge=None,
        default=True,
        seconds=float("nan"),
        scores=metrics.scores(who, found),
    )
    failures = Counter(reason for reason in faces.reason if reason)
    failed = failures.total()
    people = np.unique(who, return_counts=True)[1]
    return ClusteringEvaluation(
        summary=ClusteringSummary(
            name=name,
            photos=len(faces.photo),
            faces=len(who),
            poor=0,
            people=len(people),
            failures=dict(failures),
            algorithm="as given",
            false_merge=None,
            rows=(row,),
            best=None,
            sizes=sizes(people, np.unique(found, return_counts=True)[1]),
            command=command,
            created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            version=__version__,
            notes=(f"{failed:,} faces have no cluster; they are in no metric.",) if failed else (),
        ),
        faces=faces,
    )


def _photo(row: dict[str, str]) -> str:
    # `visavis cluster` writes ./=x.jpg because spreadsheets take =x.jpg for a formula.
    return row.get("photo", "").removeprefix("./")


def _face(row: dict[str, str]) -> str:
    photo, face = _photo(row), row.get("face", "")
    return f"{photo}#{face}" if face else photo


def _truth(labels: Path) -> tuple[dict[str, str], bool]:
    """Returns the person of each photo or face, and whether it is of faces."""
    if labels.is_dir():
        return {
            photo.relative_to(labels).as_posix(): person
            for person, photos in photos_by_person(labels).items()
            for photo in photos
        }, False
    wanted = {"photo": "which photo it is", "person": "who it truly is"}
    table = read_table(labels, required=wanted)
    values: dict[str, str] = {}
    for number, row in table.records():
        face = _face(row)
        if face in values:
            raise table.error(number, f"{face!r} occurs twice", "keep one row per face")
        values[face] = row["person"]
    return values, "face" in table.columns


def _by_face(table: Table) -> dict[str, tuple[str, str]]:
    """Returns cluster and reason of each face."""
    values: dict[str, tuple[str, str]] = {}
    for number, row in table.records():
        face = _face(row)
        if face in values:
            raise table.error(number, f"{face!r} occurs twice", "keep one row per face")
        values[face] = (row["cluster"], row.get("reason", ""))
    return values


def _by_photo(table: Table) -> dict[str, tuple[str, str]]:
    """Returns cluster and reason of each photo; a photo with several clustered faces has no
    cluster."""
    if "face" not in table.columns:
        return _by_face(table)
    clusters: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for _, row in table.records():
        own = clusters.setdefault(_photo(row), [])
        if row["cluster"].strip():
            own.append(row["cluster"])
        else:
            reasons.setdefault(_photo(row), row.get("reason", ""))
    return {
        photo: (own[0], "") if len(own) == 1 else ("", "several-faces" if own else reasons[photo])
        for photo, own in clusters.items()
    }
