"""Outlines of face masks on the five-landmark template.

Lengths are pixels of the 112 px template of `faces.align`, where the eyes are 35 px, about 63 mm,
apart; `y` counts from the middle of the eyes downward. There the nose tip lies at 20, the mouth at
41, the chin at about 65; the cheeks end about 39 to either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_POINTS: Final = 13  # of the upper and of the lower edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One style of mask; each pair is the range that a value is drawn from.

    Attributes:
        name: what it is called.
        width: half the width at the upper corners.
        corner: height of the upper corners.
        bridge: height of the upper edge on the nose.
        peak: how pointed the upper edge is: 2 is round, 1 a roof.
        jaw: half the width at the lower corners.
        jaw_height: height of the lower corners.
        chin: height of the lowest point.
        round_chin: 2 is round, larger is flatter.
        pleats: how many folds run across.
        seam: whether a seam runs down the middle.
        wire: whether the nose wire shows.
        loops: whether it hangs on the ears.
        palette: RGB colors it comes in; each mask varies a little.
        patterns: names of `mask_fabric.PATTERNS` that it may carry.
    """

    name: str
    width: tuple[float, float]
    corner: tuple[float, float]
    bridge: tuple[float, float]
    peak: tuple[float, float]
    jaw: tuple[float, float]
    jaw_height: tuple[float, float]
    chin: tuple[float, float]
    round_chin: tuple[float, float]
    pleats: int
    seam: bool
    wire: bool
    loops: bool
    palette: tuple[tuple[int, int, int], ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One mask's outline, `(K, 2)` and lines on it, all relative to the middle of the eyes.

    Attributes:
        edge: closed polygon.
        pleats: ``(P, K, 2)`` folds across.
        seam: ``(K, 2)`` line down the middle.
        wire: ``(K, 2)`` line along the nose.
        loops: ``(4, 2, 2)`` from each corner to the ear.
    """

    edge: NDArray[np.float64]
    pleats: NDArray[np.float64]
    seam: NDArray[np.float64]
    wire: NDArray[np.float64]
    loops: NDArray[np.float64]


SHAPES: Final = (
    Shape(
        name="surgical",
        width=(33, 37),
        corner=(14, 19),
        bridge=(9, 13),
        peak=(2.0, 3.0),
        jaw=(26, 31),
        jaw_height=(45, 51),
        chin=(64, 69),
        round_chin=(2.0, 2.6),
        pleats=3,
        seam=False,
        wire=True,
        loops=True,
        palette=(
            (150, 196, 222),
            (168, 208, 226),
            (150, 205, 200),
            (232, 236, 240),
            (45, 46, 50),
            (226, 178, 192),
        ),
        patterns=("plain",),
    ),
    Shape(
        name="cloth",
        width=(36, 40),
        corner=(15, 22),
        bridge=(8, 12),
        peak=(1.3, 1.9),
        jaw=(25, 31),
        jaw_height=(45, 53),
        chin=(64, 70),
        round_chin=(1.8, 2.4),
        pleats=0,
        seam=True,
        wire=False,
        loops=True,
        palette=(
            (28, 28, 32),
            (44, 54, 92),
            (120, 126, 132),
            (150, 44, 48),
            (222, 214, 198),
            (74, 96, 78),
            (188, 140, 96),
            (206, 150, 170),
        ),
        patterns=("plain", "plain", "stripes", "checks", "dots", "blotches"),
    ),
    Shape(
        name="ffp2",
        width=(33, 38),
        corner=(20, 26),
        bridge=(7, 11),
        peak=(1.0, 1.4),
        jaw=(20, 25),
        jaw_height=(50, 55),
        chin=(64, 69),
        round_chin=(1.6, 2.2),
        pleats=0,
        seam=True,
        wire=True,
        loops=True,
        palette=((236, 238, 240), (228, 230, 230), (40, 42, 46), (176, 184, 190)),
        patterns=("plain",),
    ),
    Shape(
        name="scarf",
        width=(39, 43),
        corner=(12, 18),
        bridge=(9, 14),
        peak=(2.0, 3.0),
        jaw=(36, 42),
        jaw_height=(60, 68),
        chin=(76, 90),
        round_chin=(2.0, 4.0),
        pleats=2,
        seam=False,
        wire=False,
        loops=False,
        palette=((34, 36, 44), (60, 72, 120), (128, 36, 44), (90, 92, 96), (196, 186, 166)),
        patterns=("plain", "stripes", "checks", "dots", "blotches"),
    ),
)
"""The cuts that masks are drawn from, equally often."""


def outline(shape: Shape, rng: np.random.Generator) -> Outline:
    """Draw the outline of one mask of this style, on a slightly turned face."""
    width, corner, bridge, peak, jaw, jaw_height, chin, round_chin = (
        rng.uniform(*pair)
        for pair in (
            shape.width,
            shape.corner,
            shape.bridge,
            shape.peak,
            shape.jaw,
            shape.jaw_height,
            shape.chin,
            shape.round_chin,
        )
    )
    turn = float(np.clip(rng.normal(0, 0.35), -0.8, 0.8))
    tilt = np.exp(1j * np.deg2rad(rng.normal(0, 1.5)))
    u = np.linspace(-1, 1, _POINTS)
    round_nose = 1 - np.abs(u) ** peak
    levels = ((np.arange(shape.pleats) + 1) / (shape.pleats + 1))[:, None]
    near = u[np.abs(u) < 0.4]
    both = np.array([-1.0, 1.0])
    pleats = np.tile(u, (shape.pleats, 1))
    # Every line: how far across (-1 to 1), half the width there, and how far down.
    parts: list[tuple[NDArray[np.float64], NDArray[np.float64] | float, NDArray[np.float64]]] = [
        (u, width, corner + (bridge - corner) * round_nose),
        (u[::-1], jaw, jaw_height + (chin - jaw_height) * (1 - np.abs(u) ** round_chin)),
        (
            0.97 * pleats,
            width + (jaw - width) * levels,
            corner + (jaw_height - corner) * levels + (6 - 2 * levels) * (1 - u**2),
        ),
        (np.zeros(2), 1.0, np.array([bridge, chin])),
        (near, width, corner + (bridge - corner) * (1 - np.abs(near) ** peak) + 2.2),
        (both, 42.0, np.full(2, 8 + rng.uniform(-3, 3))),
        (both, 41.0, np.full(2, 22 + rng.uniform(-3, 3))),
    ]
    across = np.concatenate([part[0].ravel() for part in parts])
    half = np.concatenate([(part[1] + np.zeros(part[0].shape)).ravel() for part in parts])
    down = np.concatenate([part[2].ravel() for part in parts])
    # The middle of a turned face moves aside more than its edges; the far cheek narrows.
    x = half * across * (1 - 0.12 * turn * np.sign(across)) + turn * (3 - 5 * across**2)
    turned = tilt * (x + 1j * down)
    points = np.stack([turned.real, turned.imag], -1)
    ends = np.cumsum([part[0].size for part in parts])[:-1]
    top, bottom, folds, seam, wire, ear, lobe = np.split(points, ends)
    return Outline(
        edge=np.concatenate([top, bottom]),
        pleats=folds.reshape(-1, _POINTS, 2),
        seam=seam,
        wire=wire,
        loops=np.stack(
            [np.stack([top[[0, -1]], ear], 1), np.stack([bottom[[-1, 0]], lobe], 1)]
        ).reshape(4, 2, 2),
    )
