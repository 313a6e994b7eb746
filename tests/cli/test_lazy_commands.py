"""A command line loads the command that it names, and help knows all of them."""

from __future__ import annotations

import subprocess
import sys

import typer

from visavis.cli import app as room

_LOADED = """
import sys
from visavis.cli.app import build
build(sys.argv[1])
print(*sorted(name for name in sys.modules if name.startswith(("visavis.cli.", "rich"))))
"""


def loaded(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, command], capture_output=True, text=True, check=True
    )
    return {name.removeprefix("visavis.cli.") for name in done.stdout.split()}


def test_one_command_is_loaded_alone() -> None:
    # Without rich, which --json never needs.
    assert loaded("verify") == {"app", "ending", "verify", "options", "output"}


def test_every_command_is_loaded_where_none_is_named() -> None:
    assert loaded("--help") >= {"verify", "train", "gallery", "evaluate.cluster"}


def test_alone_or_among_others_a_command_is_the_same() -> None:
    everything = typer.main.get_command(room.build())
    names = list(everything.commands)  # type: ignore[attr-defined]
    assert names[0] == "verify"
    assert len(names) == 20
    for name in names:
        alone = typer.main.get_command(room.build(name)).commands[name]  # type: ignore[attr-defined]
        among = everything.commands[name]  # type: ignore[attr-defined]
        assert (alone.help, described(alone)) == (among.help, described(among))


def described(command: object) -> list[object]:
    """Options of a command, or commands of a group."""
    inner = getattr(command, "commands", {})
    parameters = [(p.name, p.opts) for p in command.params]  # type: ignore[attr-defined]
    return [parameters, {name: described(one) for name, one in inner.items()}]
