"""How far landmarks are off when a head is tilted, for each detector.

    python benchmarks/tilted.py --lfw ../shared/data/lfw

80 photos of LFW's View 1 training people are turned about the face; the landmarks found are
compared with those of the upright photo, turned alike. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from visavis import faces, images
from visavis.types import Detector

ANGLES = (15, 30, 45, 60)
PHOTOS = 80


def errors(detector: Detector, photos: list[Path]) -> dict[int, list[float]]:
    """Mean landmark distance in eye distances, a photo each; infinite where no face is near."""
    found: dict[int, list[float]] = {angle: [] for angle in ANGLES}
    for path in photos:
        photo = images.decode(path)
        height, width = photo.shape[:2]
        middle = np.array([width / 2, height / 2])
        seen = detector.detect(photo)
        if not seen:
            continue
        central = min(seen, key=lambda f: np.linalg.norm(f.landmarks.mean(axis=0) - middle))
        upright = central.landmarks
        eyes = float(np.linalg.norm(upright[0] - upright[1]))
        center = tuple(float(v) for v in upright.mean(axis=0))
        for angle in ANGLES:
            matrix = cv2.getRotationMatrix2D(center, -angle, 1)
            turned = detector.detect(cv2.warpAffine(photo, matrix, (width, height)))
            want = upright @ matrix[:, :2].T + matrix[:, 2]
            off = [float(np.linalg.norm(f.landmarks - want, axis=1).mean()) / eyes for f in turned]
            found[angle].append(min(off, default=float("inf")))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="LFW's folder")
    root = parser.parse_args().lfw
    lines = (root / "peopleDevTrain.txt").read_text(encoding="utf-8").splitlines()[1:]
    people = np.random.default_rng(5).choice([line.split("\t")[0] for line in lines], PHOTOS, False)
    photos = [root / "lfw-deepfunneled" / name / f"{name}_0001.jpg" for name in people]
    out = ["| detector | " + " | ".join(f"{angle} degrees" for angle in ANGLES) + " |"]
    out.append("|---" * (len(ANGLES) + 1) + "|")
    for name in faces.DETECTORS:
        row = []
        for values in errors(faces.detector(name, threads=1), photos).values():
            near = np.array([value for value in values if value < 0.6])
            off = f"{100 * np.median(near):.0f} %" if near.size else "-"
            row.append(f"{off} (found {near.size / len(values):.0%})")
        out.append(f"| {name} | " + " | ".join(row) + " |")
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
