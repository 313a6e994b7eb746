"""Whether turned photos get the answers of upright ones.

    python -m benchmarks.turned --lfw ../shared/data/lfw --peers ../shared/data/peers

The first photo of each pair is turned by 90, 180 and 270 degrees, without a tag that says so, and
verified against the second as it is: LFW's View 1 test pairs, and the labelled pairs of peers/.
Prints a Markdown table, and what the further looks cost on upright photos.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.photos import Pair, data_folder, lfw_pairs, peers_pairs
from visavis import images
from visavis.errors import VisavisError
from visavis.faces import TURNS as TURNS_OF
from visavis.faces.orientation import OrientedDetector
from visavis.faces.yunet import YuNet
from visavis.pipeline import Recognizer
from visavis.types import Face, Image, Template

TURNS = (0, 90, 180, 270)


def templates(recognizer: Recognizer, photo: Image) -> Template | None:
    """The photo's face, or ``None`` where it has none."""
    try:
        return recognizer.embed(photo)[0]
    except VisavisError:
        return None


def turned_by(upright: Template | None, turned: Template | None) -> int | None:
    """Degrees between the turns of two faces; ``None`` where one was not found."""
    if upright is None or turned is None:
        return None
    return (turned.face.turn - upright.face.turn) % 360


def row(recognizer: Recognizer, name: str, pairs: list[Pair], fmr: float) -> str:
    """One data set's line of the table."""
    threshold = recognizer.calibration.operating_point(fmr).threshold
    seconds = {path: recognizer.embed(images.decode(path))[0] for path in {p.b for p in pairs}}
    found: dict[Path, list[Template | None]] = {}
    for path in {pair.a for pair in pairs}:
        upright = images.decode(path)
        found[path] = [
            templates(recognizer, np.ascontiguousarray(np.rot90(upright, -turn // 90)))
            for turn in TURNS
        ]

    def same(first: Template | None, pair: Pair) -> bool | None:
        if first is None:
            return None
        return float(first.vector @ seconds[pair.b].vector) >= threshold

    cells = []
    for k, turn in enumerate(TURNS[1:], 1):
        answers = np.mean([same(found[p.a][k], p) == same(found[p.a][0], p) for p in pairs])
        known = np.mean([turned_by(faces[0], faces[k]) == turn for faces in found.values()])
        cells.append(f"{answers:.1%} ({known:.1%})")
    return f"| {name}, {len(pairs)} pairs | " + " | ".join(cells) + " |"


class Counted(YuNet):
    """Counts the pixels that it is shown."""

    pixels = 0

    def detect(self, image: Image, /) -> list[Face]:
        self.pixels += image.shape[0] * image.shape[1]
        return super().detect(image)


def looked_further(pairs: list[Pair]) -> str:
    """What further looks cost on upright photos."""
    inner = Counted(threads=1)
    oriented = OrientedDetector(inner, **TURNS_OF["yunet"])
    photos = [
        images.decode(path) for path in sorted({p for pair in pairs for p in (pair.a, pair.b)})
    ]
    for photo in photos:
        oriented.detect(photo)
    share = inner.pixels / sum(photo.shape[0] * photo.shape[1] for photo in photos) - 1
    return f"{len(photos)} upright photos: {share:.1%} more pixels are searched"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--peers", type=Path, default=data_folder("peers"))
    parser.add_argument("--pairs", type=int, default=500, help="pairs of LFW")
    parser.add_argument("--fmr", type=float, default=1e-3)
    asked = parser.parse_args()
    recognizer = Recognizer()
    sets = []
    if asked.lfw is not None:
        sets.append(("LFW, View 1 test", lfw_pairs(asked.lfw, limit=asked.pairs)))
    if asked.peers is not None:
        sets.append(("peers/deepface", peers_pairs(asked.peers)))
    out = ["| answers as upright (turn recognized) | 90 | 180 | 270 |", "|---|---|---|---|"]
    out += [row(recognizer, name, pairs, asked.fmr) for name, pairs in sets]
    out += ["", *(f"{name}: {looked_further(pairs)}" for name, pairs in sets)]
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
