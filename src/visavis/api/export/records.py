"""Result records of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visavis.types import OperatingPoint, Record

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Parity(Record):
    """Difference between the templates of two files, as ``1 - cosine``.

    Attributes:
        mean: over all crops.
        largest: of one crop.
        crops: number of crops.
        of: what the crops are.
    """

    mean: float
    largest: float
    crops: int
    of: str


@dataclass(frozen=True, slots=True)
class Latency(Record):
    """Time per crop in milliseconds: processor time of one thread, median of interleaved runs.

    Attributes:
        batch: crops in a call.
        before: of the source, in ONNX Runtime.
        after: of the exported file, in its own runtime.
    """

    batch: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Rates(Record):
    """Error rates on labelled pairs.

    Attributes:
        accuracy: mean over folds, each at the threshold of the others.
        accuracy_ci: 95 % interval.
        fnmr: false non-match rate by false match rate as text, such as ``1e-3``; those that the
            non-mated pairs support.
        fnmr_ci: 95 % intervals.
    """

    accuracy: float
    accuracy_ci: Interval
    fnmr: dict[str, float]
    fnmr_ci: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """The same pairs scored by both files.

    Attributes:
        protocol: name of the pair list.
        pairs: scored pairs.
        mated: mated ones among them.
        before: the source.
        after: the exported file.
    """

    protocol: str
    pairs: int
    mated: int
    before: Rates
    after: Rates

    @property
    def drop(self) -> float:
        """By how much the accuracy is lower after."""
        return self.before.accuracy - self.after.accuracy


@dataclass(frozen=True, slots=True)
class Exported(Record):
    """An exported model and its report.

    Attributes:
        path: its folder.
        name: name to be registered under.
        target: format, such as ``onnx-int8``.
        files: names of the model's files.
        sha256: their hash.
        size: their size in bytes.
        float32_size: size of the whole graph in float32 ONNX, in bytes.
        source: name of the source.
        source_sha256: hash of its file.
        calibration_crops: crops behind 8-bit ranges.
        parity: to the source.
        latency: at batch 1 and 16.
        comparison: error rates before and after; ``None`` without labelled photos.
        points: operating points measured on this file, at powers of ten; may be empty.
        notes: sentences.
        refused: why it would be refused, if it was forced; "" otherwise.
    """

    path: Path
    name: str
    target: str
    files: tuple[str, ...]
    sha256: str
    size: int
    float32_size: int
    source: str
    source_sha256: str
    calibration_crops: int
    parity: Parity
    latency: tuple[Latency, ...]
    comparison: Comparison | None
    points: tuple[OperatingPoint, ...]
    notes: tuple[str, ...]
    refused: str
