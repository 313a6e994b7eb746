"""What an evaluation of identification found."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.types import Record

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class OpenSetRate(Record):
    """FNIR where the enrollments' own strangers set the threshold.

    Attributes:
        fpir: the rate asked for; each enrollment's threshold is the lowest observed score that
            keeps to it.
        fnir: mean over enrollments, each probe counting once.
        fnir_ci: 95 % interval, people resampled.
        fnir_sd: standard deviation over enrollments.
        fnir_people: the same mean with each person counting once, whatever their photos.
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
    """What became of the FPIR that the product states: its threshold was fixed beforehand.

    Attributes:
        stated: the FPIR asked for.
        stated_ci: the interval that was stated, mean over enrollments.
        basis: what the threshold rested on, in words (of the first enrollment).
        threshold: mean over enrollments.
        measured: FPIR of the strangers at it, mean over enrollments.
        measured_ci: 95 % interval of it, people resampled.
        fnir: FNIR at it, mean over enrollments.
        fnir_ci: 95 % interval of it, people resampled.
        inside: share of the enrollments whose measured FPIR lies in the stated interval.
        consistent: share in which it does, or its own exact binomial interval reaches into it:
            few strangers measure no small rate well.
        enrollments: those with a threshold; the others' data did not support the rate.
        refused: enrollments for which it was refused.
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
    enrolments: int
    refused: int


@dataclass(frozen=True, slots=True)
class Curves(Record):
    """What is drawn.

    Attributes:
        fpir: grid of rates, falling.
        fnir: mean FNIR at each.
        fnir_low: least of the enrollments'.
        fnir_high: greatest.
        edges: of the bins of the histograms, one more than bins.
        mated: share of mated scores in each bin.
        strangers: share of strangers' highest scores in each bin.
    """

    fpir: tuple[float, ...]
    fnir: tuple[float, ...]
    fnir_low: tuple[float, ...]
    fnir_high: tuple[float, ...]
    edges: tuple[float, ...]
    mated: tuple[float, ...]
    strangers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Identification(Record):
    """Identification over many random enrollments.

    Attributes:
        protocol: name of the data.
        command: the command that made this.
        created: ISO 8601 time.
        version: of visavis.
        model: model name.
        model_sha256: hash of its file.
        settings: the pipeline that made the scores.
        calibration: behind the stated rates, or "".
        notes: sentences a reader should know.
        people: people with a usable photo.
        photos: usable photos.
        failures: photos without a template by reason; they are left out.
        enrolled: people enrolled in each enrollment.
        templates: photos enrolled of each.
        fusion: how they become one score.
        rank: how many candidates may hold the right one in the open set.
        rounds: number of enrollments.
        strangers: non-mated probes in each.
        mated: mated probes in each, mean.
        rank1: closed set, mean over enrollments.
        rank1_ci: 95 % interval, people resampled.
        rank1_sd: standard deviation over enrollments.
        rank1_people: each person counting once.
        cmc: closed set, ranks 1 to 20.
        open_set: FNIR at each FPIR that the strangers support.
        mean: about which mean scores are: ``gallery`` (each enrollment's own), ``calibration``, or
            ``none``.
        plain: ``open_set`` of templates as they are; empty where that is the same.
        stated: what became of the product's own thresholds; empty without a calibration.
        curves: what is drawn.
        replicates: bootstrap replicates behind the intervals.
    """

    protocol: str
    command: str
    created: str
    version: str
    model: str
    model_sha256: str
    settings: str
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
    strangers: int
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
