"""The files in deploy/ call commands that exist, without rights that these do not need."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from visavis.cli import app as commands

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def parsed(words: list[str]) -> dict[str, Any]:
    """The options of a command line of visavis; raises where it has an unknown one."""
    command: Any = typer.main.get_command(commands.app)
    context = None
    for k, word in enumerate(words):
        command = command.get_command(context, word)
        assert command is not None, words
        if not hasattr(command, "get_command"):
            return command.make_context(word, words[k + 1 :]).params
    raise AssertionError(words)


def container() -> str:
    return (DEPLOY / "Containerfile").read_text()


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(DEPLOY / "visavis.service")
    return found


def test_the_container_serves_and_is_not_root() -> None:
    last = container().rpartition("FROM ")[2]
    (command,) = re.findall(r"^CMD (\[.*\])$", last, re.M)
    options = parsed(json.loads(command))
    assert options["host"] == "0.0.0.0"
    assert options["gallery"] == ["people=/data/people.gallery"]
    (user,) = re.findall(r"^USER (\d+):(\d+)$", last, re.M)
    assert int(user[0]) > 0 < int(user[1])
    assert "VOLUME /data" in last
    assert "VISAVIS_HOME=/data/" in last


def test_the_container_leaves_out_what_is_not_the_package() -> None:
    for name in (".containerignore", ".dockerignore"):
        lines = (DEPLOY.parent / name).read_text().split()
        assert lines[0] == "*"
        copied = {line.removeprefix("!") for line in lines if line.startswith("!")}
        wanted = re.findall(r"^COPY (?!--from)(.+)$", container(), re.M)
        sources = {one for line in wanted for one in line.split()[:-1]}
        assert copied == sources


def test_every_file_that_the_build_needs_is_copied() -> None:
    text = (DEPLOY.parent / "pyproject.toml").read_text()
    for name in re.findall(r'^(?:readme = |license-files = \[)"(\w[\w.]*)"', text, re.M):
        assert f"!{name}" in (DEPLOY.parent / ".containerignore").read_text().split()


def test_compose() -> None:
    service = compose()["services"]["visavis"]
    options = parsed(shlex.split(service["command"]))
    assert options["gallery"] == ["people=http://milvus:19530"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert float(service["stop_grace_period"].rstrip("s")) > options["grace"]


def test_the_unit() -> None:
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "visavis"
    options = parsed(words)
    assert options["host"] == "127.0.0.1"
    assert service["DynamicUser"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert options["gallery"][0].partition("=")[2].startswith("/var/lib/visavis/")
    assert float(service["TimeoutStopSec"]) > options["grace"]


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml", "visavis.service"])
def test_commands_in_comments_exist(name: str) -> None:
    lines = (DEPLOY / name).read_text().splitlines()
    for line in lines:
        for words in re.findall(r"visavis (keys create [^`]+)$", line) if line[:1] == "#" else ():
            assert parsed(shlex.split(words))["scope"]
