"""Draws the picture of the README: ``python docs/draw_answer.py`` writes ``docs/answer.jpg``.

Both photos are the portrait of Eileen Collins by NASA, in the public domain, that scikit-image
ships; the second is mirrored, underexposed, and has a quarter of the pixels.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import visavis


def main(target: Path) -> None:
    portrait = np.ascontiguousarray(skimage.data.astronaut())
    other = np.ascontiguousarray((portrait[::2, ::-2] * 0.35).astype(np.uint8))
    png = io.BytesIO()
    visavis.verify(portrait, other, fmr=1e-4).plot().savefig(png, format="png", dpi=110)
    Image.open(png).convert("RGB").save(target, quality=85, optimize=True)


if __name__ == "__main__":
    main(Path(__file__).parent / "answer.jpg")
