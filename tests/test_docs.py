"""The documentation is complete, current, and links to what exists."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from visavis.training.recipes import by_name
from visavis.training.recipes.recipe import field_kinds

ROOT = Path(__file__).resolve().parents[1]
TRANSLATED = ROOT / "README.zh-CN.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    TRANSLATED,
    *sorted((ROOT / "docs").rglob("*.md")),
]


@functools.cache
def whole() -> Any:
    """The command line, of which all commands are parts."""
    from visavis.cli.app import app

    return typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", {})
        if not children:
            yield path, command
        for name, child in children.items():
            yield from walk(child, f"{path} {name}")

    return walk(whole(), "visavis")


COMMANDS = list(commands())


def test_the_command_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert kept == module.render(), "run: python docs/generate_commands.py"


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_and_option_has_help_and_an_example(path: str, command: Any) -> None:
    assert command.help
    assert len(command.help) > 20
    assert "Example: `visavis" in command.help, path
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{path} {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                waiting.append((page.parent / target).resolve())
    assert set(PAGES) <= seen


def test_the_translation_says_the_same() -> None:
    """Its code, and the figures of its tables, are those of the README."""
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", TRANSLATED.name))
    for block in re.findall(r"```.*?```", chinese, re.S):
        assert block in english, block
    figures = {figure for row in re.findall(r"^\|.*$", english, re.M) for figure in numbers(row)}
    told = [number for row in re.findall(r"^\|.*$", chinese, re.M) for number in numbers(row)]
    assert len(told) > 20
    assert set(told) <= figures


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+\.\d+(?: %)?", text)


def command_of(words: list[str]) -> str:
    """The command that a line runs, such as ``visavis cluster fix merge``."""
    here, path = whole(), "visavis"
    while children := getattr(here, "commands", {}):
        # `cluster DIR` is `cluster run DIR`.
        word = words.pop(0) if words and words[0] in children else "run"
        if word not in children:
            return path
        here, path = children[word], f"{path} {word}"
        if hasattr(here, "commands"):
            # What a group itself takes, as in `cluster fix OUT merge`.
            del words[: sum(p.param_type_name == "argument" for p in here.params)]
    return path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_in_the_docs_exist(page: Path) -> None:
    """Every `visavis ...` line in a code block names a command and options that exist."""
    known = dict(COMMANDS)
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text("utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:\$ )?visavis ([^#]*)", line)
            if not found:
                continue
            path = command_of(found.group(1).split())
            assert path in known, f"{page.name}: {line.strip()}"
            options = {o for p in known[path].params for o in [*p.opts, *p.secondary_opts]}
            if path == "visavis train run":
                options |= {f"--{field}" for field in field_kinds(by_name("siamese-triplet"))}
            asked = set(re.findall(r"(?<=\s)--[a-z][a-z._-]*", line.split("#")[0]))
            assert asked <= options | {"--help"}, f"{page.name}: {line.strip()}"


def test_no_private_path_or_host_in_the_tree() -> None:
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    # In pieces, so that this file passes its own test.
    pieces = [
        ("/wo", "rk/"),
        ("/tm", "p/w/"),
        ("file:///", "opt"),
        ("py", r"pi\.org"),
        ("python", "hosted"),
    ]
    secret = re.compile("|".join(a + b for a, b in pieces))
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".cfg", ""}:
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not secret.search(text), name
