"""Aligned faces as images in a report, on request only."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Final

import numpy as np

from visavis import images
from visavis.errors import VisavisError
from visavis.evaluation.verification.run import Evaluation
from visavis.faces import align
from visavis.types import Face, Image

SIDE: Final = 144


def of_pairs(evaluation: Evaluation, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Returns data URIs of both aligned faces of some pairs.

    Args:
        evaluation: a scored protocol whose photos still exist.
        rows: indices of the pairs.

    Returns:
        JPEG data URIs of ``SIDE`` pixels by row; missing photos are left out.
    """
    protocol, embedded = evaluation.protocol, evaluation.embedded
    found: dict[int, tuple[str, str]] = {}
    for row in rows:
        i, j = int(protocol.first[row]), int(protocol.second[row])
        left, right = embedded.vectors[i], embedded.vectors[j]
        if not len(left) or not len(right):
            continue
        best = np.unravel_index(int((left @ right.T).argmax()), (len(left), len(right)))
        try:
            pair = [
                _picture(images.decode(protocol.photos[k]), embedded.faces[k], int(which))
                for k, which in ((i, best[0]), (j, best[1]))
            ]
        except VisavisError:
            # The photo was deleted after embedding: the report leaves it out.
            continue
        found[row] = (pair[0], pair[1])
    return found


def _picture(photo: Image, faces: tuple[Face, ...], which: int) -> str:
    from PIL import Image as Pictures

    crop = align.crop(photo, faces[which].landmarks, size=SIDE)
    buffer = io.BytesIO()
    Pictures.fromarray(crop).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
