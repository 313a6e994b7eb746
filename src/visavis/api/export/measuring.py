"""What an exported file costs: parity, error rates, operating points, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.api.export.records import Comparison, Latency, Parity, Rates
from visavis.errors import CalibrationError, DataError, OptionError

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache
    from visavis.embedding.onnx import OnnxEmbedder
    from visavis.evaluation.protocols import Protocol
    from visavis.evaluation.scores.table import ScoreFile
    from visavis.evaluation.verification.run import EmbeddedPhotos
    from visavis.pipeline import Recognizer
    from visavis.types import Crops, Vectors

_CHUNK: Final = 32
_FMRS: Final = ("1e-2", "1e-3")
_BATCHES: Final = ((1, 15), (16, 4))
"""Batch sizes, and turns of each."""

_LONGEST: Final = 5000
"""Milliseconds after which a slow file is not timed any more."""

Update = Callable[[int, int], None] | None


@dataclass(frozen=True, slots=True)
class LabelledPhotos:
    """What error rates and operating points are measured on.

    Attributes:
        pairs: for error rates.
        points: for operating points.
        others: further tests, whose people do not calibrate either.
    """

    pairs: Protocol
    points: Protocol
    others: tuple[Protocol, ...] = ()

    @property
    def photos(self) -> set[Path]:
        """All of their photos."""
        tests = (self.pairs, self.points, *self.others)
        return {Path(p) for one in tests for p in one.photos if not isinstance(p, bytes)}


def labelled_photos(place: Path, *, view: int) -> LabelledPhotos:
    """Reads pairs: a CSV, a folder of LFW, or a folder with one subfolder per person.

    Operating points of LFW are measured on the photos of View 1's training pairs; of other data on
    the same photos as the error rates.

    Raises:
        OptionError: unknown view.
        DataError: the data cannot be read.
    """
    from visavis.evaluation import protocols

    if not place.is_dir():
        pairs = protocols.pairs.read(place, None)
        return LabelledPhotos(pairs, pairs)
    if (place / "pairsDevTest.txt").is_file():
        other = protocols.lfw.view(3 - view, place) if view in (1, 2) else None
        return LabelledPhotos(
            protocols.lfw.view(view, place),
            protocols.lfw.view(1, place, part="train"),
            (other,) if other is not None else (),
        )
    if view != 1:
        raise OptionError(f"view {view} of {place}", "only LFW has views")
    people = protocols.folders.read(place)
    return LabelledPhotos(people, people)


def overlap(points: Protocol, training_data: str) -> list[str]:
    """Warns if operating points are of people that the model has seen: LFW's training part."""
    if not (points.name.startswith("LFW") and "LFW" in training_data):
        return []
    return [
        f"the model learned from {training_data}: operating points of people that it has seen are "
        "too favorable; calibrate on other people"
    ]


def calibration_photos(folder: Path, avoid: LabelledPhotos | None) -> list[Path]:
    """Photos below a folder, without the people that are measured on.

    Left out are photos that are measured on, under any name, and all photos beside one of them, if
    its folder is a person's.

    Raises:
        DataError: none is left.
    """
    from visavis.images import photos_below
    from visavis.weights.files import sha256_of

    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "give a folder of photos for calibration")
    found = photos_below(folder)
    kept = found
    if avoid is not None:
        used = {photo.resolve() for photo in avoid.photos}
        persons = {photo.parent for photo in used} - {folder.resolve()}
        contents = {sha256_of(photo) for photo in used}
        kept = [
            photo
            for photo in found
            if photo.resolve().parent not in persons
            and photo.resolve() not in used
            and sha256_of(photo) not in contents
        ]
    if not kept:
        raise DataError(
            f"{folder}: {len(found)} photos, none of other people than those measured on",
            "give photos of other people for calibration",
        )
    return kept


def draw_crops(
    recognizer: Recognizer, photos: Sequence[Path], count: int, progress: Update
) -> Crops:
    """Aligned crops of the central faces of photos, drawn evenly from the list.

    Returns:
        ``(K, S, S, 3)`` RGB uint8, K at most ``count``.

    Raises:
        DataError: no photo has a face.
    """
    from visavis.errors import VisavisError

    order = np.random.default_rng(0).permutation(len(photos)).tolist()
    crops: list[Crops] = []
    for k in order:  # ends with the list
        if len(crops) == count:
            break
        try:
            prepared = recognizer.prepare(photos[k], rule="central")
        except VisavisError:
            continue  # no face, or no photo: another one is drawn
        crops.append(prepared.crops[:1])
        if progress is not None:
            progress(len(crops), min(count, len(photos)))
    if not crops:
        raise DataError(
            f"{len(photos)} photos for calibration, none with a face", "give photos of faces"
        )
    return np.concatenate(crops)


def parity(before: Vectors, after: Vectors, of: str) -> Parity:
    """Difference between templates of the same crops, row by row."""
    apart = 1 - np.einsum("nd,nd->n", before.astype(np.float64), after.astype(np.float64))
    apart = np.maximum(apart, 0)
    return Parity(float(apart.mean()), float(apart.max()), len(apart), of)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Templates of the same faces by both files.

    Attributes:
        scores: of the source.
        before: by the source.
        after: by the exported file.
    """

    scores: ScoreFile
    before: EmbeddedPhotos
    after: EmbeddedPhotos


def embed_both(
    protocol: Protocol,
    recognizer: Recognizer,
    exported: OnnxEmbedder,
    *,
    cache: EmbeddingCache | None,
    workers: int | None,
    progress: Update,
) -> Embedded:
    """Embeds the photos of a protocol with both files; faces are detected once."""
    from visavis import images
    from visavis.evaluation.verification import run
    from visavis.faces import align

    found = run.evaluate(
        protocol, recognizer, rule="central", cache=cache, workers=workers, progress=progress
    )
    before = found.embedded
    after: list[Vectors] = [vectors[:0] for vectors in before.vectors]
    usable = [k for k, faces in enumerate(before.faces) if faces]
    for start in range(0, len(usable), _CHUNK):
        rows = usable[start : start + _CHUNK]
        crops = np.stack(
            [
                align.crop(
                    images.decode(protocol.photos[k], limits=recognizer.options.limits),
                    before.faces[k][0].landmarks,
                    size=exported.input_size,
                    scale=recognizer.crop_scale,
                )
                for k in rows
            ]
        )
        for k, vector in zip(rows, exported.embed(crops), strict=True):
            after[k] = vector[None]
        if progress is not None:
            progress(start + len(rows), len(usable))
    return Embedded(found.scores, before, replace(before, vectors=tuple(after)))


def parity_of(both: Embedded, of: str) -> Parity:
    """Difference over all photos."""
    return parity(np.concatenate(both.before.vectors), np.concatenate(both.after.vectors), of)


def compare(
    protocol: Protocol, both: Embedded, model: tuple[str, str], *, replicates: int, progress: Update
) -> Comparison:
    """Error rates of both on the protocol's pairs; ``model`` is the exported one's name and hash.

    Raises:
        DataError: no pair of a kind has a score.
    """
    from visavis.evaluation.verification.run import score_pairs
    from visavis.evaluation.verification.summary import summarize

    scores = score_pairs(both.after.vectors, protocol.first, protocol.second)
    after = replace(both.scores, score=scores, model=model[0], model_sha256=model[1])
    first = summarize(both.scores, replicates=replicates)
    second = summarize(after, replicates=replicates, progress=progress)
    none = (float("nan"), float("nan"))
    rates = [
        Rates(
            accuracy=one.accuracy,
            accuracy_ci=one.intervals.get("accuracy", none),
            fnmr={fmr: one.fnmr_at_fmr[fmr] for fmr in _FMRS if fmr in one.fnmr_at_fmr},
            fnmr_ci={
                fmr: one.intervals.get(f"fnmr_at_fmr[{fmr}]", none)
                for fmr in _FMRS
                if fmr in one.fnmr_at_fmr
            },
        )
        for one in (first, second)
    ]
    return Comparison(
        protocol=protocol.name,
        pairs=second.scored_mated + second.scored_non_mated,
        mated=second.scored_mated,
        before=rates[0],
        after=rates[1],
    )


def operating_points(
    protocol: Protocol,
    embedded: EmbeddedPhotos,
    model: tuple[str, str],
    *,
    pipeline_id: str,
    command: str,
) -> tuple[Calibration | None, str]:
    """Calibrates on a protocol's photos: all pairs of named people, else the listed pairs.

    Returns:
        The calibration, ``None`` where the photos support none, and why, in words.
    """
    from visavis.decision.labelled import Provenance, calibrate_pairs, calibrate_people
    from visavis.decision.pair_scores import people_of_pairs

    used = [k for k, vectors in enumerate(embedded.vectors) if len(vectors)]
    provenance = Provenance(
        name=model[0],
        model=model[0],
        model_sha256=model[1],
        pipeline_id=pipeline_id,
        dataset=protocol.name,
        photos=len(used),
        failures=len(embedded.vectors) - len(used),
        created=datetime.now(UTC).date().isoformat(),
        command=command,
    )
    vectors = np.concatenate([embedded.vectors[k] for k in used])
    try:
        if protocol.people is not None:
            names = [protocol.people[k] for k in used]
            owners = np.unique(names, return_inverse=True)[1].astype(np.int64)
            return calibrate_people(vectors, owners, provenance, center=False), ""
        row = np.full(len(embedded.vectors), -1)
        row[used] = np.arange(len(used))
        first, second = row[protocol.first], row[protocol.second]
        both = (first >= 0) & (second >= 0)
        pairs = first[both], second[both], protocol.same[both]
        named = people_of_pairs(len(used), *pairs)
        owners = np.unique(named, return_inverse=True)[1].astype(np.int64)
        return calibrate_pairs(vectors, owners, pairs, provenance, center=False), ""
    except (CalibrationError, DataError) as error:
        return None, f"no operating points: {error}"


def latencies(recognizer: Recognizer, after: OnnxEmbedder) -> tuple[Latency, ...]:
    """Times a recognizer's embedder and another by turns, one thread each."""
    size = after.input_size
    rng = np.random.default_rng(0)
    both = recognizer.clone(threads=1).embedder, after.clone(threads=1)
    found = []
    for batch, turns in _BATCHES:
        crops = rng.integers(0, 256, (batch, size, size, 3)).astype(np.uint8)
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(turns + 1):
            for one, own in zip(both, times, strict=True):
                if turn > 3 and sum(own) * batch > _LONGEST:
                    continue
                started = time.process_time()
                one.embed(crops)
                if turn:  # the first one warms up
                    own.append(1000 * (time.process_time() - started) / batch)
        found.append(Latency(batch, float(np.median(times[0])), float(np.median(times[1]))))
    return tuple(found)
