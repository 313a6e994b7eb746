"""Calibrations: measurements of one model with one pipeline on named data, and their store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from visavis.decision import calibration_file
from visavis.errors import (
    CalibrationError,
    ModelMismatchError,
    OptionError,
    UnknownCalibrationError,
    UnsupportedFmrError,
)
from visavis.former import incomparable, levelled
from visavis.reading import read_text
from visavis.types import OperatingPoint, Record
from visavis.writing import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from visavis.decision.domain import Domain, Side
    from visavis.decision.llr import LlrCalibration
    from visavis.types import Vectors

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ANEW: Final = "restore it from a copy, or make a new one: `visavis calibrate`"
_READABLE: Final = "allow reading there, or choose another home folder (VISAVIS_HOME for commands)"
_WRITABLE: Final = (
    "make room or allow writing there, or choose another home folder (VISAVIS_HOME for commands)"
)


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """Measurements of scores on some photos.

    Attributes:
        points: operating points, highest FMR first, at least one.
        evidence: fitted score-to-LLR maps, the default first; may be empty.
        reference: what is needed to compare other photos' scores with these: name -> numbers.
    """

    points: tuple[OperatingPoint, ...]
    evidence: tuple[LlrCalibration, ...] = ()
    reference: dict[str, tuple[float, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Calibration(Record):
    """Thresholds and likelihood ratios for one model file with one pipeline.

    Scores are measured in the calibration's space: call ``project`` on templates first. Without a
    ``domain`` it is the space of the plain templates.

    Attributes:
        name: name of the calibration.
        model: model name.
        model_sha256: hash of the model file.
        pipeline_id: id of the pipeline that made the scores.
        method: ``labelled`` or ``unlabelled``.
        points: operating points, highest FMR first, at least one.
        evidence: fitted score-to-LLR maps, the default first; may be empty.
        reference: what is needed to compare other photos' scores with these: name -> numbers.
        dataset: description of the data.
        people: people behind it (0 where unknown).
        photos: photos behind it.
        failures: photos left out, with no face or unreadable.
        created: ISO 8601 date.
        command: the command that reproduces it.
        note: the uncertainty, in words.
        domain: mean for centering templates, and whitening; ``None`` for plain templates.
        centered: for a calibration without a domain: measurements of the same photos, centered on
            their own mean. Valid for other photos centered on *their* mean, see ``about``.
    """

    name: str
    model: str
    model_sha256: str
    pipeline_id: str
    method: str
    points: tuple[OperatingPoint, ...]
    evidence: tuple[LlrCalibration, ...] = ()
    reference: dict[str, tuple[float, ...]] | None = None
    dataset: str = ""
    people: int = 0
    photos: int = 0
    failures: int = 0
    created: str = ""
    command: str = ""
    note: str = ""
    domain: Domain | None = None
    centered: Measured | None = None

    def project(self, vectors: Vectors, /, *, side: Side = "a") -> Vectors:
        """Projects templates to the space in which the scores were measured.

        Args:
            vectors: ``(N, D)`` float32 unit vectors.
            side: ``a`` or ``b``, for a calibration of two cameras.

        Returns:
            ``(N, D)`` float32 unit vectors; unchanged if there is no domain.
        """
        return vectors if self.domain is None else self.domain.apply(vectors, side=side)

    def about(self, domain: Domain) -> Calibration | None:
        """Returns the calibration for templates centered on another mean.

        Scores centered on a set's own mean are similar for different sets, so the measurements can
        be used with another mean. A whitening stays.

        Args:
            domain: the mean, without a whitening.

        Returns:
            ``None`` if nothing was measured on centered templates.
        """
        if self.domain is not None:
            kept = self.domain
            return replace(
                self,
                domain=replace(domain, whitening=kept.whitening, shrinkage=kept.shrinkage),
            )
        known = self.centered
        if known is None:
            return None
        return replace(
            self, points=known.points, evidence=known.evidence, reference=known.reference,
            domain=domain, centered=None,
        )  # fmt: skip

    def operating_point(self, fmr: float) -> OperatingPoint:
        """Returns the operating point for a false match rate.

        Between two measured points it is the stricter one: its FMR is at most ``fmr``.

        Raises:
            OptionError: ``fmr`` is outside (0, 1).
            UnsupportedFmrError: ``fmr`` is below every measured one.
        """
        if not isinstance(fmr, (int, float, np.floating)) or not 0 < fmr < 1:
            raise OptionError(f"a false match rate of {fmr!r}", "give one in (0, 1), such as 1e-3")
        fmr = float(fmr)  # a NumPy number, perhaps
        fitting = [p for p in self.points if p.target_fmr <= fmr * (1 + 1e-9)]
        if not fitting:
            lowest = min(p.target_fmr for p in self.points)
            raise UnsupportedFmrError(
                f"a false match rate of {fmr:g} from calibration '{self.name}', whose "
                f"{self.points[0].pairs:,} non-mated pairs support no less than {lowest:g}",
                f"ask for {lowest:g} or more, or calibrate on more people: `visavis calibrate`",
            )
        return replace(max(fitting, key=lambda p: p.target_fmr), target_fmr=fmr)

    def llr(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Returns natural log-likelihood ratios of scores, by the default map.

        Raises:
            CalibrationError: the calibration has no map, because it was made without mated pairs.
        """
        if not self.evidence:
            raise CalibrationError(
                f"calibration '{self.name}' has no evidence map: it was made without mated pairs",
                "calibrate on photos with two or more per person",
            )
        return self.evidence[0].llr(scores)

    def llr_limits(self) -> tuple[float, float]:
        """Returns the lowest and highest log-likelihood ratio of the default map.

        Raises:
            CalibrationError: see ``llr``.
        """
        low, high = self.llr([-1.0, 1.0])
        return float(low), float(high)

    def require_model(self, model: str, model_sha256: str) -> None:
        """Raises ModelMismatchError unless made with that model file and plain templates.

        A former version levelled templates; their scores differ.
        """
        if self.model_sha256 != model_sha256:
            raise ModelMismatchError(
                f"calibration '{self.name}', made with {self.model} ({self.model_sha256[:12]}), "
                f"for model {model} ({model_sha256[:12]})",
                "choose a calibration of this model, or make one: `visavis calibrate`",
            )
        if levelled(self.pipeline_id):
            raise ModelMismatchError(
                incomparable(f"calibration '{self.name}' was measured", self.pipeline_id),
                "calibrate again: `visavis calibrate`",
            )

    def to_json(self) -> str:
        """Returns the calibration as a JSON document for ``from_json``."""
        return calibration_file.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str, *, source: str = "calibration") -> Calibration:
        """Reads the output of ``to_json``.

        Args:
            text: the document.
            source: the file, for messages.

        Raises:
            CalibrationError: invalid, or of a later schema; the message names the field.
        """
        from visavis.decision.domain import Domain

        plain = calibration_file.loads(text, source=source)
        try:
            if plain["domain"] is not None:
                plain["domain"] = Domain.from_dict(plain["domain"])
            if plain["centered"] is not None:
                plain["centered"] = Measured(**_to_fields(plain["centered"]))
            return cls(**_to_fields(plain))
        except (OptionError, ValueError, TypeError) as error:
            raise CalibrationError(f"{source}: domain or reference ({error})", _ANEW) from error

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Reads a calibration file.

        Raises:
            CalibrationError: it cannot be read, or ``from_json`` refuses it.
        """
        try:
            text = read_text(path)
        except UnicodeDecodeError as error:
            raise CalibrationError(f"{path}: not UTF-8 ({error.reason})", _ANEW) from error
        except OSError as error:
            raise CalibrationError(
                f"{path} cannot be read ({error.strerror or error})", _ANEW
            ) from error
        return cls.from_json(text, source=str(path))


class CalibrationStore:
    """Stores calibrations by name: those shipped with the package and those saved by users.

    Args:
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
    """

    def __init__(self, home: Path | None = None) -> None:
        if home is None:
            from platformdirs import user_data_path

            home = user_data_path("visavis", appauthor=False)
        self._folder = home / "calibrations"

    def changed(self) -> int:
        """Time in nanoseconds of the last save or deletion; 0 for never."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    def require_free(self, name: str) -> None:
        """Raises OptionError unless a calibration may be saved as ``name``."""
        self.path(name)
        if name in _shipped_names():
            raise OptionError(f"the name {name!r} of a shipped calibration", "choose another")

    def save(self, calibration: Calibration) -> Path:
        """Saves a calibration under its name, replacing an older one; returns the file.

        Raises:
            OptionError: the name is invalid, or is that of a shipped calibration.
            CalibrationError: the folder cannot be written.
        """
        import os

        self.require_free(calibration.name)
        path = self.path(calibration.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                replacing(path, private=True) as temporary,
                temporary.open("w", encoding="utf-8", errors="surrogatepass") as file,
            ):
                file.write(calibration.to_json())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CalibrationError(
                f"{path} cannot be written ({error.strerror or error})", _WRITABLE
            ) from error
        return path

    def load(self, name: str) -> Calibration:
        """Returns the calibration of that name.

        Raises:
            UnknownCalibrationError: there is none.
            CalibrationError: its file is damaged.
        """
        path = self.path(name)
        if name in _shipped_names():
            return _shipped_one(name)
        if self._is_there(path):
            return Calibration.read(path)
        raise UnknownCalibrationError(
            f"no calibration named {name!r}", f"there are: {', '.join(self.names()) or 'none'}"
        )

    def delete(self, name: str) -> None:
        """Removes a saved calibration.

        Raises:
            UnknownCalibrationError: none is saved under that name (shipped ones cannot be removed).
            CalibrationError: it cannot be removed.
        """
        path = self.path(name)
        if not self._is_there(path):
            raise UnknownCalibrationError(
                f"no saved calibration named {name!r}", "`visavis calibrate --list` shows them"
            )
        try:
            path.unlink()
        except OSError as error:
            raise CalibrationError(
                f"{path} cannot be removed ({error.strerror or error})", _WRITABLE
            ) from error

    def names(self) -> list[str]:
        """Returns the names of all calibrations, shipped ones first.

        Raises:
            CalibrationError: the folder cannot be read.
        """
        try:
            files = list(self._folder.iterdir())
        except FileNotFoundError:
            files = []
        except OSError as error:
            raise CalibrationError(
                f"{self._folder} cannot be read ({error.strerror or error})", _READABLE
            ) from error
        saved = sorted(file.stem for file in files if file.suffix == ".json")
        return [*_shipped_names(), *(name for name in saved if _NAME.fullmatch(name))]

    def for_model(
        self, name: str | None, *, model: str, model_sha256: str, pipeline_id: str
    ) -> Calibration:
        """Returns the named calibration, or the model's own if ``name`` is ``None``.

        A model's own calibration is the one shipped for its file (if there are several, the one
        with the same pipeline id), else the one saved under the model's name and made with its
        file, as by `visavis models add`.

        Raises:
            UnknownCalibrationError: there is none.
        """
        if name is not None:
            return self.load(name)
        fitting: Calibration | None = None
        for shipped in map(_shipped_one, _shipped_names()):  # reads no more than needed
            if shipped.model_sha256 == model_sha256:
                if shipped.pipeline_id == pipeline_id:
                    return shipped
                fitting = fitting or shipped
        if fitting is None and (own := self.own(model, model_sha256)) is not None:
            return own
        if fitting is None:
            raise UnknownCalibrationError(
                f"no calibration is known for model {model!r} ({model_sha256[:12]})",
                "measure one on your photos: `visavis calibrate DIR --name mine --model "
                f"{model}`, then pass --calibration mine",
            )
        return fitting

    def own(self, model: str, model_sha256: str) -> Calibration | None:
        """Returns the calibration saved under a model's name, if it was made with that file."""
        try:
            path = self.path(model)
        except OptionError:
            return None
        if not self._is_there(path):
            return None
        saved = Calibration.read(path)
        return saved if saved.model_sha256 == model_sha256 else None

    def _is_there(self, path: Path) -> bool:
        try:
            path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CalibrationError(
                f"{path} cannot be read ({error.strerror or error})", _READABLE
            ) from error
        return True

    def path(self, name: str) -> Path:
        """Returns the path for a calibration of that name, whether it exists or not."""
        if not _NAME.fullmatch(name):
            raise OptionError(
                f"the calibration name {name!r}",
                "use letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            )
        return self._folder / f"{name}.json"


def _to_fields(plain: dict[str, Any]) -> dict[str, Any]:
    """Checked JSON values as the fields of ``Measured`` and ``Calibration``."""
    from visavis.decision.llr import LlrCalibration

    reference = plain["reference"]
    return {
        **plain,
        "points": tuple(OperatingPoint.from_dict(point) for point in plain["points"]),
        "evidence": tuple(
            LlrCalibration(one["method"], _floats(one["scores"]), _floats(one["llrs"]))
            for one in plain["evidence"]
        ),
        "reference": reference and {key: _floats(column) for key, column in reference.items()},
    }


def _floats(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(float, numbers))


def is_shipped(calibration: Calibration) -> bool:
    """Whether a calibration was shipped with the package."""
    return calibration.name in _shipped_names()


def _shipped_one(name: str) -> Calibration:
    text = (_shipped() / f"{name}.json").read_text(encoding="utf-8")
    return Calibration.from_json(text, source=f"shipped calibration {name}")


def _shipped() -> Path:
    return Path(__file__).with_name("data")


def _shipped_names() -> list[str]:
    folder = _shipped()
    if not folder.is_dir():
        return []
    return sorted(
        f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")
    )
