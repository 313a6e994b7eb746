"""Synthetic face masks over the lower half of aligned faces.

For training on, and measuring with, faces that wear a mask when no such photos are at hand. The
crops are aligned, so their geometry says where nose, mouth and chin lie; masks differ in cut,
size, colour, pattern, and take over the light of the face that they cover.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.align import TEMPLATE_SIZE, positions
from visavis.training.augment.mask_fabric import Grid, fabric
from visavis.training.augment.mask_shapes import SHAPES, Outline, Shape, outline
from visavis.types import Crops, Image

_SHIFT: Final = 4  # cv2 draws at 1/16 pixel
_JITTER: Final = 1.2  # template pixels, standard deviation of where a mask sits
_SKIN: Final = 130.0  # gray level of a face in ordinary light


def put_on(crops: Crops, *, size: int, scale: float, seed: int) -> Crops:
    """Every face with a mask of its own; nose tip, mouth and chin are covered, the eyes free.

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
        _wear(crop, SHAPES[rng.integers(len(SHAPES))], size, scale, rng)
    return out


def _wear(crop: Image, shape: Shape, size: int, scale: float, rng: np.random.Generator) -> None:
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
    colour = shape.palette[rng.integers(len(shape.palette))]
    cloth = fabric(shape.patterns[rng.integers(len(shape.patterns))], colour, grid, rng)
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
    """How bright the face is around each pixel, relative to a face in ordinary light."""
    size = len(crop)
    coarse = cv2.resize(crop, (6, 6), interpolation=cv2.INTER_AREA).astype(np.float32).mean(-1)
    level = max(float(coarse[2:5, 1:5].mean()), 1.0)
    # Half of the differences only: some of them are hair, beard and background.
    field = np.clip((coarse / level) ** 0.5, 0.7, 1.3) * np.clip((level / _SKIN) ** 0.6, 0.35, 1.05)
    smooth = cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth[top:], dtype=np.float32)


def _bulge(grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shades of a cloth over a nose and a chin, with light from one side and soft folds."""
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
    """How much darker the pleats and the seam are, and how much lighter the wire."""
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
