"""``visavis evaluate``: measures error rates on labelled data."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.api import evaluate
from visavis.cli import options
from visavis.cli.evaluate.table import show
from visavis.cli.output import console, echo_json, stages
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.evaluate import Measured

app = typer.Typer(
    no_args_is_help=True,
    help="Measure error rates on labelled data. Exit code 0: every pair was scored; 1: "
    "some failed and were counted; 2: error.",
)

Faces = Annotated[
    str,
    typer.Option(
        "--faces",
        help="Face to use if a photo has several: central (default; a benchmark's subject is"
        " in the center), largest, best-match or refuse (the pair then counts as "
        "failed).",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for report.html, scores.parquet and summary.json."),
]
Scores = Annotated[
    Path | None,
    typer.Option("--scores", help="Also write the score file here, .csv or .parquet."),
]
Bootstrap = Annotated[
    int,
    typer.Option("--bootstrap", min=0, help="Bootstrap replicates for the intervals; 0 for none."),
]
Pictures = Annotated[
    bool,
    typer.Option(
        "--pictures/--no-pictures",
        help="Show the faces of the worst pairs in the report.",
    ),
]


_SHARED = {
    "faces": (Faces, "central"),
    "out": (Out, None),
    "scores": (Scores, None),
    "bootstrap": (Bootstrap, 1000),
    "pictures": (Pictures, False),
    "workers": (options.Workers, None),
    "no_cache": (options.NoCache, False),
}


@app.command()
@options.photo_options(**_SHARED)
def lfw(
    view: Annotated[
        int,
        typer.Option("--view", help="1: for development (1,000 pairs). 2: for reporting (6,000)."),
    ] = 1,
    part: Annotated[
        str, typer.Option("--part", help="Part of View 1: test, or train (2,200 pairs).")
    ] = "test",
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            envvar="VISAVIS_LFW",
            help="Folder with pairs.txt and lfw-deepfunneled/, as in the archive.",
        ),
    ] = None,
    write_pairs: Annotated[
        Path | None,
        typer.Option("--write-pairs", help="Also write the pairs as CSV for `evaluate pairs`."),
    ] = None,
    mean_people: Annotated[
        int | None,
        typer.Option(
            "--mean-people",
            min=0,
            help="Number of people, in no pair, for a mean template on which the pairs are also "
            "scored. Default: all that the protocol has; 0: none.",
        ),
    ] = None,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Evaluate on Labeled Faces in the Wild by its protocol.

    Reports two results: for plain templates with the shipped thresholds; and for templates centered
    on the mean of people who are in no pair (for View 2: of the training list), as after `visavis
    calibrate` on your photos.

    Example: `visavis evaluate lfw --view 2 --root lfw/ --out lfw-report/`
    """
    if root is None:
        raise OptionError(
            "no folder of Labeled Faces in the Wild", "give --root DIR or set VISAVIS_LFW"
        )
    own: dict[str, Any] = {
        "view": view,
        "part": part,
        "mean_people": mean_people,
        "write_pairs": write_pairs,
    }
    _measure(evaluate.lfw, root, json=json, **own, **wanted)


@app.command()
@options.photo_options(**_SHARED)
def pairs(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            help="Columns a, b, same (1/0); optional fold, group, person_a, person_b.",
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that a and b are relative to. Default: the CSV's own."),
    ] = None,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Evaluate on your own list of pairs.

    Example: `visavis evaluate pairs gate.csv --root photos/ --out gate-report/`
    """
    _measure(evaluate.pairs, file, json=json, root=root, **wanted)


@app.command(name="bin")
@options.photo_options(**_SHARED)
def bin_set(
    file: Annotated[Path, typer.Argument(metavar="FILE.bin", help="Such as agedb_30.bin.")],
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Evaluate on a .bin dataset of aligned crops, as published by insightface.

    LFW, CFP-FP, AgeDB-30, CALFW and CPLFW are available in this format. The file is a pickle; it is
    read without executing code.

    Example: `visavis evaluate bin agedb_30.bin --out agedb-report/`
    """
    _measure(evaluate.bin, file, json=json, **wanted)


@app.command()
@options.photo_options(**{**_SHARED, "bootstrap": (Bootstrap, 200)})
def folders(
    root: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with one subfolder per person.")
    ],
    most: Annotated[
        int,
        typer.Option("--most", min=1, help="Most pairs of each kind; a larger number is sampled."),
    ] = 1_000_000,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the sample.")] = 0,
    json: options.Json = False,
    **wanted: Any,
) -> None:
    """Evaluate on all pairs of photos in a folder with one subfolder per person.

    Example: `visavis evaluate folders staff/ --out staff-report/`
    """
    _measure(evaluate.folders, root, json=json, most=most, seed=seed, **wanted)


@app.command()
def report(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="A score file, .csv or .parquet.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page to write, .html, or a folder.")
    ] = None,
    bootstrap: Bootstrap = 1000,
    json: options.Json = False,
) -> None:
    """Compute metrics and a report from a score file, without the photos.

    Works for scores of any system: a CSV with columns a, b, same and score (higher is closer).

    Example: `visavis evaluate report lfw-report/scores.parquet --out report.html`
    """
    with stages(quiet=json) as update:
        found = evaluate.report(scores, out=out, bootstrap=bootstrap, progress=update)
    if json:
        echo_json(found.summary)
    _tell(found, out, json=json)


def _measure(
    call: Callable[..., Measured],
    place: Path | None,
    *,
    json: bool,
    no_cache: bool,
    out: Path | None,
    **wanted: Any,
) -> None:
    command = shlex.join(["visavis", *sys.argv[1:]])
    with stages(quiet=json) as update:
        found = call(place, out=out, cache=not no_cache, command=command, progress=update, **wanted)
    if json:
        echo_json(found.to_dict())
    _tell(found, out, json=json)


def _tell(found: Measured, out: Path | None, *, json: bool) -> None:
    if not json:
        show(found.summary)
        if found.about_mean is not None:
            console.print()
            show(found.about_mean.summary)
        if out is not None:
            page = out if out.suffix.lower() in {".html", ".htm"} else out / "report.html"
            console.print(f"report: {page}", markup=False)
    raise typer.Exit(1 if found.summary.failures else 0)
