"""Augments batches of packed crops and resamples them to the network's input geometry."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from visavis.errors import OptionError
from visavis.training.augment.camera import (
    blur,
    change_color,
    compress,
    erase,
    lower_resolution,
    mix,
)
from visavis.training.augment.masks import apply_mask
from visavis.training.augment.options import AugmentOptions
from visavis.training.augment.resampling import Geometry, Resampler


class Augmenter:
    """Random augmentation, and resampling to the network's geometry.

    A crop is resampled once, for geometry, mirroring and jitter together; one that is given a mask
    twice. The order is that of the world: a mask is worn and misleads the alignment, the camera
    stands somewhere, its lens blurs, its sensor has few pixels, its colors are off, the file is
    compressed; a rectangle may be missing at the end.

    Every draw is a function of `seed` and of the treatment alone: turning one on or off leaves
    the draws of the others as they were.

    Args:
        options: what to do and how much.
        source: geometry `(size, scale)` of the crops, as packed.
        target: geometry of the network's input.

    Raises:
        OptionError: the target shows more around the face than the source has.
    """

    def __init__(self, options: AugmentOptions, *, source: Geometry, target: Geometry) -> None:
        self.options = options
        self.source, self.target = source, target
        self._resampler = Resampler(source, target)

    def plain(self, crops: Tensor) -> Tensor:
        """Resample crops without augmentation, as for verification.

        Args:
            crops: ``(B, S, S, 3)`` uint8 RGB.

        Returns:
            ``(B, 3, s, s)`` float32 RGB, 0 to 255.
        """
        self._check(crops)
        return self._resampler(crops, self._resampler.still(len(crops)))

    def __call__(self, crops: Tensor, *, seed: int) -> Tensor:
        """Augment a batch.

        Args:
            crops: ``(B, S, S, 3)`` uint8 RGB; not changed.
            seed: at least 0; the same seed and crops give the same batch.

        Returns:
            ``(B, 3, s, s)`` float32 RGB, 0 to 255.

        Raises:
            OptionError: crops of another size or type, or a negative seed.
        """
        self._check(crops)
        if seed < 0:
            raise OptionError(f"augmentation seed {seed}", "give 0 or more")
        options = self.options
        if options.mask:
            crops = self._masked(crops, _stream(seed, "mask"))
        images = self._move(crops, _stream(seed, "move"))
        if options.blur:
            images = blur(images, share=options.blur, rng=_stream(seed, "blur"))
        if options.low_resolution:
            rng = _stream(seed, "low_resolution")
            images = lower_resolution(images, share=options.low_resolution, rng=rng)
        if options.color or options.gray:
            rng = _stream(seed, "colour")  # spelled so when the recipes were measured
            images = change_color(images, strength=options.color, gray=options.gray, rng=rng)
        if options.jpeg:
            images = compress(images, share=options.jpeg, rng=_stream(seed, "jpeg"))
        if options.erase:
            images = erase(images, share=options.erase, rng=_stream(seed, "erase"))
        if options.mix:
            images = mix(images, share=options.mix, rng=_stream(seed, "mix"))
        return images

    def _masked(self, crops: Tensor, rng: np.random.Generator) -> Tensor:
        rows = np.flatnonzero(rng.random(len(crops)) < self.options.mask)
        size, scale = self.source
        masked = apply_mask(
            crops[rows].cpu().numpy(), size=size, scale=scale, seed=int(rng.integers(1 << 62))
        )
        crops = crops.clone()
        crops[rows] = torch.from_numpy(masked).to(crops.device)
        return crops

    def _move(self, crops: Tensor, rng: np.random.Generator) -> Tensor:
        options, count = self.options, len(crops)
        flip = rng.random(count) < options.flip
        spread = np.clip(rng.standard_normal((4, count)), -2.0, 2.0)
        matrices = self._resampler.matrices(
            flip=flip,
            rotation=options.rotation * spread[0],
            zoom=np.exp(options.zoom * spread[1]),
            shift=options.shift * self.target[0] * spread[2:].T,
        )
        return self._resampler(crops, matrices)

    def _check(self, crops: Tensor) -> None:
        size = self.source[0]
        if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise OptionError(
                f"crops of shape {tuple(crops.shape)} and type {crops.dtype}",
                f"give (B, {size}, {size}, 3) uint8",
            )


def _stream(seed: int, treatment: str) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(treatment.encode())))
