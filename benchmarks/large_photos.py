"""Processor time of a photo by its size, from the encoded file to the template.

    python -m benchmarks.large_photos

A portrait that scikit-image ships, enlarged, as JPEG; the smallest of the rounds, in this process.
"""

from __future__ import annotations

import io
import time
from typing import Final

import skimage.data
from PIL import Image

from visavis.api.engine import Engine

_SIDES: Final = (640, 1000, 2000, 4000)
_ROUNDS: Final = 5


def main() -> None:
    portrait = Image.fromarray(skimage.data.astronaut()).crop((0, 0, 512, 384))
    photos = {}
    for side in _SIDES:
        file = io.BytesIO()
        portrait.resize((side, side * 3 // 4), Image.Resampling.LANCZOS).save(file, "JPEG")
        photos[side] = file.getvalue()
    seconds = dict.fromkeys(_SIDES, float("inf"))
    with Engine(workers=1) as engine:
        engine.embed(photos[_SIDES[0]])
        for _ in range(_ROUNDS):
            for side, photo in photos.items():
                start = time.process_time()
                engine.embed(photo)
                seconds[side] = min(seconds[side], time.process_time() - start)
    for side, took in seconds.items():
        ratio = took / seconds[_SIDES[0]]
        print(f"{side:5} pixels, {side * side * 3 / 4e6:5.1f} megapixels: {took * 1000:6.0f} ms, "
              f"{ratio:4.1f} times the smallest")  # fmt: skip


if __name__ == "__main__":
    main()
