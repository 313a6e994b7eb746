"""Computes score files from protocols."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis import plots
from visavis.decision.domain import Domain
from visavis.decision.whitening import fit_domain
from visavis.errors import DataError, OptionError
from visavis.evaluation.protocols import Protocol
from visavis.evaluation.scores.table import About, Projection, ScoreFile, texts
from visavis.faces.aligned import Aligned
from visavis.types import Face, OperatingPoint, Vectors
from visavis.version import __version__

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache
    from visavis.pipeline import Recognizer


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPhotos:
    """Templates of P photos.

    Attributes:
        vectors: P arrays ``(K, D)`` of unit rows, K chosen faces; K is 0 for a failed photo.
        faces: faces of these rows.
        reasons: why a photo failed, such as ``no-face``; "" if it did not.
    """

    vectors: tuple[Vectors, ...]
    faces: tuple[tuple[Face, ...], ...]
    reasons: tuple[str, ...]


def embed(
    protocol: Protocol,
    recognizer: Recognizer,
    *,
    rule: str,
    cache: EmbeddingCache | None,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> EmbeddedPhotos:
    """Embeds all photos; a failed photo gets a reason."""
    none = np.zeros((0, recognizer.embedder.dimension), dtype=np.float32)
    vectors: list[Vectors] = []
    faces: list[tuple[Face, ...]] = []
    reasons: list[str] = []
    for result in recognizer.embed_many(
        protocol.photos, rule=rule, cache=cache, workers=workers, progress=progress
    ):
        own = [template.vector for template in result.templates]
        vectors.append(np.stack(own) if own else none)
        faces.append(tuple(template.face for template in result.templates))
        reasons.append("" if own else result.reason or "no-face")
    return EmbeddedPhotos(tuple(vectors), tuple(faces), tuple(reasons))


RULES: Final = ("largest", "central", "best-match", "refuse")
"""Rules for photos with several faces; see ``visavis.pipeline.RULES``."""

_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A scored protocol, with data for plots.

    Attributes:
        scores: the score file.
        protocol: the pair list.
        embedded: templates and faces of its photos.
        about_mean: the same pairs with centered templates, or ``None``.
    """

    scores: ScoreFile
    protocol: Protocol
    embedded: EmbeddedPhotos
    about_mean: ScoreFile | None = None


def evaluate(
    protocol: Protocol,
    recognizer: Recognizer,
    *,
    calibration: Calibration | None = None,
    about_mean: Calibration | None = None,
    rule: str = "central",
    cache: EmbeddingCache | None = None,
    workers: int | None = None,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Scores all pairs of a protocol.

    A pair with a failed photo stays in the table with a reason instead of a score. With a cache, an
    interrupted run can be continued.

    Args:
        protocol: the pair list.
        recognizer: makes the templates.
        calibration: for likelihood ratios and thresholds to check; ``None``: neither.
        about_mean: a calibration with a domain, for an additional evaluation of centered templates.
        rule: which face to use if a photo has several: one of ``RULES``. ``best-match`` uses the
            highest score among the faces.
        cache: keeps templates between runs.
        workers: photos processed in parallel; ``None``: one per core.
        command: the command line, for the record.
        progress: called with (done, total) photos.

    Raises:
        OptionError: unknown rule.
        ModelMismatchError: the calibration is for another model.
    """
    if rule not in RULES:
        raise OptionError(f"face rule {rule!r}", f"choose one of {', '.join(RULES)}")
    for one in (calibration, about_mean):
        if one is not None:
            one.require_model(recognizer.model, recognizer.model_sha256)
    if protocol.aligned and not isinstance(recognizer.detector, Aligned):
        recognizer = recognizer.clone(detector=Aligned())
    embedded = embed(
        protocol, recognizer, rule=rule, cache=cache, workers=workers, progress=progress
    )
    pipeline_id = f"{recognizer.pipeline_id}, {rule}"
    return Evaluation(
        scores=_scored(protocol, embedded, recognizer, calibration, (pipeline_id, command)),
        protocol=protocol,
        embedded=embedded,
        about_mean=None
        if about_mean is None
        else _scored(protocol, embedded, recognizer, about_mean, (pipeline_id, command)),
    )


def mean_of(
    people: Mapping[str, Sequence[Path]],
    recognizer: Recognizer,
    *,
    rule: str = "central",
    cache: EmbeddingCache | None = None,
    workers: int | None = None,
) -> Domain:
    """Returns the mean of per-person mean templates of people in no pair.

    Args:
        people: their photos; those without a usable face are skipped.
        recognizer: makes the templates.
        rule: which face counts where a photo has several.
        cache: keeps templates between runs.
        workers: photos processed in parallel; ``None``: one per core.

    Raises:
        DataError: no photo has a face.
    """
    listed = [(k, photo) for k, photos in enumerate(people.values()) for photo in photos]
    rows = recognizer.embed_many(
        [photo for _, photo in listed], rule=rule, cache=cache, workers=workers
    )
    found = [
        (k, row.templates[0].vector)
        for (k, _), row in zip(listed, rows, strict=True)
        if row.templates
    ]
    if not found:
        raise DataError(
            f"{len(listed)} photos for a mean, none with a face", "give photos of faces"
        )
    return fit_domain(np.stack([vector for _, vector in found]), np.array([k for k, _ in found]))


def _scored(
    protocol: Protocol,
    embedded: EmbeddedPhotos,
    recognizer: Recognizer,
    calibration: Calibration | None,
    record: tuple[str, str],
) -> ScoreFile:
    """Scores all pairs in the calibration's space; ``record`` is pipeline id and command."""
    pipeline_id, command = record
    sides = embedded.vectors, embedded.vectors
    notes = list(protocol.notes)
    if calibration is not None and calibration.domain is not None:
        domain = calibration.domain
        sides = (
            tuple(domain.apply(own) for own in embedded.vectors),
            tuple(domain.apply(own, side="b") for own in embedded.vectors),
        )
        pipeline_id += ", centered"
        notes.append(f"Scores are centered on the mean of {domain.people:,} people.")
    score = score_pairs(sides[0], protocol.first, protocol.second, sides[1])
    scored = ~np.isnan(score)
    llr = None
    if calibration is not None and calibration.evidence:
        llr = np.full(len(score), np.nan)
        llr[scored] = calibration.llr(score[scored])
    if calibration is not None and calibration.pipeline_id != recognizer.pipeline_id:
        notes.append(
            f"Calibration '{calibration.name}' was measured with {calibration.pipeline_id}, these "
            f"scores with {pipeline_id}: its error rates need not hold here."
        )
    about = About(
        protocol=protocol.name,
        command=command,
        created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        version=__version__,
        notes=tuple(notes),
        photos=len(protocol.photos),
        photo_failures=dict(Counter(reason for reason in embedded.reasons if reason)),
        calibration=calibration.name if calibration is not None else "",
        operating_points=decades(calibration.points) if calibration is not None else (),
        projection=project(protocol, sides[0]),
    )
    people = protocol.people
    return ScoreFile(
        a=texts(protocol.labels[k] for k in protocol.first),
        b=texts(protocol.labels[k] for k in protocol.second),
        same=protocol.same,
        score=score,
        failure=_failures(embedded.reasons, protocol),
        fold=protocol.fold,
        group=texts(protocol.group) if protocol.group is not None else None,
        person_a=texts(people[k] for k in protocol.first) if people is not None else None,
        person_b=texts(people[k] for k in protocol.second) if people is not None else None,
        llr=llr,
        model=recognizer.model,
        model_sha256=recognizer.model_sha256,
        pipeline_id=pipeline_id,
        about=about,
    )


def score_pairs(
    vectors: Sequence[Vectors],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    other: Sequence[Vectors] | None = None,
) -> NDArray[np.float64]:
    """Returns the cosine similarity of each pair, ``(N,)`` float64; NaN without a template.

    If a photo has several templates, the highest score is used. Summation is in float64, so that a
    pair's score does not depend on other pairs.

    Args:
        vectors: per photo ``(K, D)`` float32 unit rows.
        first: ``(N,)`` index of each pair's first photo.
        second: ``(N,)`` index of its second photo.
        other: templates of the same photos as second photo of a pair; ``None``: ``vectors``.

    >>> a, b = np.array([[1, 0]], np.float32), np.array([[0.6, 0.8], [1, 0]], np.float32)
    >>> score_pairs([a, b, a[:0]], np.array([0, 0]), np.array([1, 2]))
    array([ 1., nan])
    """
    other = vectors if other is None else other
    count = np.array([len(own) for own in vectors])
    a, b = _first_rows(vectors), _first_rows(other)
    score = np.full(len(first), np.nan)
    fewest = np.minimum(count[first], count[second])
    most = np.maximum(count[first], count[second])
    single = np.flatnonzero((fewest == 1) & (most == 1))
    for start in range(0, len(single), _CHUNK):
        rows = single[start : start + _CHUNK]
        left, right = a[first[rows]].astype(np.float64), b[second[rows]].astype(np.float64)
        score[rows] = (left * right).sum(axis=1)
    for k in np.flatnonzero((fewest >= 1) & (most > 1)).tolist():
        left = vectors[int(first[k])].astype(np.float64)
        right = other[int(second[k])].astype(np.float64)
        score[k] = (left[:, None] * right[None]).sum(axis=2).max()
    clipped: NDArray[np.float64] = np.clip(score, -1.0, 1.0)
    return clipped


def _first_rows(vectors: Sequence[Vectors]) -> Vectors:
    """``(P, D)`` first template of each photo; zeros if there is none."""
    out = np.zeros((len(vectors), vectors[0].shape[1] if vectors else 0), dtype=np.float32)
    for k, own in enumerate(vectors):
        if len(own):
            out[k] = own[0]
    return out


def decades(points: tuple[OperatingPoint, ...]) -> tuple[OperatingPoint, ...]:
    """Returns the points at 1e-1, 1e-2, ...; all points if there are none."""
    kept = [p for p in points if abs(log10(p.target_fmr) - round(log10(p.target_fmr))) < 1e-6]
    return tuple(kept) or points


def _failures(reasons: Sequence[str], protocol: Protocol) -> NDArray[np.object_]:
    def tell(i: int, j: int) -> str:
        parts = [f"{reasons[k]} ({side})" for k, side in ((i, "a"), (j, "b")) if reasons[k]]
        return ", ".join(parts)

    pairs = zip(protocol.first.tolist(), protocol.second.tolist(), strict=True)
    return texts(tell(i, j) for i, j in pairs)


PEOPLE: Final = 16
PHOTOS: Final = 30


def project(
    protocol: Protocol,
    vectors: Sequence[Vectors],
    *,
    people: int = PEOPLE,
    photos: int = PHOTOS,
    seed: int = 0,
) -> Projection | None:
    """Projects the people with the most photos by t-SNE; ``None`` without names.

    Args:
        protocol: protocol with people.
        vectors: per photo ``(K, D)`` unit rows; the first row of each is used.
        people: most people.
        photos: most photos per person, the first ones.
        seed: random seed.
    """
    if protocol.people is None:
        return None
    owned: dict[str, list[int]] = defaultdict(list)
    for k, person in enumerate(protocol.people):
        if len(vectors[k]):
            owned[person].append(k)
    # Most photos first; ties by name, independent of the order.
    several = [person for person in owned if len(owned[person]) > 1]
    chosen = sorted(several, key=lambda person: (-len(owned[person]), person))[:people]
    rows = [k for person in chosen for k in owned[person][:photos]]
    found = plots.plane(np.array([vectors[k][0] for k in rows]), seed=seed)
    if found is None:
        return None
    points, how = found
    return Projection(
        labels=tuple(protocol.labels[k] for k in rows),
        people=tuple(protocol.people[k] for k in rows),
        x=tuple(round(float(x), 4) for x in points[:, 0]),
        y=tuple(round(float(y), 4) for y in points[:, 1]),
        method=f"{how}: the {len(chosen)} people with most photos in the list",
    )
