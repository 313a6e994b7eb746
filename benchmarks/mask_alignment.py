"""How far a face mask moves the alignment that the default detector finds.

    python -m benchmarks.mask_alignment --lfw DIR

On photos of LFW's peopleDevTrain: a synthetic mask is drawn on each face, the face detected again,
and the similarity measured that takes the crop aligned without the mask to the one aligned with it.
A multivariate t distribution fitted to it is what `visavis.training.augment.masks` draws
from, so that training on crops meets what verification of photos will: a detector is grossly off
far more often than a normal distribution would have it. Photos where the detector finds no face
near the known one are counted, and left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.photos import data_folder
from visavis.errors import OptionError
from visavis.evaluation.protocols import lfw
from visavis.faces.align import crop, positions, similarity
from visavis.images import decode
from visavis.pipeline import Recognizer
from visavis.pipeline.extractor import RecognizerOptions
from visavis.pipeline.rules import choose
from visavis.training.augment.masks import draw_masks
from visavis.types import Image

MOST_PER_PERSON = 8
SEED = 1 << 61
DEGREES = (3, 4, 5, 6, 8, 12, 30)
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_STEPS = 200
_CANVAS = (256, 0.5)  # shows all that a mask may cover


def wear_in_photo(photo: Image, landmarks: NDArray[np.floating], *, seed: int) -> Image:
    """A photo whose face wears a synthetic mask, to be detected as any other photo.

    Args:
        photo: ``(H, W, 3)`` RGB uint8, upright; not changed.
        landmarks: ``(5, 2)`` of the face, found without the mask.
        seed: at least 0, decides the mask.

    Returns:
        Like `photo`.

    Raises:
        OptionError: unusable landmarks, or a negative seed.
    """
    size, scale = _CANVAS
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise OptionError(
            f"a photo of shape {photo.shape} and type {photo.dtype}", "give (H, W, 3) uint8"
        )
    before = crop(photo, landmarks, size=size, scale=scale)
    after = draw_masks(before[None], size=size, scale=scale, seed=seed)[0]
    # Only the difference goes back, so that what no mask covers keeps its sharpness.
    matrix = similarity(landmarks, positions(size=size, scale=scale))
    difference = cv2.warpAffine(
        after.astype(np.float32) - before.astype(np.float32),
        matrix,
        (photo.shape[1], photo.shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(np.clip(np.rint(photo + difference), 0, 255), dtype=np.uint8)


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


def fit_t(
    values: NDArray[np.float64], degrees: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The likeliest multivariate t distribution of given degrees of freedom.

    By expectation and maximization: K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust
    statistical modeling using the t distribution", JASA 84, 1989.

    Args:
        values: ``(N, D)``, more of them than dimensions.
        degrees: of freedom, above 0.

    Returns:
        ``(D,)`` location and ``(D, D)`` scale (the covariance is degrees / (degrees - 2) times it).
    """
    location, scale = values.mean(0), np.cov(values.T)
    for _ in range(_STEPS):
        away = values - location
        weights = (degrees + values.shape[1]) / (degrees + _squared(away, scale))
        location = weights @ values / weights.sum()
        away = values - location
        scale = (weights[:, None] * away).T @ away / len(values)
    return location, scale


def _squared(away: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    solved = np.linalg.solve(np.linalg.cholesky(scale), away.T)
    return np.asarray((solved**2).sum(0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lfw", type=Path, help="folder of LFW with its lists")
    parser.add_argument("--people", type=int, help="as many, drawn at random; all if left out")
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
        (first,) = choose(faces, "central", size=size, photo=str(path)).indices
        known = faces[first]
        again = recognizer.detect(wear_in_photo(photo, known.landmarks, seed=SEED + k))
        change = None
        if again:
            (second,) = choose(again, "central", size=size, photo=str(path)).indices
            change = moved(known.landmarks, again[second].landmarks)
        if change is None or np.hypot(*change[2:]) > 20:
            lost += 1
        else:
            found.append(change)
    values = np.array(found)
    print(f"{len(values):,} photos of {len(drawn):,} people; {lost} without a face near the known")
    print("log size, degrees, pixels right, pixels down (of the 112 px template)")
    print("mean", values.mean(0).round(3).tolist())
    print("standard deviation", values.std(0).round(3).tolist())
    fits = {degrees: fit_t(values, degrees) for degrees in DEGREES}
    likelihood = {
        degrees: stats.multivariate_t(*fit, df=degrees).logpdf(values).mean()
        for degrees, fit in fits.items()
    }
    for degrees in DEGREES:
        print(f"t, {degrees} degrees of freedom: mean log-likelihood {likelihood[degrees]:.4f}")
    best = max(likelihood, key=lambda degrees: likelihood[degrees])
    location, scale = fits[best]
    print(f"best: {best}; location {location.round(3).tolist()}; scale {scale.round(4).tolist()}")
    squared = _squared(values - location, scale) / len(location)
    for share in QUANTILES:
        print(
            f"quantile {share} of the squared distance / 4: {np.quantile(squared, share):.2f}, "
            f"expected {stats.f(len(location), best).ppf(share):.2f}"
        )


if __name__ == "__main__":
    main()
