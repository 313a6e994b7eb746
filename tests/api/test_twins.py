"""Every command has its twin in Python: docs/api.md names it, and it takes the same options."""

from __future__ import annotations

import functools
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import visavis
from visavis.cli import app as room

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
ROW = re.compile(r"^\| `visavis ([a-z -]+)` \| (.+?) \|$", re.M)

OF_THE_TERMINAL = {"json", "yes", "report"}
"""How a command talks: Python returns the answer, and calls back with rows and progress."""

OF_THE_GALLERY = {"gallery", "key_file", "tenant"}
"""A ``Gallery`` is opened once, with these."""

RENAMED = {
    "scope": "scopes", "gallery": "galleries",
    "no_cache": "cache", "no_mean": "mean", "no_same_photo_rule": "same_photo",
    "no_crops": "crops", "key_file": "key", "file_key": "key",
    "calibration": "calibrations", "any_quality": "min_quality", "out": "out",
}  # fmt: skip
"""A flag that turns something off, or a word that Python has in the plural."""

OTHERWISE: dict[str, dict[str, str]] = {
    "calibrate": {
        "folder": "people", "check": "photos", "listing": "names", "delete": "name",
    },
    "serve": {
        "ui": "mount_page",
        "gallery": "Service(galleries)", "gallery_key_file": "GalleryPlace(access)",
        "create": "GalleryPlace(create)", "tenant": "GalleryPlace(access)",
        "collections": "Service(collections)", "collections_key_file": "GalleryPlace(access)",
        "aws_key_file": "Service(aws_key)", "host": "configured(host)",
        "port": "configured(port)", "grace": "configured(grace)",
        "max_photo": "max_bytes", "max_body": "ServiceOptions", "megapixels": "max_pixels",
        "faces": "max_faces", "photos": "ServiceOptions", "job_photos": "ServiceOptions",
        "jobs": "ServiceOptions", "job_hours": "ServiceOptions", "seconds": "wait",
        "temporary": "ServiceOptions", "audit": "ServiceOptions",
        "dialect": "ServiceOptions(dialects)", "fmr": "ServiceOptions", "fpir": "ServiceOptions",
        "upstream": "ServiceOptions", "calibration": "ServiceOptions",
    },
    "demo": {
        "out": "plot() and savefig", "lfw": "the photos", "fetch": "fetch_lfw", "ui": "mount_page",
        "port": "configured(port)", "browser": "webbrowser.open",
    },
    "keys create": {"aws": "secret_access_key", "aws_key_file": "secret_access_key(master)"},
    "detect": {"photos": "photo or photos"},
    "enroll": {"sources": "source", "any_quality": "min_quality=0"},
    "identify": {"photos": "photo or photos"},
    "people split": {"templates": "faces", "suggest": "suggest_splits"},
    "people remove": {"face": "remove_faces"},
    "people set": {"pairs": "attributes"},
    "gallery audit": {"last": "the end of the iterator"},
    "gallery migrate": {"finish": "finish_migration"},
    "gallery rekey": {
        "new_key_file": "key", "generate": "Key.generate", "decrypt": "key=None",
    },
    "models fetch": {"names": "name"},
    "train run": {
        "words": "data and fields", "dry_run": "plan", "detector": "looking",
        "min_face": "looking", "min_confidence": "looking",
    },
    "train forget": {"run": "run"},
    "data pack": {"place": "place"},
    "cluster fix move": {"faces": "faces and to"},
    "cluster fix enroll": {"called": "name"},
    "cluster fix name": {"called": "name"},
}  # fmt: skip
"""What Python says in another way, and how."""


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that help shows, with its name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name, one in inner.items():
        if not one.hidden:
            yield from walk(one, (*path, name))


COMMANDS = dict(walk(typer.main.get_command(room.build())))


@functools.cache
def twins() -> dict[str, list[str]]:
    """The table of docs/api.md: names after ``vv.`` for every command."""
    text = PAGE.read_text(encoding="utf-8")
    return {
        command: re.findall(r"`(?:vv|(?=visavis\.service))\.?([\w.]+)", cell)
        for command, cell in ROW.findall(text)
    }


def resolve(name: str) -> Any:
    if name.startswith("visavis.service"):
        return pkgutil.resolve_name(name)
    return functools.reduce(getattr, name.split("."), visavis)


def takes(call: Any) -> set[str]:
    """Names of what a callable takes, those of an unpacked TypedDict among them."""
    signature = inspect.signature(call)
    names = set(signature.parameters)
    for one in signature.parameters.values():
        if found := re.fullmatch(r"Unpack\[(\w+)\]", str(one.annotation)):
            function = inspect.unwrap(call.__init__ if inspect.isclass(call) else call)
            names |= set(function.__globals__[found.group(1)].__annotations__)
    return names


def test_the_table_has_every_command_and_no_other() -> None:
    assert set(twins()) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_a_twin_with_the_same_options(command: str) -> None:
    names = twins().get(command, [])
    assert names, f"docs/api.md names no twin of `visavis {command}`"
    calls = [resolve(name) for name in names]
    assert all(map(callable, calls)), names
    taken = set().union(*map(takes, calls))
    if any(name.startswith("Gallery") for name in names):
        taken |= OF_THE_GALLERY
    if any(name.startswith("PhotoAlbum") for name in names):
        taken |= {"out"}
    missing = {
        parameter.name
        for parameter in COMMANDS[command].params
        if parameter.name.removeprefix("as_") not in OF_THE_TERMINAL
        and parameter.name not in taken
        and RENAMED.get(parameter.name) not in taken
        and parameter.name not in OTHERWISE.get(command, {})
    }
    # A gallery that names clusters is opened by who gives it.
    missing -= OF_THE_GALLERY if "gallery" in taken else set()
    assert not missing, f"{', '.join(names)} cannot be told {missing}"


def test_all_public_names_are_there_and_described() -> None:
    for name in visavis.__all__:
        found = getattr(visavis, name)
        assert name == "__version__" or (found.__doc__ or "").strip(), name
    assert set(visavis.__all__) <= set(dir(visavis))
