"""Exports an embedder: writes, measures, describes, and refuses what costs too much."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isnan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from visavis.api import models
from visavis.api.export import measuring, report
from visavis.api.export.records import Comparison, Exported, Parity
from visavis.api.options import Progress, kept_templates, log, make_recognizer, stage
from visavis.errors import ExportError, ModelError, ModelRefusedError, OptionError, writing_to
from visavis.version import __version__
from visavis.weights import WeightStore

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.onnx import OnnxEmbedder
    from visavis.evaluation.protocols import Protocol
    from visavis.exporting import Source, Target
    from visavis.pipeline import Recognizer
    from visavis.types import Crops

Place = str | PathLike[str]

CROPS: Final = 300
"""Default number of crops for calibration."""

MAX_DROP: Final = 0.002
"""Default of the most accuracy that an export may cost: 0.2 points. On 1,000 pairs chance alone
moves it by one or two pairs."""


def targets() -> tuple[str, ...]:
    """Returns the names of all targets."""
    from visavis.exporting import TARGETS

    return tuple(TARGETS)


def export(
    model: Place,
    /,
    *,
    to: str,
    out: Place,
    calibrate: Place | None = None,
    evaluate: Place | None = None,
    view: int = 1,
    name: str | None = None,
    max_drop: float = MAX_DROP,
    crops: int = CROPS,
    force: bool = False,
    detector: str = "yunet",
    bootstrap: int = 1000,
    cache: bool = True,
    workers: int | None = None,
    home: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Exported:
    """Exports an embedder to a file for other runtimes, and measures what that costs.

    The file takes RGB pixels of 0..255 and gives unit vectors: normalization is inside. Beside it
    lie ``model.json`` (all that its use needs), ``operating_points.json``, and the report
    (``report.json``, ``report.md``). ``visavis.models.add(out)`` registers it.

    >>> export("sface", to="openvino-int8", out="sface-int8", calibrate="photos/",
    ...        evaluate="people/")  # doctest: +SKIP

    Args:
        model: a registered ONNX embedder, or a folder of ``visavis.train``.
        to: a target, see ``targets``.
        out: folder to write; an earlier export in it is replaced.
        calibrate: folder of photos for the ranges of 8-bit values; needed by 8-bit targets. People
            of ``evaluate`` are left out: photos in it, in their folders, or of equal content.
        evaluate: labelled photos for error rates and operating points: a folder of LFW, a folder
            with one subfolder per person, or a CSV of pairs. Without it only parity is measured.
        view: of LFW: 1, to choose, or 2, to report.
        name: name of the exported model; default: the model's and the target's.
        max_drop: largest accepted loss of accuracy, as a share: 0.002 is 0.2 points.
        crops: number of crops for calibration.
        force: write the files even if they would be refused.
        detector: of the photos.
        bootstrap: bootstrap replicates for the intervals, 20 or more; 0 for none.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
        command: the command line, for the record.
        progress: called with ``calibration``, ``photos``, ``points`` or ``intervals``, done, and
            total.

    Raises:
        OptionError: unknown target, a missing ``calibrate``, or ``out`` holds other files.
        MissingExtraError: a package that the target needs is not installed.
        ModelError: no such model, or none that can be exported.
        DataError: the photos cannot be used.
        ExportError: the target cannot express the network, or the file differs too much; nothing
            is written then.
    """
    from visavis.exporting import TARGETS

    if to not in TARGETS:
        raise OptionError(f"target {to!r}", f"choose one of {', '.join(TARGETS)}")
    target = TARGETS[to]
    if target.quantized and calibrate is None:
        raise OptionError(
            f"target {to!r} without photos for calibration",
            "give some hundred photos of faces like yours: --calibrate DIR (of people who are "
            "not in --evaluate)",
        )
    for option, value, least in (("max_drop", max_drop, 0.0), ("crops", crops, 1)):
        if not value >= least:
            raise OptionError(f"{option} {value}", f"give {least:g} or more")
    target.require()
    folder = _free(Path(out))
    labelled = None
    if evaluate is not None:
        labelled = measuring.labelled_photos(Path(evaluate), view=view)
    with _opened(model, home) as (source, source_home), tempfile.TemporaryDirectory() as scratch:
        called = name or f"{source.entry.name}-{to}"
        WeightStore(home).check_free(called)
        recognizer = make_recognizer(model=source.entry.name, home=source_home, detector=detector)
        drawn = _calibration_crops(recognizer, calibrate, labelled, crops, progress)
        work = Path(scratch) / "export"
        work.mkdir()
        made = _Work(source, target, called, work, command)
        made.write(drawn if target.quantized else drawn[:0])
        exported = made.load(Path(scratch) / "home")
        result = _measure(
            made, recognizer, exported, labelled, drawn,
            folder=folder, bootstrap=bootstrap, workers=workers, progress=progress,
            cache=cache, home=home,
        )  # fmt: skip
        refused = _refusal(target, result.exported, max_drop)
        if refused and not force:
            raise ExportError(
                f"{source.entry.name} as {to}: {refused}",
                "nothing was written; choose another target or other --calibrate photos, or accept "
                "it with --force",
            )
        final = replace(result.exported, refused=refused)
        made.describe(final, result.calibration)
        report.write(work, final)
        _move(work, folder)
    return final


@dataclass(frozen=True, slots=True)
class _Result:
    exported: Exported
    calibration: Calibration | None


@dataclass(frozen=True, slots=True)
class _Work:
    """An export in a temporary folder."""

    source: Source
    target: Target
    name: str
    folder: Path
    command: str

    def write(self, crops: Crops) -> None:
        from visavis.exporting import write

        write(self.source, self.target, self.folder, crops)
        self._save(calibration_crops=len(crops))

    def load(self, home: Path) -> OnnxEmbedder:
        """Registers the files in a temporary home, as ``visavis models add`` does, and loads
        them."""
        from visavis.embedding.onnx import OnnxEmbedder

        try:
            models.add(self.folder, home=home)
        except ModelRefusedError as error:
            raise ExportError(
                f"{self.source.entry.name} as {self.target.name}: {error.got}", error.remedy
            ) from error
        embedder = OnnxEmbedder(self.name, store=WeightStore(home))
        embedder.load()
        return embedder

    def _save(self, **origin: Any) -> None:
        import hashlib

        from visavis.faces import align
        from visavis.weights import exported
        from visavis.weights.model_directory import DESCRIPTION

        entry = self.source.entry
        size = int(entry.input_size or 0)
        data = exported.read_files(self.folder, self.target.files)
        positions = align.positions(size=size, scale=entry.crop_scale).round(4)
        described = exported.ExportedModel(
            name=self.name,
            target=self.target.name,
            format=self.target.format,  # type: ignore[arg-type]
            files=self.target.files,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            input=exported.Input(size=size),
            alignment=exported.Alignment(
                positions=tuple((float(x), float(y)) for x, y in positions),
                crop_scale=entry.crop_scale,
            ),
            output=exported.Output(dimension=int(entry.dimension or 0)),
            terms=exported.Terms(
                entry.license, entry.use, entry.training_data, entry.paper, entry.homepage
            ),
            origin=exported.Origin(
                model=entry.name,
                sha256=entry.sha256,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                visavis=__version__,
                tools=self.target.versions(),
                command=self.command,
                **origin,
            ),
        )
        (self.folder / DESCRIPTION).write_bytes(described.to_json())

    def describe(self, made: Exported, calibration: Calibration | None) -> None:
        """Adds to ``model.json`` what was measured, and writes the operating points."""
        from visavis.weights import exported
        from visavis.weights.model_directory import DESCRIPTION, POINTS

        file = self.folder / DESCRIPTION
        described = exported.read_description(file.read_bytes(), source=str(file))
        described.refused = made.refused
        fields = exported.Point.__struct_fields__
        described.operating_points = tuple(
            exported.Point(**{name: getattr(point, name) for name in fields})
            for point in made.points
        )
        file.write_bytes(described.to_json())
        if calibration is not None:
            (self.folder / POINTS).write_text(calibration.to_json(), encoding="utf-8")


def _measure(
    made: _Work,
    recognizer: Recognizer,
    exported: OnnxEmbedder,
    labelled: measuring.LabelledPhotos | None,
    drawn: Crops,
    *,
    folder: Path,
    bootstrap: int,
    workers: int | None,
    progress: Progress | None,
    cache: bool,
    home: Path | None,
) -> _Result:
    from visavis.evaluation.verification.run import decades
    from visavis.exporting.graph import whole_graph

    identity = exported.name, exported.sha256
    notes = [made.target.note] if made.target.note else []
    comparison: Comparison | None = None
    calibration: Calibration | None = None
    if labelled is None:
        apart = _parity_only(recognizer, exported, drawn, quantized=made.target.quantized)
        notes.append("no labelled photos were given: only parity was measured")
    else:
        with kept_templates(home, cache=cache) as kept:

            def embedded(protocol: Protocol, step: str) -> measuring.Embedded:
                return measuring.embed_both(
                    protocol, recognizer, exported,
                    cache=kept, workers=workers, progress=stage(progress, step),
                )  # fmt: skip

            both = embedded(labelled.pairs, "photos")
            same = labelled.points is labelled.pairs
            points = both if same else embedded(labelled.points, "points")
        apart = measuring.parity_of(both, labelled.pairs.name)
        comparison = measuring.compare(
            labelled.pairs, both, identity,
            replicates=bootstrap, progress=stage(progress, "intervals"),
        )  # fmt: skip
        calibration, why = measuring.operating_points(
            labelled.points, points.after, identity,
            pipeline_id=recognizer.pipeline_id, command=made.command,
        )  # fmt: skip
        notes += [why] if why else []
        if same and calibration is not None:
            notes.append("operating points are of the same photos as the error rates")
        notes += measuring.overlap(labelled.points, made.source.entry.training_data)
    entry = made.source.entry
    result = Exported(
        path=folder,
        name=made.name,
        target=made.target.name,
        files=made.target.files,
        sha256=exported.sha256,
        size=sum((made.folder / file).stat().st_size for file in made.target.files),
        float32_size=len(whole_graph(made.source, prelu=True).SerializeToString()),
        source=entry.name,
        source_sha256=entry.sha256,
        calibration_crops=len(drawn) if made.target.quantized else 0,
        parity=apart,
        latency=measuring.latencies(recognizer, exported),
        comparison=comparison,
        points=decades(calibration.points) if calibration is not None else (),
        notes=tuple(notes),
        refused="",
    )
    return _Result(result, calibration)


def _parity_only(
    recognizer: Recognizer, exported: OnnxEmbedder, drawn: Crops, *, quantized: bool
) -> Parity:
    """Parity over the crops drawn from photos, or over noise if there are none."""
    of = "the crops of calibration" if quantized else "crops of the photos given"
    if not len(drawn):
        of = "drawn noise: give photos for parity over real crops"
        size = exported.input_size
        coarse = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3))
        side = -(-size // 8)
        drawn = coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size].astype(np.uint8)
    return measuring.parity(recognizer.embedder.embed(drawn), exported.embed(drawn), of)


def _refusal(target: Target, made: Exported, max_drop: float) -> str:
    """Why an export is refused; "" if it is not."""
    apart, comparison = made.parity, made.comparison
    if comparison is not None and isnan(comparison.drop):
        comparison = None  # too few pairs for folds
    reasons = []
    if target.largest is not None and not apart.largest <= target.largest:
        reasons.append(
            f"its templates differ by up to {apart.largest:.2g} (1 - cosine), accepted are "
            f"{target.largest:g}"
        )
    if (comparison is None or not target.quantized) and not apart.mean <= target.mean:
        reasons.append(
            f"its templates differ by {apart.mean:.2g} on average (1 - cosine), accepted are "
            f"{target.mean:g}"
        )
    if comparison is not None and not comparison.drop <= max_drop:
        reasons.append(
            f"accuracy falls from {100 * comparison.before.accuracy:.2f} to "
            f"{100 * comparison.after.accuracy:.2f} % on {comparison.protocol}, accepted are "
            f"{100 * max_drop:g} points"
        )
    return "; ".join(reasons)


def _calibration_crops(
    recognizer: Recognizer,
    folder: Place | None,
    labelled: measuring.LabelledPhotos | None,
    count: int,
    progress: Progress | None,
) -> Crops:
    size = recognizer.embedder.input_size
    if folder is None:
        return np.zeros((0, size, size, 3), np.uint8)
    photos = measuring.calibration_photos(Path(folder), labelled)
    drawn = measuring.draw_crops(recognizer, photos, count, stage(progress, "calibration"))
    if len(drawn) < count:
        log.warning("%d crops for calibration, fewer than %d", len(drawn), count)
    return drawn


@contextmanager
def _opened(model: Place, home: Path | None) -> Iterator[tuple[Source, Path | None]]:
    """Yields the model to export, and the home in which it is registered.

    Raises:
        ModelError: no such model, or it is no ONNX embedder.
    """
    from visavis.exporting import Source

    place = Path(model)
    if not place.is_dir():
        store = WeightStore(home)
        entry = store.entry(str(model))
        if entry.kind != "embedder" or entry.format != "onnx":
            raise ModelRefusedError(
                f"model {entry.name!r}, {entry.kind} in {entry.format} form",
                "choose an embedder in ONNX form, or a folder of `visavis train`",
            )
        yield Source(entry, store.read(entry.name)), home
        return
    from visavis.weights.model_directory import read_directory

    found = read_directory(place)
    if "network" not in found.description:
        raise ModelRefusedError(f"{place}, itself an export", "give what it was exported from")
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        entry = models.add(found.path, home=there)
        network = found.description["network"]
        yield Source(entry, found.graph.read_bytes(), found.path, network), there


def _free(out: Path) -> Path:
    """Checks that a folder is missing or empty, or holds an earlier export.

    Raises:
        OptionError: it holds something else.
    """
    from visavis.weights.model_directory import read_directory

    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            found = read_directory(out)
            if "network" in found.description or found.path != out:
                raise OptionError(f"{out} holds a trained model", "name another folder")
    except ModelError as error:
        raise OptionError(f"{out} holds other files than an export", "name a new folder") from error
    return out


def _move(work: Path, out: Path) -> None:
    """Puts the files into place; an earlier export is replaced."""
    import shutil

    with writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as aside:
            made = Path(aside) / "new"
            shutil.copytree(work, made)
            if out.exists():
                out.rename(Path(aside) / "old")
            made.rename(out)
