"""Do thresholds hold on other people's photos? Before, and after 200 photos without labels.

    python benchmarks/unlabelled.py --lfw ../shared/data/lfw --orl ../shared/data/orl

Populations are made of LFW's View 1 test people, whom the shipped thresholds have never seen:
their photos as they are, degraded in six ways, grouped into look-alikes, mixed, as albums of few
people with many photos each, and as families, in which some photos share a direction as children's
do; and of ORL, gray studio photos of forty people. From each, 200 photos are drawn several times.
The estimate never sees a label; the false match rate at its threshold is measured on all other
photos of the population, and divided by the rate that was claimed.
"""

from __future__ import annotations

import argparse
import io
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

from benchmarks.tables import Table
from visavis.decision.check import TRUST_BELOW, shape_of
from visavis.decision.profile import Calibration
from visavis.decision.unlabelled import estimate_non_mated
from visavis.embedding.cache import EmbeddingCache
from visavis.pipeline import Recognizer

Photo = NDArray[np.uint8]
CLAIMS = (1e-2, 1e-3, 1e-4)
DRAW = 200


@dataclass(frozen=True, slots=True)
class Population:
    """Templates of one camera and population."""

    kind: str
    vectors: NDArray[np.float32]
    people: NDArray[np.int64]


def motion(photo: Photo, rng: np.random.Generator) -> Photo:
    """Blur of 17 pixels in a random direction."""
    angle = rng.uniform(0, np.pi)
    step = (8 * np.array([np.cos(angle), np.sin(angle)])).round().astype(int)
    kernel = np.zeros((17, 17), np.float32)
    cv2.line(kernel, tuple(map(int, 8 - step)), tuple(map(int, 8 + step)), 1.0, 1)
    return np.asarray(cv2.filter2D(photo, -1, kernel / kernel.sum()), dtype=np.uint8)


def low_light(photo: Photo, rng: np.random.Generator) -> Photo:
    """Dark, flat and noisy."""
    flat = np.clip((photo.astype(np.float32) - 128) * 0.6 + 88, 0, 255) / 255
    return _clip(255 * flat**1.8 + rng.normal(0, 12, photo.shape))


def small_gray(photo: Photo, rng: np.random.Generator) -> Photo:
    """A fifth of the resolution, gray."""
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    tiny = cv2.resize(gray, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    large = cv2.resize(tiny, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.repeat(large[..., None], 3, axis=2)


def sunglasses(photo: Photo, rng: np.random.Generator) -> Photo:
    """Two dark bars over the eyes."""
    out = photo.copy()
    out[98:122, 88:118] = out[98:122, 132:162] = 20
    return out


def perspective(photo: Photo, rng: np.random.Generator) -> Photo:
    """Corners moved by up to a tenth."""
    corners = np.array([[0, 0], [250, 0], [250, 250], [0, 250]], np.float32)
    moved = corners + rng.uniform(-25, 25, (4, 2)).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    warped = cv2.warpPerspective(photo, matrix, (250, 250), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def video(photo: Photo, rng: np.random.Generator) -> Photo:
    """A frame of an old tape: flat, blurred, compressed, noisy."""
    blurred = cv2.GaussianBlur(photo, (0, 0), 1.8).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(_clip((blurred - 128) * 0.7 + 128)).save(buffer, "JPEG", quality=15)
    return _clip(np.asarray(Image.open(buffer), np.float32) + rng.normal(0, 10, photo.shape))


DEGRADATIONS: tuple[Callable[[Photo, np.random.Generator], Photo], ...] = (
    motion,
    low_light,
    small_gray,
    sunglasses,
    perspective,
    video,
)


def _clip(values: NDArray[np.floating]) -> Photo:
    return np.clip(values, 0, 255).astype(np.uint8)


def test_people(lfw: Path) -> dict[str, list[Path]]:
    lines = (lfw / "peopleDevTest.txt").read_text(encoding="utf-8").splitlines()[1:]
    folder = lfw / "lfw-deepfunneled"
    return {
        name: [folder / name / f"{name}_{k:04d}.jpg" for k in range(1, int(count) + 1)]
        for name, count in (line.split("\t") for line in lines)
    }


def degraded(photos: Iterable[Path], how: Callable[[Photo, np.random.Generator], Photo]):
    """Photos as PNG files; each photo's chance is its own, whatever else runs."""
    for path in photos:
        rng = np.random.default_rng(zlib.crc32(f"{how.__name__}/{path.name}".encode()))
        buffer = io.BytesIO()
        Image.fromarray(how(np.asarray(Image.open(path)), rng)).save(buffer, "PNG")
        yield buffer.getvalue()


def embed(
    recognizer: Recognizer,
    photos: list[Path],
    files: Iterable[Path | bytes],
    *,
    cache: EmbeddingCache | None = None,
):
    """Templates by photo; photos without a face are left out."""
    rows = recognizer.embed_many(list(files), rule="central", cache=cache)
    return {p: r.templates[0].vector for p, r in zip(photos, rows, strict=True) if r.templates}


def gather(kind: str, templates: dict[Path, NDArray[np.float32]], most: int, seed: int):
    """A population of at most ``most`` of the templates."""
    rng = np.random.default_rng(seed)
    photos = list(templates)
    chosen = [photos[k] for k in rng.permutation(len(photos))[:most]]
    people = np.unique([p.parent.name for p in chosen], return_inverse=True)[1]
    return Population(kind, np.stack([templates[p] for p in chosen]), people)


def look_alikes(plain: Population, groups: int) -> list[Population]:
    """Groups of people whose mean templates are close: one ethnicity, age and sex, mostly."""
    means = np.stack([plain.vectors[plain.people == p].mean(0) for p in np.unique(plain.people)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    group = KMeans(groups, n_init=3, random_state=0).fit_predict(means)[plain.people]
    parts = [group == g for g in range(groups)]
    return [
        Population("look-alikes", plain.vectors[k], plain.people[k])
        for k in parts
        if k.sum() >= 2 * DRAW
    ]


def family(source: Population, seed: int) -> Population:
    """A share of the photos, the younger the more, moves along a direction that children share."""
    rng = np.random.default_rng(seed)
    x = source.vectors
    direction = rng.standard_normal(x.shape[1])
    youth = np.maximum(0, rng.uniform(-0.3, 0.6, len(x)))[:, None]
    moved = x + youth * direction / np.linalg.norm(direction) + rng.normal(0, 0.03, x.shape)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return Population(f"family, {source.kind}", moved.astype(np.float32), source.people)


def populations(recognizer: Recognizer, lfw: Path, orl: Path | None, *, quick: bool):
    people = test_people(lfw)
    most = 600 if quick else 1200
    often = sorted(people, key=lambda name: -len(people[name]))[:82]
    album = [photo for name in often for photo in people[name][:12]]
    rng = np.random.default_rng(0)
    others = [own[0] for name, own in people.items() if name not in set(often)]
    some = album + [others[k] for k in rng.permutation(len(others))[: most - len(album) // 2]]
    every = some if quick else [photo for own in people.values() for photo in own]
    plain = embed(recognizer, every, every)
    found = [gather("other people", plain, most, seed) for seed in range(1 if quick else 3)]
    found += look_alikes(gather("", plain, len(plain), 0), 2 if quick else 8)
    inside = set(album)
    albums = [gather("album", {p: v for p, v in plain.items() if p in inside}, 10**6, 0)]
    sets = [plain]
    for how in DEGRADATIONS[: 2 if quick else None]:
        sets.append(embed(recognizer, some, degraded(some, how)))
        found.append(gather(how.__name__.replace("_", " "), sets[-1], most, 0))
    for k, other in enumerate(sets[1:], start=1):
        # Every photo from one of two cameras, by chance.
        both = [p for p in some if p in plain and p in other]
        mixed = {p: (plain, other)[int(rng.integers(2))][p] for p in both}
        found.append(gather("two cameras", mixed, most, k))
        own = {p: v for p, v in mixed.items() if p in inside}
        albums.append(gather("album, two cameras", own, 10**6, k))
    found += [family(found[0], 1), family(found[0], 2), family(albums[0], 3), family(albums[0], 4)]
    found += albums
    if orl is not None:
        photos = sorted(orl.glob("s*/*.pgm"))
        found.append(gather("ORL", embed(recognizer, photos, photos), 10**6, 0))
    return found


def by_location_and_scale(scores: NDArray[np.floating], calibration: Calibration):
    """The plain remedy to compare with: match median and 95th percentile of all pair scores."""
    reference = calibration.reference or {}
    at = dict(zip(reference["quantiles"], reference["non_mated"], strict=True))
    middle, high = np.quantile(scores, [0.5, 0.95])
    scale = (high - middle) / (at[0.95] - at[0.5])
    return [middle + (calibration.operating_point(c).threshold - at[0.5]) * scale for c in CLAIMS]


def measure(population: Population, calibration: Calibration, draws: int):
    """Measured over claimed FMR: ``(draws, 3 methods, 3 claims)``, and the check's factors."""
    scores = np.clip(population.vectors @ population.vectors.T, -1, 1)
    other = np.triu(population.people[:, None] != population.people[None], 1)
    rng = np.random.default_rng(zlib.crc32(population.kind.encode()) + len(scores))
    rows, checks = [], []
    for _ in range(draws):
        inside = np.zeros(len(scores), bool)
        inside[rng.choice(len(scores), min(DRAW, len(scores) // 2), replace=False)] = True
        rest = np.ix_(~inside, ~inside)
        truth = np.sort(scores[rest][other[rest]])
        estimate = estimate_non_mated(
            population.vectors[inside], shape=shape_of(calibration), half_samples=0
        )
        shipped = [calibration.operating_point(c).threshold for c in CLAIMS]
        thresholds = np.array(
            [
                shipped,
                by_location_and_scale(estimate.background.scores, calibration),
                estimate.threshold(np.array(CLAIMS)),
            ]
        )
        above = len(truth) - np.searchsorted(truth, thresholds)
        rows.append(np.maximum(above, 0.3) / len(truth) / np.array(CLAIMS))
        checks.append((rows[-1][0, 1], float(estimate.fmr(shipped[1])) / CLAIMS[1]))
    return np.array(rows), np.array(checks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller populations")
    options = parser.parse_args()
    recognizer = Recognizer()
    found = populations(recognizer, options.lfw, options.orl, quick=options.quick)
    results: dict[str, list[NDArray[np.float64]]] = {}
    checks = []
    for population in found:
        rows, factors = measure(population, recognizer.calibration, 2 if options.quick else 6)
        results.setdefault(population.kind, []).append(rows)
        checks.append(factors)
    for k, claim in enumerate(CLAIMS):
        table = Table(
            f"Measured FMR / claimed FMR, claim {claim:g}: median (10 % to 90 % of the draws)",
            ("photos", "shipped", "location and scale", "visavis", "within 1.5"),
        )
        every = {**results, "all": [r for rows in results.values() for r in rows]}
        for kind, parts in every.items():
            rows = np.concatenate(parts)[:, :, k]
            cells = [
                f"{np.median(v):.2f} ({np.quantile(v, 0.1):.2f} to {np.quantile(v, 0.9):.2f})"
                for v in rows.T
            ]
            within = (np.abs(np.log(rows[:, 2])) < np.log(1.5)).mean()
            table.rows.append((kind, *cells, f"{within:.0%}"))
        print(table.markdown())
    true, estimated = np.concatenate(checks).T
    warned = estimated >= TRUST_BELOW
    print(f"check at 1e-3: warned {warned[true > 2].mean():.1%} of {(true > 2).sum()} above 2,")
    print(f"silent {(~warned[true < 1.2]).mean():.1%} of {(true < 1.2).sum()} below 1.2")


if __name__ == "__main__":
    main()
