"""Colours and light textures of face masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
"""``(H, W)``: 0 is the first colour of a fabric, 1 the second."""
Grid = tuple[NDArray[np.float32], NDArray[np.float32]]
"""``(1, W)`` and ``(H, 1)`` positions in template pixels."""


def plain(grid: Grid, rng: np.random.Generator) -> Weights:
    """One colour."""
    return np.zeros((grid[1].size, grid[0].size), dtype=np.float32)


def stripes(grid: Grid, rng: np.random.Generator) -> Weights:
    """Parallel bands of any direction."""
    angle, step = rng.uniform(0, np.pi), rng.uniform(3, 9)
    along = grid[0] * np.float32(np.cos(angle)) + grid[1] * np.float32(np.sin(angle))
    return _soft(np.sin(along * np.float32(2 * np.pi / step)))


def checks(grid: Grid, rng: np.random.Generator) -> Weights:
    """Two crossed stripes."""
    turn = np.float32(2 * np.pi / rng.uniform(5, 12))
    crossed = _soft(np.sin(grid[0] * turn)) + _soft(np.sin(grid[1] * turn))
    return np.asarray(0.5 * crossed, dtype=np.float32)


def dots(grid: Grid, rng: np.random.Generator) -> Weights:
    """Round spots on a square lattice."""
    turn = np.float32(2 * np.pi / rng.uniform(5, 10))
    return _soft(np.cos(grid[0] * turn) + np.cos(grid[1] * turn) - 1)


def blotches(grid: Grid, rng: np.random.Generator) -> Weights:
    """Large irregular spots, as of a print."""
    coarse = rng.standard_normal((9, 12)).astype(np.float32)
    size = (grid[0].size, grid[1].size)
    return _soft(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


PATTERNS: Final[dict[str, Callable[[Grid, np.random.Generator], Weights]]] = {
    "plain": plain,
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
    "blotches": blotches,
}


def fabric(
    pattern: str, colour: tuple[int, int, int], grid: Grid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """``(3, H, W)`` RGB planes, 0 to 255, of a fabric in even light.

    Args:
        pattern: one of ``PATTERNS``.
        colour: its main colour, varied a little; the second one is drawn.
        grid: where the pixels lie.
        rng: where the draws come from.
    """
    first = np.clip(np.array(colour) + rng.normal(0, 8) + rng.normal(0, 4, 3), 12, 245)
    second = np.clip(
        first + rng.choice([-1, 1]) * rng.uniform(25, 110) + rng.normal(0, 25, 3), 12, 245
    )
    weights = PATTERNS[pattern](grid, rng)
    low, step = (c.astype(np.float32)[:, None, None] for c in (first, second - first))
    return np.asarray(low + weights * step, dtype=np.float32)


def _soft(wave: NDArray[np.float32]) -> Weights:
    return np.asarray(np.clip(0.5 + 2 * wave, 0, 1), dtype=np.float32)
