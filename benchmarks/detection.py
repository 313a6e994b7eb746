"""Recall and precision of face detection on photos whose faces were marked by hand, and on LFW.

    python -m benchmarks.detection --plot docs/concepts/detection.svg

The marked photos are those of ``peers/``; ``tests/faces/peers_faces.md`` says what counts as a
face. LFW has no such marks: there the person whose name the photo bears, in its middle, must be
found, and what else is found is counted. Its photos are of View 1's test people.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors import central, sample
from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table
from visavis import images
from visavis.faces import detector
from visavis.faces.yunet import YuNet, YuNetOptions
from visavis.types import Detector, Face

MARKED = ROOT / "tests" / "faces" / "peers_faces.json"
SHOWN = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)  # rows of the table over confidence

DETECTORS = {"yunet": "YuNet", "mtcnn": "MTCNN", "dlib": "dlib"}
PLAIN = YuNetOptions(score=SHOWN[0], gap=1)  # YuNet without the rule that its defaults add


@dataclass(frozen=True, slots=True)
class MarkedPhoto:
    """The faces of one photo, marked by hand; the criteria are in ``tests/faces/peers_faces.md``.

    Attributes:
        size: width and height of the upright photo.
        faces: a point near each face's nose, ``(x, y)``.
        ignore: circles ``(x, y, radius)`` in which a detection is neither right nor wrong.
    """

    size: tuple[int, int]
    faces: tuple[tuple[float, float], ...]
    ignore: tuple[tuple[float, float, float], ...]


def marked_photos(file: Path = MARKED) -> dict[str, MarkedPhoto]:
    """What was marked, by the photo's path below the data folder."""
    return {
        name: MarkedPhoto(
            size=tuple(photo["size"]),
            faces=tuple(map(tuple, photo["faces"])),
            ignore=tuple(map(tuple, photo["ignore"])),
        )
        for name, photo in json.loads(file.read_text(encoding="utf-8")).items()
    }


def judge(faces: Sequence[Face], photo: MarkedPhoto) -> list[bool | None]:
    """Whether each detection shows a marked face that no more confident one shows.

    Returns:
        One value a detection, in the order given: true (right), false (wrong) or ``None`` (the
        middle of its box is in an ignored circle). The photo's missed faces are its marked faces
        less the right detections.
    """
    free = list(photo.faces)
    verdicts: list[bool | None] = [None] * len(faces)
    for index in sorted(range(len(faces)), key=lambda index: -faces[index].score):
        x, y, width, height = faces[index].box
        middle = (x + width / 2, y + height / 2)
        inside = [p for p in free if x <= p[0] <= x + width and y <= p[1] <= y + height]
        if inside:
            free.remove(min(inside, key=lambda p: _distance(p, middle)))
            verdicts[index] = True
        elif not any(_distance(circle[:2], middle) <= circle[2] for circle in photo.ignore):
            verdicts[index] = False
    return verdicts


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)


@dataclass(frozen=True, slots=True)
class Judged:
    """All detections of a set of marked photos that are right or wrong.

    Attributes:
        scores: ``(N,)`` their confidences.
        right: ``(N,)`` bool.
        faces: number of marked faces.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    faces: int

    def at(self, confidence: float) -> tuple[int, int]:
        """Right and wrong detections of at least this confidence.

        Since the more confident detection of a face is the right one, dropping less confident ones
        changes no verdict.
        """
        kept = self.right[self.scores >= confidence]
        return int(kept.sum()), int(kept.size - kept.sum())

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision at every confidence that occurs, the highest first."""
        counts = [self.at(score) for score in np.unique(self.scores)[::-1]]
        right, wrong = np.array(counts, dtype=np.float64).reshape(-1, 2).T
        return right / self.faces, right / (right + wrong)


def judged(
    finder: Detector, folder: Path, photos: Mapping[str, MarkedPhoto] | None = None
) -> Judged:
    """Detections of the marked photos below ``folder``, judged."""
    photos = marked_photos() if photos is None else photos
    found = _found(finder, [folder / name for name in photos])
    verdicts: list[tuple[float, bool]] = []
    for photo, (_, faces) in zip(photos.values(), found, strict=True):
        verdicts += [
            (face.score, verdict)
            for face, verdict in zip(faces, judge(faces, photo), strict=True)
            if verdict is not None
        ]
    scores, right = zip(*verdicts, strict=True) if verdicts else ((), ())
    total = sum(len(photo.faces) for photo in photos.values())
    return Judged(np.array(scores, dtype=np.float64), np.array(right, dtype=np.bool_), total)


def _found(
    finder: Detector, paths: Sequence[Path]
) -> Iterator[tuple[NDArray[np.uint8], list[Face]]]:
    """Pixels and detections of each photo; as many photos at once as there are cores."""

    def look(path: Path) -> tuple[NDArray[np.uint8], list[Face]]:
        photo = images.decode(path)
        return photo, finder.detect(photo)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), 32):  # bounds the decoded photos that wait
            yield from pool.map(look, paths[start : start + 32])


def main(arguments: list[str] | None = None) -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, default=data_folder("peers"))
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--photos", type=int, default=1000, help="of LFW")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="figure to write, SVG")
    options = parser.parse_args(arguments)
    usual = {shown: detector(name, threads=1) for name, shown in DETECTORS.items()}
    if options.peers is not None:
        found = {name: judged(finder, options.peers) for name, finder in usual.items()}
        print(_defaults(found).markdown())
        found[f"YuNet, gap={PLAIN.gap:g}"] = judged(YuNet(threads=1, options=PLAIN), options.peers)
        print(_over_confidence(found).markdown(), flush=True)
        if options.plot is not None:
            _draw(options.plot, found)
    if options.lfw is not None:
        paths = sample(options.lfw, options.photos, options.seed, people="peopleDevTest.txt")
        print(_on_lfw(usual, paths).markdown())


def _defaults(found: Mapping[str, Judged]) -> Table:
    table = Table("Marked photos, default options", ("", "recall", "precision", "missed", "wrong"))
    for name, one in found.items():
        right, wrong = one.at(0.0)
        missed = f"{one.faces - right} of {one.faces}"
        row = (name, *_shares(right, wrong, one.faces), missed, f"{wrong} of {right + wrong}")
        table.rows.append(row)
    return table


def _over_confidence(found: Mapping[str, Judged]) -> Table:
    heads = [f"{name}: {kind}" for name in found for kind in ("recall", "precision")]
    table = Table(
        "Marked photos, over least confidence",
        ("least confidence", *heads),
        note="Below a detector's own least confidence its figures stay the same.",
    )
    for confidence in SHOWN:
        cells: list[str] = []
        for one in found.values():
            cells += _shares(*one.at(confidence), one.faces)
        table.rows.append((f"{confidence:g}", *cells))
    return table


def _shares(right: int, wrong: int, faces: int) -> tuple[str, str]:
    precision = f"{100 * right / (right + wrong):.1f} %" if right + wrong else "-"
    return f"{100 * right / faces:.1f} %", precision


def _on_lfw(finders: Mapping[str, Detector], paths: Sequence[Path]) -> Table:
    table = Table(
        f"LFW, {len(paths)} photos",
        ("", "person in the middle found", "further detections a photo"),
    )
    for name, finder in finders.items():
        hits, others = 0, 0
        for photo, faces in _found(finder, paths):
            hit = central(faces, photo) is not None
            hits, others = hits + hit, others + len(faces) - hit
        share = f"{100 * hits / len(paths):.1f} %"
        table.rows.append((name, share, f"{others / len(paths):.2f}"))
    return table


def _draw(path: Path, found: Mapping[str, Judged]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "visavis"
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, one in found.items():
        recall, precision = one.curve()
        style, above = ("-", 3) if name in DETECTORS.values() else (":", 2)
        (line,) = axes.plot(recall, precision, style, label=name, zorder=above)
        axes.plot(recall[-1:], precision[-1:], "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0.8, 1.005), ylim=(0.8, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
