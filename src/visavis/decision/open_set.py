"""Open-set threshold of a gallery.

In a gallery of N people a non-mated probe can match any of N people. The false positive
identification rate (FPIR, ISO/IEC 19795-1) is the share of non-mated probes whose highest fused
score reaches the threshold. It follows from the model's calibration and the gallery's size
(``non_mated_model``); the non-mated scores of the gallery's own people show how well the
calibration holds for these photos (``fpir_model``). The interval includes the
remaining uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visavis.decision.domain import Domain
from visavis.decision.fpir_model import (
    CENTERED_SHIFT,
    MEAN_SHIFT,
    FpirModel,
    as_non_mated,
    fit_shift,
    prior,
)
from visavis.decision.non_mated_model import NonMatedModel
from visavis.decision.operating_point import TINY
from visavis.decision.profile import Calibration, is_shipped
from visavis.errors import CalibrationError, OptionError, UnsupportedFmrError
from visavis.types import Record

Floats = NDArray[np.float64]

DEFAULT_FPIR: Final = 0.01
"""The FPIR if none is given, provided the data support it."""

ENOUGH: Final = 100
"""Fewest own scores to do without a calibration."""

OWN_KIND: Final = 0.5
"""Cohort shift expected for a user's own calibration, relative to the shipped one
(``fpir_model.prior``)."""

WIDE: Final = 3.0
"""Warn if the true rate may be this many times the stated one."""

MINIMUM_ERRORS: Final = 10
"""Fewest false identifications, or false matches between pairs of people, behind a rate."""

SUSPECTS: Final = 0.05
"""Own scores as high as the typical mated score are attributed to people enrolled twice and left
out, if they are no more than this share, or one pair. If there are more, non-mated scores really
are that high."""

_Z: Final = 1.96
_FUSIONS: Final = ("max", "mean", "weighted")

Mean = Literal["gallery", "calibration", "none"]
MEANS: Final = {
    "gallery": "centered on the gallery's own mean",
    "calibration": "centered on the calibration's mean",
    "none": "of plain templates",
}


@dataclass(frozen=True, slots=True)
class IdentificationPoint(Record):
    """A threshold for one gallery with its FPIR.

    Attributes:
        threshold: a probe with a best fused score at or above it is identified.
        fpir: the rate asked for.
        fpir_ci: 95 % interval of the true rate. Includes: people of the calibration, people of the
            gallery, the cohort shift as far as it is unknown, and the model error
            (``fpir_model.MODEL_SD``).
        basis: the data behind it, in words.
        people: people enrolled.
        templates: mean number of templates per person.
        fusion: how they become one score.
        pairs: pairs of people behind it (of photos, if the calibration has no more); 0 if no
            calibration was used.
        probes: non-mated scores of the gallery behind it.
        suspects: own scores so high that they are probably one person enrolled under two names.
        calibration: name of the calibration; "" if none was used.
        model: model name of the calibration.
        model_sha256: hash of the model file.
        dataset: what the calibration was measured on.
        mean: mean on which templates are centered: ``gallery`` (the gallery's own),
            ``calibration``, or ``none``.
    """

    threshold: float
    fpir: float
    fpir_ci: tuple[float, float]
    basis: str
    people: int
    templates: float = 1.0
    fusion: str = "weighted"
    pairs: int = 0
    probes: int = 0
    suspects: int = 0
    calibration: str = ""
    model: str = ""
    model_sha256: str = ""
    dataset: str = ""
    mean: Mean = "none"


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """Open-set model of one gallery, see ``open_set``.

    Attributes:
        fpir_model: FPIR by score; ``None`` without a calibration.
        own: ``(P,)`` non-mated scores of the gallery, ascending, without suspects; empty if too
            few.
        people: people enrolled.
        templates: mean number of templates per person.
        fusion: how they become one score.
        suspects: own scores that were left out.
        calibration: the calibration in use.
        mean: about which mean templates are compared (``IdentificationPoint.mean``).
    """

    fpir_model: FpirModel | None
    own: Floats
    people: int
    templates: float
    fusion: str
    suspects: int
    calibration: Calibration | None
    mean: Mean = "none"

    @property
    def domain(self) -> Domain | None:
        """The domain of the scores; ``None`` for plain templates."""
        return None if self.calibration is None else self.calibration.domain

    @property
    def lowest(self) -> float:
        """Lowest FPIR that the data support."""
        by_model = self.fpir_model.lowest if self.fpir_model is not None else 1.0
        return min(by_model, MINIMUM_ERRORS / len(self.own) if len(self.own) else 1.0)

    def point(self, fpir: float) -> IdentificationPoint:
        """Returns the threshold for an FPIR.

        Raises:
            OptionError: ``fpir`` is outside (0, 1).
            UnsupportedFmrError: neither calibration nor own scores support so low a rate; nothing
                is extrapolated.
        """
        if not isinstance(fpir, (int, float, np.floating)) or not 0 < fpir < 1:
            raise OptionError(
                f"a false positive identification rate of {fpir!r}",
                "give one in (0, 1), such as 1e-2",
            )
        fpir = float(fpir)  # a NumPy number, perhaps
        if self.fpir_model is not None and fpir >= self.fpir_model.lowest * (1 - 1e-9):
            threshold = self.fpir_model.threshold(fpir)
            return self._point(fpir, threshold, self.fpir_model.interval(threshold), by_own=False)
        count = int(fpir * len(self.own) * (1 + 1e-12))
        if count < MINIMUM_ERRORS:
            raise UnsupportedFmrError(
                f"an FPIR of {fpir:g} for a gallery of {self.people:,} people, for which the data "
                f"support no less than {self.lowest:.2g}",
                self._remedy(fpir),
            )
        # Two people who are each other's best match are one event counted twice.
        factor = float(np.exp(_Z * (2 / count) ** 0.5))
        bounds = (fpir / factor, min(fpir * factor, 1.0))
        return self._point(fpir, float(self.own[-count]), bounds, by_own=True)

    def supported(self, fpir: float) -> float:
        """Returns the lowest supported rate at or above ``fpir``, rounded up.

        Raises:
            UnsupportedFmrError: the data support no rate below 1.
        """
        least = _rounded_up(self.lowest)
        if fpir < self.lowest and least < 1:
            return least
        self.point(fpir)
        return fpir

    def warnings(self, fpir: float) -> tuple[str, ...]:
        """Warnings if the true rate may be far above ``fpir``; each says what to do."""
        point = self.point(fpir)
        known = self.calibration if point.calibration else None
        if known is None or not is_shipped(known) or point.fpir_ci[1] < WIDE * fpir:
            return ()
        return (
            f"strangers may be named at a rate of up to {point.fpir_ci[1]:.2g} (95 %), not "
            f"{fpir:g}: calibration '{known.name}' was measured on other photos ({known.dataset}), "
            f"and {self.people:,} enrolled people are too few to show how alike strangers are on "
            "yours; run `visavis calibrate --unlabelled DIR --name NAME` on 200 photos like yours, "
            "then pass --calibration NAME",
        )

    def fpir(self, scores: ArrayLike) -> Floats:
        """Returns the FPIR at each score, as an upper limit.

        Never below ``lowest``.
        """
        values = np.asarray(scores, dtype=np.float64)
        if self.fpir_model is not None:
            rates = self.fpir_model.fpir(np.minimum(values, self.fpir_model.highest))
            if not len(self.own):
                return rates
            beyond = values > self.fpir_model.highest
            return np.asarray(np.where(beyond, np.minimum(rates, self._observed(values)), rates))
        return self._observed(values)

    def _remedy(self, fpir: float) -> str:
        answer = f"ask for {_rounded_up(self.lowest):g} or more"
        if self.fpir_model is None:
            return f"{answer}, or calibrate on photos of people: `visavis calibrate`"
        if self.calibration is not None and self.calibration.method == "unlabelled":
            return answer
        # Pairs grow with the square of the number of people; with a small margin.
        more = ceil(self.fpir_model.non_mated.people * sqrt(1.25 * self.lowest / max(fpir, TINY)))
        return f"{answer}, or calibrate on photos of about {more:,} people: `visavis calibrate`"

    def _observed(self, values: Floats) -> Floats:
        reached = len(self.own) - np.searchsorted(self.own, values, side="left")
        return np.minimum(np.maximum(reached, MINIMUM_ERRORS) / len(self.own), 1.0)

    def _point(
        self, fpir: float, threshold: float, interval: tuple[float, float], *, by_own: bool
    ) -> IdentificationPoint:
        used = None if by_own else self.calibration
        measured = self.fpir_model.non_mated if self.fpir_model is not None and used else None
        pairs = 0
        if used is not None and measured is not None:
            pairs = used.points[0].pairs if measured.log_sd is not None else int(measured.pairs)
        return IdentificationPoint(
            threshold=threshold,
            fpir=float(fpir),
            fpir_ci=interval,
            basis=self._basis(measured, used)
            + ("" if self.mean == "none" else f"; scores {MEANS[self.mean]}"),
            people=self.people,
            templates=float(self.templates),
            fusion=self.fusion,
            pairs=pairs,
            probes=len(self.own),
            suspects=self.suspects,
            calibration=used.name if used else "",
            model=used.model if used else "",
            model_sha256=used.model_sha256 if used else "",
            dataset=used.dataset if used else "",
            mean=self.mean,
        )

    def _basis(self, measured: NonMatedModel | None, used: Calibration | None) -> str:
        own = f"{len(self.own):,} of the gallery's own people as strangers to the others"
        if used is None or measured is None:
            return own
        if used.method == "unlabelled":
            what = f"calibration '{used.name}' ({used.photos:,} photos without labels)"
        elif measured.log_sd is None:
            what = f"calibration '{used.name}' ({measured.people:,} people)"
        else:
            what = f"calibration '{used.name}' (pairs of photos: on the safe side)"
        if len(self.own):
            return f"{what}, moved to fit {own}"
        return f"{what} alone, not checked on this gallery's photos"


def above_default(fpir: float) -> tuple[str, ...]:
    """Returns a warning if an automatically chosen rate is above the default."""
    if fpir <= DEFAULT_FPIR * (1 + 1e-9):
        return ()
    return (
        f"an FPIR of {DEFAULT_FPIR:g} is not supported for this gallery; the lowest supported one, "
        f"{fpir:g}, is used. Lower rates need a calibration on photos of more people: "
        "`visavis calibrate`",
    )


def open_set(
    *,
    people: int,
    templates: float = 1.0,
    fusion: str = "weighted",
    calibration: Calibration | None = None,
    own: ArrayLike | None = None,
    own_mean: bool = False,
) -> OpenSet:
    """Creates the open-set model of a gallery.

    Args:
        people: people enrolled with templates of the model.
        templates: mean number of templates per person.
        fusion: how their scores are combined (``gallery.store.Fusion``).
        calibration: for the model and pipeline in use.
        own: ``(P,)`` scores from ``GalleryStore.non_mated()`` with the same fusion and the
            calibration's domain.
        own_mean: whether the calibration is centered on the gallery's own mean (``gallery.space``).

    Raises:
        OptionError: nobody is enrolled, an unknown fusion, or scores outside [-1, 1].
        CalibrationError: neither a calibration nor enough own scores.

    >>> import numpy as np
    >>> own = np.linspace(0.2, 0.4, 1000)
    >>> gallery = open_set(people=1000, own=own)
    >>> round(gallery.point(0.05).threshold, 3), gallery.fpir([0.3, 0.9]).round(2).tolist()
    (0.39, [0.5, 0.01])
    """
    if people < 1 or not templates >= 1:
        raise OptionError(f"{people} people with {templates:g} templates", "enroll somebody first")
    if fusion not in _FUSIONS:
        raise OptionError(f"fusion {fusion!r}", f"choose one of {', '.join(_FUSIONS)}")
    scores = np.sort(np.asarray([] if own is None else own, dtype=np.float64).ravel())
    if not (np.abs(scores) <= 1 + 1e-5).all():
        raise OptionError("own scores outside [-1, 1]", "give GalleryStore.non_mated()")
    domain = None if calibration is None else calibration.domain
    if own_mean and domain is not None:
        scores = as_non_mated(scores, domain.people)
    scores, suspects = _without_suspects(scores, calibration)
    if calibration is None:
        if len(scores) < ENOUGH:
            raise CalibrationError(
                f"a gallery of {people:,} people and no calibration of its model",
                f"calibrate on photos of people: `visavis calibrate`, or enroll {ENOUGH} people",
            )
        return OpenSet(None, scores, people, templates, fusion, suspects, None)
    non_mated = NonMatedModel.from_reference(calibration.reference)
    if non_mated is None:
        non_mated = NonMatedModel.from_points(calibration.points)
    scale = 1.0 if is_shipped(calibration) else OWN_KIND
    cohort_shift = prior(scale=scale)
    shift = MEAN_SHIFT if domain is None else CENTERED_SHIFT
    if len(scores):
        alone = FpirModel(non_mated, max(people - 1, 1), templates, fusion, mean_shift=shift)
        cohort_shift = fit_shift(alone.log_expected(scores), alone.spread(scores), scale=scale)
    fpir_model = FpirModel(non_mated, people, templates, fusion, cohort_shift, shift)
    mean: Mean = "none" if domain is None else "gallery" if own_mean else "calibration"
    return OpenSet(fpir_model, scores, people, templates, fusion, suspects, calibration, mean)


@dataclass(frozen=True, slots=True)
class SupportedFpir(Record):
    """Lowest FPIR that a calibration alone supports, for one gallery size, one template per person.

    Attributes:
        people: people enrolled.
        lowest: lowest supported FPIR; 1 if none is.
        lowest_ci: 95 % interval of the true rate there; a gallery's own scores make it narrower.
        default_ci: the same at 0.01; ``None`` if not supported.
    """

    people: int
    lowest: float
    lowest_ci: tuple[float, float]
    default_ci: tuple[float, float] | None

    @property
    def default(self) -> float:
        """The FPIR that ``default_ci`` is at."""
        return DEFAULT_FPIR


def supported_fpirs(
    calibration: Calibration, /, sizes: Sequence[int] = (10, 100, 1000)
) -> tuple[SupportedFpir, ...]:
    """Returns the lowest FPIR that a calibration supports, for each gallery size."""
    found = []
    for people in sizes:
        open_set_model = open_set(people=people, calibration=calibration)
        rate = _rounded_up(open_set_model.lowest)
        if rate >= 1:
            found.append(SupportedFpir(people, 1.0, (0.0, 1.0), None))
            continue
        lowest = open_set_model.point(rate)
        default = open_set_model.point(DEFAULT_FPIR).fpir_ci if rate <= DEFAULT_FPIR else None
        found.append(SupportedFpir(people, rate, lowest.fpir_ci, default))
    return tuple(found)


def _without_suspects(scores: Floats, calibration: Calibration | None) -> tuple[Floats, int]:
    """Returns own scores without those of people probably enrolled twice, and the number
    removed."""
    reference = (calibration.reference if calibration is not None else None) or {}
    if "mated" not in reference or not len(scores):
        return scores, 0
    typical = float(np.interp(0.5, reference["quantiles"], reference["mated"]))
    kept = int(np.searchsorted(scores, typical, side="left"))
    if len(scores) - kept > max(SUSPECTS * len(scores), 2):
        return scores, 0
    return scores[:kept], len(scores) - kept


def _rounded_up(rate: float) -> float:
    """Rounds up to two digits."""
    step = 10.0 ** (np.floor(np.log10(rate)) - 1)
    return float(f"{np.ceil(rate / step - 1e-9) * step:.2g}")
