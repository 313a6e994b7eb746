"""Resampling from the pack's crop geometry to the network's, jitter included, in one step.

A crop geometry is `(size, scale)` as in `visavis.faces.align.crop`. Pixel positions are those of
pixel centers, the first at 0.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visavis.errors import OptionError
from visavis.faces.align import positions, similarity

Geometry = tuple[int, float]

_FINEST = 1.5
"""Source pixels per target pixel up to which bilinear sampling alone is used. `align.crop` reduces
a photo by whole factors and leaves 1 to 2 to the bilinear step, so this is its middle. Chosen by
hand: at 56 pixels its crops differed by 0.9 gray levels from those cut from the photos, 1.3 by 1.1,
no reduction at all by 1.4."""

_SLACK = 0.02
"""Share of the side by which the target frame may reach over the source frame."""


class Resampler:
    """Resamples crops to another geometry, each by its own similarity transform.

    The border is repeated where a jittered frame reaches beyond the source.

    Args:
        source: geometry of the crops that will come.
        target: geometry wanted.

    Raises:
        OptionError: the target shows more around the face than the source has.
    """

    def __init__(self, source: Geometry, target: Geometry) -> None:
        self.source, self.target = source, target
        size, wanted = source[0], target[0]
        # A similarity between the templates of two geometries is a uniform scale and a shift.
        step = similarity(
            positions(size=wanted, scale=target[1]), positions(size=size, scale=source[1])
        )
        ends = step[:, :2] @ np.array([[-0.5, wanted - 0.5]] * 2) + step[:, 2:]
        over = max(float((-0.5 - ends).max()), float((ends - (size - 0.5)).max()))
        if over > _SLACK * size:
            raise OptionError(
                f"crops packed with scale {source[1]:g} for a network whose crops have scale "
                f"{target[1]:g}",
                f"pack again with --crop-scale {target[1]:g} or less: the network sees more "
                "around the face than the pack holds",
            )
        ratio = float(step[0, 0])
        self.reduced = size if ratio <= _FINEST else max(wanted, round(size * _FINEST / ratio))
        factor = self.reduced / size
        self._step = step * factor
        self._step[:, 2] += (factor - 1) / 2
        self._middle: NDArray[np.float64] = positions(size=wanted, scale=target[1]).mean(0)

    def matrices(
        self,
        *,
        flip: NDArray[np.bool_],
        rotation: NDArray[np.float64],
        zoom: NDArray[np.float64],
        shift: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """``(B, 2, 3)`` from target pixels to pixels of the (reduced) source.

        Args:
            flip: ``(B,)`` mirror left and right.
            rotation: ``(B,)`` degrees about the middle of the face, positive clockwise as seen.
            zoom: ``(B,)`` factors, above 1 enlarges the face.
            shift: ``(B, 2)`` moves of the face in target pixels, x and y.
        """
        count = len(flip)
        angle = np.deg2rad(rotation)
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
        out = np.empty((count, 2, 3))
        out[:, :, :2] = turn
        out[:, :, 2] = self._middle - (turn @ (self._middle + shift)[..., None])[..., 0]
        # Mirroring comes first on the way from target to source: x -> size - 1 - x.
        out[flip, :, 2] += out[flip, :, 0] * (self.target[0] - 1)
        out[flip, :, 0] *= -1
        moved: NDArray[np.float64] = self._step[:, :2] @ out
        moved[:, :, 2] += self._step[:, 2]
        return moved

    def still(self, count: int) -> NDArray[np.float64]:
        """``matrices`` that only change the geometry."""
        return np.broadcast_to(self._step, (count, 2, 3))

    def __call__(self, crops: Tensor, matrices: NDArray[np.float64]) -> Tensor:
        """Resample ``(B, S, S, 3)`` uint8 to ``(B, 3, s, s)`` float32, 0 to 255.

        On the CPU every crop goes through the routine that `align.crop` uses (OpenCV's, 3 to 10
        times as fast as torch's there), and the result stays channels-last; elsewhere through
        torch on the crops' own device.
        """
        images = crops.permute(0, 3, 1, 2)
        if crops.device.type != "cpu":
            return self.on_device(images, matrices)
        if self.reduced != self.source[0]:
            images = F.interpolate(
                images, (self.reduced, self.reduced), mode="bilinear", antialias=True
            )
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        side = self.target[0]
        out = np.empty((len(pixels), side, side, 3), dtype=np.uint8)
        for pixel, matrix, place in zip(pixels, matrices, out, strict=True):
            cv2.warpAffine(
                pixel,
                matrix,
                (side, side),
                dst=place,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return torch.from_numpy(out).permute(0, 3, 1, 2).float()

    def on_device(self, images: Tensor, matrices: NDArray[np.float64]) -> Tensor:
        """The same by torch alone, for ``(B, 3, S, S)`` on any device."""
        images = images.float()
        if self.reduced != self.source[0]:
            images = F.interpolate(
                images, (self.reduced, self.reduced), mode="bilinear", antialias=True
            )
        side = self.target[0]
        # grid_sample's frame is -1 to 1 from edge to edge: p = (x + 0.5) * 2 / size - 1.
        theta = matrices.copy()
        theta[:, :, 2] += matrices[:, :, :2].sum(-1) * (side - 1) / 2 + 0.5
        theta[:, :, :2] *= side / 2
        theta *= 2 / self.reduced
        theta[:, :, 2] -= 1
        grid = F.affine_grid(
            torch.from_numpy(theta).to(images.device, torch.float32),
            [len(images), 3, side, side],
            align_corners=False,
        )
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
