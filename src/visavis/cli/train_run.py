"""What ``visavis train`` does: data, leakage check, training, model directory."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from visavis.cli.output import console, echo_json, home, messages
from visavis.cli.train_data import (
    first_process,
    make_folder,
    pack_photos,
    place_for_crops,
    tell,
    without_leaks,
)
from visavis.cli.train_show import show_outcome, show_plan
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.training.data.pack import Pack
    from visavis.training.fitting import Fitted
    from visavis.training.outcome.comparison import Contestant
    from visavis.training.recipes import Recipe


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
    keep_pack: bool
    no_cache: bool
    accelerator: str
    devices: int
    nodes: int
    json: bool

    @property
    def looking(self) -> dict[str, Any]:
        """Detector options that were given."""
        return {"min_face": self.min_face, "min_confidence": self.min_confidence}


def train(wanted: Wanted) -> None:
    """Pack the photos, train, measure and write the model directory; or plan, for a dry run."""
    from visavis.training.recipes import by_name, with_overrides

    recipe = by_name(wanted.recipe)
    _refuse_misspelt(wanted.fields, recipe)
    recipe = with_overrides(recipe, wanted.fields)
    name = _free_name(wanted.name or recipe.name)
    out = wanted.out if wanted.out is not None else Path("runs") / recipe.name
    detector = _detector_name(wanted)
    _look_for_a_run(wanted, out)
    with place_for_crops(wanted, out) as folder:
        _train(wanted, recipe, pack_photos(wanted, recipe, out, folder), out, name, detector)


def _train(wanted: Wanted, recipe: Recipe, pack: Pack, out: Path, name: str, detector: str) -> None:
    from visavis.training.data.split import split_people
    from visavis.training.recipes.small_data import fit_to

    recipe, notes = fit_to(recipe, pack.labels, fixed=frozenset(wanted.fields))
    split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)  # or refuses
    notes += _precision(wanted, recipe)
    for note in notes:
        tell(note)
    untouched = _untouched(recipe, pack)
    pack = without_leaks(wanted, pack, out)
    if wanted.dry_run:
        _plan(recipe, pack, accelerator=wanted.accelerator, json=wanted.json)
        return
    make_folder(out)
    fitted = _fit(wanted, recipe, pack, out)
    if not first_process():
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
    )
    tell("measuring on the validation people")
    outcome = write_directory(
        fitted.network, origin, out, untouched=untouched, threads=recipe.threads
    )
    if outcome.warning:
        tell(f"warning: {outcome.warning}")
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
    if not outcome.warning:
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
        tell(f"{out} holds no run to go on with: a new one begins")


def _plan(recipe: Recipe, pack: Pack, *, accelerator: str, json: bool) -> None:
    from visavis.training.estimate import plan

    tell("trying a few steps")
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
            tell(f"stopped; go on with the same command and --resume, from {out}")
        else:
            tell("stopped before the first checkpoint: there is nothing to go on with")
        raise typer.Exit(130) from None


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


def _command() -> str:
    """The command line, with folders by their last name: models travel, paths don't."""
    words = (Path(word).name if Path(word).exists() else word for word in sys.argv[1:])
    return shlex.join(["visavis", *words])
