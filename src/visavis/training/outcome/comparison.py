"""Compares the initial and the fine-tuned model on the same validation people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.training.augment.masks import apply_mask
from visavis.training.data.pack import Pack
from visavis.training.outcome.figures import Figures, measure, powers, score_all, supported_rates
from visavis.training.outcome.model_file import Change, embed_rows
from visavis.types import Embedder, Record, Vectors

AS_THEY_ARE: Final = "as they are"
MASKED: Final = "with a synthetic face mask on each"


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """Two models on the same pairs.

    Attributes:
        photos_are: how the photos were changed before.
        before: the original model.
        after: the trained one.
    """

    photos_are: str
    before: Figures
    after: Figures


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model to be compared.

    Attributes:
        label: what tables call it.
        embedder: what embeds.
        crop_scale: size of the face in its crop.
    """

    label: str
    embedder: Embedder
    crop_scale: float


def compare(
    before: EvaluatedModel,
    after: EvaluatedModel,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    masked: bool,
) -> tuple[Comparison, ...]:
    """Figures of both models, at false match rates that the pairs support for both.

    Args:
        before: the original model.
        after: the trained one.
        pack: an open pack.
        rows: rows of the validation people.
        masked: also with a synthetic mask on every photo.

    Returns:
        One comparison, or two.

    Raises:
        OptionError: a model's crop shows more around the face than the pack has.
    """
    kinds: list[tuple[str, Change | None]] = [(AS_THEY_ARE, None)]
    if masked:
        kinds.append((MASKED, mask_of(pack)))
    found: list[Comparison] = []
    for photos_are, change in kinds:
        both = [
            embed_rows(one.embedder, pack, rows, crop_scale=one.crop_scale, change=change)
            for one in (before, after)
        ]
        labels = pack.labels[rows]
        rates = common_rates(both, labels)
        first, second = (
            measure(vectors, labels, model=one.label, photos_are=photos_are, rates=rates)
            for one, vectors in zip((before, after), both, strict=True)
        )
        found.append(Comparison(photos_are, first, second))
    return tuple(found)


def common_rates(both: Sequence[Vectors], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """Powers of ten that every model's pairs support, and the lowest rate that all support."""
    supported = [supported_rates(score_all(vectors, labels)) for vectors in both]
    return powers(min(supported, key=len))


def mask_of(pack: Pack) -> Change:
    """A synthetic mask on each packed crop, aligned as a detector would that sees it; the same one
    for the same crop."""

    def change(crops: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
        return apply_mask(crops, size=pack.size, scale=pack.scale, seed=first)

    return change
