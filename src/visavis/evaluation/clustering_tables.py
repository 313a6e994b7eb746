"""Labels as CSV: who each photo shows, and which cluster it was put in."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from visavis import __version__
from visavis.errors import DataError
from visavis.evaluation.clustering_records import (
    ClusteringEvaluation,
    ClusteringRow,
    ClusteringSummary,
    LabelledFaces,
    sizes,
)
from visavis.evaluation.tables import Table, read_table
from visavis.metrics import clustering as metrics
from visavis.writing import replacing


def write(path: Path, faces: LabelledFaces) -> None:
    """Columns photo, person, cluster, reason; a photo without a cluster has a reason."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("photo", "person", "cluster", "reason"))
        for photo, person, cluster, reason in zip(
            faces.photo, faces.person, faces.cluster.tolist(), faces.reason, strict=True
        ):
            writer.writerow((photo, person, "" if reason else cluster, reason))


def read(found: Path, labels: Path | None = None) -> LabelledFaces:
    """Clusters that any system found, with the true people.

    Args:
        found: CSV with a column ``cluster`` (any text; empty: no cluster, the photo failed), and
            ``person``, unless ``labels`` has it.
        labels: CSV with ``photo`` and ``person``; ``found`` then needs ``photo``, and both may
            have ``face``, which tells faces of one photo apart. The rows may differ in order;
            labelled faces that were not found count as failed.

    Raises:
        DataError: a file cannot be read or lacks a column, a face stands twice in a file, or a
            found one has no label.
    """
    needed = {"cluster": "the cluster found"}
    if labels is None:
        needed["person"] = "who it truly is"
        table = read_table(found, required=needed)
        rows = [(_face(row), row["person"], row["cluster"]) for _, row in table.records()]
    else:
        needed["photo"] = "which photo it is"
        table = read_table(found, required=needed)
        clusters = _by_face(table, "cluster")
        truth = _by_face(
            read_table(
                labels, required={"photo": "which photo it is", "person": "who it truly is"}
            ),
            "person",
        )
        for face in clusters:
            if face not in truth:
                raise DataError(f"{found}: {face!r} is not in {labels}", "label every face found")
        rows = [(face, person, clusters.get(face, "")) for face, person in truth.items()]
    names: dict[str, int] = {}
    cluster = [names.setdefault(c.strip(), len(names)) if c.strip() else -1 for _, _, c in rows]
    if not names:
        raise DataError(f"{found}: no row has a cluster", "give the clusters found")
    return LabelledFaces(
        photo=tuple(face for face, _, _ in rows),
        person=tuple(person for _, person, _ in rows),
        cluster=np.array(cluster, dtype=np.int64),
        reason=tuple("" if c >= 0 else "no-cluster" for c in cluster),
    )


def evaluate(faces: LabelledFaces, *, name: str, command: str = "") -> ClusteringEvaluation:
    """The metrics of labels, without photos."""
    clustered = faces.cluster >= 0
    found = faces.cluster[clustered]
    who = np.array(faces.person)[clustered]
    row = ClusteringRow(
        algorithm="as given",
        false_merge=None,
        threshold=None,
        fmr=None,
        default=True,
        seconds=float("nan"),
        scores=metrics.scores(who, found),
    )
    failed = int((~clustered).sum())
    people = np.unique(who, return_counts=True)[1]
    return ClusteringEvaluation(
        summary=ClusteringSummary(
            name=name,
            photos=len(faces.photo),
            faces=len(who),
            poor=0,
            people=len(people),
            failures={"no-cluster": failed} if failed else {},
            algorithm="as given",
            false_merge=None,
            rows=(row,),
            best={},
            sizes=sizes(people, np.unique(found, return_counts=True)[1]),
            command=command,
            created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            version=__version__,
            notes=(f"{failed:,} faces have no cluster; they are in no metric.",) if failed else (),
        ),
        faces=faces,
    )


def _face(row: dict[str, str]) -> str:
    photo, face = row.get("photo", ""), row.get("face", "")
    return f"{photo}#{face}" if face else photo


def _by_face(table: Table, column: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, row in table.records():
        face = _face(row)
        if face in values:
            raise table.error(number, f"{face!r} stands there twice", "keep one row a face")
        values[face] = row[column]
    return values
