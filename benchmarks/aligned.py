"""Crops that are aligned already: what ``--aligned`` gains, and what it refuses.

    python -m benchmarks.aligned --lfw ../shared/data/lfw

Photos of LFW's View 1 test people are aligned by our own detectors and then treated as a set of
112x112 crops: compared as they are, shrunk as the model's photos are, and detected again. Then each
kind of crop, aligned or not, is shown to the check.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import unlabelled
from benchmarks.photos import lfw_pairs
from benchmarks.tables import Table
from visavis import faces, images
from visavis.errors import NotAlignedError
from visavis.faces import align
from visavis.faces.aligned import Aligned
from visavis.pipeline import Recognizer, RecognizerOptions, rules
from visavis.types import Face

Pixels = NDArray[np.uint8]
KINDS = ("photo", "crop as it is", "crop shrunk", "crop detected again")


def central(found: list[Face], photo: Pixels) -> Face | None:
    """The face that a benchmark's photo is of."""
    size = (photo.shape[1], photo.shape[0])
    if not found:
        return None
    return found[rules.choose(found, "central", size=size, photo="photo").indices[0]]


def templates(recognizer: Recognizer, photo: Pixels, face: Face) -> NDArray[np.float32]:
    """One photo's templates, in the order of ``KINDS``."""
    scale = recognizer.crop_scale
    crop = align.crop(photo, face.landmarks)
    again = central(recognizer.detector.detect(crop), crop)
    crops = [
        align.crop(photo, face.landmarks, scale=scale),
        crop,
        align.crop(crop, align.positions(), scale=scale),
        align.crop(crop, again.landmarks if again else align.positions(), scale=scale),
    ]
    return recognizer.embedder.embed(np.stack(crops))


def scores_table(vectors: NDArray[np.float32], people: NDArray[np.str_], threshold: float) -> Table:
    """How well each kind of crop tells people apart, at the shipped threshold and without one."""
    table = Table(
        f"LFW View 1 test people, {len(people):,} photos, threshold {threshold:.4f} (FMR 1e-3)",
        ("", "d'", "FMR", "FNMR", "non-mated mean"),
    )
    upper = np.triu(np.ones((len(people), len(people)), bool), 1)
    mated = upper & (people[:, None] == people[None])
    other = upper & (people[:, None] != people[None])
    for k, kind in enumerate(KINDS):
        scores = vectors[:, k] @ vectors[:, k].T
        same, different = scores[mated], scores[other]
        spread = np.sqrt((same.var() + different.var()) / 2)
        table.rows.append(
            (
                kind,
                f"{(same.mean() - different.mean()) / spread:.2f}",
                f"{(different >= threshold).mean():.2e}",
                f"{(same < threshold).mean():.2%}",
                f"{different.mean():.3f}",
            )
        )
    return table


def aligned_crops(photo: Pixels, found: dict[str, Face]) -> Iterator[tuple[str, Pixels]]:
    """Crops on the template: by three detectors, in other sizes, degraded before alignment."""
    for name, face in found.items():
        yield f"aligned by {name}", align.crop(photo, face.landmarks)
    landmarks = found["yunet"].landmarks
    for size in (64, 224):
        yield f"aligned, {size}x{size}", align.crop(photo, landmarks, size=size)
    for how in unlabelled.DEGRADATIONS:
        if how is not unlabelled.perspective:  # it moves the face
            degraded = how(photo, np.random.default_rng(0))
            yield f"aligned, {how.__name__.replace('_', ' ')}", align.crop(degraded, landmarks)
    covered = align.crop(photo, landmarks)
    covered[70:] = (190, 205, 220)
    yield "aligned, lower half covered", covered


def other_crops(photo: Pixels, found: dict[str, Face]) -> Iterator[tuple[str, Pixels]]:
    """Square pictures of a face that are not on the template."""
    face = found["yunet"]
    crop = align.crop(photo, face.landmarks)
    yield "whole photo", photo
    for margin in (0.0, 0.2, 0.4):
        yield f"face box and {margin:.0%}", _square(photo, face, margin)
    if "mtcnn" in found:  # as FaceNet's sets are made: box and 32 pixels, 160x160
        box = _square(photo, found["mtcnn"], 32 / max(found["mtcnn"].box[2:]))
        yield "MTCNN's box and 32 pixels", np.asarray(cv2.resize(box, (160, 160)), np.uint8)
    chip = (_CHIP + 0.25) / 1.5 * 150
    matrix = align.similarity(face.landmarks, chip)
    yield (
        "dlib's face chip, 150x150",
        np.asarray(cv2.warpAffine(photo, matrix, (150, 150)), np.uint8),
    )
    for turns in (1, 2, 3):
        yield f"aligned, turned by {90 * turns}", np.ascontiguousarray(np.rot90(crop, turns))
    turn = cv2.getRotationMatrix2D((56, 72), 30, 1)
    yield "aligned, turned by 30", np.asarray(cv2.warpAffine(crop, turn, (112, 112)), np.uint8)


_CHIP = np.array([[0.257, 0.315], [0.743, 0.315], [0.5, 0.605], [0.315, 0.79], [0.685, 0.79]])
"""Five points of dlib's mean face, of which a chip shows a quarter more on each side; by eye."""


def _square(photo: Pixels, face: Face, margin: float) -> Pixels:
    x, y, width, height = face.box
    side = round(max(width, height) * (1 + margin))
    room = side
    framed = cv2.copyMakeBorder(photo, room, room, room, room, cv2.BORDER_REPLICATE)
    left, top = (round(v - side / 2) + room for v in (x + width / 2, y + height / 2))
    return np.asarray(framed[top : top + side, left : left + side], dtype=np.uint8).copy()


def taken(check: Aligned, crop: Pixels) -> str:
    """``taken``, or why not."""
    try:
        check.detect(crop)
    except NotAlignedError as error:
        return "no face" if "no face" in error.got else "elsewhere"
    return "taken"


def check_table(
    title: str,
    makers: Callable[[Pixels, dict[str, Face]], Iterator[tuple[str, Pixels]]],
    photos: list[Path],
    check: Aligned,
) -> Table:
    """Of each kind of crop: the share taken and refused."""
    detectors = {name: faces.detector(name, threads=1) for name in faces.DETECTORS}
    counts: dict[str, list[str]] = {}
    for path in photos:
        photo = images.decode(path)
        found = {n: central(d.detect(photo), photo) for n, d in detectors.items()}
        known = {name: face for name, face in found.items() if face is not None}
        for kind, crop in makers(photo, known) if "yunet" in known else ():
            counts.setdefault(kind, []).append(taken(check, crop))
    table = Table(title, ("", "crops", "taken", "refused: no face", "refused: elsewhere"))
    for kind, answers in counts.items():
        shares = [f"{answers.count(one) / len(answers):.1%}" for one in _ANSWERS]
        table.rows.append((kind, str(len(answers)), *shares))
    return table


_ANSWERS = ("taken", "no face", "elsewhere")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=500, help="of View 1's test list")
    parser.add_argument("--checked", type=int, default=200, help="photos shown to the check")
    options = parser.parse_args()
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    pairs = lfw_pairs(options.lfw, limit=options.pairs)
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
    made: dict[Path, NDArray[np.float32]] = {}
    for path in photos:
        photo = images.decode(path)
        face = central(recognizer.detector.detect(photo), photo)
        if face is not None:
            made[path] = templates(recognizer, photo, face)
    threshold = recognizer.calibration.operating_point(1e-3).threshold
    people = np.array([path.parent.name for path in made])
    print(scores_table(np.stack(list(made.values())), people, threshold).markdown())
    some = photos[:: max(len(photos) // options.checked, 1)][: options.checked]
    check = Aligned(recognizer.detector)
    print(check_table("Aligned", aligned_crops, some, check).markdown())
    print(check_table("Not aligned", other_crops, some, check).markdown())


if __name__ == "__main__":
    main()
