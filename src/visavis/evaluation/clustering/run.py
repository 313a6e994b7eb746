"""Evaluates clustering on photos of known people."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis.clustering import choose
from visavis.clustering.attaching import POOR
from visavis.clustering.clusterer import Clusterer, Labels
from visavis.clustering.thresholds import FmrCurve
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
"""False-merge rates to try with the default algorithm."""

FMRS: Final = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""False match rates to try with the other algorithms."""

_LOOSEST: Final = {"dbscan": 3e-4}
"""Above this, an algorithm that joins by single pairs makes one cluster of nearly all faces."""


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
            "give a folder that holds a folder a person, with photos of their face",
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
    algorithms: Sequence[str] = (choose.DEFAULT,),
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
        algorithms: names from ``choose.NAMES``; the first is the main one.
        false_merge: false-merge rate, in (0, 1).
        sweep: try other settings, too.
        pipeline_id: id of the pipeline.
        command: the command line, for the record.
        progress: called with (done, total) clusterings.

    Raises:
        OptionError: unknown algorithm, or a rate outside (0, 1).
    """
    for algorithm in algorithms:
        choose.require(algorithm)
    own = about_own_mean(calibration, faces.vectors, faces.quality_score)
    curve = choose.fmr_curve_of(own.points, own.reference)
    count = len(faces.vectors)
    tries: list[_Try] = []
    for algorithm in algorithms:
        tries += _tries(algorithm, curve, count, false_merge, sweep=sweep)
        if own is not calibration:
            known = choose.fmr_curve_of(calibration.points, calibration.reference)
            (plain,) = _tries(algorithm, known, count, false_merge, sweep=False)
            tries.append(replace(plain, default=False, plain=True))
    who = faces.who
    rows: list[ClusteringRow] = []
    found: Labels | None = None
    spaces = {False: own.project(faces.vectors), True: calibration.project(faces.vectors)}
    for k, one in enumerate(tries):
        row, labels = _try(one, spaces[one.plain], faces.quality_score, who)
        rows.append(row)
        if one.default and one.algorithm == algorithms[0]:
            found = labels
        if progress is not None:
            progress(k + 1, len(tries))
    if found is None:
        raise OptionError(next(row.reason for row in rows if row.default), "use another algorithm")
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
            algorithm=algorithms[0],
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


def best(rows: Sequence[ClusteringRow]) -> dict[str, int]:
    """Returns, for each algorithm with several rows, the row with the highest B-cubed F1.

    Ties: the requested setting, then the first.
    """
    places: dict[str, int] = {}
    for name in dict.fromkeys(row.algorithm for row in rows):
        own = [
            (row.scores.bcubed.f1, row.default, -k)
            for k, row in enumerate(rows)
            if row.algorithm == name and row.scores is not None and not row.plain
        ]
        if len(own) > 1:
            places[name] = -max(own)[2]
    return places


@dataclass(frozen=True, slots=True)
class _Try:
    algorithm: str
    clusterer: Clusterer
    false_merge: float | None
    threshold: float | None
    fmr: float | None
    default: bool
    plain: bool = False


def _tries(name: str, curve: FmrCurve, faces: int, asked: float, *, sweep: bool) -> Iterator[_Try]:
    """Settings to try, including the requested one, from loose to strict."""
    if name == choose.DEFAULT:
        for rate in sorted({asked, *(RATES if sweep else ())}, reverse=True):
            clusterer = choose.by_name(name, curve, false_merge_rate=rate)
            yield _Try(name, clusterer, rate, None, None, rate == asked)
        return
    own = choose.score_for(name, curve, faces=faces, false_merge_rate=asked)
    tried = {curve.score(fmr) for fmr in FMRS if fmr <= _LOOSEST.get(name, 1)}
    for score in sorted({own, *(tried if sweep else ())}):
        clusterer = choose.AT_SCORE[name](score, POOR)
        is_own = score == own
        rate = curve.rate(score)
        yield _Try(name, clusterer, asked if is_own else None, score, rate, is_own)


def _try(
    one: _Try, vectors: Vectors, quality_score: NDArray[np.float64], who: NDArray[np.str_]
) -> tuple[ClusteringRow, Labels | None]:
    start = time.perf_counter()
    labels, reason = None, ""
    try:
        labels = one.clusterer.cluster(vectors, quality_score=quality_score)
    except OptionError as error:
        reason = str(error)
    return ClusteringRow(
        algorithm=one.algorithm,
        false_merge=one.false_merge,
        threshold=one.threshold,
        fmr=one.fmr,
        default=one.default,
        seconds=time.perf_counter() - start,
        scores=None if labels is None else metrics.scores(who, labels),
        reason=reason,
        plain=one.plain,
    ), labels


def _notes(faces: Faces, mean: Domain | None) -> tuple[str, ...]:
    notes = ["One face a photo: the rule that two faces of one photo are two people has no part."]
    if mean is not None:
        notes.append(
            f"Scores are about these photos' own mean: of the {mean.people:,} people that their "
            "clusters are taken for, each once. One row shows the templates as they are."
        )
    failed = sum(bool(reason) for reason in faces.reasons)
    if failed:
        notes.append(f"{failed:,} photos gave no face; they are in no metric.")
    return tuple(notes)
