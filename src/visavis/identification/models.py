"""Creates the recognizers for the models of a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from visavis.decision.profile import CalibrationStore
from visavis.errors import ModelMismatchError, UnknownModelError
from visavis.identification.migration import target
from visavis.pipeline import Recognizer, RecognizerOptions
from visavis.weights import WeightStore

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.gallery.records import GalleryInfo
    from visavis.gallery.store import GalleryStore

DEFAULT_MODEL: Final = "sface"


def registered(model_sha256: str, name: str, *, home: Path | None = None) -> str:
    """Returns the name under which a model file is registered.

    Args:
        model_sha256: hash of the file.
        name: its name in the gallery.
        home: folder of models.

    Raises:
        UnknownModelError: it is not registered.
    """
    for entry in WeightStore(home).entries():
        if entry.sha256 == model_sha256:
            return entry.name
    raise UnknownModelError(
        f"the gallery holds templates of {name} ({model_sha256[:12]}), a model not registered here",
        f"add its file: `visavis models add {name} FILE ...`",
    )


def recognizers(
    gallery: GalleryStore,
    *,
    model: str | None = None,
    detector: str = "yunet",
    aligned: bool = False,
    calibrations: Sequence[str] = (),
    options: RecognizerOptions | None = None,
    home: Path | None = None,
    make: Callable[..., Recognizer] = Recognizer,
) -> tuple[Recognizer, ...]:
    """Creates a recognizer for each model of the gallery, the one with the most templates first.

    For an empty gallery: one for ``model``, or for the default model.

    Args:
        gallery: the gallery.
        model: use this model's templates only.
        detector: ``yunet``, ``mtcnn`` or ``dlib``.
        aligned: photos are crops aligned to the 112x112 template already.
        calibrations: names of saved calibrations, at most one per model; models without one use the
            calibration shipped with them.
        options: runtime, threads, flip averaging, limits.
        home: folder of models and calibrations; the user's data folder when ``None``.
        make: creates a recognizer.

    Raises:
        ModelMismatchError: the gallery has no template of ``model``, or a calibration is for
            another model.
        UnknownModelError: a model is not registered here.
        UnknownCalibrationError: no calibration of that name.
    """
    info = gallery.info()
    held = sorted((s for s, n in info.faces.items() if n), key=lambda s: (-info.faces[s], s))
    names = [registered(sha256, info.models[sha256], home=home) for sha256 in held]
    if not held:
        names = [model or DEFAULT_MODEL]
    elif model is not None:
        if model not in names:
            _require_held(info, held, model, home)
        names = [model]
    made = CalibrationStore(home)
    loaded = [made.load(name) for name in calibrations]
    found = [
        make(
            model=name,
            detector=detector,
            aligned=aligned,
            calibration=_matching(loaded, WeightStore(home).entry(name).sha256),
            options=options or RecognizerOptions(),
            home=home,
        )
        for name in names
    ]
    _require_used(loaded, found)
    return tuple(found)


def enrolled_otherwise(gallery: GalleryStore, recognizer: Recognizer) -> list[str]:
    """Returns a warning if the gallery's first template of the model was made by another
    pipeline."""
    first = next(iter(gallery.faces(model_sha256=recognizer.model_sha256)), None)
    if first is None or first.pipeline_id in {"", recognizer.pipeline_id}:
        return []
    return [
        f"people were enrolled with {first.pipeline_id}, not with {recognizer.pipeline_id}: scores "
        "come out lower; use the same --detector and --flip, and --aligned only if they were"
    ]


def model_to_enroll(gallery: GalleryStore, *, home: Path | None = None) -> str:
    """Returns the default model for new photos.

    The only model of the gallery; during a migration, the new model; for an empty gallery, the
    default model.

    Raises:
        UnknownModelError: the model is not registered here.
    """
    info = gallery.info()
    held = sorted((s for s, n in info.faces.items() if n), key=lambda s: (-info.faces[s], s))
    if not held:
        return DEFAULT_MODEL
    begun = target(gallery) if len(held) > 1 else None
    if begun is not None and begun[1] in held:
        return registered(begun[1], begun[0], home=home)
    return registered(held[0], info.models[held[0]], home=home)


def _require_held(info: GalleryInfo, held: list[str], model: str, home: Path | None) -> None:
    WeightStore(home).entry(model)  # an unknown name is another error
    there = ", ".join(f"{info.models[sha256]} ({sha256[:12]})" for sha256 in held)
    raise ModelMismatchError(
        f"the gallery has no template of {model}: it holds those of {there}",
        f"leave --model out, or change models: `visavis gallery migrate --model {model}`",
    )


def _matching(loaded: Sequence[Calibration], sha256: str) -> Calibration | None:
    return next((c for c in loaded if c.model_sha256 == sha256), None)


def _require_used(loaded: Sequence[Calibration], found: Sequence[Recognizer]) -> None:
    hashes = {recognizer.model_sha256 for recognizer in found}
    for calibration in loaded:
        if calibration.model_sha256 not in hashes:
            there = ", ".join(f"{r.model} ({r.model_sha256[:12]})" for r in found)
            raise ModelMismatchError(
                f"calibration '{calibration.name}' was made with {calibration.model} "
                f"({calibration.model_sha256[:12]}), the gallery holds {there}",
                "choose a calibration of this model, or make one: `visavis calibrate`",
            )
