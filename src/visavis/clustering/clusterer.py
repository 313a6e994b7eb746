"""The ``Clusterer`` protocol and its constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visavis.types import Vectors

Labels = NDArray[np.int64]
"""``(N,)`` cluster numbers, 0 to K-1 in order of first appearance; a single face is a cluster."""


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """Known facts about the faces. Faces are referred to by row number.

    Attributes:
        photos: ``(N,)`` int64, the photo of each face; two faces in one photo are two people.
            -1: unknown photo. ``None``: no such rule.
        must: ``(M, 2)`` int64, faces of one person.
        cannot: ``(C, 2)`` int64, faces of two people.
    """

    photos: NDArray[np.int64] | None = None
    must: NDArray[np.int64] = None  # type: ignore[assignment]
    cannot: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("must", "cannot"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, _no_pairs())


@runtime_checkable
class Clusterer(Protocol):
    """Groups templates by person. Contract tests: ``tests/contracts/clusterer.py``.

    An implementation satisfies all must-links and cannot-links and is deterministic. If the
    constraints contradict each other, it raises ``ConstraintError`` naming two of the faces.
    """

    @property
    def name(self) -> str:
        """Names the algorithm and its options."""
        ...

    def cluster(
        self,
        vectors: Vectors,
        /,
        *,
        quality_score: NDArray[np.float64] | None = None,
        constraints: Constraints | None = None,
    ) -> Labels:
        """Clusters ``(N, D)`` float32 unit vectors; returns ``(N,)`` labels. N may be 0.

        Args:
            vectors: templates of one model.
            quality_score: ``(N,)`` in [0, 1], see ``visavis.faces.quality``; poor faces are
                attached last and never join two clusters. ``None``: all are good.
            constraints: must hold in the result.

        Raises:
            OptionError: wrong shapes, or vectors that are not of unit length.
            ConstraintError: the constraints contradict each other or name an unknown face.
        """
        ...
