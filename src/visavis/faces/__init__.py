"""Face detection and alignment. One detector per file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from visavis.errors import OptionError
from visavis.faces.orientation import OrientedDetector
from visavis.types import Detector

DETECTORS: Final = ("yunet", "mtcnn", "dlib")

TURNS: Final = {
    "yunet": {"doubtful": 0.91, "convincing": 0.925, "least": 0.85},
    "mtcnn": {"doubtful": 0.975, "convincing": 0.99, "least": 0.9},
    "dlib": {"doubtful": 0.6, "convincing": 0.7, "least": 0.6},
}
"""Limits of ``OrientedDetector``. Upright faces of LFW's View 1 training people mostly score higher
than ``doubtful``, the same photos rotated mostly lower; some upside-down faces score almost
``convincing``."""


def detector(
    name: str = "yunet",
    *,
    home: Path | None = None,
    download: bool = False,
    runtime: str = "onnxruntime",
    threads: int | None = None,
    min_face: int | None = None,
    min_confidence: float | None = None,
) -> Detector:
    """Returns the named detector; it also finds rotated faces (``OrientedDetector``).

    Args:
        name: one of ``DETECTORS``.
        home: folder of models; ``None``: the user's data folder.
        download: download missing model files.
        runtime: ``openvino`` or ``onnxruntime``.
        threads: CPU threads per call; ``None``: one per core.
        min_face: smallest face, box height in pixels; ``None``: the detector's default.
        min_confidence: lowest ``Face.score``, on the detector's own scale; ``None``: its default.

    Raises:
        OptionError: unknown name, or an option out of its range.
        MissingExtraError: the detector's optional package is not installed.
        ModelUnavailableError: its weights are not on this machine.
    """
    from visavis.weights import WeightStore

    store = WeightStore(home, download=download)
    found: Detector
    if name == "yunet":
        from visavis.faces.yunet import YuNet, YuNetOptions

        asked = _given(min_face=min_face, score=min_confidence)
        found = YuNet(store, options=YuNetOptions(**asked), runtime=runtime, threads=threads)
    elif name == "mtcnn":
        from visavis.faces.mtcnn import Mtcnn, MtcnnOptions

        thresholds = None if min_confidence is None else (0.6, 0.7, min_confidence)
        asked = _given(min_face=min_face, thresholds=thresholds)
        found = Mtcnn(store, options=MtcnnOptions(**asked), runtime=runtime, threads=threads)
    elif name == "dlib":
        from visavis.faces.dlib import Dlib, DlibOptions

        margin = None if min_confidence is None else _logit(min_confidence)
        found = Dlib(store, options=DlibOptions(**_given(min_face=min_face, margin=margin)))
    else:
        raise OptionError(f"detector {name!r}", f"choose one of {', '.join(DETECTORS)}")
    return OrientedDetector(found, **TURNS[name])


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        raise OptionError(f"a least confidence of {probability}", "give one in (0, 1)")
    return math.log(probability / (1 - probability))
