"""What the answer "cannot tell" takes away: right answers and wrong ones.

    python -m benchmarks.cannot_tell --lfw ../shared/data/lfw --orl ../shared/data/orl

Photos of LFW's View 1 test people (the margins were chosen on training people), as they are and
degraded, at the shipped threshold for an FMR of 1e-3: each degraded photo against clear ones, and
degraded photos against each other. Then the pairs of View 1's test list and ORL's photos as they
are; with ``--view 2`` the reporting pairs in place of View 1's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import unlabelled
from benchmarks.tables import Table
from visavis import images
from visavis.api.options import embeddings
from visavis.cli.output import home
from visavis.embedding.cache import EmbeddingCache
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.evaluation.protocols import lfw
from visavis.faces import align
from visavis.pipeline import Recognizer, RecognizerOptions
from visavis.pipeline.comparison import MARGINS, doubt
from visavis.types import Template

Photo = NDArray[np.uint8]
COLUMNS = ("", "missed matches", "false matches", "right: same", "right: different")


def blurred(photo: Photo, rng: np.random.Generator) -> Photo:
    """Out of focus: Gaussian blur of 4 pixels."""
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), 4), dtype=np.uint8)


def bar(photo: Photo, rng: np.random.Generator) -> Photo:
    """A dark bar over both eyes."""
    out = photo.copy()
    out[98:126, 80:170] = 20
    return out


def mask(photo: Photo, rng: np.random.Generator) -> Photo:
    """A light mask over mouth and nose."""
    shape = np.array([[84, 128], [125, 122], [166, 128], [160, 165], [125, 185], [90, 165]])
    return np.asarray(cv2.fillPoly(photo.copy(), [shape], (190, 205, 220)), dtype=np.uint8)


def bright(photo: Photo, rng: np.random.Generator) -> Photo:
    """Overexposed until white clips."""
    return np.clip(photo.astype(np.float32) * 2.2, 0, 255).astype(np.uint8)


def half(photo: Photo, rng: np.random.Generator) -> Photo:
    """One half of the face covered."""
    out = photo.copy()
    out[:, 125:] = 60
    return out


DEGRADATIONS = (*unlabelled.DEGRADATIONS, blurred, bar, mask, bright, half)
Pairs = Iterable[tuple[Template, Template, bool]]


def templates(recognizer: Recognizer, files: list[Path | bytes]) -> list[Template | None]:
    """Templates with their magnitudes; ``None`` where there is no face. Faces are kept."""
    embedder = OnnxEmbedder(recognizer.model, options=EmbedderOptions(threads=1))
    found: list[Template | None] = []
    with EmbeddingCache(embeddings(home())) as cache:
        rows = recognizer.embed_many(files, rule="central", cache=cache, workers=1)
        for file, row in zip(files, rows, strict=True):
            if not row.templates:
                found.append(None)
                continue
            (one,) = row.templates
            crop = align.crop(images.decode(file), one.face.landmarks, scale=recognizer.crop_scale)
            vectors, magnitudes = embedder.embed_with_magnitudes(crop[None])
            found.append(replace(one, vector=vectors[0], magnitude=float(magnitudes[0])))
    return found


def count(pairs: Pairs, threshold: float) -> NDArray[np.int64]:
    """By right or wrong (rows: mated below, non-mated above, mated above, non-mated below): how
    many, and how many of them cannot tell."""
    counts = np.zeros((4, 2), dtype=np.int64)
    for a, b, mated in pairs:
        score = float(a.vector @ b.vector)
        row = {(True, False): 0, (False, True): 1, (True, True): 2, (False, False): 3}[
            mated, score >= threshold
        ]
        counts[row] += (1, doubt(a, b, score=score, threshold=threshold) is not None)
    return counts


def row(kind: str, counts: NDArray[np.int64]) -> tuple[str, ...]:
    """A line of the table: of so many, so many taken away."""
    return (kind, *(f"{gone:,} of {total:,} ({_share(gone, total)})" for total, gone in counts))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def every(
    first: list[Template], second: list[Template], person: Callable[[Template], str]
) -> Pairs:
    """All pairs of one photo of each list, of different photos; those of one list once."""
    for a in first:
        for b in second:
            if a.photo < b.photo or (a.photo > b.photo and first is not second):
                yield a, b, person(a) == person(b)


def degraded_tables(
    recognizer: Recognizer, root: Path, threshold: float, *, people: int
) -> tuple[Table, Table]:
    """Degraded against clear photos, and degraded ones against each other."""
    own = {name: photos[:2] for name, photos in lfw.people(root, "test").items()}
    several = [name for name, photos in own.items() if len(photos) == 2]
    chosen = np.random.default_rng(0).permutation(len(several))[:people]
    photos = [photo for k in sorted(chosen) for photo in own[several[k]]]

    def named(files: list[Path | bytes]) -> list[Template]:
        pairs = zip(photos, templates(recognizer, files), strict=True)
        return [replace(t, photo=str(photo)) for photo, t in pairs if t is not None]

    def person(one: Template) -> str:
        return Path(one.photo).parent.name

    clear = named(list(photos))
    against = Table(f"A degraded photo and a clear one, {len(photos)} photos", COLUMNS)
    both = Table("Two photos degraded alike", COLUMNS)
    against.rows.append(row("as they are", count(every(clear, clear, person), threshold)))
    sums = [np.zeros((4, 2), dtype=np.int64), np.zeros((4, 2), dtype=np.int64)]
    for how in DEGRADATIONS:
        poor = named(list(unlabelled.degraded(photos, how)))
        kind = how.__name__.replace("_", " ")
        for k, (table, first) in enumerate(((against, clear), (both, poor))):
            counts = count(every(first, poor, person), threshold)
            sums[k] += counts
            table.rows.append(row(kind, counts))
    for table, total in zip((against, both), sums, strict=True):
        table.rows.append(row("all degraded", total))
    return against, both


def plain_table(
    recognizer: Recognizer, root: Path, orl: Path | None, threshold: float, *, view: int
) -> Table:
    """Photos as they are."""
    table = Table("Photos as they are", COLUMNS)
    protocol = lfw.view(view, root)
    made = templates(recognizer, list(protocol.photos))
    listed = zip(protocol.first, protocol.second, protocol.same, strict=True)
    pairs = ((made[i], made[j], bool(same)) for i, j, same in listed)
    known = ((a, b, same) for a, b, same in pairs if a is not None and b is not None)
    table.rows.append(row(protocol.name, count(known, threshold)))
    if orl is not None:
        files = sorted(orl.glob("s*/*.pgm"))
        found = [
            replace(one, photo=str(file))
            for file, one in zip(files, templates(recognizer, list(files)), strict=True)
            if one is not None
        ]
        halves = every(found, found, lambda one: Path(one.photo).parent.name)
        table.rows.append(row("ORL, all pairs", count(halves, threshold)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--people", type=int, default=60, help="degraded, two photos of each")
    parser.add_argument("--view", type=int, default=1, choices=(1, 2))
    options = parser.parse_args()
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    threshold = recognizer.calibration.operating_point(1e-3).threshold
    print(f"{MARGINS[recognizer.model_sha256]}, threshold {threshold:.4f}\n")
    for table in degraded_tables(recognizer, options.lfw, threshold, people=options.people):
        print(table.markdown())
    print(
        plain_table(recognizer, options.lfw, options.orl, threshold, view=options.view).markdown()
    )


if __name__ == "__main__":
    main()
