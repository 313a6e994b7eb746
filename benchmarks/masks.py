"""How well models know people who wear a face mask: the untouched one, and fine-tuned ones.

    python -m benchmarks.masks --lfw DIR sface masked-0 masked-1

On LFW's View 1 test people, whom nobody may train on who reports here. The masks are synthetic,
drawn on the photos with seeds that training never draws, and the same for every model; then the
face is detected again, so the landmarks are those that the default detector guesses under the
mask. With `--aligned` the crops keep the alignment of the photo without a mask, which says what the
hidden half of the face costs by itself. Each model meets the same pairs three times: as they are,
with the second photo masked (a reference without, a probe with one), and with both masked. A
masked photo without a face near the known one counts as a failure to detect: it matches nobody.

Accuracy is as `visavis evaluate lfw --view 1` has it, on the 1,000 pairs of the test list in ten
folds. 500 non-mated pairs cannot support a false match rate of 1e-3, so the threshold for it comes
from all pairs of photos of two test people, in the same condition; FNMR at it is of the list's 500
mated pairs, and of all mated pairs among the test people. Intervals (95 %) are of people drawn
with replacement, the threshold fixed.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.mask_alignment import wear_in_photo
from benchmarks.photos import data_folder
from benchmarks.tables import Table
from visavis.cli.output import home
from visavis.embedding.cache import EmbeddingCache
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.evaluation.protocols import lfw
from visavis.faces import align
from visavis.images import decode
from visavis.metrics.accuracy import kfold_accuracy, stratified_folds
from visavis.metrics.verification import roc_auc, threshold_at_fmr
from visavis.pipeline import Recognizer
from visavis.pipeline.extractor import RecognizerOptions
from visavis.pipeline.rules import choose
from visavis.training.augment import masks
from visavis.training.outcome.model_file import serve
from visavis.types import Embedder, Face, Image, Vectors
from visavis.weights import WeightStore
from visavis.weights.model_directory import read_directory

FMR: Final = 1e-3
UNSEEN: Final = 1 << 62
"""Training draws its mask seeds below this."""

CONDITIONS: Final = ("as they are", "one masked", "both masked")
_BATCH: Final = 64
_REPLICATES: Final = 2000


@dataclass(frozen=True, slots=True)
class Model:
    """A model to be measured."""

    name: str
    embedder: Embedder
    crop_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """Test photos with a face each, View 1's pairs of them, and landmarks found under masks."""

    photos: tuple[Path, ...]
    faces: tuple[Face, ...]
    owner: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    lost: int
    worn: tuple[NDArray[np.float32] | None, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One model in one condition.

    Attributes:
        missed: ``(M,)`` whether each mated pair of the list is missed at the threshold.
    """

    auc: float
    accuracy: float
    threshold: float
    missed: NDArray[np.bool_]
    all_missed: float


def find_model(name: str, *, flip: bool, threads: int) -> Model:
    """A registered model, or a model directory."""
    options = EmbedderOptions(threads=threads, flip=flip)
    if (folder := Path(name)).is_dir():
        if flip:
            raise SystemExit(f"--flip with {name}: register it first (visavis models add)")
        found = read_directory(folder)
        embedder = serve(found.entry, found.graph, threads=threads)
        return Model(found.entry.name, embedder, found.entry.crop_scale)
    store = WeightStore(home())
    return Model(
        name, OnnxEmbedder(name, store=store, options=options), store.entry(name).crop_scale
    )


def find_faces(root: Path, cache: Path | None) -> Test:
    """Detect the faces of the test people, by the default detector."""
    people = lfw.people(root, "test")
    every = [(k, photo) for k, own in enumerate(people.values()) for photo in own]
    recognizer = Recognizer()
    kept: list[tuple[int, Path, Face]] = []
    store = EmbeddingCache(cache) if cache else None
    results = recognizer.embed_many([photo for _, photo in every], rule="central", cache=store)
    for (person, photo), result in zip(every, results, strict=True):
        if result.templates and result.templates[0].face is not None:
            kept.append((person, photo, result.templates[0].face))
    place = {photo: k for k, (_, photo, _) in enumerate(kept)}
    view = lfw.view(1, root)
    pairs = [
        (place[view.photos[a]], place[view.photos[b]], same)
        for a, b, same in zip(view.first, view.second, view.same, strict=True)
        if view.photos[a] in place and view.photos[b] in place
    ]
    first, second, same = (np.array(column) for column in zip(*pairs, strict=True))
    return Test(
        photos=tuple(photo for _, photo, _ in kept),
        faces=tuple(face for _, _, face in kept),
        owner=np.array([person for person, _, _ in kept]),
        first=first,
        second=second,
        same=same,
        lost=len(view) - len(pairs),
    )


def masked_photo(test: Test, k: int) -> Image:
    """A test photo with its own mask drawn on it."""
    return wear_in_photo(decode(test.photos[k]), test.faces[k].landmarks, seed=UNSEEN + k)


def find_masked_faces(test: Test) -> Test:
    """Landmarks that the default detector finds in the masked photos, by the rule `central`."""
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    found: list[NDArray[np.float32] | None] = []
    for k, known in enumerate(test.faces):
        photo = masked_photo(test, k)
        faces = recognizer.detect(photo)
        landmarks = None
        if faces:
            size = (photo.shape[1], photo.shape[0])
            (kept,) = choose(faces, "central", size=size, photo=str(test.photos[k])).indices
            face = faces[kept]
            eyes = known.landmarks[:2]
            apart = np.linalg.norm(face.landmarks[:2].mean(0) - eyes.mean(0))
            if apart < np.linalg.norm(eyes[1] - eyes[0]):
                landmarks = face.landmarks
        found.append(landmarks)
    return replace(test, worn=tuple(found))


def embed(model: Model, test: Test, *, masked: bool) -> Vectors:
    """Unit vectors of all test photos, with a mask on each or without.

    Where `test.worn` says what was found under the masks, by that, and zeros where nothing was;
    else the masks are drawn on crops aligned without them.
    """
    if masked and test.worn:
        return _embed_masked(model, test)
    size, scale = model.embedder.input_size, model.crop_scale
    parts = []
    for start in range(0, len(test.photos), _BATCH):
        some = range(start, min(start + _BATCH, len(test.photos)))
        crops = np.stack(
            [
                align.crop(decode(test.photos[k]), test.faces[k].landmarks, size=size, scale=scale)
                for k in some
            ]
        )
        if masked:
            crops = masks.draw_masks(crops, size=size, scale=scale, seed=UNSEEN + start)
        parts.append(model.embedder.embed(crops))
    return np.concatenate(parts)


def _embed_masked(model: Model, test: Test) -> Vectors:
    size, scale = model.embedder.input_size, model.crop_scale
    seen = [k for k, landmarks in enumerate(test.worn) if landmarks is not None]
    out = np.zeros((len(test.photos), model.embedder.dimension), dtype=np.float32)
    for start in range(0, len(seen), _BATCH):
        some = seen[start : start + _BATCH]
        crops = [
            align.crop(masked_photo(test, k), landmarks, size=size, scale=scale)
            for k in some
            if (landmarks := test.worn[k]) is not None
        ]
        out[some] = model.embedder.embed(np.stack(crops))
    return out


def measure(left: Vectors, right: Vectors, test: Test) -> Result:
    """Compare the left photo of each pair with the right one."""
    scores = _known(np.einsum("nd,nd->n", left[test.first], right[test.second]))
    mated = scores[test.same]
    all_mated, all_other = all_scores(left, right, test.owner)
    threshold = threshold_at_fmr(all_mated, all_other, FMR)
    folds = stratified_folds(test.same)
    return Result(
        auc=roc_auc(mated, scores[~test.same]),
        accuracy=kfold_accuracy(scores, test.same, folds).mean,
        threshold=threshold,
        missed=mated < threshold,
        all_missed=float((all_mated < threshold).mean()),
    )


def all_scores(
    left: Vectors, right: Vectors, owner: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores of the left photos with the right ones of other numbers: mated, non-mated.

    Each unordered pair of photos once where both sides are the same, else in both orders.
    """
    mated, other = [], []
    for k in range(len(owner)):
        rest = slice(k + 1, None) if left is right else np.arange(len(owner)) != k
        scores = _known(right[rest] @ left[k])
        same = owner[rest] == owner[k]
        mated.append(scores[same])
        other.append(scores[~same])
    return np.concatenate(mated), np.concatenate(other)


def _known(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines within their range; that of a face that was not found is exactly 0: no match."""
    return np.where(scores == 0, np.float32(-1), np.clip(scores, -1, 1))


def interval(
    missed: Sequence[NDArray[np.bool_]],
    people: NDArray[np.int64],
    *,
    over: NDArray[np.bool_] | None,
) -> tuple[float, float]:
    """People-bootstrap of the mean FNMR, or of its ratio to another model's on the same pairs.

    Args:
        missed: for each model, ``(M,)`` which mated pairs it missed.
        people: ``(M,)`` person of each pair.
        over: the other model's.
    """
    found, owner = np.unique(people, return_inverse=True)
    count = len(found)
    rng = np.random.default_rng(0)
    share = np.mean(missed, axis=0)
    drawn = []
    for _ in range(_REPLICATES):
        weights = np.bincount(rng.integers(0, count, count), minlength=count)[owner]
        below = weights.sum() if over is None else weights @ over
        if below:
            drawn.append(weights @ share / below)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def tables(models: Sequence[Model], test: Test, results: dict[str, list[Result]]) -> list[Table]:
    """A row for each condition and model; and what fine-tuning changed."""
    people = test.owner[test.first[test.same]]
    table = Table(
        f"LFW View 1 test pairs, synthetic masks ({len(people)} mated, {int((~test.same).sum())} "
        "non-mated)",
        ("photos", "model", "AUC", "accuracy", "FNMR at FMR 1e-3", "of all mated", "threshold"),
    )
    changes = Table(
        f"Against {models[0].name}",
        ("photos", "model", "accuracy, points", "FNMR ratio", "ratio of all mated"),
    )
    for condition in CONDITIONS:
        before, *after = results[condition]
        for model, one in zip(models, results[condition], strict=True):
            low, high = interval([one.missed], people, over=None)
            table.rows.append(
                (
                    condition,
                    model.name,
                    f"{one.auc:.4f}",
                    f"{one.accuracy:.2%}",
                    f"{one.missed.mean():.2%} ({low:.2%} to {high:.2%})",
                    f"{one.all_missed:.2%}",
                    f"{one.threshold:.3f}",
                )
            )
        for names, group in _groups(models, after):
            points = 100 * (np.mean([one.accuracy for one in group]) - before.accuracy)
            cells = ["none missed before", "none missed before"]
            if before.missed.any():
                ratio = np.mean([one.missed.mean() for one in group]) / before.missed.mean()
                low, high = interval([one.missed for one in group], people, over=before.missed)
                cells[0] = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
            if before.all_missed:
                cells[1] = f"{np.mean([one.all_missed for one in group]) / before.all_missed:.2f}"
            changes.rows.append((condition, names, f"{points:+.2f}", *cells))
    return [table, changes] if len(models) > 1 else [table]


def _groups(models: Sequence[Model], after: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups = [(model.name, [one]) for model, one in zip(models[1:], after, strict=True)]
    if len(after) > 1:
        groups.append((f"mean of {len(after)}", list(after)))
    return groups


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "models",
        nargs="+",
        help="registered names or model directories; the "
        "first one is what the others are compared with",
    )
    parser.add_argument("--lfw", type=Path, help="folder of LFW with its lists")
    parser.add_argument("--cache", type=Path, help="an embedding cache, to spare the detection")
    parser.add_argument("--keep", type=Path, help="folder that vectors are kept in")
    parser.add_argument(
        "--aligned", action="store_true", help="masks on crops aligned without them"
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirror image")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    root = options.lfw or data_folder("lfw")
    if root is None:
        raise SystemExit("no photos; give --lfw DIR with LFW and its pair lists")
    flip, threads = options.flip, options.threads
    models = [find_model(name, flip=flip, threads=threads) for name in options.models]
    test = find_faces(root, options.cache)
    if not options.aligned:
        test = find_masked_faces(test)
    results: dict[str, list[Result]] = {condition: [] for condition in CONDITIONS}
    for model in models:
        plain = _kept(options.keep, model, test, masked=False, flip=flip)
        masked = _kept(options.keep, model, test, masked=True, flip=flip)
        sides = ((plain, plain), (plain, masked), (masked, masked))
        for condition, (left, right) in zip(CONDITIONS, sides, strict=True):
            results[condition].append(measure(left, right, test))
    for table in tables(models, test, results):
        print(table.markdown())
    how = "; each crop averaged with its mirror image" if flip else ""
    people = len(np.unique(test.owner))
    print(f"{len(test.photos):,} photos of {people:,} test people{how}.")
    print(f"Pairs left out because no face was found: {test.lost}.")
    if options.aligned:
        print("Masks drawn on crops aligned without them.")
    else:
        missing = sum(landmarks is None for landmarks in test.worn)
        print(f"Masked photos without a face, counted as matching nobody: {missing}.")


def _kept(folder: Path | None, model: Model, test: Test, *, masked: bool, flip: bool) -> Vectors:
    if folder is None:
        return embed(model, test, masked=masked)
    state = "as they are" if not masked else "found" if test.worn else "aligned"
    what = f"{model.embedder.sha256} {state} {flip} {[photo.name for photo in test.photos]}"
    file = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(file, embed(model, test, masked=masked))
    vectors: Vectors = np.load(file)
    return vectors


if __name__ == "__main__":
    main()
