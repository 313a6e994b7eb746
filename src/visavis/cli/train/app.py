"""``visavis train``: trains models on photos of people."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.output import command_line, console, echo_json, home, messages, stages
from visavis.cli.train.show import show_outcome, show_plan
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.records import Outcome
    from visavis.api.training import Trained


app = typer.Typer(
    cls=options.RunByDefault,
    no_args_is_help=True,
    help="Train a model on photos of people, and measure it on other people. `visavis "
    "train --recipe NAME DATA` trains; `visavis train run --help` lists the "
    "options.",
)


@app.command("run", context_settings={"ignore_unknown_options": True})
def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [--FIELD VALUE]...",
            help="A pack of `visavis data pack`, or its input: a folder with one subfolder per "
            "person, the folder of Labeled Faces in the Wild, a .rec file, a pair list. And"
            " any field of the recipe with its new value, such as --epochs 5 or "
            "--loss.margin 0.3; `visavis train recipes NAME` lists them.",
        ),
    ],
    *,
    recipe: Annotated[str, typer.Option("--recipe", help="A name from `visavis train recipes`.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run. Default: runs/RECIPE."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the model. Default: the recipe's name."),
    ] = None,
    license: Annotated[
        str,
        typer.Option(
            help="SPDX expression for the model. The terms of the training photos also apply."
        ),
    ] = "LicenseRef-unspecified",
    use: Annotated[str, typer.Option(help="Permitted use, in words.")] = "",
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="LFW|DIR|PAIRS",
            help="Refuse training people who are in this test protocol. For LFW this is automatic.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the expected steps, time and memory, without training."
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    part: Annotated[
        str | None,
        typer.Option("--part", help="Part of the data, if it has parts. Default: train."),
    ] = None,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    keep_pack: Annotated[
        bool,
        typer.Option(
            "--keep-pack",
            help="Keep OUT/data.pack, the face crops, for further runs. Otherwise it is removed "
            "at the end.",
        ),
    ] = False,
    no_cache: options.NoCache = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of processes on this machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    json: options.Json = False,
) -> None:
    """Train a model with a recipe. The word `run` may be omitted.

    The result, OUT/model, is a model directory: weights, an ONNX file, operating points from
    held-out people, a model card. `visavis models add` registers it. `visavis train forget` erases
    the faces and templates of a run.

    Warns if the model is hardly better than chance.

    Exit code 0: trained; 2: error, or stopped after a collapse.

    Example: `visavis train --recipe finetune-sface photos/ --name mine --out runs/mine`
    """
    from visavis.api import training

    plain, fields = take_apart(words)
    if len(plain) != 1:
        raise OptionError(
            f"{len(plain)} places with data" + (f" ({', '.join(plain)})" if plain else ""),
            "give one pack or folder",
        )
    _refuse_misspelt(fields, recipe)
    with stages(quiet=json) as update, training.live_line(messages) as live:
        wanted: training.TrainOptions = {
            "fields": fields,
            "out": out,
            "name": name,
            "license": license,
            "use": use,
            "against": against,
            "lfw": os.environ.get("VISAVIS_LFW"),
            "resume": resume,
            "part": part,
            "looking": {
                "detector": detector,
                "min_face": min_face,
                "min_confidence": min_confidence,
            },
            "keep_pack": keep_pack,
            "cache": not no_cache,
            "accelerator": accelerator,
            "devices": devices,
            "nodes": nodes,
            "command": command_line(),
            "first": _first_process(),
            "progress": update,
            "on_step": None if json else live,
            "home": home(),
        }
        if dry_run:
            used, pack, made = training.plan(plain[0], recipe=recipe, **wanted)
        else:
            try:
                trained = training.train(plain[0], recipe=recipe, **wanted)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None
    if dry_run:
        if json:
            echo_json({"recipe": used, "data": pack.fingerprint, "plan": made})
        else:
            show_plan(used, made)
    elif trained.model is not None:
        _tell(trained, trained.model, json=json)


def _tell(trained: Trained, model: Outcome, *, json: bool) -> None:
    if json:
        echo_json(trained)
        return
    show_outcome(model)
    early = ", stopped early" if trained.stopped_early else ""
    console.print(
        f"{trained.steps} steps in {trained.seconds / 60:.1f} minutes{early}; model directory: "
        f"{model.path}",
        markup=False,
    )
    if not model.warning:
        console.print(f"use it: visavis models add {model.path}", markup=False)


def _first_process() -> bool:
    """Whether this is the first process of Lightning or torchrun."""
    return all(int(os.environ.get(key, "0")) == 0 for key in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def _refuse_misspelt(fields: Collection[str], recipe: str) -> None:
    """Refuses a misspelled option, which is no field of the recipe either."""
    from difflib import get_close_matches

    from visavis.api import runs

    kinds = runs.fields(runs.recipe(recipe))
    own = [name.replace("_", "-") for name in inspect.signature(run).parameters if name != "words"]
    for name in fields:
        close = get_close_matches(name.replace("_", "-"), own, n=1, cutoff=0.72)
        if close and name not in kinds:
            raise OptionError(f"no option is called --{name}", f"did you mean --{close[0]}?")


@app.command("recipes")
def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show all fields of this recipe.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List all recipes, or all fields of one.

    Example: `visavis train recipes margin-small`
    """
    from visavis.api import runs
    from visavis.cli.train.show import show_recipe, show_recipes

    if name is not None:
        recipe = runs.recipe(name)
        if json:
            echo_json(recipe)
        else:
            show_recipe(recipe)
    elif json:
        echo_json(list(runs.recipes()))
    else:
        show_recipes(runs.recipes())


@app.command("report")
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the page and the pictures; RUN/report if left out."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Plot a run: loss, validation, ROC, scores, projected embeddings.

    Writes one self-contained page, and each plot as SVG and PNG.

    Example: `visavis train report runs/mine`
    """
    from visavis.api import runs

    made = runs.report(run, out=out)
    if json:
        echo_json(made)
    else:
        console.print(f"{made.page}", markup=False)


@app.command("forget")
def forget(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    json: options.Json = False,
) -> None:
    """Erase the faces and templates of a run: crops, checkpoint, templates of validation people.

    The model directory and the log stay; the run cannot be resumed.

    Example: `visavis train forget runs/mine`
    """
    from visavis.api import runs

    gone = runs.forget(run)
    if json:
        echo_json({"erased": gone})
    else:
        console.print(f"{run}: erased {', '.join(gone) or 'nothing'}", markup=False)


@app.command("compare")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, finished or not.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for comparison.svg and comparison.png.")
    ] = Path(),
    json: options.Json = False,
) -> None:
    """Plot several runs together: validation AUC, active fraction, gap between mean scores.

    Example: `visavis train compare runs/semihard runs/hard --out figures`
    """
    from visavis.api.runs import compare as draw

    files = draw(runs, out=out)
    if json:
        echo_json([str(file) for file in files])
    else:
        console.print("\n".join(map(str, files)), markup=False)


def take_apart(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Splits the rest of a command line into words and fields.

    Args:
        words: plain words, ``--field value`` and ``--field=value``, in order.

    Returns:
        The plain words, and the values by field.

    Raises:
        OptionError: a field without a value, or given twice.

    >>> take_apart(["photos/", "--lr", "0.1", "--loss.margin=0.3"])
    (['photos/'], {'lr': '0.1', 'loss.margin': '0.3'})
    """
    plain: list[str] = []
    fields: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            if not left or left[0].startswith("--"):
                raise OptionError(f"{word} without a value", f"give one: {word} VALUE")
            value = left.pop(0)
        if name in fields:
            raise OptionError(f"{word} twice", "give each field once")
        fields[name] = value
    return plain, fields
