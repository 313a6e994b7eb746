"""Trains models: data, leakage check, training, model directory."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from visavis.api.data import finder, gather, protocol_of
from visavis.api.options import DetectorOptions, Progress, log, stage
from visavis.errors import DataError, OptionError, require_extra
from visavis.types import Record

if TYPE_CHECKING:
    from visavis.training.data.pack import Pack
    from visavis.training.estimate import Plan
    from visavis.training.loop.fitting import FitResult
    from visavis.training.loop.progress import LiveLine, ProgressEvent
    from visavis.training.outcome.comparison import EvaluatedModel
    from visavis.training.outcome.directory import Outcome
    from visavis.training.recipes import Recipe

LFW_TEST: Final = "peopleDevTest.txt"
_MARGIN: Final = 0.94
"""Packed crops show a little more around the face than the network's input, for jitter."""


class TrainOptions(TypedDict, total=False):
    """Options of training.

    Attributes:
        fields: changed fields of the recipe, such as ``{"epochs": 5}``.
        out: folder of the run; ``None``: ``runs/RECIPE``.
        name: name of the model; ``None``: the recipe's name.
        license: SPDX expression for the model; the terms of the training photos also apply.
        use: permitted use, in words.
        against: refuse training people who are in this test protocol: LFW's folder, a folder with
            one subfolder per person, a pair list or a pack. Automatic for LFW.
        lfw: LFW's folder, for packs made of LFW; used as ``against``.
        resume: continue an interrupted run.
        part: part of the data, if it has parts; ``None``: ``train``.
        looking: options of detection, see ``visavis.api.options.DetectorOptions``.
        keep_pack: keep ``data.pack``, the face crops, in ``out`` for further runs.
        cache: cache gray thumbnails of test photos in the home folder; default ``True``.
        accelerator: ``auto``, ``cpu``, ``gpu`` or ``mps``.
        devices: processes on this machine.
        nodes: machines.
        command: the command line, for the record.
        first: false in the additional processes of Lightning or torchrun: they write nothing, and
            return ``None`` for the model.
        progress: called with ``photos``, done, and total, while crops are made.
        on_step: called every few steps with the state of the run.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """

    fields: Mapping[str, Any]
    out: str | PathLike[str] | None
    name: str | None
    license: str
    use: str
    against: str | PathLike[str] | None
    lfw: str | PathLike[str] | None
    resume: bool
    part: str | None
    looking: DetectorOptions
    keep_pack: bool
    cache: bool
    accelerator: str
    devices: int
    nodes: int
    command: str
    first: bool
    progress: Progress | None
    on_step: Callable[[ProgressEvent], None] | None
    home: Path | None


_DEFAULTS: Final[TrainOptions] = {
    "fields": {},
    "out": None,
    "name": None,
    "license": "LicenseRef-unspecified",
    "use": "",
    "against": None,
    "lfw": None,
    "resume": False,
    "part": None,
    "looking": {},
    "keep_pack": False,
    "cache": True,
    "accelerator": "auto",
    "devices": 1,
    "nodes": 1,
    "command": "",
    "first": True,
    "progress": None,
    "on_step": None,
    "home": None,
}


@dataclass(frozen=True, slots=True, eq=False)
class Trained(Record):
    """A finished training run.

    Attributes:
        run: its folder.
        recipe: the recipe as used.
        data: fingerprint of the training data.
        steps: number of steps.
        best_step: the step of the model.
        stopped_early: whether validation ended the run before its last step.
        seconds: training time, including earlier parts of a resumed run.
        notes: changes made to fit the data or the device.
        model: the written model directory with its measurements; ``visavis.models.add`` takes its
            ``path``. ``None`` in additional processes.
    """

    run: str
    recipe: Recipe
    data: str
    steps: int
    best_step: int
    stopped_early: bool
    seconds: float
    notes: tuple[str, ...]
    model: Outcome | None


def train(data: str | PathLike[str], /, *, recipe: str, **options: Unpack[TrainOptions]) -> Trained:
    """Trains with a recipe on photos of people, and measures on held-out people.

    >>> train("staff/", recipe="finetune-sface", out="runs/mine").model.path  # doctest: +SKIP

    Args:
        data: a pack of ``visavis.data.pack``, or what that takes.
        recipe: a name from ``visavis.runs.recipes``.
        **options: see ``TrainOptions``.

    Raises:
        DataError: too little data, or test people in it.
        OptionError: no such recipe or field; or a built-in model's name.
        CollapseError: embeddings collapsed, or numbers are not finite any more.
        MissingExtraError: a package that training needs is not installed.
        TrainingError: there is a run in ``out`` already.
    """
    wanted: TrainOptions = {**_DEFAULTS, **options}
    chosen, out = _chosen(recipe, wanted)
    name = _free_name(wanted["name"] or chosen.name)
    require_extra("train", "training")
    detector = _detector_name(wanted)
    _look_for_a_run(wanted, out)
    place = Path(data)
    with _place_for_crops(wanted, place, out) as folder:
        used, pack, notes, untouched = _prepared(wanted, place, chosen, out, folder, dry=False)
        make_folder(out)
        fitted = _fit(wanted, used, pack, out)
        outcome = None
        if wanted["first"]:
            from visavis.training.outcome.describing import ModelOrigin
            from visavis.training.outcome.directory import write_directory

            origin = ModelOrigin(
                used,
                pack,
                fitted.split,
                name=name,
                license=wanted["license"],
                use=wanted["use"],
                detector=detector,
                command=wanted["command"],
            )
            _tell(wanted, "measuring on the validation people")
            outcome = write_directory(
                fitted.network,
                origin,
                out,
                untouched=untouched,
                threads=used.threads,
            )
            if outcome.warning:
                _tell(wanted, f"warning: {outcome.warning}")
    return Trained(
        str(out), used, pack.fingerprint, fitted.steps, fitted.best_step, fitted.stopped_early,
        fitted.seconds, notes, outcome,
    )  # fmt: skip


def live_line(console: Any, /) -> LiveLine:
    """Returns a progress line on a terminal, for ``on_step``.

    >>> with live_line(Console()) as line:  # doctest: +SKIP
    ...     train("staff/", recipe="finetune-sface", on_step=line)
    """
    from visavis.training.loop.progress import LiveLine

    return LiveLine(console)


def plan(
    data: str | PathLike[str], /, *, recipe: str, **options: Unpack[TrainOptions]
) -> tuple[Recipe, Pack, Plan]:
    """Tries a few steps without writing: returns the final recipe, its data, and the expected time
    and memory.

    Arguments and errors are those of ``train``.
    """
    wanted: TrainOptions = {**_DEFAULTS, **options}
    chosen, out = _chosen(recipe, wanted)
    _free_name(wanted["name"] or chosen.name)
    require_extra("train", "training")
    from visavis.training.estimate import plan as estimate

    place = Path(data)
    with _place_for_crops(wanted, place, out, dry=True) as folder:
        used, pack, _, _ = _prepared(wanted, place, chosen, out, folder, dry=True)
        _tell(wanted, "trying a few steps")
        return used, pack, estimate(used, pack, accelerator=wanted["accelerator"])


def _chosen(recipe: str, wanted: TrainOptions) -> tuple[Recipe, Path]:
    from visavis.training.recipes import by_name, with_overrides

    fields = {name: str(value) for name, value in wanted["fields"].items()}
    chosen = with_overrides(by_name(recipe), fields)
    return chosen, Path(wanted["out"] if wanted["out"] is not None else Path("runs") / chosen.name)


def _prepared(
    wanted: TrainOptions, data: Path, recipe: Recipe, out: Path, folder: Path, *, dry: bool
) -> tuple[Recipe, Pack, tuple[str, ...], EvaluatedModel | None]:
    """Returns the recipe adapted to the data, the crops, notes, and the initial model."""
    from visavis.training.data.split import split_people
    from visavis.training.recipes.small_data import fit_to

    pack = _pack_photos(wanted, data, recipe, out, folder)
    recipe, notes = fit_to(recipe, pack.labels, fixed=frozenset(wanted["fields"]))
    split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)  # or refuses
    notes += _precision(wanted, recipe)
    for note in notes:
        _tell(wanted, note)
    untouched = _untouched(wanted, recipe, pack)
    return recipe, _without_leaks(wanted, data, pack, out, dry=dry), notes, untouched


def _tell(wanted: TrainOptions, text: str) -> None:
    """Logs a message once for all processes."""
    if wanted["first"]:
        log.info("visavis: %s", text)


def make_folder(out: Path) -> None:
    """Creates the private folder of the run.

    Raises:
        DataError: it cannot be created.
    """
    from visavis.writing import private_folder

    try:
        private_folder(out)
    except OSError as error:
        raise DataError(
            f"--out {out} ({error.strerror or error})", "name a folder that can be written"
        ) from error


def _precision(wanted: TrainOptions, recipe: Recipe) -> tuple[str, ...]:
    from visavis.training.loop.hardware import expected_device, uses_bf16

    device = expected_device(wanted["accelerator"])
    if recipe.precision == "32" or uses_bf16(recipe, device):
        return ()
    return (f"computed in float32: this {device.type} has no arithmetic for bfloat16",)


def _look_for_a_run(wanted: TrainOptions, out: Path) -> None:
    """Checks for an earlier run before photos are packed."""
    from visavis.training.loop.checkpoints import Run

    run = Run(out)
    run.refuse_another(resume=wanted["resume"])
    if wanted["resume"] and not run.last.exists():
        _tell(wanted, f"{out} holds no run to go on with: a new one begins")


def _fit(wanted: TrainOptions, recipe: Recipe, pack: Pack, out: Path) -> FitResult:
    from visavis.training.loop.checkpoints import Run
    from visavis.training.loop.fitting import fit

    try:
        return fit(
            recipe,
            pack,
            out,
            resume=wanted["resume"],
            progress=wanted["on_step"],
            accelerator=wanted["accelerator"],
            devices=wanted["devices"],
            nodes=wanted["nodes"],
        )
    except KeyboardInterrupt:
        if Run(out).last.exists():
            _tell(wanted, f"stopped; go on with the same command and --resume, from {out}")
        else:
            _tell(wanted, "stopped before the first checkpoint: there is nothing to go on with")
        raise


def _untouched(wanted: TrainOptions, recipe: Recipe, pack: Pack) -> EvaluatedModel | None:
    """The initial model, to be measured."""
    if not recipe.init:
        return None
    from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
    from visavis.training.outcome.comparison import EvaluatedModel
    from visavis.training.outcome.model_file import serve
    from visavis.weights import WeightStore
    from visavis.weights.model_directory import read_directory

    label = f"original {Path(recipe.init).name}"
    if Path(recipe.init).is_dir():
        found = read_directory(Path(recipe.init))
        embedder = serve(found.entry, found.graph, threads=recipe.threads)
        scale = found.entry.crop_scale
    else:
        store = WeightStore(wanted["home"])
        embedder = OnnxEmbedder(
            recipe.init, store=store, options=EmbedderOptions(threads=recipe.threads)
        )
        scale = store.entry(recipe.init).crop_scale
    if scale < pack.scale:
        raise OptionError(
            f"{recipe.init}, whose crops show more around the face (scale {scale:g}) than "
            f"{pack.path} has ({pack.scale:g})",
            "pack with a smaller --crop-scale",
        )
    return EvaluatedModel(label, embedder, scale)


def _free_name(name: str) -> str:
    from visavis.weights import BUILTIN
    from visavis.weights.registry import check_name

    if check_name(name) in BUILTIN:
        raise OptionError(f"--name {name}, a built-in model", "choose another name")
    return name


def _looking(wanted: TrainOptions) -> DetectorOptions:
    return {**wanted["looking"], "home": wanted["home"]}


def _detector_name(wanted: TrainOptions) -> str:
    return finder("central", **_looking(wanted))[1].rpartition(", ")[0]


@contextmanager
def _place_for_crops(
    wanted: TrainOptions, data: Path, out: Path, *, dry: bool = False
) -> Iterator[Path]:
    """Yields the folder for crops; removes them after a finished or dry run.

    After an interruption the crops stay, so that the run can be resumed, and a message says so.
    """
    from visavis.training.forgetting import DISJOINT, PACK

    packing = _are_photos(data)
    if dry and packing and not wanted["keep_pack"]:
        place = next(folder for folder in out.absolute().parents if folder.is_dir())
        with _folder_for_a_try(place) as folder:
            yield Path(folder)
        return
    over = False
    try:
        yield out
        over = True
    finally:
        if wanted["first"]:
            if (out / DISJOINT).is_file():
                (out / DISJOINT).unlink()
            if over and packing and not wanted["keep_pack"]:
                (out / PACK).unlink()
            kept = [path.name for path in sorted(out.glob("data*.pack*"))]
            if kept:
                _tell(
                    wanted,
                    f"crops of faces stay in {out} ({', '.join(kept)}); "
                    f"{shlex.join(['visavis', 'train', 'forget', str(out)])} erases them",
                )


def _folder_for_a_try(place: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder on the disk of the run, where there is space."""
    try:
        return tempfile.TemporaryDirectory(dir=place, prefix=".visavis-dry-run-")
    except OSError as error:
        raise DataError(
            f"{place} ({error.strerror or error})", "name a folder by --out that can be written"
        ) from error


def _are_photos(data: Path) -> bool:
    """Whether the data are photos, of which crops must be made first; not a pack."""
    return data.is_dir() or data.suffix.lower() in {".rec", ".csv", ".tsv"}


def _pack_photos(wanted: TrainOptions, data: Path, recipe: Recipe, out: Path, folder: Path) -> Pack:
    """Opens the given pack, or makes one from the given photos."""
    from visavis.training.data import packing
    from visavis.training.data.pack import SCALE, SIZE, open_pack
    from visavis.training.forgetting import PACK
    from visavis.training.loop.checkpoints import Run

    if not data.exists():
        raise DataError(f"{data}: not there", "give a pack, or a folder of photos")
    if not _are_photos(data):
        if wanted["part"] is not None:
            raise OptionError(
                f"--part {wanted['part']} with a pack", "leave it out: a pack has no parts"
            )
        return open_pack(data)
    found = gather(data, part=wanted["part"])
    make, how = (None, "aligned crops") if found.aligned else finder("central", **_looking(wanted))
    scale = min(SCALE, round(recipe.crop_scale * _MARGIN, 3))
    needed = recipe.input_size * recipe.crop_scale / scale
    make_folder(folder)
    made = packing.pack(
        found.photos,
        folder / PACK,
        finder=make,
        how=how,
        origin=f"{found.origin} ({how})",
        size=112 if found.aligned else max(SIZE, 8 * -(-int(needed) // 8)),
        scale=1.0 if found.aligned else scale,
        replace=not Run(out).last.exists(),
        progress=stage(wanted["progress"], "photos"),
    )
    if made.left_out:
        _tell(wanted, f"{len(made.left_out)} of {len(found.photos)} photos left out")
        for one in made.left_out[:20]:
            _tell(wanted, f"left out: {one.message}")
        if len(made.left_out) > 20:
            _tell(
                wanted, "… and more: `visavis data pack` lists all, and its pack can be trained on"
            )
    return made


def _without_leaks(wanted: TrainOptions, data: Path, pack: Pack, out: Path, *, dry: bool) -> Pack:
    """Returns the pack without photos of the test protocol; raises if its people are in the pack.

    The protocol is that of ``--against``, or LFW's if the pack was made of LFW.
    """
    from visavis.training.data import leakage
    from visavis.training.data.pack import without
    from visavis.training.forgetting import DISJOINT

    place = wanted["against"] or _own_protocol(wanted, data, pack)
    if place is None:
        return pack
    protocol = protocol_of(
        Path(place), cache=wanted["cache"], progress=wanted["progress"], **_looking(wanted)
    )
    leaks = leakage.find_leaks(pack, protocol)
    leakage.check_disjoint(leaks)
    if not leaks.copies:
        _tell(wanted, f"nobody of {protocol.name} is in the training data")
        return pack
    _tell(
        wanted,
        f"{len(leaks.copies)} photos are left out: near-identical ones are in {protocol.name}: "
        + ", ".join(copy.photo for copy in leaks.copies),
    )
    if dry:
        return pack
    make_folder(out)
    return without(pack, leaks.rows, out / DISJOINT, left_out=leakage.left_out(leaks))


def _own_protocol(wanted: TrainOptions, data: Path, pack: Pack) -> Path | None:
    """Returns LFW's folder for training on LFW, if known."""
    if (data / LFW_TEST).is_file():
        return data
    if not pack.origin.startswith("LFW"):
        return None
    known = wanted["lfw"]
    if known and (Path(known) / LFW_TEST).is_file():
        return Path(known)
    raise OptionError(
        f"{pack.path}, made of LFW, without LFW's test people",
        "give LFW's folder with --against DIR, so that no test person is in the training data",
    )
