"""Cosine similarity, the only score there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from visavis.errors import ModelMismatchError, OptionError
from visavis.types import Template


def cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine similarity of two vectors.

    Args:
        a: ``(D,)`` numbers, not all zero; need not be of unit length.
        b: ``(D,)`` numbers, not all zero.

    Returns:
        Score in [-1, 1], higher is closer.

    Raises:
        OptionError: the shapes differ, or a vector is zero or not finite.

    >>> cosine([3, 4], [4, 3])
    0.96
    """
    x = np.asarray(a, dtype=np.float64)
    y = np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise OptionError(
            f"vectors of shapes {x.shape} and {y.shape}", "give two of the same length"
        )
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    if not np.isfinite(scale) or scale == 0.0:
        raise OptionError("a vector that is zero or not finite", "give the output of an embedder")
    return float(np.clip(x @ y / scale, -1.0, 1.0))


def compare(a: Template, b: Template) -> float:
    """Score of two templates.

    Returns:
        Cosine similarity in [-1, 1], higher is closer.

    Raises:
        ModelMismatchError: the templates were made by two different model files.
    """
    require_one_model([a, b])
    return cosine(a.vector, b.vector)


def require_one_model(templates: Sequence[Template]) -> None:
    """Check that templates may be compared.

    Raises:
        ModelMismatchError: two of them were made by different model files.
    """
    for template in templates[1:]:
        first = templates[0]
        if template.model_sha256 != first.model_sha256:
            raise ModelMismatchError(
                f"{template.photo} was embedded by {template.model} "
                f"({template.model_sha256[:12]}), {first.photo} by {first.model} "
                f"({first.model_sha256[:12]})",
                "embed both photos with one model",
            )
