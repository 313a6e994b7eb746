"""The picture that ``visavis demo`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.errors import require_extra
from visavis.types import Face, Image
from visavis.writing import private_folder, replacing

if TYPE_CHECKING:
    from visavis.pipeline import Verification

_GOOD, _BAD, _QUIET = "#0b6e4f", "#b23a48", "#6b7280"
WORDS = {True: "same person", False: "different people", None: "cannot tell"}


@dataclass(frozen=True, slots=True, eq=False)
class PhotoPanel:
    """One photo, the faces found, the one used, and its aligned crop."""

    photo: Image
    faces: list[Face]
    used: Face
    crop: Image


def draw(rows: list[tuple[str, bool, Verification, PhotoPanel, PhotoPanel]], path: Path) -> Path:
    """One line a pair: both photos with boxes and landmarks, both crops, score and verdict.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require_extra("report", "the picture", module="matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.35 * len(rows) + 0.5), dpi=110, facecolor="white")
    grid = figure.add_gridspec(
        len(rows),
        5,
        width_ratios=(1, 0.62, 1.5, 0.62, 1),
        hspace=0.12,
        wspace=0.06,
        left=0.01,
        right=0.99,
        top=1 - 0.45 / (2.35 * len(rows) + 0.5),
        bottom=0.01,
    )
    figure.text(0.01, 0.995, "What visavis saw", fontsize=15, weight="bold", va="top")
    for k, (title, mated, answer, a, b) in enumerate(rows):
        axes = [figure.add_subplot(grid[k, column]) for column in range(5)]
        for axis in axes:
            axis.set_axis_off()
        _photo(axes[0], a)
        axes[1].imshow(a.crop)
        _verdict(axes[2], title, mated, answer)
        axes[3].imshow(b.crop)
        _photo(axes[4], b)
    private_folder(path.parent)
    with replacing(path, private=True) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
    return path


def _photo(axis: Any, seen: PhotoPanel) -> None:
    from matplotlib.patches import Rectangle

    axis.imshow(seen.photo)
    for face in seen.faces:
        used = face.box == seen.used.box
        x, y, width, height = face.box
        colour = _GOOD if used else _QUIET
        axis.add_patch(
            Rectangle(
                (x, y), width, height, fill=False, edgecolor=colour, linewidth=2 if used else 1
            )
        )
        if used:
            axis.scatter(*face.landmarks.T, s=9, c="#ffd166", edgecolors="black", linewidths=0.4)


def _verdict(axis: Any, title: str, mated: bool, answer: Verification) -> None:
    right = answer.same in {mated, None}
    colour = _QUIET if answer.same is None else _GOOD if right else _BAD
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.text(0.5, 0.93, title, ha="center", va="top", fontsize=8.5, wrap=True)
    word = WORDS[answer.same]
    axis.text(0.5, 0.66, word, ha="center", va="center", fontsize=14, weight="bold", color=colour)
    if not right:
        axis.text(0.5, 0.54, "wrong", ha="center", va="center", fontsize=9, color=colour)
    # Score from -0.2 to 1 on a line, with the threshold marked.
    axis.plot([0.08, 0.92], [0.36, 0.36], color="#d1d5db", linewidth=3, solid_capstyle="round")
    place = [
        0.08 + 0.84 * (min(max(v, -0.2), 1) + 0.2) / 1.2 for v in (answer.score, answer.threshold)
    ]
    axis.plot([place[1]] * 2, [0.28, 0.44], color="black", linewidth=1)
    axis.text(
        place[1], 0.22, f"threshold {answer.threshold:.3f}", ha="center", va="top", fontsize=7
    )
    axis.scatter([place[0]], [0.36], s=60, color=colour, zorder=3)
    axis.text(place[0], 0.45, f"{answer.score:+.3f}", ha="center", va="bottom", fontsize=9)
    axis.text(
        0.5, 0.05, answer.evidence, ha="center", va="bottom", fontsize=7, color=_QUIET, wrap=True
    )
