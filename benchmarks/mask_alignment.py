"""How far a face mask moves the alignment that the default detector finds.

    python -m benchmarks.mask_alignment --lfw DIR

On photos of LFW's peopleDevTrain: a synthetic mask is drawn on each face, the face detected again,
and the similarity measured that takes the crop aligned without the mask to the one aligned with it.
Its mean and covariance are what `visavis.training.augment.mask_alignment` draws from, so that
training on crops meets what verification of photos will. Photos where the detector finds no face
near the known one are counted, and left out of the moments.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import data_folder
from visavis.evaluation.protocols import lfw
from visavis.faces.align import positions, similarity
from visavis.images import decode
from visavis.pipeline import Recognizer
from visavis.pipeline.recognizer import RecognizerOptions
from visavis.pipeline.rules import choose
from visavis.training.augment.mask_alignment import wear_in_photo

MOST_PER_PERSON = 8
SEED = 1 << 61


def moved(before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
    """What a crop aligned by other landmarks shows of the face.

    Args:
        before: ``(5, 2)`` landmarks without the mask, pixels of the photo.
        after: ``(5, 2)`` landmarks with it.

    Returns:
        ``(4,)``: logarithm of the size, degrees clockwise, template pixels right and down.
    """
    template = positions()
    to_photo = np.linalg.inv(np.vstack([similarity(before, template), [0, 0, 1]]))
    matrix = similarity(after, template) @ to_photo
    middle = template.mean(0)
    shift = matrix[:, :2] @ middle + matrix[:, 2] - middle
    zoom = np.hypot(matrix[0, 0], matrix[1, 0])
    turn = np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0]))
    return np.array([np.log(zoom), turn, *shift])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lfw", type=Path, help="folder of LFW with its lists")
    parser.add_argument("--people", type=int, default=1500)
    options = parser.parse_args()
    root = options.lfw or data_folder("lfw")
    if root is None:
        raise SystemExit("no photos; give --lfw DIR with LFW and its pair lists")
    people = list(lfw.people(root, "train").values())
    drawn = np.random.default_rng(0).permutation(len(people))[: options.people]
    photos = [photo for k in drawn for photo in people[k][:MOST_PER_PERSON]]
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    found: list[NDArray[np.float64]] = []
    lost = 0
    for k, path in enumerate(photos):
        photo = decode(path)
        size = (photo.shape[1], photo.shape[0])
        faces = recognizer.detect(photo)
        if not faces:
            continue
        (known,) = choose(faces, "central", size=size, source=str(path))
        again = recognizer.detect(wear_in_photo(photo, known.landmarks, seed=SEED + k))
        change = None
        if again:
            (face,) = choose(again, "central", size=size, source=str(path))
            change = moved(known.landmarks, face.landmarks)
        if change is None or np.hypot(*change[2:]) > 20:
            lost += 1
        else:
            found.append(change)
    values = np.array(found)
    print(f"{len(values):,} photos of {len(drawn):,} people; {lost} without a face near the known")
    print("log size, degrees, pixels right, pixels down (of the 112 px template)")
    print("mean", values.mean(0).round(3).tolist())
    print("standard deviation", values.std(0).round(3).tolist())
    print("covariance", np.cov(values.T).round(4).tolist())


if __name__ == "__main__":
    main()
