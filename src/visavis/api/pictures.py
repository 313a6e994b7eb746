"""Draws photos with boxes, landmarks, crops, and scores with the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis import images, plots
from visavis.faces import align
from visavis.types import Face, Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from visavis.identification import Identification
    from visavis.pipeline.records import FaceUsed, Verification

WORDS: Final = {True: "same person", False: "different people", None: "cannot tell"}
"""Words for the result of ``verify``."""

_GOOD, _BAD, _QUIET = plots.ACCENT, "#b23a48", plots.MUTED
_WIDTH, _ROW = 11.0, 2.35  # inches


def of_faces(photo: Any, faces: Sequence[Face]) -> Figure:
    """Draws a photo with box and landmarks of every face."""
    figure, panel = _alone(pixels := _pixels(photo))
    panel.imshow(pixels)
    for face in faces:
        _box(panel, face, _GOOD, f"{face.score:.2f}")
    return figure


def of_people(photo: Any, found: Sequence[Identification]) -> Figure:
    """Draws a photo with box and name of every face."""
    figure, panel = _alone(pixels := _pixels(photo))
    panel.imshow(pixels)
    for one in found:
        limit = one.threshold
        said = one.person or "unknown"
        if limit is not None:
            said += f", {one.score:.2f} of {limit.threshold:.2f}"
        _box(panel, one.face, _QUIET if one.person is None else _GOOD, said)
    return figure


def of_pairs(
    rows: Sequence[tuple[str, bool | None, Verification, Any, Any]], *, title: str = ""
) -> Figure:
    """Draws one row per pair: both photos with boxes, both crops, score and result.

    Args:
        rows: name of the pair, whether it is mated (``None``: unknown), the result, and the two
            photos.
        title: title of the figure.
    """
    head = 0.45 if title else 0.05
    height = _ROW * len(rows) + head
    figure, panel = plots.axes(size=(_WIDTH, height))
    panel.remove()
    figure.set_layout_engine("none")
    grid = figure.add_gridspec(
        len(rows),
        5,
        width_ratios=(1, 0.62, 1.5, 0.62, 1),
        hspace=0.12,
        wspace=0.06,
        left=0.01,
        right=0.99,
        top=1 - head / height,
        bottom=0.01,
    )
    figure.text(0.01, 0.995, title, fontsize=15, weight="bold", va="top")
    for k, (name, mated, answer, *photos) in enumerate(rows):
        panels = [figure.add_subplot(grid[k, column]) for column in range(5)]
        for one in panels:
            one.set_axis_off()
        for photo, used, at, crop_at in zip(
            photos, (answer.a, answer.b), (0, 4), (1, 3), strict=True
        ):
            pixels = _pixels(photo)
            _seen(panels[at], pixels, used)
            panels[crop_at].imshow(align.crop(pixels, used.face.landmarks))
        _verdict(panels[2], name, mated, answer)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as a private PNG, because it shows faces."""
    from visavis.writing import private_folder, replacing

    private_folder(path.parent)
    with replacing(path, private=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _pixels(photo: Any) -> Image:
    if hasattr(photo, "seek") and hasattr(photo, "read"):
        photo.seek(0)  # a file object that was read to its end
    return images.decode(photo)


def _alone(pixels: Image) -> tuple[Figure, Axes]:
    height, width = pixels.shape[:2]
    longest = 7.0
    scale = longest / max(height, width)
    figure, panel = plots.axes(size=(max(width * scale, 2.0), max(height * scale, 2.0)))
    panel.set_axis_off()
    return figure, panel


def _box(panel: Axes, face: Face, color: str, text: str = "", *, used: bool = True) -> None:
    from matplotlib.patches import Rectangle

    x, y, width, height = face.box
    line = 2 if used else 1
    panel.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=line))
    if used:
        across, down = face.landmarks.T
        panel.scatter(across, down, s=9, c="#ffd166", edgecolors="black", linewidths=0.4)
    if text:
        panel.text(
            x, y - 4, text, fontsize=8, color="white", va="bottom",
            bbox={"facecolor": color, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def _seen(panel: Axes, pixels: Image, used: FaceUsed) -> None:
    panel.imshow(pixels)
    for other in used.passed_over:
        _box(panel, other.face, _QUIET, used=False)
    _box(panel, used.face, _GOOD)


def _verdict(panel: Axes, title: str, mated: bool | None, answer: Verification) -> None:
    right = mated is None or answer.same in {mated, None}
    color = _QUIET if answer.same is None else _GOOD if right else _BAD
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.text(0.5, 0.93, title, ha="center", va="top", fontsize=8.5, wrap=True)
    word = WORDS[answer.same]
    panel.text(0.5, 0.66, word, ha="center", va="center", fontsize=14, weight="bold", color=color)
    if not right:
        panel.text(0.5, 0.54, "wrong", ha="center", va="center", fontsize=9, color=color)
    # Score axis from -0.2 to 1, with the threshold marked.
    panel.plot([0.08, 0.92], [0.36, 0.36], color="#d1d5db", linewidth=3, solid_capstyle="round")
    place = [
        0.08 + 0.84 * (min(max(v, -0.2), 1) + 0.2) / 1.2 for v in (answer.score, answer.threshold)
    ]
    panel.plot([place[1]] * 2, [0.28, 0.44], color="black", linewidth=1)
    panel.text(
        place[1], 0.22, f"threshold {answer.threshold:.3f}", ha="center", va="top", fontsize=7
    )
    panel.scatter([place[0]], [0.36], s=60, color=color, zorder=3)
    panel.text(place[0], 0.45, f"{answer.score:+.3f}", ha="center", va="bottom", fontsize=9)
    panel.text(
        0.5, 0.05, answer.evidence, ha="center", va="bottom", fontsize=7, color=_QUIET, wrap=True
    )
