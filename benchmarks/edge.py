"""A small model for phones beside its teacher: accuracy alone and across, time a face, size.

    visavis train --recipe distill-edge LFW --out runs/edge --name edge
    visavis models add runs/edge
    for target in openvino-int8 onnx-int8; do
      visavis export runs/edge --to $target --calibrate LFW --evaluate LFW \\
        --force --out exports/$target
      visavis models add exports/$target
    done
    visavis export sface --to openvino-int8 --calibrate LFW --evaluate LFW --out exports/sface
    visavis models add exports/sface
    python -m benchmarks.edge sface-openvino-int8 edge edge-openvino-int8 edge-onnx-int8 \\
      --markdown --plot docs/recipes/edge-model.svg

The pairs are View 1's 1,000 test pairs; the student was trained on View 1's training people, who
are not in them. Accuracy is over ten folds, each at the threshold that is best for the other nine.
Across: one photo of a pair is embedded by the student, the other by SFace, both ways round (mean).
The server's threshold is that of SFace alone at an FMR of 1e-2 on View 1's training pairs; the
student has seen those people, SFace's scores do not depend on it. Times are medians of the
processor time of one call with one crop on one thread, all models in turns, normalization included:
on a busy machine, too, though caches are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table, load, machine, write_section
from visavis import images
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.errors import OptionError
from visavis.evaluation.protocols import Protocol, lfw
from visavis.faces import align
from visavis.faces.yunet import YuNet
from visavis.inference.precision import has_bf16
from visavis.metrics import accuracy, verification
from visavis.types import Embedder, Vectors
from visavis.weights import WeightStore

PAGE = ROOT / "docs" / "recipes" / "edge-model.md"
SERVER = "sface"
SMALL = ("margin-small", 0.933)  # accuracy: docs/concepts/training.md, mean of three seeds


@dataclass(slots=True)
class Subject:
    """One model under test.

    Attributes:
        name: registered name, or the recipe's of which only the time is measured.
        label: with its runtime.
        embedder: on one thread.
        scale: size of the face in its crops.
        size: bytes of its file.
        trained: whether its templates mean something.
    """

    name: str
    label: str
    embedder: Embedder
    scale: float
    size: int
    trained: bool = True

    @property
    def half(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.label.endswith("bfloat16")


def subjects(names: list[str]) -> list[Subject]:
    """The server's model and the named ones, each in the runtimes that run it, and in bfloat16."""
    home = os.environ.get("VISAVIS_HOME")
    store = WeightStore(Path(home) if home else None)
    found = []
    for name in [SERVER, *names]:
        entry = store.entry(name)
        kinds = [(runtime, "auto", runtime) for runtime in entry.runtimes]
        if has_bf16() and entry.format == "onnx" and "openvino" in entry.runtimes:
            kinds.append(("openvino", "bf16", "openvino, bfloat16"))
        for runtime, precision, label in kinds:
            options = EmbedderOptions(runtime=runtime, threads=1, precision=precision)
            try:
                embedder = OnnxEmbedder(name, store=store, options=options)
            except OptionError:  # bfloat16 of an 8-bit file
                continue
            found.append(Subject(name, f"{name}, {label}", embedder, entry.crop_scale, entry.size))
    return found


def small_one(folder: Path) -> Subject:
    """``margin-small``'s network with random weights, which take as long as learned ones."""
    from visavis.embedding.torch import FaceNetwork
    from visavis.training.building import build_network
    from visavis.training.outcome.model_file import write_onnx
    from visavis.training.recipes import by_name

    recipe = by_name(SMALL[0])
    network: FaceNetwork = build_network(recipe)
    path = folder / "margin-small.onnx"
    write_onnx(network, path)
    return Subject(
        SMALL[0],
        f"{SMALL[0]}, onnxruntime",
        _Timed(path, recipe.input_size),
        recipe.crop_scale,
        path.stat().st_size,
        trained=False,
    )


class _Timed:
    """A graph that is only timed."""

    name, sha256, dimension = SMALL[0], "", 128

    def __init__(self, path: Path, size: int) -> None:
        from visavis.inference import load as load_graph

        self.input_size = size
        self._session = load_graph(path.read_bytes(), threads=1, input_shape=("n", 3, size, size))

    def embed(self, crops: Any) -> Vectors:
        tensor = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
        (vectors,) = self._session.run(tensor)
        return np.asarray(vectors, dtype=np.float32)


def landmarks(protocol: Protocol) -> list[np.ndarray | None]:
    """Landmarks of the face in the middle of each photo, which in LFW is the named person."""
    detector = YuNet(threads=1)
    found: list[np.ndarray | None] = []
    for k, path in enumerate(protocol.photos):
        pixels = images.decode(path)
        middle = np.array(pixels.shape[1::-1]) / 2
        marks = [face.landmarks for face in detector.detect(pixels)]
        found.append(
            min(marks, key=lambda points: np.linalg.norm(points.mean(0) - middle), default=None)
        )
        if k % 200 == 0:
            print(f"{protocol.name}: {k} photos", file=sys.stderr, flush=True)
    return found


def templates(subject: Subject, protocol: Protocol, marks: Sequence[np.ndarray | None]) -> Vectors:
    """``(N, D)`` templates of the photos; zero where no face was found."""
    size = subject.embedder.input_size
    rows = np.zeros((len(marks), subject.embedder.dimension), dtype=np.float32)
    for row, path, points in zip(rows, protocol.photos, marks, strict=True):
        if points is not None:
            crop = align.crop(images.decode(path), points, size=size, scale=subject.scale)
            row[:] = subject.embedder.embed(crop[None])[0]
    return rows


def paired(first: Vectors, second: Vectors) -> np.ndarray:
    """Scores of the rows of two sets of templates."""
    return np.asarray((first * second).sum(1))


def figures(scores: np.ndarray, same: np.ndarray, threshold: float | None) -> dict[str, float]:
    """Accuracy by folds, FNMR at FMR 1e-2, and both error rates at a given threshold."""
    folds = accuracy.stratified_folds(same)
    rates = verification.error_rates(scores[same], scores[~same])
    found = {
        "accuracy": accuracy.kfold_accuracy(scores, same, folds).mean,
        "auc": verification.roc_auc(scores[same], scores[~same]),
        "fnmr": float(np.min(rates.fnmr[rates.fmr <= 1e-2])),
    }
    if threshold is not None:
        found["fmr_at"] = float(np.mean(scores[~same] >= threshold))
        found["fnmr_at"] = float(np.mean(scores[same] < threshold))
    return found


def tested(
    subject: Subject,
    protocol: Protocol,
    marks: Sequence[np.ndarray | None],
    theirs: Vectors,
    threshold: float,
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of a model alone, and against the server's templates both ways round."""
    own, a, b = templates(subject, protocol, marks), protocol.first, protocol.second
    both = [
        figures(paired(own[x], theirs[y]), protocol.same, threshold) for x, y in ((a, b), (b, a))
    ]
    across = {key: statistics.mean(one[key] for one in both) for key in both[0]}
    return figures(paired(own[a], own[b]), protocol.same, None), across


def times(all_of_them: list[Subject], *, rounds: int) -> list[float]:
    """Median milliseconds of processor time of a face, everything in turns."""
    rng = np.random.default_rng(0)
    crops = [
        rng.integers(0, 256, (1, s.embedder.input_size, s.embedder.input_size, 3), dtype=np.uint8)
        for s in all_of_them
    ]
    taken: list[list[float]] = [[] for _ in all_of_them]
    for k in range(rounds + 3):
        for subject, crop, own in zip(all_of_them, crops, taken, strict=True):
            begun = time.process_time()
            subject.embedder.embed(crop)
            if k >= 3:
                own.append(1e3 * (time.process_time() - begun))
    return [statistics.median(own) for own in taken]


def main() -> None:
    """Measure, print, and write the page's section and figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("models", nargs="+", help="registered names of students")
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"), help="LFW's folder")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--scratch", type=Path, default=Path(), help="where a graph may lie")
    parser.add_argument("--markdown", action="store_true", help=f"write into {PAGE.name}")
    parser.add_argument("--plot", type=Path, help="write the figure (SVG)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.lfw is None:
        parser.error("give LFW's folder by --lfw")
    contest = subjects(options.models)
    contest.append(small_one(options.scratch))
    took = times(contest, rounds=options.rounds)
    about = f"{machine()}. Load average {load()} after the timing."
    test, train = (lfw.view(1, options.lfw, part=part) for part in ("test", "train"))
    marks, server = landmarks(test), contest[0]
    theirs, known = templates(server, test, marks), templates(server, train, landmarks(train))
    scores = paired(known[train.first], known[train.second])[~train.same]
    # The lowest score above all but one in a hundred.
    threshold = float(
        np.nextafter(np.sort(scores)[-1 - int(1e-2 * len(scores))], 2, dtype=np.float32)
    )
    table = Table(
        "LFW View 1, 1,000 test pairs, and time on one thread",
        (
            "model", "MB", "ms a face", "of SFace's", "accuracy", "FNMR at FMR 1e-2",
            "accuracy across", "across: FMR / FNMR at the server's threshold",
        ),
        note=about,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    done: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for subject, ms in zip(contest, took, strict=True):
        row: dict[str, Any] = {"model": subject.label, "bytes": subject.size, "ms": ms}
        row["ratio"] = ms / took[0]
        if subject.trained:
            kind = subject.name + subject.half * " in bfloat16"
            if kind not in done:  # runtimes agree to 1e-3
                done[kind] = tested(subject, test, marks, theirs, threshold)
            row["alone"], row["across"] = done[kind]
        else:
            row["alone"] = {"accuracy": SMALL[1]}
        rows.append(row)
        alone, across = row["alone"], row.get("across")
        table.rows.append(
            (
                f"`{subject.name}`, {subject.label.rpartition(' ')[2]}",
                f"{subject.size / 1e6:.2f}",
                f"{ms:.2f}",
                f"{row['ratio']:.2f}",
                f"{alone['accuracy']:.4f}",
                f"{alone['fnmr']:.4f}" if across else "",
                f"{across['accuracy']:.4f}" if across else "",
                f"{across['fmr_at']:.4f} / {across['fnmr_at']:.4f}" if across else "",
            )
        )
    missing = sum(points is None for points in marks)
    if options.json:
        print(json.dumps({"machine": about, "threshold": threshold, "rows": rows}, indent=1))
    else:
        print(table.text(), f"photos without a face: {missing}", sep="\n")
    if options.markdown:
        write_section(PAGE, "edge", table.markdown(), page="")
    if options.plot:
        plot(rows, options.plot)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against milliseconds, each model in its faster runtime, and in bfloat16."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "visavis"
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    fastest: dict[tuple[str, bool], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["ms"]):
        name = row["model"]
        fastest.setdefault((name.partition(",")[0], name.endswith("bfloat16")), row)
    for row in fastest.values():
        label = f"{row['model']} ({row['bytes'] / 1e6:.1f} MB)"
        axes.scatter(row["ms"], 100 * row["alone"]["accuracy"], s=40, label=label)
    axes.legend(fontsize=8, loc="lower right")
    axes.set_xlabel("milliseconds a face, one thread")
    axes.set_ylabel("accuracy on LFW View 1 test pairs (%)")
    axes.set_xlim(0, 1.5 * max(row["ms"] for row in fastest.values()))
    axes.margins(y=0.15)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
