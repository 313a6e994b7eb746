"""The domain of a calibration: centering and whitening of templates before comparison."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.errors import OptionError
from visavis.types import Record, Vectors

Side = Literal["a", "b"]
"""Camera of a template, if there are two: ``a`` for references (a passport), ``b`` for probes."""

_LEAST: Final = 1e-6
_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Domain(Record):
    """Centers templates on the mean of similar photos, and optionally whitens them.

    A template x becomes ``whitening @ (x - mean)``, scaled to unit length; scores are still
    cosines. A domain holds no template of a person.

    Attributes:
        mean: ``(D,)`` float32, the mean template; each person counts once.
        photos: photos behind it.
        people: people behind it; without names, photos minus probable mates.
        mean_b: ``(D,)`` float32, the mean of the second camera's photos, if there are two cameras.
        photos_b: photos behind ``mean_b``.
        people_b: people behind ``mean_b``.
        whitening: ``(D, D)`` float32 symmetric, or ``None``: see ``visavis.decision.whitening``.
        shrinkage: weight of the identity in ``whitening``, in [0, 1].

    Example:
        >>> domain = Domain(np.array([0.6, 0.0], np.float32), photos=200, people=200)
        >>> domain.apply(np.array([[0.6, 0.8], [1.0, 0.0]], np.float32)).round(4).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    mean: NDArray[np.float32]
    photos: int
    people: int
    mean_b: NDArray[np.float32] | None = None
    photos_b: int = 0
    people_b: int = 0
    whitening: NDArray[np.float32] | None = None
    shrinkage: float = 1.0

    def apply(self, vectors: ArrayLike, /, *, side: Side = "a") -> Vectors:
        """Projects templates to the space in which the calibration's scores were measured.

        Args:
            vectors: ``(N, D)`` unit vectors.
            side: the camera they come from, if there are two.

        Returns:
            ``(N, D)`` float32 unit vectors. A template that is the mean itself stays as it is.

        Raises:
            OptionError: not an ``(N, D)`` matrix of the mean's length.
        """
        x = np.asarray(vectors, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise OptionError(
                f"vectors of shape {x.shape}", f"give (N, {len(self.mean)}), as the mean has"
            )
        mean = self.mean if self.mean_b is None or side == "a" else self.mean_b
        projected = x.copy()
        for start in range(0, len(x), _BLOCK):
            moved = x[start : start + _BLOCK].astype(np.float64) - mean
            moved = moved if self.whitening is None else moved @ self.whitening
            length = np.linalg.norm(moved, axis=1, keepdims=True)
            np.divide(moved, length, out=projected[start : start + _BLOCK], where=length > _LEAST)
        return projected

    def restore(self, projected: Vectors, /, *, side: Side = "a") -> Vectors:
        """Inverse of ``apply``: unit vectors that it maps to these.

        For directions that are no template's, such as the mean of several.

        Args:
            projected: ``(N, D)`` unit vectors of the domain's space; not zero.
            side: see ``apply``.

        Returns:
            ``(N, D)`` float32 unit vectors, if the mean is shorter than 1.
        """
        mean = (self.mean if self.mean_b is None or side == "a" else self.mean_b).astype(np.float64)
        way: NDArray[Any] = projected.astype(np.float64)
        if self.whitening is not None:
            way = np.linalg.solve(self.whitening.astype(np.float64), way.T).T
        # Move from the mean along the direction until the length is 1.
        near, long = way @ mean, (way**2).sum(axis=1)
        far = (np.sqrt(np.maximum(near**2 + long * (1 - mean @ mean), 0)) - near) / long
        return np.asarray(mean + far[:, None] * way, dtype=np.float32)

    def query(self, projected: Vectors, /) -> Vectors:
        """Returns queries for a search among plain templates that finds those close in this space.

        For a template y of side a the score is ``query @ (y - mean)`` divided by the length of the
        projected y, so the order by ``query @ y`` is nearly that of the scores.

        Args:
            projected: ``(N, D)`` result of ``apply``.

        Returns:
            ``(N, D)`` float32 unit vectors.
        """
        if self.whitening is None:
            return projected
        turned = projected @ self.whitening
        return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; arrays as base64 of little-endian float32, row by row."""
        return {
            field.name: _base64(value) if isinstance(value, np.ndarray) else value
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Domain:
        """The inverse of ``to_dict``.

        Raises:
            OptionError: other values than ``to_dict`` writes.
        """
        values: dict[str, Any] = dict(plain)
        try:
            for key in ("mean", "mean_b", "whitening"):
                if values.get(key) is not None:
                    values[key] = _floats(values[key])
            if values.get("whitening") is not None:
                values["whitening"] = values["whitening"].reshape(-1, len(values["mean"]))
            return msgspec.convert(values, cls)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise OptionError(f"a domain of other values ({error})", "restore the file") from error

    def __post_init__(self) -> None:
        means = [self.mean, *([] if self.mean_b is None else [self.mean_b])]
        size = len(self.mean)
        good = all(m.shape == (size,) and bool(np.isfinite(m).all()) for m in means)
        w = self.whitening
        good &= w is None or (w.shape == (size, size) and bool(np.isfinite(w).all()))
        if not good or not 0 <= self.shrinkage <= 1:
            raise OptionError(
                f"a domain of means {[m.shape for m in means]}",
                "give finite (D,) means, a (D, D) map, a shrinkage in [0, 1]",
            )


def _base64(numbers: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode("ascii")


def _floats(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)


def people_mean(vectors: Vectors, owners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the ``(D,)`` float32 mean of per-person mean templates.

    Args:
        vectors: ``(N, D)`` unit vectors, N at least 1.
        owners: ``(N,)`` person of each template.
    """
    who = np.unique(owners, return_inverse=True)[1]
    weight = 1 / np.bincount(who)[who]
    return np.asarray(weight @ vectors.astype(np.float64) / weight.sum(), dtype=np.float32)
