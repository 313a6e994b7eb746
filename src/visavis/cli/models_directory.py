"""Add a model directory: the file, its settings, and its operating points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from visavis.cli.output import home
from visavis.errors import ModelMismatchError, OptionError
from visavis.former import levelled

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration, CalibrationStore
    from visavis.weights import ModelEntry, WeightStore
    from visavis.weights.model_directory import ModelDirectory


def add_directory(
    path: Path, *, store: WeightStore, name: str | None = None
) -> tuple[ModelEntry, Calibration | None]:
    """Register the graph of a model directory and keep its calibration under the model's name.

    Args:
        path: the model directory, or the folder of a training run.
        store: where models are kept.
        name: what to call the model; as its description says when ``None``.

    Returns:
        The entry, and the calibration; ``None`` where the directory has none, or one of levelled
        templates of a former version.

    Raises:
        ModelError: it is no intact model directory, or its graph is refused.
        OptionError: the name is taken, by a model or by another model's calibration.
        CalibrationError: the operating points cannot be read.
    """
    from visavis.decision.profile import CalibrationStore
    from visavis.embedding.check import check_graph
    from visavis.weights.model_directory import read_directory

    found = read_directory(path)
    entry = found.entry
    called = name or entry.name
    store.check_free(called, sha256=entry.sha256)
    calibrations = CalibrationStore(home())
    calibration = _calibration(found, called)
    if calibration is not None:
        _require_free(calibrations, calibration)
    checked = check_graph(
        found.graph,
        mean=entry.mean,
        std=entry.std,
        input_size=entry.input_size,
        layout=entry.layout,
    )
    added = store.add(
        called,
        found.graph,
        input_size=checked.input_size,
        mean=entry.mean,
        std=entry.std,
        colour=entry.colour,
        licence=entry.licence,
        layout=checked.layout,
        dimension=checked.dimension,
        crop_scale=entry.crop_scale,
        batch=checked.batch,
        runtimes=checked.runtimes,
        use=entry.use,
        training_data=entry.training_data,
        paper=entry.paper,
        homepage=entry.homepage,
        sha256=checked.sha256,
    )
    if calibration is not None:
        calibrations.save(calibration)
    return added, calibration


def forget_calibration(entry: ModelEntry) -> str | None:
    """Erase the calibration that is kept under a removed model's name; returns what was erased."""
    from visavis.decision.profile import CalibrationStore

    calibrations = CalibrationStore(home())
    if calibrations.own(entry.name, entry.sha256) is None:
        return None
    calibrations.delete(entry.name)
    return f"calibration {entry.name}"


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
    if levelled(made.settings):
        return None
    points = tuple(replace(point, model=name) for point in made.points)
    return replace(made, name=name, model=name, points=points)


def _require_free(store: CalibrationStore, made: Calibration) -> None:
    """Refuse to write over a calibration that is not this model's."""
    if made.name not in store.names():
        return
    if store.load(made.name).model_sha256 != made.model_sha256:
        raise OptionError(
            f"the name {made.name!r}, under which a calibration of another model is saved",
            f"give the model another name, or first: visavis calibrate --delete {made.name}",
        )


def in_words(entry: ModelEntry, calibration: Calibration | None) -> str:
    """What the model can be asked for now."""
    if calibration is None:
        return (
            "it brought no operating points that can be used (too few validation people, or "
            "levelled templates of a former version): measure some with "
            f"`visavis calibrate DIR --model {entry.name} --name {entry.name}`"
        )
    lowest = min(point.target_fmr for point in calibration.points)
    return (
        f"calibration {calibration.name}: measured on {calibration.people:,} people, supports a "
        f"false match rate of {lowest:g} or more; use both: "
        f"visavis verify A B --model {entry.name} --fmr {max(lowest, 1e-3):g}"
    )
