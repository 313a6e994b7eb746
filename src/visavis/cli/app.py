"""Assembles the commands and runs the requested one."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from visavis.cli.ending import UnexpectedError, end
from visavis.errors import VisavisError
from visavis.version import __version__

# Module of each command and command group.
_COMMANDS: Final = {
    "verify": "verify",
    "detect": "detect",
    "embed": "embed",
    "enroll": "gallery.enroll",
    "identify": "gallery.identify",
    "watch": "watch",
    "calibrate": "calibrate.app",
    "export": "export",
    "demo": "demo",
    "serve": "serve",
}
_GROUPS: Final = {
    "people": "gallery.people",
    "gallery": "gallery.app",
    "evaluate": "evaluate.app",
    "models": "models.app",
    "cache": "cache",
    "cluster": "cluster.app",
    "train": "train.app",
    "data": "train.data",
    "keys": "keys",
}


class _Commands(TyperGroup):
    """Wraps errors for which Typer would exit with status 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except (OSError, EOFError) as error:
            if isinstance(error, VisavisError):
                raise
            raise UnexpectedError from error


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"visavis {__version__}")
        raise typer.Exit


def build(only: str | None = None) -> typer.Typer:
    """Builds the ``visavis`` command.

    Args:
        only: the requested command; leaving out the others halves the start-up time. All commands
            if it is unknown or ``None``.
    """
    app = typer.Typer(
        name="visavis",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Verify, identify and cluster faces at measured error rates; train and test models.",
    )

    @app.callback()
    def _root(
        version: Annotated[
            bool,
            typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
        ] = False,
    ) -> None:
        """Verify, identify and cluster faces at measured error rates; train and test models."""

    alone = only in {*_COMMANDS, *_GROUPS}
    for name, module in _COMMANDS.items():
        if not alone or name == only:
            app.command(name)(getattr(_module(module), name))
        if name == "enroll" and not alone:
            app.command("enrol", hidden=True)(_module(module).enroll)
    for name in _GROUPS:
        if not alone or name == only:
            app.add_typer(_group(name), name=name)
    return app


def _group(name: str) -> typer.Typer:
    group: typer.Typer = _module(_GROUPS[name]).app
    if name == "evaluate" and not any(c.name == "cluster" for c in group.registered_commands):
        group.command("cluster")(_module("evaluate.cluster").cluster)
        group.command("identify")(_module("evaluate.identify").identify)
    return group


@functools.cache
def _whole() -> typer.Typer:
    return build()


def __getattr__(name: str) -> typer.Typer:
    """``app``: all commands, built on demand."""
    if name == "app":
        return _whole()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _module(name: str) -> Any:
    return importlib.import_module(f"visavis.cli.{name}")


def run(arguments: list[str] | None = None) -> None:
    """Runs the command line; prints errors as one line and exits with their status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["verify"]:
        # It loads some 100,000 objects that all stay, and ends: looking for unreachable ones among
        # them every 700 takes a tenth of the start.
        gc.set_threshold(100_000)
    try:
        build(words[0] if words else None)(arguments)
    except Exception as error:
        end(error)
