"""What visavis's time is made of, one thread, a photo at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.measuring import median, quantile
from benchmarks.photos import Pair
from benchmarks.tables import Table, ms

_WARM_UP = 3


def measure(pairs: list[Pair], *, progress: Callable[[int, int], None]) -> dict[str, list[float]]:
    """Seconds by part, a value a photo (a pair for the last two)."""
    import cv2

    from visavis import images
    from visavis.faces import align, quality
    from visavis.pipeline import Recognizer, RecognizerOptions
    from visavis.pipeline.comparison import compare

    cv2.setNumThreads(1)
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    seconds: dict[str, list[float]] = {}
    counted = False

    def timed(part: str, work: Callable[..., Any], *values: Any, **options: Any) -> Any:
        started = time.perf_counter()
        result = work(*values, **options)
        if counted:
            seconds.setdefault(part, []).append(time.perf_counter() - started)
        return result

    for k, pair in enumerate([*pairs[:_WARM_UP], *pairs]):
        counted = k >= min(_WARM_UP, len(pairs))
        crops, templates = [], []
        for path in (pair.a, pair.b):
            pixels = timed("decode", images.decode, path)
            faces = timed("detect (YuNet)", recognizer.detector.detect, pixels)
            if not faces:
                break
            marks = [faces[0].landmarks]
            crop = timed("align", align.crops, pixels, marks)
            timed("quality", quality.measure, pixels, faces[0], crop[0])
            timed("embed one (SFace)", recognizer.embedder.embed, crop)
            crops.append(crop)
            templates.append(recognizer.embed(pixels))
        else:
            import numpy as np

            both = np.concatenate(crops)
            timed("embed two at once (SFace)", recognizer.embedder.embed, both)
            timed(
                "compare and decide",
                compare,
                *templates,
                calibration=recognizer.calibration,
                pipeline_id=recognizer.pipeline_id,
            )
        if counted:
            progress(k + 1 - min(_WARM_UP, len(pairs)), len(pairs))
    return seconds


def table(seconds: dict[str, list[float]]) -> Table:
    """A row for each part."""
    result = Table(
        "Parts of visavis, one thread, ms",
        ("part", "median", "10 %", "90 %"),
        note="A photo each, except for the last two rows: a pair.",
    )
    for part in sorted(seconds, key=_ORDER.index):
        values = seconds[part]
        cells = (median(values), quantile(values, 0.1), quantile(values, 0.9))
        result.rows.append((part, *(ms(value, 2) for value in cells)))
    return result


_ORDER = (
    "decode",
    "detect (YuNet)",
    "align",
    "quality",
    "embed one (SFace)",
    "embed two at once (SFace)",
    "compare and decide",
)
