"""Error rates on labelled photos: ``visavis.evaluate.lfw``, ``.pairs`` and so on."""

from visavis.api.evaluate.clustering import cluster
from visavis.api.evaluate.identification import identify
from visavis.api.evaluate.verification import (
    EvaluateOptions,
    Measured,
    bin,
    fetch_lfw,
    folders,
    lfw,
    pairs,
    report,
)

__all__ = [
    "EvaluateOptions",
    "Measured",
    "bin",
    "cluster",
    "fetch_lfw",
    "folders",
    "identify",
    "lfw",
    "pairs",
    "report",
]
