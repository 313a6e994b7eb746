"""Assembles the commands and turns errors into one line and exit status 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from visavis import __version__
from visavis.cli import (
    cache,
    calibrate,
    cluster,
    data,
    demo,
    detect,
    embed,
    enroll,
    evaluate,
    evaluate_cluster,
    evaluate_identify,
    gallery,
    identify,
    models,
    people,
    train,
    verify,
)
from visavis.errors import VisavisError

app = typer.Typer(
    name="visavis",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Is this the same person? Verify, calibrate and measure face similarity.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"visavis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is this the same person? Verify, calibrate and measure face similarity."""


app.command("verify")(verify.verify)
app.command("detect")(detect.detect)
app.command("embed")(embed.embed)
app.command("enroll")(enroll.enroll)
app.command("enrol", hidden=True)(enroll.enroll)
app.command("identify")(identify.identify)
app.command("calibrate")(calibrate.calibrate)
app.command("demo")(demo.demo)
app.add_typer(people.app, name="people")
app.add_typer(gallery.app, name="gallery")
evaluate.app.command("cluster")(evaluate_cluster.cluster)
evaluate.app.command("identify")(evaluate_identify.identify)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")
app.add_typer(cluster.app, name="cluster")
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")


def run(arguments: list[str] | None = None) -> None:
    """Run the command line; never shows a traceback for bad input."""
    try:
        app(arguments)
    except VisavisError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader went away (`visavis ... | head`); not an error of ours.
        sys.stderr.close()
        sys.exit(2)


def _fail(message: str) -> None:
    text = f"visavis: {message}\n"
    sys.stderr.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.exit(2)
