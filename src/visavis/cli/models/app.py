"""``visavis models``: lists, checks, downloads, adds and removes model files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api import models
from visavis.cli import output
from visavis.cli.output import console, echo_json, home, messages, progress
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.records import ModelEntry

app = typer.Typer(
    no_args_is_help=True,
    help="List, check, fetch, add and remove model files. Only `fetch` uses the network.",
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
_Name = Annotated[str, typer.Argument(help="A name from `visavis models list`.")]
_Names = Annotated[list[str], typer.Argument(help="Names from `visavis models list`.")]


@app.command("list")
def list_models(as_json: _Json = False) -> None:
    """List all models: size, license, hash, and location.

    Example: `visavis models list`
    """
    entries = models.list(home=home())
    if as_json:
        echo_json([models.described(entry.name, home=home()) for entry in entries])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "kind", "dim", "size", "license", "sha256", "where"):
        right = title in {"dim", "size"}
        table.add_column(
            title, justify="right" if right else "left", no_wrap=title != "license", overflow="fold"
        )
    for entry in entries:
        table.add_row(
            entry.name,
            entry.kind,
            str(entry.dimension or ""),
            output.size(entry.size),
            entry.license,
            entry.sha256[:12],
            _where(entry.name),
        )
    # Without a terminal the width is unlimited.
    Console(width=None if console.is_terminal else 200, highlight=False).print(table)


@app.command("show")
def show(name: _Name, as_json: _Json = False) -> None:
    """Show one model: license, permitted use, training data, paper, sources.

    Example: `visavis models show sface`
    """
    if as_json:
        echo_json(models.described(name, home=home()))
        return
    entry = models.show(name, home=home())
    rows = {
        "name": entry.name,
        "kind": entry.kind,
        "file": f"{entry.filename}, {output.size(entry.size)}, {entry.format}",
        "sha256": entry.sha256,
        "license": entry.license,
        "use": entry.use,
        "training data": entry.training_data,
        "paper": entry.paper,
        "homepage": entry.homepage,
        "input": _input(entry),
        "vector": _vector(entry),
        "added": entry.added,
        "carried by": ", ".join(carrier.distribution for carrier in entry.carriers),
        "download": "\n".join(entry.urls),
        "here": "\n".join(
            f"{copy.path} ({copy.place})" for copy in models.copies(name, home=home())
        )
        or "no",
    }
    for title, text in rows.items():
        for line in text.splitlines():
            console.print(f"{title:<13}  {line}", markup=False)


@app.command("fetch")
def fetch(names: _Names, as_json: _Json = False) -> None:
    """Download models that no installed package contains.

    Each download is checked against the registered SHA-256; a damaged copy is replaced.

    Example: `visavis models fetch sface-float`
    """
    fetched = []
    for name in names:
        with progress(f"fetching {name}", quiet=as_json) as update:
            path = models.fetch(name, progress=lambda _, *count: update(*count), home=home())
        sha256 = models.show(name, home=home()).sha256
        fetched.append({"name": name, "path": str(path), "sha256": sha256})
        if not as_json:
            console.print(f"{name}: {path}", markup=False)
    if as_json:
        echo_json(fetched)


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names. Default: all local models.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Read every local copy and compare its SHA-256 with the registered one.

    Exit code 2 if one is damaged, or if a named model is missing.

    Example: `visavis models verify sface yunet`
    """
    rows = models.verify(names or (), home=home())
    if as_json:
        echo_json(rows)
    else:
        for row in rows:
            console.print(f"{row.name}: {row.state} ({row.detail})", markup=False)
    if any(row.state != "intact" for row in rows):
        raise typer.Exit(2)


@app.command("add")
def add(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR",
            help="Name for the model: a-z 0-9 . _ -. Or, alone, a model directory of `visavis "
            "train` or `visavis export`, which has a name.",
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The ONNX file, or a model directory to register as NAME; it is copied.",
        ),
    ] = None,
    *,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean of the pixel values 0..255: one number, or three in the order of "
            "--color, such as 127.5 or 123.7,116.3,103.5. Needed for an ONNX file."
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="Divisor after subtracting the mean: one number, or three. Needed for an ONNX "
            "file."
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(help="Channel order of the input: rgb or bgr. Needed for an ONNX file."),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            help="SPDX expression, such as MIT or LicenseRef-Internal. Needed for an ONNX file."
        ),
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the crop in pixels, if the graph leaves it open.")
    ] = None,
    crop_scale: Annotated[
        float | None,
        typer.Option(
            "--crop-scale",
            help="Size of the face in the crop relative to the 112x112 template; below 1 shows "
            "more around it. Default: 1.",
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="NCHW or NHWC, if the graph's shape is ambiguous.")
    ] = None,
    use: Annotated[str | None, typer.Option(help="Permitted use, in words.")] = None,
    training_data: Annotated[str | None, typer.Option(help="Training data.")] = None,
    paper: Annotated[str | None, typer.Option(help="Citation.")] = None,
    homepage: Annotated[str | None, typer.Option(help="Origin, such as a web page.")] = None,
    as_json: _Json = False,
) -> None:
    """Add your own face embedder; then every command accepts it as `--model NAME`.

    A model directory of `visavis train` or `visavis export` needs no options, and its operating
    points become the model's calibration. The file is checked and run first: one image input, one
    vector per crop. Load .pt2 and TorchScript files only from sources that you trust.

    Example: `visavis models add arcface-r50 w600k_r50.onnx --mean 127.5 --std 127.5 --color rgb
    --license LicenseRef-Non-Commercial --use research`, or `visavis models add runs/mine/model`
    """
    given = {
        "--mean": mean,
        "--std": std,
        "--color": color,
        "--license": license,
        "--input-size": input_size,
        "--crop-scale": crop_scale,
        "--layout": layout,
        "--use": use,
        "--training-data": training_data,
        "--paper": paper,
        "--homepage": homepage,
    }
    directory = Path(name) if file is None else file
    stated = [option for option, value in given.items() if value is not None]
    exported = models.is_exported(directory)
    if file is None or file.is_dir() or exported:
        if stated:
            raise OptionError(
                f"{stated[0]} with {directory}",
                "a model directory says that itself: leave the option out"
                if directory.is_dir() or exported
                else f"give a name and a file: visavis models add NAME {directory}",
            )
        _add_directory(name, file, as_json=as_json)
        return
    missing = [
        option for option in ("--mean", "--std", "--color", "--license") if not given[option]
    ]
    if missing:
        raise OptionError(
            f"{file} without {', '.join(missing)}",
            "the file does not contain this: see `visavis models add --help`",
        )
    entry = models.add(
        name,
        file,
        mean=_numbers("--mean", mean or ""),
        std=_numbers("--std", std or ""),
        color=color,
        license=license,
        layout=layout,
        input_size=input_size,
        crop_scale=1.0 if crop_scale is None else crop_scale,
        use=use or "",
        training_data=training_data or "",
        paper=paper or "",
        homepage=homepage or "",
        home=home(),
    )
    if as_json:
        echo_json(models.described(entry.name, home=home()))
        return
    _tell_added(entry)
    for said in models.not_served(entry).values():
        messages.print(said, markup=False)
    if entry.batch is not None:
        messages.print(f"its graph takes {entry.batch} crop(s) at a time: slow", markup=False)
    known = (one for one in models.list(home=home()) if one.builtin)
    shared = next((one for one in known if one.sha256 == entry.sha256), None)
    messages.print(
        f"it is the file of {shared.name}, whose thresholds are its own"
        if shared
        else "its thresholds are unknown until you measure them: "
        f"visavis calibrate DIR --model {name} --name {name}",
        markup=False,
    )


def _add_directory(name: str, file: Path | None, *, as_json: bool) -> None:
    entry = models.add(name, file, home=home())
    calibration = models.calibration(entry.name, home=home())
    if as_json:
        echo_json({**models.described(entry.name, home=home()), "calibration": calibration})
        return
    _tell_added(entry)
    if calibration is None:
        console.print(
            "it brought no operating points that can be used (too few validation people, or "
            "levelled templates of a former version): measure some with "
            f"`visavis calibrate DIR --model {entry.name} --name {entry.name}`",
            markup=False,
        )
        return
    lowest = min(point.target_fmr for point in calibration.points)
    console.print(
        f"calibration {calibration.name}: measured on {calibration.people:,} people, supports a "
        f"false match rate of {lowest:g} or more; use both: "
        f"visavis verify A B --model {entry.name} --fmr {max(lowest, 1e-3):g}",
        markup=False,
    )


def _tell_added(entry: ModelEntry) -> None:
    console.print(f"added {entry.name}: {_input(entry)}, {entry.dimension} numbers", markup=False)


@app.command("remove")
def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Erase a model's file, derived files, and, if you added it, its entry.

    Example: `visavis models remove arcface-r50 --yes`
    """
    if not (yes or models.show(name, home=home()).builtin):
        if not sys.stdin.isatty():
            raise OptionError(f"removing {name!r} cannot be undone", "confirm it with --yes")
        typer.confirm(f"Erase model {name!r}?", abort=True, err=True)
    gone = models.remove(name, home=home())
    if as_json:
        echo_json(gone)
        return
    for path in gone.erased:
        console.print(f"erased {path}", markup=False)
    for path in gone.left:
        messages.print(f"left {path}: it belongs to an installed package", markup=False)


def _where(name: str) -> str:
    copies = models.copies(name, home=home())
    if not copies:
        return "not here"
    return "cache" if copies[0].cached else "wheel"


def _input(entry: ModelEntry) -> str:
    if entry.input_size is None:
        return ""
    size = f"{entry.input_size}x{entry.input_size}"
    mean, std = (_plain(values) for values in (entry.mean, entry.std))
    scale = "" if entry.crop_scale == 1 else f", crop scale {entry.crop_scale:g}"
    return f"{size} {entry.color} {entry.layout}, (x - {mean}) / {std}{scale}"


def _vector(entry: ModelEntry) -> str:
    if not entry.dimension:
        return ""
    return f"{entry.dimension} numbers"


def _plain(values: tuple[float, ...]) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:g}"
    return "[" + ", ".join(f"{v:g}" for v in values) + "]"


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise OptionError(
            f"{option} {text!r}", "give one number, or three separated by commas"
        ) from error
