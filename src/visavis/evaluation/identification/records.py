"""Result records of identification evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.types import Record

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class OpenSetRate(Record):
    """FNIR at a threshold set by each enrollment's non-mated probes.

    Attributes:
        fpir: requested rate; each enrollment's threshold is the lowest observed score that keeps
            it.
        fnir: mean over enrollments, each probe counts once.
        fnir_ci: 95 % bootstrap interval over people.
        fnir_sd: standard deviation over enrollments.
        fnir_people: the same mean, each person counts once.
        threshold: mean over enrollments.
    """

    fpir: float
    fnir: float
    fnir_ci: Interval
    fnir_sd: float
    fnir_people: float
    threshold: float


@dataclass(frozen=True, slots=True)
class StatedRate(Record):
    """Check of a stated FPIR, whose threshold was fixed beforehand.

    Attributes:
        stated: the stated FPIR.
        stated_ci: the stated interval, mean over enrollments.
        basis: data behind the threshold, in words (of the first enrollment).
        threshold: mean over enrollments.
        measured: measured FPIR at it, mean over enrollments.
        measured_ci: its 95 % bootstrap interval over people.
        fnir: FNIR at it, mean over enrollments.
        fnir_ci: its 95 % bootstrap interval over people.
        inside: share of the enrollments with a measured FPIR in the stated interval.
        consistent: share in which it is, or its own exact binomial interval overlaps; few probes do
            not measure low rates well.
        enrollments: those with a threshold; the others' data did not support the rate.
        refused: enrollments for which the rate was refused.
    """

    stated: float
    stated_ci: Interval
    basis: str
    threshold: float
    measured: float
    measured_ci: Interval
    fnir: float
    fnir_ci: Interval
    inside: float
    consistent: float
    enrollments: int
    refused: int


@dataclass(frozen=True, slots=True)
class Curves(Record):
    """Data of the plots.

    Attributes:
        fpir: rates, descending.
        fnir: mean FNIR at each.
        fnir_low: lowest of the enrollments.
        fnir_high: highest of the enrollments.
        edges: edges of the histogram bins.
        mated: share of mated scores in each bin.
        non_mated: share of the non-mated probes' highest scores in each bin.
    """

    fpir: tuple[float, ...]
    fnir: tuple[float, ...]
    fnir_low: tuple[float, ...]
    fnir_high: tuple[float, ...]
    edges: tuple[float, ...]
    mated: tuple[float, ...]
    non_mated: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Identification(Record):
    """Identification results over many random enrollments.

    Attributes:
        protocol: name of the data.
        command: the command line.
        created: ISO 8601 time.
        version: of visavis.
        model: model name.
        model_sha256: hash of its file.
        pipeline_id: id of the pipeline that made the scores.
        calibration: calibration for the stated rates, or "".
        notes: remarks for readers.
        people: number of people with a usable photo.
        photos: number of usable photos.
        failures: photos without a template, by reason; left out.
        enrolled: people per enrollment.
        templates: enrolled photos per person.
        fusion: how their scores are combined.
        rank: highest rank of the right candidate in the open set.
        rounds: number of enrollments.
        non_mated: non-mated probes per enrollment.
        mated: mated probes per enrollment, mean.
        rank1: closed set, mean over enrollments.
        rank1_ci: 95 % bootstrap interval over people.
        rank1_sd: standard deviation over enrollments.
        rank1_people: the same, each person counts once.
        cmc: closed set, ranks 1 to 20.
        open_set: FNIR at each FPIR that the non-mated probes support.
        mean: mean for centering: ``gallery`` (each enrollment's own), ``calibration``, or ``none``.
        plain: ``open_set`` of plain templates; empty if that is the same.
        stated: checks of the stated rates; empty without a calibration.
        curves: data of the plots.
        replicates: bootstrap replicates behind the intervals.
    """

    protocol: str
    command: str
    created: str
    version: str
    model: str
    model_sha256: str
    pipeline_id: str
    calibration: str
    notes: tuple[str, ...]
    people: int
    photos: int
    failures: dict[str, int]
    enrolled: int
    templates: int
    fusion: str
    rank: int
    rounds: int
    non_mated: int
    mated: float
    rank1: float
    rank1_ci: Interval
    rank1_sd: float
    rank1_people: float
    cmc: tuple[float, ...]
    open_set: tuple[OpenSetRate, ...]
    mean: str
    plain: tuple[OpenSetRate, ...]
    stated: tuple[StatedRate, ...]
    curves: Curves
    replicates: int
