"""The command line in this process, and photos to give it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, home: Path
) -> Run:
    """``run("verify", a, b)``: everything it keeps goes to a folder of the test's own."""
    monkeypatch.setenv("VISAVIS_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Outcome:
        from visavis.cli.app import run as run_command

        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, out.decode(), err.decode())

    return call


@pytest.fixture(scope="session")
def encoded(portrait: np.ndarray) -> tuple[bytes, bytes]:
    """The portrait as a PNG; underexposed and mirrored as a JPEG."""
    png, jpeg = io.BytesIO(), io.BytesIO()
    Image.fromarray(portrait).save(png, "PNG")
    Image.fromarray((portrait[:, ::-1] * 0.5).astype(np.uint8)).save(jpeg, "JPEG", quality=92)
    return png.getvalue(), jpeg.getvalue()


@pytest.fixture
def photo(tmp_path: Path, encoded: tuple[bytes, bytes]) -> Path:
    """The portrait as a PNG, under a name that is not ASCII."""
    path = tmp_path / "Zoë 写真.png"
    path.write_bytes(encoded[0])
    return path


@pytest.fixture
def darker(tmp_path: Path, encoded: tuple[bytes, bytes]) -> Path:
    """The portrait underexposed and mirrored."""
    path = tmp_path / "darker.jpg"
    path.write_bytes(encoded[1])
    return path


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A photo without a face."""
    path = tmp_path / "blank.png"
    Image.new("RGB", (200, 150), "white").save(path)
    return path
