"""Time, recall and landmark agreement of the three detectors; prints the table of docs.

    python benchmarks/detectors.py --lfw ../shared/data/lfw

Photos are of LFW's View 1 training people, chosen with a fixed seed. Times are CPU time with one
thread, so they hold on a busy machine too; decoding is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.faces.dlib import Dlib, DlibOptions
from visavis.faces.mtcnn import Mtcnn, MtcnnOptions
from visavis.faces.yunet import YuNet
from visavis.types import Detector, Face

HEIGHTS = (20, 30, 40, 60)
LFW_FACE = 108  # median face height (YuNet's box) in LFW's photos of 250 pixels

MAKERS: dict[str, Callable[[], Detector]] = {
    "YuNet": lambda: YuNet(threads=1),
    "MTCNN": lambda: Mtcnn(threads=1),
    "MTCNN, min_face=40": lambda: Mtcnn(threads=1, options=MtcnnOptions(min_face=40)),
    "dlib": Dlib,
    "dlib, min_face=80": lambda: Dlib(options=DlibOptions(min_face=80)),
}


def sample(lfw: Path, count: int, seed: int, *, people: str = "peopleDevTrain.txt") -> list[Path]:
    lines = (lfw / people).read_text(encoding="utf-8").splitlines()[1:]
    paths = [
        lfw / "lfw-deepfunneled" / name / f"{name}_{k:04d}.jpg"
        for name, photos in (line.split("\t") for line in lines)
        for k in range(1, int(photos) + 1)
    ]
    chosen = np.random.default_rng(seed).choice(len(paths), count, replace=False)
    return [paths[k] for k in sorted(chosen)]


def central(faces: list[Face], photo: NDArray[np.uint8]) -> Face | None:
    """The face in the middle is LFW's; found only if its landmarks surround the middle."""
    middle = np.array(photo.shape[1::-1]) / 2
    near = [f for f in faces if np.abs(f.landmarks.mean(0) - middle).max() < 0.12 * len(photo)]
    return max(near, key=lambda face: face.score, default=None)


def found_at(detector: Detector, photos: list[NDArray[np.uint8]], height: int) -> float:
    """Part of the photos whose central face is found when it is about ``height`` pixels tall."""
    side = round(250 * height / LFW_FACE)
    small = [cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA) for photo in photos]
    return float(np.mean([central(detector.detect(photo), photo) is not None for photo in small]))


def milliseconds(detector: Detector, photos: list[NDArray[np.uint8]]) -> float:
    detector.detect(photos[0])
    start = time.process_time()
    for photo in photos:
        detector.detect(photo)
    return 1e3 * (time.process_time() - start) / len(photos)


def twelve_megapixels(photos: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """A portrait of 3000x4000 pixels, and a crowd of 192 faces."""
    portrait = np.full((3000, 4000, 3), 120, dtype=np.uint8)
    portrait[:, 500:3500] = cv2.resize(photos[0], (3000, 3000), interpolation=cv2.INTER_CUBIC)
    rows = [np.concatenate(photos[16 * k : 16 * k + 16], axis=1) for k in range(12)]
    return [portrait, np.concatenate(rows, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = [images.decode(path) for path in sample(options.lfw, options.photos, options.seed)]
    portrait, crowd = twelve_megapixels(photos)
    detectors = {name: make() for name, make in MAKERS.items()}

    sizes = " | ".join(f"{height} px" for height in HEIGHTS)
    print(
        "| detector | LFW, ms | 12 MP portrait, ms | 12 MP crowd, ms (faces) | LFW found "
        f"| {sizes} |"
    )
    print("|---" * (5 + len(HEIGHTS)) + "|")
    landmarks: dict[str, list[NDArray[np.float32] | None]] = {}
    for name, detector in detectors.items():
        faces = [central(detector.detect(photo), photo) for photo in photos]
        landmarks[name] = [face.landmarks if face else None for face in faces]
        recall = [np.mean([face is not None for face in faces])]
        recall += [found_at(detector, photos, height) for height in HEIGHTS]
        row = [
            f"{milliseconds(detector, photos[:100]):.0f}",
            f"{milliseconds(detector, [portrait]):.0f}",
            f"{milliseconds(detector, [crowd]):.0f} ({len(detector.detect(crowd))})",
            *(f"{100 * part:.1f} %" for part in recall),
        ]
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)

    print("\n| pair | right eye | left eye | nose | right mouth | left mouth | mean, 95th pct |")
    print("|---" * 7 + "|")
    for first, second in itertools.combinations(("YuNet", "MTCNN", "dlib"), 2):
        distances = []
        for a, b in zip(landmarks[first], landmarks[second], strict=True):
            if a is not None and b is not None:
                eyes = np.linalg.norm(b[1] - b[0])
                distances.append(100 * np.linalg.norm(a - b, axis=1) / eyes)
        middle = np.median(distances, axis=0)
        worst = np.percentile(np.mean(distances, axis=1), 95)
        print(
            f"| {first}, {second} | "
            + " | ".join(f"{value:.1f} %" for value in (*middle, worst))
            + " |"
        )


if __name__ == "__main__":
    main()
