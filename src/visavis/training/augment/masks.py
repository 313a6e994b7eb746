"""Synthetic face masks over the lower half of aligned faces.

For training on, and measuring with, faces that wear a mask when no such photos are at hand. The
crops are aligned, so their geometry says where nose, mouth and chin lie; masks differ in cut,
size, color, pattern, and take over the light of the face that they cover.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.align import TEMPLATE_SIZE, positions
from visavis.training.augment.mask_shapes import SHAPES, Outline, Shape, outline
from visavis.types import Crops, Image

Weights = NDArray[np.float32]
"""``(H, W)``: 0 is the first color of a fabric, 1 the second."""
Grid = tuple[NDArray[np.float32], NDArray[np.float32]]
"""``(1, W)`` and ``(H, 1)`` positions in template pixels."""


def plain(grid: Grid, rng: np.random.Generator) -> Weights:
    """One color."""
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
    pattern: str, color: tuple[int, int, int], grid: Grid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """``(3, H, W)`` RGB planes, 0 to 255, of a fabric in even light.

    Args:
        pattern: one of ``PATTERNS``.
        color: its main color, varied a little; the second one is drawn.
        grid: where the pixels lie.
        rng: where the draws come from.
    """
    first = np.clip(np.array(color) + rng.normal(0, 8) + rng.normal(0, 4, 3), 12, 245)
    second = np.clip(
        first + rng.choice([-1, 1]) * rng.uniform(25, 110) + rng.normal(0, 25, 3), 12, 245
    )
    weights = PATTERNS[pattern](grid, rng)
    low, step = (c.astype(np.float32)[:, None, None] for c in (first, second - first))
    return np.asarray(low + weights * step, dtype=np.float32)


def _soft(wave: NDArray[np.float32]) -> Weights:
    return np.asarray(np.clip(0.5 + 2 * wave, 0, 1), dtype=np.float32)


_SHIFT: Final = 4  # cv2 draws at 1/16 pixel
_JITTER: Final = 1.2  # template pixels, standard deviation of where a mask sits
_SKIN: Final = 130.0  # gray level of a face in ordinary light


def draw_masks(crops: Crops, *, size: int, scale: float, seed: int) -> Crops:
    """Draw a synthetic mask on each face: over nose tip, mouth and chin; the eyes stay visible.

    Args:
        crops: ``(N, size, size, 3)`` RGB uint8; not changed.
        size: side of the crops in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.
        seed: at least 0; row i's mask depends on `seed` and i alone.

    Returns:
        Like `crops`.

    Raises:
        OptionError: crops of another shape, or a negative seed.
    """
    if crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
        raise OptionError(
            f"crops of shape {crops.shape} and type {crops.dtype}",
            f"give (N, {size}, {size}, 3) uint8",
        )
    if seed < 0:
        raise OptionError(f"mask seed {seed}", "give 0 or more")
    out = crops.copy()
    for i, crop in enumerate(out):
        rng = np.random.default_rng((seed, i))
        _draw_mask(crop, SHAPES[rng.integers(len(SHAPES))], size, scale, rng)
    return out


def _draw_mask(
    crop: Image, shape: Shape, size: int, scale: float, rng: np.random.Generator
) -> None:
    eyes = positions(size=size, scale=scale)[:2].mean(0)
    unit = size / TEMPLATE_SIZE * scale  # crop pixels per template pixel
    middle = eyes + unit * np.clip(rng.normal(0, _JITTER, 2), -2 * _JITTER, 2 * _JITTER)
    cut = outline(shape, rng)
    edge = middle + unit * cut.edge
    # Only the rows from a little above the mask downward change.
    top = int(np.clip(edge[:, 1].min() - 4 * unit, 0, size - 2))
    part = np.array(crop[top:].transpose(2, 0, 1), dtype=np.float32, order="C")  # planes: faster
    sides = part.shape[1:]
    origin = middle - (0, top)
    across, down = (
        (np.arange(count, dtype=np.float32) - np.float32(start)) / np.float32(unit)
        for count, start in zip(sides[::-1], origin, strict=True)
    )
    grid = across[None], down[:, None]
    light = _light(crop, top)
    color = shape.palette[rng.integers(len(shape.palette))]
    cloth = fabric(shape.patterns[rng.integers(len(shape.patterns))], color, grid, rng)
    if cv2.absdiff(crop[..., 0], crop[..., 2]).mean() < 2:  # a gray photo
        cloth[:] = cloth.mean(0)
    cloth *= light * (_bulge(grid, rng) - _lines(cut, shape, origin, unit, sides))
    cloth += rng.standard_normal(sides, dtype=np.float32) * np.float32(2.5)
    if shape.loops:
        thick = max(1, round(1.1 * unit))
        string = np.float32(0.85 / 255) * _drawn(list(origin + unit * cut.loops), sides, thick)
        part += string * (np.float32(rng.choice([30.0, 235.0, 235.0])) * light - part)
    cover = _filled(origin + unit * cut.edge, sides)
    # The mask stands off the skin: it is soft at the edge and casts a shadow.
    shadow = cv2.GaussianBlur(cover, (0, 0), max(0.5, 1.6 * unit))
    part *= 1 - np.float32(0.35 / 255) * shadow
    cover = cv2.GaussianBlur(cover, (0, 0), max(0.3, 0.45 * unit))
    part += (cover / np.float32(255)) * (cloth - part)
    crop[top:] = np.clip(np.rint(part), 0, 255).transpose(1, 2, 0)


def _light(crop: Image, top: int) -> NDArray[np.float32]:
    """Local brightness of the face, relative to a face in ordinary light."""
    size = len(crop)
    coarse = cv2.resize(crop, (6, 6), interpolation=cv2.INTER_AREA).astype(np.float32).mean(-1)
    level = max(float(coarse[2:5, 1:5].mean()), 1.0)
    # Half of the differences only: some of them are hair, beard and background.
    field = np.clip((coarse / level) ** 0.5, 0.7, 1.3) * np.clip((level / _SKIN) ** 0.6, 0.35, 1.05)
    smooth = cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth[top:], dtype=np.float32)


def _bulge(grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shading of cloth over nose and chin, with light from one side and soft folds."""
    side, down = grid[0] / 38, (grid[1] - 38) / 30
    bulge = 1.05 - 0.22 * side**2 - 0.12 * down**2 + np.float32(rng.normal(0, 0.08)) * side
    coarse = rng.standard_normal((5, 6)).astype(np.float32)
    folds = cv2.resize(coarse, bulge.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(bulge * (1 + 0.03 * folds), dtype=np.float32)


def _lines(
    cut: Outline,
    shape: Shape,
    origin: NDArray[np.float64],
    unit: float,
    sides: tuple[int, ...],
) -> NDArray[np.float32]:
    """Darkening by pleats and seam, minus brightening by the nose wire."""
    lines = np.zeros(sides, dtype=np.float32)
    thin = max(1, round(0.8 * unit))
    if shape.pleats:
        lines += np.float32(0.16 / 255) * _drawn(list(origin + unit * cut.pleats), sides, thin)
    if shape.seam:
        lines += np.float32(0.14 / 255) * _drawn([origin + unit * cut.seam], sides, thin)
    if shape.wire:
        wide = max(1, round(2 * unit))
        lines -= np.float32(0.07 / 255) * _drawn([origin + unit * cut.wire], sides, wide)
    return lines


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.asarray(np.rint(points * (1 << _SHIFT)), dtype=np.int32)


def _filled(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
    return canvas


def _drawn(
    lines: list[NDArray[np.float64]], shape: tuple[int, ...], thickness: int
) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.polylines(
        canvas, [_fixed(line) for line in lines], False, 255, thickness, cv2.LINE_AA, _SHIFT
    )
    return canvas


LOCATION: Final = (0.024, -1.819, 0.627, 2.254)
"""Location: log size, degrees clockwise, template pixels to the right and down."""
SCALE: Final = (
    (0.0024, 0.0019, 0.0079, 0.0399),
    (0.0019, 12.7706, -2.2827, 0.1413),
    (0.0079, -2.2827, 6.1147, 0.0279),
    (0.0399, 0.1413, 0.0279, 5.3434),
)
"""Scale matrix of these four; the covariance is 5/3 of it."""
DEGREES: Final = 5
"""Degrees of freedom of the multivariate t distribution with this location and scale: large errors
of a detector are far more frequent than with a normal distribution. Measured with the default
detector on photos of LFW's peopleDevTrain: ``python -m benchmarks.mask_alignment``."""

FARTHEST: Final = 11.0
"""Longest draw in scales, 1 in 1,000; what lies farther is a face that was not found."""

_FACTOR: Final = np.linalg.cholesky(np.array(SCALE))
_STREAM: Final = 1  # draw_masks draws from (seed, row)


def apply_mask(crops: Crops, *, size: int, scale: float, seed: int) -> Crops:
    """Draw a mask on each face and shift its alignment as a detector would.

    Args:
        crops: ``(N, size, size, 3)`` RGB uint8; not changed.
        size: side of the crops in pixels.
        scale: size of the face in them, as in ``faces.align.crop``.
        seed: at least 0; row i's mask and alignment depend on `seed` and i alone.

    Returns:
        Like `crops`; the border is repeated where a moved frame reaches beyond the crop.

    Raises:
        OptionError: as ``masks.draw_masks``.
    """
    out = draw_masks(crops, size=size, scale=scale, seed=seed)
    for i, masked in enumerate(out):
        rng = np.random.default_rng((seed, i, _STREAM))
        draw = rng.standard_normal(4) / np.sqrt(rng.chisquare(DEGREES) / DEGREES)
        draw *= min(1.0, FARTHEST / np.linalg.norm(draw))
        zoom, turn, *shift = np.array(LOCATION) + _FACTOR @ draw
        out[i] = _moved(masked, float(zoom), float(turn), np.array(shift), scale)
    return out


def _moved(
    crop: Image, zoom: float, turn: float, shift: NDArray[np.float64], scale: float
) -> Image:
    size = len(crop)
    middle = positions(size=size, scale=scale).mean(0)
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.exp(zoom) * rotation
    offset = middle + shift * (size / TEMPLATE_SIZE * scale) - linear @ middle
    return np.asarray(
        cv2.warpAffine(
            crop,
            np.column_stack([linear, offset]),
            (size, size),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.uint8,
    )
