"""What ``visavis train`` does: data, leakage check, training, model directory."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from visavis.cli.output import console, echo_json, home, messages, progress
from visavis.cli.train_show import show_outcome, show_plan
from visavis.errors import DataError, OptionError

if TYPE_CHECKING:
    from visavis.training.data.pack import Pack
    from visavis.training.fitting import Fitted
    from visavis.training.outcome.comparison import Contestant
    from visavis.training.recipes import Recipe

PACK: Final = "data.pack"
DISJOINT: Final = "disjoint.pack"
LFW_TEST: Final = "peopleDevTest.txt"
_MARGIN: Final = 0.94
"""A packed crop shows a little more around the face than the network's, for jitter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The command line of ``visavis train``."""

    recipe: str
    fields: dict[str, str]
    data: Path
    out: Path | None
    name: str | None
    licence: str
    use: str
    against: Path | None
    dry_run: bool
    resume: bool
    part: str | None
    detector: str
    min_face: int | None
    min_confidence: float | None
    accelerator: str
    devices: int
    nodes: int
    json: bool

    @property
    def looking(self) -> dict[str, Any]:
        """What is asked of the detector."""
        return {"min_face": self.min_face, "min_confidence": self.min_confidence}


def train(wanted: Wanted) -> None:
    """All of it."""
    from visavis.training.data.split import split_people
    from visavis.training.recipes import by_name, with_overrides
    from visavis.training.recipes.small_data import fit_to

    recipe = by_name(wanted.recipe)
    _refuse_misspelt(wanted.fields, recipe)
    recipe = with_overrides(recipe, wanted.fields)
    name = _free_name(wanted.name or recipe.name)
    out = wanted.out if wanted.out is not None else Path("runs") / recipe.name
    detector = _detector_name(wanted)
    _look_for_a_run(wanted, out)
    pack = _pack(wanted, recipe, out)
    recipe, notes = fit_to(recipe, pack.labels, fixed=frozenset(wanted.fields))
    split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)  # or refuses
    notes += _precision(wanted, recipe)
    for note in notes:
        _tell(note)
    untouched = _untouched(recipe, pack)
    levelling = _levelling(recipe)  # now: what training begins with may be gone by its end
    pack = _without_leaks(wanted, pack, out)
    if wanted.dry_run:
        _plan(recipe, pack, accelerator=wanted.accelerator, json=wanted.json)
        return
    _make_folder(out)
    fitted = _fit(wanted, recipe, pack, out)
    if not _first_process():
        return
    from visavis.training.outcome.describing import Declared, Origin
    from visavis.training.outcome.directory import write_directory

    origin = Origin(
        recipe,
        pack,
        fitted.split,
        Declared(
            name=name,
            licence=wanted.licence,
            use=wanted.use,
            detector=detector,
            command=_command(),
        ),
        levelling,
    )
    _tell("measuring on the validation people")
    outcome = write_directory(
        fitted.network, origin, out, untouched=untouched, threads=recipe.threads
    )
    if wanted.json:
        echo_json(
            {
                "run": str(out),
                "recipe": recipe.to_dict(),
                "data": pack.fingerprint,
                "steps": fitted.steps,
                "best_step": fitted.best_step,
                "stopped_early": fitted.stopped_early,
                "seconds": fitted.seconds,
                "notes": list(notes),
                "model": outcome.to_dict(),
            }
        )
        return
    show_outcome(outcome)
    early = ", stopped early" if fitted.stopped_early else ""
    console.print(
        f"{fitted.steps} steps in {fitted.seconds / 60:.1f} minutes{early}; model directory: "
        f"{outcome.path}",
        markup=False,
    )
    console.print(f"use it: visavis models add {outcome.path}", markup=False)


def _precision(wanted: Wanted, recipe: Recipe) -> tuple[str, ...]:
    from visavis.training.precision import expected_device, half

    device = expected_device(wanted.accelerator)
    if recipe.precision == "32" or half(recipe, device):
        return ()
    return (f"computed in float32: this {device.type} has no arithmetic for bfloat16",)


def _look_for_a_run(wanted: Wanted, out: Path) -> None:
    """Before photos are packed for nothing."""
    from visavis.training.resume import Run

    run = Run(out)
    if wanted.dry_run:
        return
    run.refuse_another(resume=wanted.resume)
    if wanted.resume and not run.last.exists():
        _tell(f"{out} holds no run to go on with: a new one begins")


def _plan(recipe: Recipe, pack: Pack, *, accelerator: str, json: bool) -> None:
    from visavis.training.estimate import plan

    _tell("trying a few steps")
    made = plan(recipe, pack, accelerator=accelerator)
    if json:
        echo_json({"recipe": recipe.to_dict(), "data": pack.fingerprint, "plan": made.to_dict()})
    else:
        show_plan(recipe, made)


def _fit(wanted: Wanted, recipe: Recipe, pack: Pack, out: Path) -> Fitted:
    from contextlib import nullcontext

    from visavis.training.fitting import fit
    from visavis.training.live import LiveLine
    from visavis.training.resume import Run

    try:
        with nullcontext() if wanted.json else LiveLine(messages) as live:
            return fit(
                recipe,
                pack,
                out,
                resume=wanted.resume,
                progress=live,
                accelerator=wanted.accelerator,
                devices=wanted.devices,
                nodes=wanted.nodes,
            )
    except KeyboardInterrupt:
        if Run(out).last.exists():
            _tell(f"stopped; go on with the same command and --resume, from {out}")
        else:
            _tell("stopped before the first checkpoint: there is nothing to go on with")
        raise typer.Exit(130) from None


def _pack(wanted: Wanted, recipe: Recipe, out: Path) -> Pack:
    """The pack that was named, or one made of the photos that were, inside the run."""
    from visavis.cli.data_sources import finder, gather
    from visavis.training.data import packing
    from visavis.training.data.pack import SCALE, SIZE, open_pack
    from visavis.training.resume import Run

    if not wanted.data.exists():
        raise DataError(f"{wanted.data}: not there", "give a pack, or a folder of photos")
    photos_at = wanted.data.is_dir() or wanted.data.suffix.lower() in {".rec", ".csv", ".tsv"}
    if not photos_at:
        if wanted.part is not None:
            raise OptionError(
                f"--part {wanted.part} with a pack", "leave it out: a pack has no parts"
            )
        return open_pack(wanted.data)
    found = gather(wanted.data, part=wanted.part)
    make, how = (
        (None, "aligned crops")
        if found.aligned
        else finder(wanted.detector, "central", **wanted.looking)
    )
    scale = min(SCALE, round(recipe.crop_scale * _MARGIN, 3))
    needed = recipe.input_size * recipe.crop_scale / scale
    _make_folder(out)
    with progress("photos", quiet=wanted.json) as update:
        made = packing.pack(
            found.photos,
            out / PACK,
            finder=make,
            how=how,
            origin=f"{found.origin} ({how})",
            size=112 if found.aligned else max(SIZE, 8 * -(-int(needed) // 8)),
            scale=1.0 if found.aligned else scale,
            replace=not Run(out).last.exists(),
            progress=update,
        )
    if made.left_out:
        _tell(
            f"{len(made.left_out)} of {len(found.photos)} photos left out: "
            f"`visavis data show {made.path}` says which"
        )
    return made


def _untouched(recipe: Recipe, pack: Pack) -> Contestant | None:
    """The model that training starts from, ready to be measured."""
    if not recipe.init:
        return None
    from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
    from visavis.training.outcome.comparison import Contestant
    from visavis.training.outcome.embedders import serve
    from visavis.weights import WeightStore
    from visavis.weights.model_directory import read_directory

    label = f"untouched {Path(recipe.init).name}"
    if Path(recipe.init).is_dir():
        found = read_directory(Path(recipe.init))
        embedder = serve(found.entry, found.graph, threads=recipe.threads)
        scale = found.entry.crop_scale
    else:
        store = WeightStore(home())
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
    return Contestant(label, embedder, scale)


def _levelling(recipe: Recipe) -> str:
    """Of the model that training starts from."""
    from visavis.weights import WeightStore
    from visavis.weights.model_directory import read_directory

    if not recipe.init:
        return ""
    if Path(recipe.init).is_dir():
        return read_directory(Path(recipe.init)).entry.levelling
    return WeightStore(home()).entry(recipe.init).levelling


def _without_leaks(wanted: Wanted, pack: Pack, out: Path) -> Pack:
    """The pack without single photos of the test protocol; people of it are refused.

    The protocol is the one of ``--against``, or LFW's where its people are trained on.
    """
    from visavis.cli.data_sources import protocol_of
    from visavis.training.data import leakage, thinning

    place = wanted.against or _own_protocol(wanted.data, pack)
    if place is None:
        return pack
    protocol = protocol_of(
        place,
        detector=wanted.detector,
        rule="central",
        root=None,
        workers=None,
        quiet=wanted.json,
        **wanted.looking,
    )
    leaks = leakage.find_leaks(pack, protocol)
    leakage.check_disjoint(leaks)
    if not leaks.copies:
        _tell(f"nobody of {protocol.name} is in the training data")
        return pack
    _tell(
        f"{len(leaks.copies)} photos are left out, near-identical ones are in {protocol.name}: "
        + ", ".join(copy.photo for copy in leaks.copies)
    )
    if wanted.dry_run:
        return pack
    _make_folder(out)
    return thinning.without(pack, leaks.rows, out / DISJOINT, left_out=leakage.left_out(leaks))


def _own_protocol(data: Path, pack: Pack) -> Path | None:
    """LFW's folder where LFW is trained on, if it is known."""
    if (data / LFW_TEST).is_file():
        return data
    if not pack.origin.startswith("LFW"):
        return None
    known = os.environ.get("VISAVIS_LFW")
    if known and (Path(known) / LFW_TEST).is_file():
        return Path(known)
    raise OptionError(
        f"{pack.path}, made of LFW, without LFW's test people",
        "give LFW's folder: --against DIR, so that nobody is trained on who is tested with",
    )


def _refuse_misspelt(fields: Collection[str], recipe: Recipe) -> None:
    """What is no field of a recipe may be an option of the command, misspelt."""
    from difflib import get_close_matches

    from visavis.training.recipes.overrides import field_kinds

    own = [name.replace("_", "-") for name in Wanted.__dataclass_fields__ if name != "fields"]
    for name in fields:
        close = get_close_matches(name.replace("_", "-"), own, n=1, cutoff=0.72)
        if close and name not in field_kinds(recipe):
            raise OptionError(f"no option is called --{name}", f"did you mean --{close[0]}?")


def _free_name(name: str) -> str:
    from visavis.weights import BUILTIN
    from visavis.weights.entry import check_name

    if check_name(name) in BUILTIN:
        raise OptionError(f"--name {name}, a built-in model", "choose another name")
    return name


def _detector_name(wanted: Wanted) -> str:
    from visavis import faces

    return faces.detector(wanted.detector, home=home(), threads=1, **wanted.looking).name


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"--out {out} ({error.strerror or error})", "name a folder that can be written"
        ) from error


def _first_process() -> bool:
    """Of several that Lightning or torchrun started; the others have only helped."""
    return all(int(os.environ.get(key, "0")) == 0 for key in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def _tell(text: str) -> None:
    if _first_process():
        messages.print(f"visavis: {text}", markup=False)


def _command() -> str:
    """The command line, with folders by their last name: models travel, paths don't."""
    words = (Path(word).name if Path(word).exists() else word for word in sys.argv[1:])
    return shlex.join(["visavis", *words])
