"""The threshold of one gallery: how high a stranger's score may come there.

In a gallery of N people a stranger has N chances to look like somebody. The false positive
identification rate (FPIR, ISO/IEC 19795-1) is the share of strangers' probes whose highest fused
score reaches the threshold. It follows from the model's calibration and the gallery's size, and,
in a large gallery, from how close its own people come to one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.profile import Calibration
from visavis.errors import CalibrationError, OptionError, UnsupportedFmrError
from visavis.types import Record

Floats = NDArray[np.float64]

ENOUGH: Final = 200
"""People in a gallery from which on its own scores count."""

MINIMUM_ERRORS: Final = 10


@dataclass(frozen=True, slots=True)
class IdentificationPoint(Record):
    """A threshold for one gallery, together with the rate at which strangers reach it.

    Attributes:
        threshold: a probe whose best fused score is at or above it is named.
        fpir: the rate asked for, or the rate at a given score.
        fpir_ci: 95 % interval of the true rate.
        basis: where it comes from, in words.
        people: people enrolled.
        templates: mean number of templates a person.
        fusion: how they become one score.
        pairs: non-mated pairs of the calibration behind it; 0 where it has no part.
        probes: simulated strangers among the gallery's own people behind it.
        suspects: own scores so high that these are probably people enrolled under two names.
        model: model name, "" where no calibration was given.
        model_sha256: hash of the model file.
        dataset: what the calibration was measured on.
        calibration: its name.
    """

    threshold: float
    fpir: float
    fpir_ci: tuple[float, float]
    basis: str
    people: int
    templates: float = 1.0
    fusion: str = "max"
    pairs: int = 0
    probes: int = 0
    suspects: int = 0
    model: str = ""
    model_sha256: str = ""
    dataset: str = ""
    calibration: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """Strangers before one gallery: fitted once, asked many times. Made by ``open_set``."""

    people: int
    templates: float
    fusion: str
    calibration: Calibration | None
    own: Floats

    def point(self, fpir: float) -> IdentificationPoint:
        """The threshold at which strangers are named at most at the rate ``fpir``.

        Raises:
            OptionError: ``fpir`` is outside (0, 1).
            UnsupportedFmrError: neither calibration nor own scores support so low a rate.
        """
        if not 0 < fpir < 1:
            raise OptionError(f"a false positive identification rate of {fpir}", "give (0, 1)")
        if self.calibration is None:
            count = int(fpir * len(self.own))
            if count < MINIMUM_ERRORS:
                raise UnsupportedFmrError(
                    f"an FPIR of {fpir:g} from {len(self.own):,} own scores",
                    "ask for a higher rate, or give a calibration",
                )
            threshold = float(np.sort(self.own)[::-1][count - 1])
            return self._made(threshold, fpir, (fpir / 2, fpir * 2), "the gallery's own scores")
        rate = -np.expm1(np.log1p(-fpir) / self._chances())
        found = self.calibration.operating_point(float(rate))
        low, high = (float(-np.expm1(self._chances() * np.log1p(-r))) for r in found.fmr_ci)
        return self._made(found.threshold, fpir, (low, high), "calibration")

    def fpir(self, scores: ArrayLike) -> Floats:
        """The chance that a stranger's best score in this gallery reaches each score.

        Never below the lowest rate that the data support: read it as "at most".
        """
        values = np.asarray(scores, dtype=np.float64)
        if self.calibration is None:
            above = (self.own[None, :] >= values.reshape(-1, 1)).sum(axis=1)
            rates = np.maximum(above, MINIMUM_ERRORS) / max(len(self.own), 1)
            return np.asarray(np.minimum(rates, 1.0).reshape(values.shape))
        points = sorted(self.calibration.points, key=lambda p: p.threshold)
        logs = np.interp(values, [p.threshold for p in points], [np.log(p.fmr) for p in points])
        rates = -np.expm1(self._chances() * np.log1p(-np.exp(logs)))
        return np.asarray(np.where(values < points[0].threshold, 1.0, rates))

    def _chances(self) -> float:
        return self.people * (self.templates if self.fusion == "max" else 1.0)

    def _made(
        self, threshold: float, fpir: float, interval: tuple[float, float], basis: str
    ) -> IdentificationPoint:
        known = self.calibration
        return IdentificationPoint(
            threshold=threshold,
            fpir=fpir,
            fpir_ci=interval,
            basis=basis,
            people=self.people,
            templates=self.templates,
            fusion=self.fusion,
            pairs=known.points[0].pairs if known else 0,
            probes=len(self.own),
            model=known.model if known else "",
            model_sha256=known.model_sha256 if known else "",
            dataset=known.dataset if known else "",
            calibration=known.name if known else "",
        )


def open_set(
    *,
    people: int,
    templates: float = 1.0,
    fusion: str = "max",
    calibration: Calibration | None = None,
    own: ArrayLike | None = None,
) -> OpenSet:
    """What strangers score before a gallery.

    Args:
        people: people enrolled with templates of the model.
        templates: mean number of templates a person.
        fusion: how they become one score (``gallery.store.Fusion``).
        calibration: of the model and pipeline in use.
        own: ``GalleryStore.non_mated()`` with the same fusion: how close the gallery's own people
            come to one another, ``(P,)`` scores. Used from 200 people on.

    Raises:
        OptionError: nobody is enrolled, or scores outside [-1, 1].
        CalibrationError: neither a calibration nor enough own scores.
    """
    if people < 1 or templates < 1:
        raise OptionError(f"{people} people with {templates:g} templates", "enrol somebody first")
    scores = np.zeros(0) if own is None else np.asarray(own, dtype=np.float64).ravel()
    if not (np.abs(scores) <= 1 + 1e-5).all():
        raise OptionError("own scores outside [-1, 1]", "give GalleryStore.non_mated()")
    if len(scores) < ENOUGH:
        scores = scores[:0]
    if calibration is None and not len(scores):
        raise CalibrationError(
            f"a gallery of {people:,} people and no calibration",
            f"give a calibration, or enrol {ENOUGH} people",
        )
    return OpenSet(people, templates, fusion, calibration, scores)


def identification_threshold(
    fpir: float,
    *,
    people: int,
    templates: float = 1.0,
    fusion: str = "max",
    calibration: Calibration | None = None,
    own: ArrayLike | None = None,
) -> IdentificationPoint:
    """The threshold for one gallery: ``open_set(...).point(fpir)``."""
    return open_set(
        people=people, templates=templates, fusion=fusion, calibration=calibration, own=own
    ).point(fpir)


def fpir_at(
    scores: ArrayLike,
    *,
    people: int,
    templates: float = 1.0,
    fusion: str = "max",
    calibration: Calibration | None = None,
    own: ArrayLike | None = None,
) -> Floats:
    """The chance that a stranger reaches each score here: ``open_set(...).fpir(scores)``."""
    return open_set(
        people=people, templates=templates, fusion=fusion, calibration=calibration, own=own
    ).fpir(scores)
