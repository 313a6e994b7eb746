"""A calibration: what was measured of one model with one pipeline on named data, and its store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis.errors import (
    CalibrationError,
    ModelMismatchError,
    OptionError,
    UnknownCalibrationError,
    UnsupportedFmrError,
)
from visavis.types import OperatingPoint, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from visavis.decision.llr import LlrCalibration

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Calibration(Record):
    """Thresholds and evidence for one model file with one pipeline.

    Attributes:
        name: what users select it by.
        model: model name.
        model_sha256: hash of the model file.
        settings: the pipeline that made the scores.
        method: ``labelled`` or ``unlabelled``.
        points: operating points, highest FMR first, at least one.
        evidence: fitted score-to-LLR maps, the default first; may be empty.
        reference: what is needed to compare other photos' scores with these: name -> numbers.
        dataset: what was measured, for people to read.
        people: people behind it (0 where unknown).
        photos: photos behind it.
        failures: photos left out, with no face or unreadable.
        created: ISO 8601 date.
        command: the command that makes it again.
        note: the uncertainty, in words.
    """

    name: str
    model: str
    model_sha256: str
    settings: str
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

    def operating_point(self, fmr: float) -> OperatingPoint:
        """The operating point for a false match rate.

        Between two measured points the stricter one is returned: its FMR is at most ``fmr``.

        Raises:
            OptionError: ``fmr`` is outside (0, 1).
            UnsupportedFmrError: ``fmr`` is below every measured one.
        """
        if not isinstance(fmr, (int, float)) or not 0 < fmr < 1:
            raise OptionError(f"a false match rate of {fmr!r}", "give one in (0, 1), such as 1e-3")
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
        """Natural-log likelihood ratios of scores, by the default map.

        Raises:
            CalibrationError: the calibration has none, being made without mated pairs.
        """
        if not self.evidence:
            raise CalibrationError(
                f"calibration '{self.name}' has no evidence map: it was made without mated pairs",
                "calibrate on photos with two or more a person",
            )
        return self.evidence[0].llr(scores)

    def require_model(self, model: str, model_sha256: str) -> None:
        """Raise ModelMismatchError unless this was made with that model file."""
        if self.model_sha256 != model_sha256:
            raise ModelMismatchError(
                f"calibration '{self.name}', made with {self.model} ({self.model_sha256[:12]}), "
                f"for model {model} ({model_sha256[:12]})",
                "choose a calibration of this model, or make one: `visavis calibrate`",
            )

    def to_json(self) -> str:
        """The calibration as a JSON document; ``from_json`` gives it back."""
        return json.dumps({"schema": SCHEMA, **self.to_dict()}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, *, source: str = "calibration") -> Calibration:
        """Read what ``to_json`` wrote.

        Raises:
            CalibrationError: not such a document, or of a later schema.
        """
        from visavis.decision.llr import LlrCalibration

        remedy = "make it anew: `visavis calibrate`"
        try:
            plain = json.loads(text)
            if plain.get("schema") != SCHEMA:
                raise CalibrationError(f"{source}: schema {plain.get('schema')}", remedy)
            plain = {f.name: plain[f.name] for f in fields(cls)}
            plain["points"] = tuple(_point(p) for p in plain["points"])
            plain["evidence"] = tuple(
                LlrCalibration(e["method"], tuple(e["scores"]), tuple(e["llrs"]))
                for e in plain["evidence"]
            )
            if plain["reference"] is not None:
                plain["reference"] = {k: tuple(v) for k, v in plain["reference"].items()}
            return cls(**plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(f"{source}: not a calibration ({error!r})", remedy) from error


def _point(plain: dict[str, Any]) -> OperatingPoint:
    number = {"fmr", "fnmr", "target_fmr", "threshold"}
    values: dict[str, Any] = {
        k: float("nan") if v is None and k in number else v for k, v in plain.items()
    }
    for key in ("fmr_ci", "fnmr_ci"):
        low, high = plain[key]
        values[key] = (
            float("nan") if low is None else low,
            float("nan") if high is None else high,
        )
    return OperatingPoint(**values)


class CalibrationStore:
    """Calibrations by name: those shipped with the package, and those saved by users.

    Args:
        home: folder of models, calibrations and caches; the user's data folder when ``None``.
    """

    def __init__(self, home: Path | None = None) -> None:
        if home is None:
            from platformdirs import user_data_path

            home = user_data_path("visavis", appauthor=False)
        self._folder = home / "calibrations"

    def require_free(self, name: str) -> None:
        """Raise OptionError unless a calibration may be saved under ``name``."""
        self._path(name)
        if name in _shipped_names():
            raise OptionError(f"the name {name!r}, which is shipped", "choose another")

    def save(self, calibration: Calibration) -> Path:
        """Keep a calibration under its name, replacing an older one; returns the file.

        Raises:
            OptionError: the name is not usable, or is a shipped one's.
            CalibrationError: the folder cannot be written.
        """
        import os
        import tempfile

        self.require_free(calibration.name)
        path = self._path(calibration.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(calibration.to_json())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            raise CalibrationError(f"{path} ({error})", "name a writable VISAVIS_HOME") from error
        return path

    def load(self, name: str) -> Calibration:
        """The calibration of that name.

        Raises:
            UnknownCalibrationError: there is none.
            CalibrationError: its file is damaged.
        """
        path = self._path(name)
        if path.exists():
            return Calibration.from_json(path.read_text(encoding="utf-8"), source=str(path))
        if name in _shipped_names():
            text = (_shipped() / f"{name}.json").read_text(encoding="utf-8")
            return Calibration.from_json(text, source=f"shipped calibration {name}")
        raise UnknownCalibrationError(
            f"no calibration named {name!r}", f"there are: {', '.join(self.names()) or 'none'}"
        )

    def delete(self, name: str) -> None:
        """Remove a saved calibration.

        Raises:
            UnknownCalibrationError: none is saved under that name (shipped ones stay).
        """
        path = self._path(name)
        if not path.exists():
            raise UnknownCalibrationError(
                f"no saved calibration named {name!r}", "`visavis calibrate --list` shows them"
            )
        path.unlink()

    def names(self) -> list[str]:
        """Names of all calibrations, shipped ones first."""
        saved = sorted(p.stem for p in self._folder.glob("*.json"))
        return [*_shipped_names(), *saved]

    def for_model(
        self, name: str | None, *, model: str, model_sha256: str, settings: str
    ) -> Calibration:
        """The named calibration, or the model's own when ``name`` is ``None``.

        A model's own is the one shipped for its file (among several, the one made with the same
        settings), else the one saved under the model's name and made with its file, which is how
        `visavis models add` keeps the calibration of a model directory.

        Raises:
            UnknownCalibrationError: there is none.
        """
        if name is not None:
            return self.load(name)
        fitting = [c for c in self._all_shipped() if c.model_sha256 == model_sha256]
        if not fitting and (own := self.own(model, model_sha256)) is not None:
            return own
        if not fitting:
            raise UnknownCalibrationError(
                f"no calibration is known for model {model!r} ({model_sha256[:12]})",
                "measure one on your photos: `visavis calibrate DIR --name mine --model "
                f"{model}`, then pass --calibration mine",
            )
        return next((c for c in fitting if c.settings == settings), fitting[0])

    def own(self, model: str, model_sha256: str) -> Calibration | None:
        """The calibration saved under a model's name, if it was made with that model file."""
        try:
            path = self._path(model)
        except OptionError:
            return None
        if not path.is_file():
            return None
        saved = Calibration.from_json(path.read_text(encoding="utf-8"), source=str(path))
        return saved if saved.model_sha256 == model_sha256 else None

    def _all_shipped(self) -> Iterable[Calibration]:
        return (self.load(name) for name in _shipped_names())

    def _path(self, name: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise OptionError(
                f"the calibration name {name!r}",
                "use letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            )
        return self._folder / f"{name}.json"


def is_shipped(calibration: Calibration) -> bool:
    """Whether a calibration came with the package, and so knows nothing of the user's photos."""
    return calibration.name in _shipped_names()


def _shipped() -> Any:
    return resources.files("visavis.decision") / "data"


def _shipped_names() -> list[str]:
    folder = _shipped()
    if not folder.is_dir():
        return []
    return sorted(
        f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")
    )
