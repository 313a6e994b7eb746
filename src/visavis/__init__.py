"""visavis: is this the same person?

>>> import visavis
>>> answer = visavis.verify("a.jpg", "b.jpg")  # doctest: +SKIP
>>> answer.same, answer.score, answer.threshold, answer.fmr  # doctest: +SKIP
(True, 0.71, 0.37, 0.001)

Everything heavy is imported when first used, so ``import visavis`` costs a few milliseconds.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from visavis.version import __version__

if TYPE_CHECKING:
    from visavis.api import cache, calibrations, data, evaluate, models, runs
    from visavis.api.albums import PhotoAlbum, cluster
    from visavis.api.calibrations import calibrate, check
    from visavis.api.engine import Engine
    from visavis.api.export import export
    from visavis.api.face_clusterer import FaceClusterer
    from visavis.api.gallery import Gallery, Key
    from visavis.api.photos import (
        detect,
        detect_many,
        embed,
        embed_many,
        embed_to_parquet,
        save_templates,
        verify,
    )
    from visavis.api.training import train
    from visavis.api.watch import watch
    from visavis.decision.profile import Calibration, CalibrationStore
    from visavis.pipeline import Recognizer, Verification
    from visavis.types import Face, OperatingPoint, Quality, Template

# ONNX Runtime reports its use to its maker: from its import on it queues events in the user's cache
# folder, with a hash of the machine's id and the path of the program, and sends them. This switches
# it off, here and in processes that this one starts; a value that is set already stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251  # written, not read

# NumPy's OpenBLAS starts its threads at the import, and after that, and after each product that
# used them, they wait actively for 2**28 cycles: a tenth of a second of processor time, which the
# first verification needs. 2**18 cycles bridge products that follow one another.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # noqa: TID251  # written, not read

_PLACES = {
    "api.albums": ("PhotoAlbum", "cluster"),
    "api.calibrations": ("calibrate", "check"),
    "decision.profile": ("Calibration", "CalibrationStore"),
    "api.photos": (
        "detect",
        "detect_many",
        "embed",
        "embed_many",
        "embed_to_parquet",
        "save_templates",
        "verify",
    ),
    "api.engine": ("Engine",),
    "api.export": ("export",),
    "api.face_clusterer": ("FaceClusterer",),
    "api.gallery": ("Gallery", "Key"),
    "pipeline": ("Recognizer", "Verification"),
    "api.training": ("train",),
    "api.watch": ("watch",),
    "types": ("Face", "OperatingPoint", "Quality", "Template"),
}

_MODULES = ("cache", "calibrations", "data", "evaluate", "models", "runs")

__all__ = [
    "Calibration",
    "CalibrationStore",
    "Engine",
    "Face",
    "FaceClusterer",
    "Gallery",
    "Key",
    "OperatingPoint",
    "PhotoAlbum",
    "Quality",
    "Recognizer",
    "Template",
    "Verification",
    "__version__",
    "cache",
    "calibrate",
    "calibrations",
    "check",
    "cluster",
    "data",
    "detect",
    "detect_many",
    "embed",
    "embed_many",
    "embed_to_parquet",
    "evaluate",
    "export",
    "models",
    "runs",
    "save_templates",
    "train",
    "verify",
    "watch",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"visavis.{place}"), name)
    if name in _MODULES:
        return import_module(f"visavis.api.{name}")
    msg = f"module 'visavis' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
