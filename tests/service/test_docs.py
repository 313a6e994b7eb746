"""The curl lines of docs/service.md run as they stand, and every route is among them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.service.running import Running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "service.md"
BLOCKS = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def photos(tmp_path: Path, face: bytes, mirrored: bytes) -> Path:
    (tmp_path / "a.jpg").write_bytes(face)
    (tmp_path / "b.jpg").write_bytes(mirrored)
    return tmp_path


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq", "base64"))), reason="no curl and jq here"
)
def test_the_curl_lines_run(door: Running, photos: Path) -> None:
    assert len(BLOCKS) >= 6
    for block in BLOCKS:
        script = block.replace("localhost:8000", door.url.removeprefix("http://"))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=photos, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (block, done.stdout[-500:], done.stderr)


def test_every_route_is_on_the_page(door: Running) -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {
        re.sub(r"\{\w+\}", "*", path) for path in door.client.get("/openapi.json").json()["paths"]
    }
    lines = [line for line in text.splitlines() if "localhost:8000/" in line]
    told = {
        re.sub(r"\$\w+|(?<=calibrations/)(?!check)[\w-]+", "*", found)
        for line in lines
        for found in re.findall(r"localhost:8000(/[^\s?\"]*)", line)
    }
    told = {path.rstrip(")") for path in told}
    assert known <= told, known - told
