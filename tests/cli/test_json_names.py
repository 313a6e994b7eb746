"""One name for one thing in every JSON: ``photo`` is what a photo is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def _values(plain: Any, key: str) -> Iterator[Any]:
    if isinstance(plain, dict):
        yield from (value for name, value in plain.items() if name == key)
        plain = list(plain.values())
    if isinstance(plain, list):
        for one in plain:
            yield from _values(one, key)


def test_every_command_calls_a_photo_photo(
    run: Any, portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number, gain in enumerate((1.0, 0.9)):
        Image.fromarray((portrait * gain).astype(np.uint8)).save(folder / f"{number}.png")
    Image.new("RGB", (90, 90)).save(folder / "2.png")
    monkeypatch.chdir(tmp_path)
    a, b, blank = "album/0.png", "album/1.png", "album/2.png"
    gallery = ("--gallery", "g")

    wanted = {
        ("detect", a, blank): [a, blank],
        ("embed", a, blank): [a, a, blank],  # of the row, and of its template
        ("verify", a, b): [a, b],
        ("enroll", a, b, "--name", "Ann", *gallery): [a, b],
        ("identify", a, blank, *gallery, "--fpir", 0.1): [a, blank],
        ("people", "show", "Ann", *gallery): [a, b],
        ("cluster", "album", "--out", "out"): ["0.png", "1.png", "2.png"],
    }
    for command, photos in wanted.items():
        document = run(*command, "--json").json
        assert sorted(_values(document, "photo")) == sorted(photos), command
        assert not list(_values(document, "source")), command
        hashes = [*_values(document, "photo_sha256"), *_values(document, "sha256")]
        assert all(len(sha256) == 64 for sha256 in hashes), command
