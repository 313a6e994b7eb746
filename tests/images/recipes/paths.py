"""Paths and other sources that lead to no photo, or to one under an odd name."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
from tests.images.corpus import Recipe
from tests.images.encoders import encode, photo

from visavis.errors import (
    ImageNotFoundError,
    ImageTooLargeError,
    ImageTruncatedError,
    ImageUnsupportedError,
)


def recipes() -> list[Recipe]:
    return [*_missing(), *_irregular(), *_odd_names(), *_no_sources()]


def _missing() -> list[Recipe]:
    table: list[tuple[str, Any, tuple[str, ...]]] = [
        ("missing-file", lambda f: f / "missing.jpg", ("missing.jpg not found", "check")),
        ("missing-below-a-file", _below_a_file, ("not found",)),
        ("dangling-link", _dangling, ("dangling.jpg not found",)),
        ("link-loop", _loop, ("loop of symbolic links",)),
        ("spaces-around-path", lambda f: f"{f}/gone.jpg ", ("gone.jpg '", "remove the spaces")),
        ("tilde", lambda _: "~/visavis-no-such.jpg", ("expanduser()",)),
        ("path-too-long", lambda f: f / ("x" * 5000), ("too long", "…")),
        ("null-in-path", lambda f: f"{f}/a\0b.jpg", ("not a valid path", r"a\x00b.jpg")),
        ("lone-surrogate", lambda f: f"{f}/a\ud800.jpg", ("not a valid path", r"a\ud800.jpg")),
        ("line-break-in-path", lambda f: f / "a\nb.jpg", (r"a\nb.jpg", "not found")),
        ("empty-path", lambda _: "", ("the path is empty",)),
        ("http-url", lambda _: "http://example.org/a.jpg", ("does not fetch from the network",)),
        ("https-path", lambda _: Path("https://example.org/a.jpg"), ("does not fetch",)),
        ("file-url", lambda _: "file:///tmp/a.jpg", ("without 'file://'",)),
        ("data-url", lambda _: "data:image/png;base64," + "A" * 9000, ("is a data URL", "base64")),
    ]
    return [Recipe(name, make, ImageNotFoundError, words) for name, make, words in table]


def _irregular() -> list[Recipe]:
    return [
        Recipe("folder", lambda f: f, ImageNotFoundError, ("is a folder", "name one photo")),
        Recipe("pipe", _pipe, ImageNotFoundError, ("is a pipe", "pass its bytes")),
        Recipe("socket", _socket, ImageNotFoundError, ("is a socket",)),
        Recipe("device", lambda _: Path("/dev/zero"), ImageNotFoundError, ("is a device",)),
        Recipe(
            "empty-file",
            lambda _: b"",
            ImageTruncatedError,
            ("is empty (0 bytes)",),
            file="empty.jpg",
        ),
        Recipe(
            "over-the-byte-limit",
            _sparse,
            ImageTooLargeError,
            ("more than 100,000,000 bytes", "max_bytes"),
        ),
    ]


def _odd_names() -> list[Recipe]:
    pixels = photo()
    names = {
        "non-ascii-name": "Ünïcødé-顔.png",
        "name-that-is-no-text": os.fsdecode(b"caf\xe9.png"),
        "spaces-around-name": " a  b.png ",
        "no-extension": "photo",
        "wrong-extension": "png-in-truth.jpg",
        "name-like-an-option": "--help.png",
        "name-like-a-url": "http:.png",
    }
    return [
        Recipe(name, lambda _: encode(pixels, "PNG"), pixels=pixels, file=file)
        for name, file in names.items()
    ]


def _no_sources() -> list[Recipe]:
    pixels = photo()
    table: list[tuple[str, Any, tuple[str, ...]]] = [
        ("none", None, ("object of type NoneType", "pass a path")),
        ("number", 7, ("object of type int",)),
        ("list", pixels.tolist(), ("object of type list", "uint8 array")),
        ("float-array", pixels / 255, ("float64", "(x * 255)")),
        ("bool-array", pixels > 9, ("bool", "* 255")),
        ("int32-array", pixels.astype(np.int32), ("int32", "scale")),
        ("uint16-array", pixels.astype(np.uint16), ("uint16", "scale")),
        ("channels-first-array", pixels.transpose(2, 0, 1), ("(3, 48, 64)", "transpose(1, 2, 0)")),
        ("batch-array", pixels[None], ("(1, 48, 64, 3)", "one photo at a time")),
        ("two-channel-array", pixels[..., :2], ("(48, 64, 2)", "pass uint8 of shape")),
        ("flat-array", pixels[0, 0], ("(3,)", "pass uint8 of shape")),
        ("array-without-pixels", pixels[:0], ("64 x 0 pixels",)),
    ]
    return [
        Recipe(name, lambda _, source=source: source, ImageUnsupportedError, words)
        for name, source, words in table
    ]


def _below_a_file(folder: Path) -> Path:
    (folder / "plain.txt").write_text("text")
    return folder / "plain.txt" / "photo.jpg"


def _dangling(folder: Path) -> Path:
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    return folder / "dangling.jpg"


def _loop(folder: Path) -> Path:
    (folder / "loop.jpg").symlink_to("loop.jpg")
    return folder / "loop.jpg"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


def _socket(folder: Path) -> Path:
    # A socket's path has at most about 100 characters, so bind it by a relative name.
    here = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.jpg")
    finally:
        os.chdir(here)
    return folder / "socket.jpg"


def _sparse(folder: Path) -> Path:
    path = folder / "sparse.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    os.truncate(path, 100_000_001)
    return path
