"""What 200 photos without labels gain: fewer misses, and the false match rate that was asked for.

    python -m benchmarks.unlabelled --lfw ../shared/data/lfw --orl ../shared/data/orl

Populations are made of LFW's View 1 test people, whom the shipped thresholds have never seen:
their photos as they are, degraded in six ways, grouped into look-alikes, mixed, as albums of few
people with many photos each, and as families, in which some photos share a direction as children's
do; and of ORL, gray studio photos of forty people. From each, 200 photos are drawn several times.
The estimate never sees a label. Error rates are measured on all photos of the people who are not
among the 200; where there are fewer than 600 people, the 200 come from one half of them, and the
other half is tested.
"""

from __future__ import annotations

import argparse
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

from benchmarks.tables import Table, write_section
from visavis.api.options import embeddings
from visavis.cli.output import home
from visavis.decision.check import TRUST_BELOW, shape_of
from visavis.decision.cross_fit import CrossFit
from visavis.decision.profile import Calibration
from visavis.decision.unlabelled import NonMatedEstimate, estimate_non_mated
from visavis.decision.whitening import fit_domain
from visavis.embedding.cache import EmbeddingCache
from visavis.evaluation.protocols import lfw
from visavis.pipeline import Recognizer

Photo = NDArray[np.uint8]
Vectors = NDArray[np.float32]
People = NDArray[np.int64]
CLAIMS = (1e-2, 1e-3)
DRAW = 200
MOST_OF_ONE = 10  # mated pairs that one person counts for: else a few famous people decide all
NEAR = 1.5
MANY = 300  # people: of fewer, the measured FMR itself is mostly chance


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Non-mated scores, sorted; mated ones, and what each counts."""

    non_mated: NDArray[np.float32]
    mated: NDArray[np.float32]
    weight: NDArray[np.float64]

    @classmethod
    def within(cls, vectors: Vectors, people: People) -> Scores:
        """Of all pairs among some photos."""
        first, second = np.triu_indices(len(vectors), 1)
        return cls._of((vectors @ vectors.T)[first, second], people[first], people[second])

    @classmethod
    def between(cls, a: Vectors, people_a: People, b: Vectors, people_b: People) -> Scores:
        """Of all pairs of a photo of one side and one of the other."""
        first, second = np.repeat(people_a, len(b)), np.tile(people_b, len(a))
        return cls._of((a @ b.T).ravel(), first, second)

    @classmethod
    def _of(cls, scores: NDArray[np.float32], first: People, second: People) -> Scores:
        mated = first == second
        pairs = np.bincount(first[mated])
        weight = np.minimum(pairs, MOST_OF_ONE) / np.maximum(pairs, 1)
        return cls(np.sort(scores[~mated]), scores[mated], weight[first[mated]])

    def threshold(self, fmr: float) -> float:
        """The lowest observed non-mated score that at most a share ``fmr`` reaches."""
        above = self.non_mated[len(self.non_mated) - int(fmr * len(self.non_mated)) :]
        return float(above[0]) if len(above) else float(np.nextafter(self.non_mated[-1], 2))

    def fmr(self, threshold: float) -> float:
        """Measured; a third of a pair where there is none."""
        above = len(self.non_mated) - int(np.searchsorted(self.non_mated, threshold))
        return max(above, 0.3) / len(self.non_mated)

    def fnmr(self, threshold: float) -> float:
        """Measured, a person counting for ten pairs at most."""
        return float(np.average(self.mated < threshold, weights=self.weight))

    def fnmr_at(self, fmr: float) -> float:
        """FNMR where the measured FMR is as asked."""
        return self.fnmr(self.threshold(fmr))


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
) -> dict[Path, Vectors]:
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


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """Photos of some people as they are, degraded, and each from one of two cameras by chance.

    Attributes:
        plain: templates of all photos as they are.
        degraded: of some photos; those of the 82 people who have most, and one of each other.
        mixed: the same photos, as they are or degraded.
        album: the photos of the 82.
        size: photos of a population.
    """

    plain: dict[Path, Vectors]
    degraded: dict[str, dict[Path, Vectors]]
    mixed: dict[str, dict[Path, Vectors]]
    album: frozenset[Path]
    size: int


def cameras(
    recognizer: Recognizer,
    people: Mapping[str, Sequence[Path]],
    *,
    quick: bool = False,
    cache: EmbeddingCache | None = None,
) -> Cameras:
    """Embed the photos of LFW's people, as they are and degraded."""
    size = 600 if quick else 1200
    often = sorted(people, key=lambda name: -len(people[name]))[:82]
    album = [photo for name in often for photo in people[name][:12]]
    rng = np.random.default_rng(0)
    others = [own[0] for name, own in people.items() if name not in set(often)]
    some = album + [others[k] for k in rng.permutation(len(others))[: size - len(album) // 2]]
    every = [photo for own in people.values() for photo in own]
    plain = embed(recognizer, every, every, cache=cache)
    poor, mixed = {}, {}
    for how in DEGRADATIONS[: 2 if quick else None]:
        name = how.__name__.replace("_", " ")
        poor[name] = embed(recognizer, some, degraded(some, how), cache=cache)
    for name, other in poor.items():
        both = [p for p in some if p in plain and p in other]
        mixed[name] = {p: (plain, other)[int(rng.integers(2))][p] for p in both}
    return Cameras(plain, poor, mixed, frozenset(album), size)


def populations(taken: Cameras) -> list[Population]:
    """All that are made of LFW's people."""
    size = taken.size
    found = [gather("other people", taken.plain, size, seed) for seed in range(3)]
    plain = found[0]
    found += look_alikes(gather("", taken.plain, len(taken.plain), 0), 8)
    found += [gather(name, own, size, 0) for name, own in taken.degraded.items()]
    albums = [gather("album", _inside(taken.plain, taken.album), 10**6, 0)]
    for k, own in enumerate(taken.mixed.values(), start=1):
        found.append(gather("two cameras", own, size, k))
        albums.append(gather("album, two cameras", _inside(own, taken.album), 10**6, k))
    found += [family(plain, 1), family(plain, 2), family(albums[0], 3), family(albums[0], 4)]
    return found + albums


def _inside(templates: dict[Path, Vectors], photos: frozenset[Path]) -> dict[Path, Vectors]:
    return {p: v for p, v in templates.items() if p in photos}


def studio(recognizer: Recognizer, orl: Path, *, cache: EmbeddingCache | None = None) -> Population:
    """ORL."""
    photos = sorted(orl.glob("s*/*.pgm"))
    return gather("ORL", embed(recognizer, photos, photos, cache=cache), 10**6, 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One draw at one claim.

    Attributes:
        shipped: measured over claimed FMR at the shipped threshold.
        own: the same with a calibration from the draw.
        labelled: with the threshold that the cohort's people have, all photos and names known.
        fnmr: FNMR at the measured FMR, of templates as they are and about the mean.
        inside: the measured FMR lies in the interval stated for ``own``.
        tested: people it was measured on.
        estimated: what the check says of ``shipped``.
    """

    shipped: float
    own: float
    labelled: float
    fnmr: tuple[float, float]
    inside: bool
    tested: int
    estimated: float


def draws(population: Population, count: int) -> Iterator[tuple[NDArray[np.bool_], ...]]:
    """Drawn photos, all photos of the cohort's people, and photos of all others."""
    people = np.unique(population.people)
    few = len(people) < 3 * DRAW
    rng = np.random.default_rng(zlib.crc32(population.kind.encode()) + len(population.people))
    for _ in range(count):
        pool = np.arange(len(population.people))
        if few:
            half = rng.permutation(people)[: len(people) // 2]
            pool = np.flatnonzero(np.isin(population.people, half))
        drawn = np.zeros(len(population.people), bool)
        drawn[rng.choice(pool, min(DRAW, len(pool)), replace=False)] = True
        known = np.isin(population.people, half if few else population.people[drawn])
        yield drawn, known, ~known


def labelled_scores(vectors: Vectors, people: People) -> Scores:
    """Scores of photos with names about the mean of others' people."""
    folds = CrossFit(vectors, people, fit_domain)
    first, second = np.triu_indices(len(vectors), 1)
    scores = folds.matrix(np.arange(len(vectors)))[first, second]
    mated = people[first] == people[second]
    return Scores(np.sort(scores[~mated]), scores[mated], np.ones(int(mated.sum())))


def calibrated(vectors: Vectors, shipped: Calibration, **options: int) -> NonMatedEstimate:
    """What ``visavis calibrate --unlabelled`` finds in these photos."""
    return estimate_non_mated(vectors, shape=shape_of(shipped, centered=True), **options)


def measure(population: Population, shipped: Calibration, count: int) -> list[list[Outcome]]:
    """For each draw, one outcome a claim."""
    x, people = population.vectors, population.people
    found = []
    for drawn, known, rest in draws(population, count):
        own = calibrated(x[drawn], shipped)
        plain = estimate_non_mated(x[drawn], center=False, shape=shape_of(shipped), half_samples=0)
        domain, names = (
            fit_domain(x[known], people[known]),
            labelled_scores(x[known], people[known]),
        )
        before = Scores.within(x[rest], people[rest])
        after = Scores.within(own.domain.apply(x[rest]), people[rest])
        named = Scores.within(domain.apply(x[rest]), people[rest])
        row = []
        for claim in CLAIMS:
            point = shipped.operating_point(claim).threshold
            threshold = float(own.threshold(claim))
            low, high = own.fmr_interval(threshold)
            row.append(
                Outcome(
                    shipped=before.fmr(point) / claim,
                    own=after.fmr(threshold) / claim,
                    labelled=named.fmr(names.threshold(claim)) / claim,
                    fnmr=(before.fnmr_at(claim), after.fnmr_at(claim)),
                    inside=low <= after.fmr(threshold) <= high,
                    tested=len(np.unique(people[rest])),
                    estimated=float(plain.fmr(point)) / claim,
                )
            )
        found.append(row)
    return found


def same_people(population: Population, shipped: Calibration, count: int) -> list[list[float]]:
    """Measured over claimed FMR on the other photos of everybody, as long as 200 are half."""
    x, people = population.vectors, population.people
    rng = np.random.default_rng(zlib.crc32(population.kind.encode()) + len(x))
    found = []
    for _ in range(count):
        rest = np.ones(len(x), bool)
        rest[rng.choice(len(x), min(DRAW, len(x) // 2), replace=False)] = False
        own = calibrated(x[~rest], shipped, half_samples=0)
        after = Scores.within(own.domain.apply(x[rest]), people[rest])
        found.append([after.fmr(float(own.threshold(claim))) / claim for claim in CLAIMS])
    return found


def spread(values: Sequence[float]) -> str:
    """Median, and 10 % to 90 %."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def near(values: Sequence[float]) -> float:
    """Share of factors within ``NEAR`` of 1."""
    return float((np.abs(np.log(values)) < np.log(NEAR)).mean())


def before_and_after(results: Mapping[str, list[list[Outcome]]], k: int) -> Table:
    """One row a kind of population, at one claim."""
    table = Table(
        f"Claimed FMR {CLAIMS[k]:g}, before and after 200 photos without names",
        (
            *("photos", "draws", "FNMR before", "FNMR after"),
            *("FMR / claim before", "FMR / claim after"),
            *("within 1.5", "with names"),
        ),
    )
    every = {**results, "all": [row for rows in results.values() for row in rows]}
    higher: dict[str, float] = {}
    middle: dict[str, float] = {}
    for kind, rows in every.items():
        some = [row[k] for row in rows]
        before, after = np.mean([one.fnmr for one in some], axis=0)
        middle[kind] = float(np.median([one.own for one in some]))
        higher[kind] = (after - before) / max(before, 1e-9) if after > before else 0.0
        table.rows.append(
            (
                *(kind, str(len(some)), f"{before:.4f}", f"{after:.4f}"),
                spread([one.shipped for one in some]),
                spread([one.own for one in some]),
                f"{near([one.own for one in some]):.0%}",
                f"{near([one.labelled for one in some]):.0%}",
            )
        )
    del higher["all"], middle["all"]
    worse = ", ".join(f"{kind} by {by:.0%}" for kind, by in higher.items() if by) or "none"
    inside = [
        f"{np.mean([one.inside for one in some]):.0%} of {len(some)} draws with {which} people"
        for which, some in (
            (f"{MANY} or more tested", [r[k] for r in every["all"] if r[k].tested >= MANY]),
            ("fewer", [r[k] for r in every["all"] if r[k].tested < MANY]),
        )
        if some
    ]
    return Table(
        table.title,
        table.columns,
        table.rows,
        note=f"FNMR is lower or equal on {sum(not by for by in higher.values())} of {len(higher)} "
        f"rows; higher: {worse}. Highest median of FMR / claim after: {max(middle.values()):.2f}. "
        f"The measured FMR lies in the stated 95 % interval in {', '.join(inside)}.",
    )


def shipped_points(shipped: Calibration, faces: Population) -> Table:
    """The shipped thresholds on people whom they were not measured on."""
    table = Table(
        f"The shipped thresholds, and the {len(np.unique(faces.people)):,} test people",
        (
            *("FMR", "threshold", "95 % interval, people"),
            *("width of an interval over pairs", "on the test people"),
        ),
    )
    scores = Scores.within(faces.vectors, faces.people)
    for rate in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        point = shipped.operating_point(rate)
        low, high = point.fmr_ci
        table.rows.append(
            (
                *(f"{rate:g}", f"{point.threshold:.4f}", f"{low:.2g} to {high:.2g}"),
                f"± {1.96 / np.sqrt(rate * point.pairs):.1%}",
                f"{scores.fmr(point.threshold):.2g}",
            )
        )
    return table


def other_photos(results: Mapping[str, list[list[float]]]) -> Table:
    """The protocol in which people may be on both sides."""
    table = Table(
        "FMR / claim on other photos of the same people",
        ("photos", *(f"{what} at {c:g}" for c in CLAIMS for what in ("FMR / claim", "within 1.5"))),
    )
    for kind, rows in {
        **results,
        "all": [row for some in results.values() for row in some],
    }.items():
        by_claim = np.array(rows).T
        table.rows.append((kind, *(f for v in by_claim for f in (spread(v), f"{near(v):.0%}"))))
    return table


def checked(results: Mapping[str, list[list[Outcome]]]) -> str:
    """How often ``visavis calibrate --check`` is right about the shipped thresholds."""
    every = [row[CLAIMS.index(1e-3)] for rows in results.values() for row in rows]
    true, estimated = np.array([(one.shipped, one.estimated) for one in every]).T
    warned = estimated >= TRUST_BELOW
    return (
        f"`visavis calibrate --check` at 1e-3 warned in {warned[true > 2].mean():.1%} of the "
        f"{(true > 2).sum()} draws whose factor was above 2, and was silent in "
        f"{(~warned[true < 1.2]).mean():.1%} of the {(true < 1.2).sum()} below 1.2.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--part", choices=("test", "train"), default="test", help="of View 1")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller populations")
    parser.add_argument("--markdown", type=Path, help="page to write the tables into")
    options = parser.parse_args()
    recognizer = Recognizer(home=home())
    shipped = recognizer.calibration
    people = lfw.people(options.lfw, options.part)
    with EmbeddingCache(embeddings(home())) as cache:
        taken = cameras(recognizer, people, quick=options.quick, cache=cache)
        found = populations(taken)
        if options.orl is not None:
            found.append(studio(recognizer, options.orl, cache=cache))
    count = 2 if options.quick else 6
    results: dict[str, list[list[Outcome]]] = {}
    again: dict[str, list[list[float]]] = {}
    for population in found:
        results.setdefault(population.kind, []).extend(measure(population, shipped, count))
        again.setdefault(population.kind, []).extend(same_people(population, shipped, count))
    points = shipped_points(shipped, gather("", taken.plain, 10**6, 0)).markdown()
    tables = [before_and_after(results, k) for k in range(len(CLAIMS))] + [other_photos(again)]
    text = "\n".join([*(table.markdown() for table in tables), checked(results)])
    print(points, text, sep="\n")
    if options.markdown:
        write_section(options.markdown, "points", points, page="")
        write_section(options.markdown, "unlabelled", text, page="")


if __name__ == "__main__":
    main()
