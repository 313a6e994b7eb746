"""Evaluates clustering on photos of known people."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering.attaching import POOR
from visavis.clustering.clusterer import Labels
from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.errors import DataError, OptionError
from visavis.evaluation.clustering.records import (
    ClusteringEvaluation,
    ClusteringRow,
    ClusteringSummary,
    LabelledFaces,
    sizes,
)
from visavis.faces.quality import quality_score
from visavis.metrics import clustering as metrics
from visavis.pipeline.collection import about_own_mean
from visavis.types import Vectors
from visavis.version import __version__

if TYPE_CHECKING:
    from visavis.decision.domain import Domain
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer

RATES: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
"""False-merge rates to try."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Embedded faces, one per photo.

    Attributes:
        photos: all photos, as paths below the folder.
        people: person of each.
        reasons: why a photo has no face; "" if it has one.
        vectors: ``(N, D)`` templates of photos with a face.
        quality_score: ``(N,)`` their quality scores.
    """

    photos: tuple[str, ...]
    people: tuple[str, ...]
    reasons: tuple[str, ...]
    vectors: Vectors
    quality_score: NDArray[np.float64]

    @property
    def who(self) -> NDArray[np.str_]:
        """Returns the ``(N,)`` person of each face."""
        return np.array(
            [p for p, reason in zip(self.people, self.reasons, strict=True) if not reason]
        )


def embed(
    people: Mapping[str, Sequence[Path]],
    recognizer: Recognizer,
    *,
    root: Path,
    rule: str = "central",
    cache: EmbeddingCache | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Faces:
    """Embeds one face per photo; a failed photo gets a reason.

    Args:
        people: photos by person.
        recognizer: computes the templates.
        root: folder that photo names are relative to.
        rule: which face to use if a photo has several: ``central`` or ``largest``, or ``refuse`` to
            skip the photo.
        cache: the embedding cache.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with (done, total) photos.

    Raises:
        OptionError: unknown rule.
        DataError: no photo has a face.
    """
    if rule not in ("central", "largest", "refuse"):
        raise OptionError(f"face rule {rule!r}", "choose one of central, largest, refuse")
    listed = [(name, photo) for name, own in people.items() for photo in own]
    vectors: list[NDArray[np.float32]] = []
    usable: list[float] = []
    reasons: list[str] = []
    for result in recognizer.embed_many(
        [photo for _, photo in listed], rule=rule, cache=cache, workers=workers, progress=progress
    ):
        reasons.append("" if result.templates else result.reason or "no-face")
        for template in result.templates[:1]:
            vectors.append(template.vector)
            usable.append(quality_score(template.quality))
    if not vectors:
        raise DataError(
            f"{root}: none of {len(listed)} photos gave a face",
            "give a folder with one subfolder per person, with photos of their face",
        )
    return Faces(
        photos=tuple(
            photo.relative_to(root).as_posix() if photo.is_relative_to(root) else str(photo)
            for _, photo in listed
        ),
        people=tuple(name for name, _ in listed),
        reasons=tuple(reasons),
        vectors=np.stack(vectors),
        quality_score=np.array(usable),
    )


def evaluate(
    faces: Faces,
    calibration: Calibration,
    *,
    name: str,
    false_merge: float = 0.01,
    sweep: bool = True,
    pipeline_id: str = "",
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> ClusteringEvaluation:
    """Clusters at the requested and other settings, and compares with the truth.

    Like ``visavis cluster``, templates are centered on their own mean if that helps
    (``pipeline.collection``); then plain templates are also tried.

    Args:
        faces: templates of known people, see ``embed``.
        calibration: calibration for the thresholds.
        name: name of the data in the report.
        false_merge: false-merge rate, in (0, 1).
        sweep: try other settings, too.
        pipeline_id: id of the pipeline.
        command: the command line, for the record.
        progress: called with (done, total) clusterings.

    Raises:
        OptionError: a rate outside (0, 1).
    """
    own = about_own_mean(calibration, faces.vectors, faces.quality_score)
    settings = [
        (rate, own) for rate in sorted({false_merge, *(RATES if sweep else ())}, reverse=True)
    ]
    if own is not calibration:
        settings.append((false_merge, calibration))
    who = faces.who
    rows: list[ClusteringRow] = []
    found: Labels = np.zeros(0, np.int64)
    for k, (rate, used) in enumerate(settings):
        vectors = used.project(faces.vectors)
        curve = fmr_curve_of(used.points, used.reference)
        start = time.perf_counter()
        clusterer = GraphLinkage(curve, false_merge_rate=rate)
        labels = clusterer.cluster(vectors, quality_score=faces.quality_score)
        seconds = time.perf_counter() - start
        asked = rate == false_merge and used is own
        scores = metrics.scores(who, labels)
        rows.append(ClusteringRow(rate, asked, seconds, scores, plain=used is not own))
        if asked:
            found = labels
        if progress is not None:
            progress(k + 1, len(settings))
    cluster = np.full(len(faces.photos), -1, dtype=np.int64)
    cluster[np.array([not reason for reason in faces.reasons])] = found
    poor = int((faces.quality_score < POOR).sum())
    return ClusteringEvaluation(
        summary=ClusteringSummary(
            name=name,
            photos=len(faces.photos),
            faces=len(who),
            poor=poor,
            people=len(set(who.tolist())),
            failures=dict(Counter(reason for reason in faces.reasons if reason)),
            algorithm="graph-linkage",
            false_merge=false_merge,
            rows=tuple(rows),
            best=best(rows),
            sizes=sizes(np.unique(who, return_counts=True)[1], np.bincount(found).astype(np.int64)),
            model=calibration.model,
            model_sha256=calibration.model_sha256,
            pipeline_id=pipeline_id,
            calibration=f"{calibration.name} ({calibration.dataset})",
            command=command,
            created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            version=__version__,
            notes=_notes(faces, own.domain if own is not calibration else None),
        ),
        faces=LabelledFaces(faces.photos, faces.people, cluster, faces.reasons),
    )


def best(rows: Sequence[ClusteringRow]) -> int | None:
    """Returns the row with the highest B-cubed F1; ``None`` if there is only one.

    Ties: the requested setting, then the first.
    """
    own = [(row.scores.bcubed.f1, row.default, -k) for k, row in enumerate(rows) if not row.plain]
    return -max(own)[2] if len(own) > 1 else None


def _notes(faces: Faces, mean: Domain | None) -> tuple[str, ...]:
    notes = [
        "One face per photo is used, so the rule that two faces of one photo are two people is not."
    ]
    if mean is not None:
        notes.append(
            f"Scores are centered on these photos' own mean, in which each of "
            f"the {mean.people:,} people of a first clustering counts once. One row "
            "shows plain templates."
        )
    failed = sum(bool(reason) for reason in faces.reasons)
    if failed:
        notes.append(f"{failed:,} photos gave no face; they are in no metric.")
    return tuple(notes)
