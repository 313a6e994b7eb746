"""Model files: list, verify, download, add, remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from visavis.api.options import Progress, stage
from visavis.errors import (
    MissingExtraError,
    ModelDamagedError,
    ModelMismatchError,
    ModelUnavailableError,
    OptionError,
)
from visavis.former import levelled
from visavis.types import Record
from visavis.weights import ModelCopy, ModelEntry, WeightStore

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration, CalibrationStore
    from visavis.weights.model_directory import ModelDirectory

Place = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class ModelState(Record):
    """State of the local copies of a model.

    Attributes:
        name: of the model.
        state: ``intact``, ``damaged`` or ``not here``.
        detail: the files, or the problem.
    """

    name: str
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class RemovedModel(Record):
    """Result of removing a model.

    Attributes:
        name: of the model.
        erased: erased files, and the calibration saved under the model's name.
        left: files of installed packages, which stay.
    """

    name: str
    erased: tuple[str, ...]
    left: tuple[str, ...]


class ModelNotes(TypedDict, total=False):
    """Further information about an added model.

    Attributes:
        crop_scale: size of the face in the crop relative to the 112x112 template; default 1.
        use: permitted use, in words.
        training_data: training data.
        paper: citation.
        homepage: origin, such as a web page.
    """

    crop_scale: float
    use: str
    training_data: str
    paper: str
    homepage: str


def list(*, home: Path | None = None) -> tuple[ModelEntry, ...]:
    """Returns all registered models, built-in ones first.

    Args:
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """
    return WeightStore(home).entries()


def show(name: str, *, home: Path | None = None) -> ModelEntry:
    """Returns the entry of a model; ``copies`` has its files.

    Raises:
        UnknownModelError: none of that name is registered.
    """
    return WeightStore(home).entry(name)


def copies(name: str, *, home: Path | None = None) -> tuple[ModelCopy, ...]:
    """Returns the local files of a model, in order of use; may be empty.

    Raises:
        UnknownModelError: none of that name is registered.
    """
    return WeightStore(home).copies(name)


def described(name: str, *, home: Path | None = None) -> dict[str, Any]:
    """Returns ``show`` and ``copies`` as JSON-ready values."""
    store = WeightStore(home)
    entry = store.entry(name)
    copies = [copy.to_dict() for copy in store.copies(name)]
    return {**entry.to_dict(), "builtin": entry.builtin, "copies": copies}


def calibration(name: str, *, home: Path | None = None) -> Calibration | None:
    """Returns the calibration of an added model, or the one saved under its name."""
    from visavis.decision.profile import CalibrationStore

    return CalibrationStore(home).own(name, show(name, home=home).sha256)


def not_served(entry: ModelEntry) -> dict[str, str]:
    """Returns runtimes that do not support a model, each with the reason."""
    from visavis.inference import RUNTIMES, check_options

    found = {}
    for runtime in sorted({*RUNTIMES} - {*entry.runtimes}):
        try:
            check_options(runtime, None)
        except MissingExtraError as error:
            found[runtime] = f"not tried in {runtime}: {error}"
        else:
            found[runtime] = f"not served right by {runtime}"
    return found


def fetch(name: str, *, progress: Progress | None = None, home: Path | None = None) -> Path:
    """Downloads a model unless it is available; returns its file.

    Args:
        name: of the model.
        progress: called with ``bytes``, received, and total.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.

    Raises:
        ModelUnavailableError: no source, or none works.
        ModelDamagedError: the content is not the registered file.
    """
    return WeightStore(home).fetch(name, progress=stage(progress, "bytes"))


def verify(names: Sequence[str] = (), *, home: Path | None = None) -> tuple[ModelState, ...]:
    """Compares the SHA-256 of local copies with the registered one.

    Args:
        names: names of models; empty: all local ones.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """
    store = WeightStore(home)
    rows = []
    for name in names or [entry.name for entry in store.entries()]:
        try:
            detail = ", ".join(copy.path for copy in store.verify(name))
            rows.append(ModelState(name, "intact", detail))
        except ModelUnavailableError as error:
            if names:
                rows.append(ModelState(name, "not here", str(error)))
        except ModelDamagedError as error:
            rows.append(ModelState(name, "damaged", str(error)))
    return tuple(rows)


def add(
    name: Place,
    file: Place | None = None,
    /,
    *,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    color: str | None = None,
    license: str | None = None,
    input_size: int | None = None,
    layout: str | None = None,
    home: Path | None = None,
    **about: Unpack[ModelNotes],
) -> ModelEntry:
    """Adds your own face embedder; then ``model=name`` selects it everywhere.

    A model directory of ``train`` or ``export`` needs no options, and its operating points become
    the model's calibration. The graph is checked and run first: one image input, one vector per
    crop.

    >>> add("r50", "w600k_r50.onnx", mean=127.5, std=127.5, color="rgb",
    ...     license="LicenseRef-Non-Commercial")  # doctest: +SKIP
    >>> add("runs/mine/model")  # doctest: +SKIP

    Args:
        name: what to call it: ``a-z 0-9 . _ -``; or, alone, a model directory, or a file in that of
            ``export``.
        file: the ONNX file, or a model directory that is to be called ``name``; it is copied.
            Load ``.pt2`` and TorchScript files only from sources that you trust.
        mean: subtracted from pixel values 0 to 255: one number, or three in the order of
            ``color``. Needed for an ONNX file, as are the next three.
        std: then divided by this, above 0.
        color: channel order that the network wants: ``rgb`` or ``bgr``.
        license: SPDX expression.
        input_size: side of the crop in pixels, if the graph leaves it open.
        layout: ``NCHW`` or ``NHWC``, if the graph's shape does not tell.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
        **about: see ``ModelNotes``.

    Raises:
        ModelError: it is no intact model directory, or its graph is refused.
        OptionError: a setting is missing or out of its range, or the name is taken, by a model or
            by another model's calibration.
        CalibrationError: the operating points cannot be read.
    """
    store = WeightStore(home)
    stated = {"mean": mean, "std": std, "color": color, "license": license}
    place = Path(name if file is None else file)
    if file is None or place.is_dir() or is_exported(place):
        given = [key for key, value in stated.items() if value is not None] + sorted(about)
        if given or input_size is not None or layout is not None:
            raise OptionError(
                f"{(given or ['input_size or layout'])[0]} with {place}",
                "a model directory says that itself: leave it out"
                if place.is_dir() or is_exported(place)
                else f"give a name and a file: NAME and {place}",
            )
        folder = place.parent if is_exported(place) else place
        return _add_directory(store, folder, None if file is None else str(name), home)
    missing = [key for key, value in stated.items() if value is None]
    if missing or mean is None or std is None or color is None or license is None:
        raise OptionError(
            f"{file} without {', '.join(missing)}", "the file does not contain this: give them"
        )
    from visavis.weights.registry import triple

    means, stds = (triple(v if isinstance(v, (int, float)) else tuple(v)) for v in (mean, std))
    if min(stds) <= 0:
        raise OptionError(f"std {std}", "give numbers above 0")
    return _register(
        store, str(name), Path(file), means, stds,
        input_size=input_size, layout=layout and layout.upper(), color=color.lower(),
        license=license, **about,
    )  # fmt: skip


def is_exported(file: Place) -> bool:
    """Whether a file is one of an exported model, whose ``model.json`` is beside it."""
    from visavis.weights.model_directory import is_exported as look

    return look(Path(file))


def remove(name: str, *, home: Path | None = None) -> RemovedModel:
    """Erases a model's file, derived files, and, if you added it, its entry.

    Raises:
        UnknownModelError: none of that name is registered.
    """
    from visavis.decision.profile import CalibrationStore

    store = WeightStore(home)
    entry = store.entry(name)
    erased = [str(path) for path in store.remove(name)]
    calibrations = CalibrationStore(home)
    if not entry.builtin and calibrations.own(entry.name, entry.sha256) is not None:
        calibrations.delete(entry.name)
        erased.append(f"calibration {entry.name}")
    left = tuple(copy.path for copy in store.copies(name)) if entry.builtin else ()
    return RemovedModel(name, tuple(erased), left)


def _register(
    store: WeightStore,
    name: str,
    file: Path,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    input_size: int | None,
    layout: str | None,
    **about: Any,
) -> ModelEntry:
    from visavis.embedding.check import check_graph
    from visavis.weights.registry import triple

    checked = check_graph(
        file, mean=triple(mean), std=triple(std), input_size=input_size, layout=layout
    )
    return store.add(
        name,
        file,
        input_size=checked.input_size,
        mean=mean,
        std=std,
        layout=checked.layout,
        dimension=checked.dimension,
        batch=checked.batch,
        runtimes=checked.runtimes,
        sha256=checked.sha256,
        **about,
    )


def _add_directory(
    store: WeightStore, path: Path, name: str | None, home: Path | None
) -> ModelEntry:
    """Registers the graph of a model directory and saves its calibration under the model's name."""
    from visavis.decision.profile import CalibrationStore
    from visavis.weights.model_directory import read_directory

    found = read_directory(path)
    entry = found.entry
    called = name or entry.name
    store.check_free(called, sha256=entry.sha256)
    calibrations = CalibrationStore(home)
    calibration = _calibration(found, called)
    if calibration is not None:
        _require_free(calibrations, calibration)
    names = ("input_size", "layout", "color", "license", "crop_scale")
    words = ("use", "training_data", "paper", "homepage")
    about = {key: getattr(entry, key) for key in (*names, *words)}
    if entry.format == "onnx":
        added = _register(store, called, found.graph, entry.mean, entry.std, **about)
    else:
        added = _register_other(store, called, found, **about)
    if calibration is not None:
        calibrations.save(calibration)
    return added


def _register_other(
    store: WeightStore, name: str, found: ModelDirectory, **about: Any
) -> ModelEntry:
    """Checks and registers an exported model of another format than ONNX."""
    import tempfile

    from visavis.embedding.check import check_exported
    from visavis.weights.exported import read_files

    entry = found.entry
    names = tuple(part.name for part in (found.graph, found.weights) if part is not None)
    data = read_files(found.path, names)
    check_exported(data, entry, source=str(found.graph))
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / entry.filename
        packed.write_bytes(data)
        return store.add(
            name,
            packed,
            mean=entry.mean,
            std=entry.std,
            dimension=entry.dimension,
            runtimes=entry.runtimes,
            format=entry.format,
            sha256=entry.sha256,
            **about,
        )


def _calibration(found: ModelDirectory, name: str) -> Calibration | None:
    from visavis.decision.profile import Calibration

    file = found.operating_points
    if file is None:
        return None
    made = Calibration.read(file)
    if made.model_sha256 != found.entry.sha256:
        raise ModelMismatchError(
            f"{file} was measured with another file (sha256 {made.model_sha256[:12]}) than "
            f"{found.graph.name} ({found.entry.sha256[:12]})",
            "remove it and calibrate: `visavis calibrate`, or train the model anew",
        )
    if levelled(made.pipeline_id):
        return None
    points = tuple(replace(point, model=name) for point in made.points)
    return replace(made, name=name, model=name, points=points)


def _require_free(store: CalibrationStore, made: Calibration) -> None:
    """Refuses to overwrite a calibration of another model."""
    if made.name not in store.names():
        return
    if store.load(made.name).model_sha256 != made.model_sha256:
        raise OptionError(
            f"the name {made.name!r}, under which a calibration of another model is saved",
            f"give the model another name, or first: visavis calibrate --delete {made.name}",
        )
