"""Parts of the page without a browser: texts, the private folder, what it accepts."""

from __future__ import annotations

import io
import os
import re
import socket
import stat
import string
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from PIL import Image
from tests.service.conftest import options
from tests.service.running import running

pytest.importorskip("gradio")

from visavis import images
from visavis.decision.llr import words as evidence
from visavis.faces import quality
from visavis.images import Limits
from visavis.service.app import create_app
from visavis.service.page import mount_page, texts, verify
from visavis.service.page.access import Sessions
from visavis.service.page.parts import Page
from visavis.service.page.texts import Words
from visavis.service.state import Caller, Service

ZH = Words("zh")


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_places() -> None:
    for key, (english, chinese) in texts._TEXTS.items():
        assert english, key
        assert re.search(r"[\u4e00-\u9fff]", chinese), key
        assert _places(english) == _places(chinese), key


def test_every_text_is_used() -> None:
    code = "".join(
        path.read_text("utf-8") for path in Path(texts.__file__).parent.rglob("*.py")
        if path.name != "texts.py"
    )  # fmt: skip
    statuses = {"enrolled", "already-enrolled", "no-face", "several-faces", "low-quality",
                "unreadable", "unusable-name"}  # fmt: skip
    own = Path(texts.__file__).read_text("utf-8")
    for key in texts._TEXTS.keys() - statuses:
        assert re.search(f"[\"']{key}[\"']", code) or f'self("{key}"' in own, key


def test_advice_and_evidence_are_said_in_chinese() -> None:
    poor = quality.Quality(3.0, 1.0, 0.01, 0.001, 80.0, 80.0, 80.0, 0.1)
    bright = quality.Quality(3.0, 1.0, 0.99, 0.001, -80.0, -80.0, -80.0, 0.1)
    limits = quality.QualityLimits()
    said = [s for one in (poor, bright) for s in quality._warnings(one, 0.9, limits)]
    said += [evidence(llr, limits=(-4.0, 13.0)) for llr in (-9.0, -3.0, 0.0, 2.0, 20.0)]
    assert len(said) == 23
    for sentence in said:
        chinese = ZH.say(sentence)
        assert not re.search(r"[a-z]{3}", chinese), chinese
        assert ("至少" in chinese) == ("at least" in sentence), chinese
        kept = set(re.findall(r"\d+(?:[.,]\d+)*", chinese)) - {"95"}
        assert kept <= set(re.findall(r"\d+(?:[.,]\d+)*", sentence)), chinese


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.001, "1 in 1,000"), (0.0009, "1 in 1,100"), (0.5, "1 in 2"), (0.0, "0"), (0.3, "1 in 3.3")],
)
def test_a_rate_in_words(rate: float, said: str) -> None:
    assert Words("en").rate(rate) == said


def test_cannot_tell_is_said_with_what_to_do(tmp_path: Path) -> None:
    service = Service(options=options(tmp_path))
    page = Page(service, Sessions(service), Words("en"), tmp_path)
    said = str(verify._verdict(page, SimpleNamespace(same=None, score=0.371, threshold=0.379)))
    service.close()
    assert "Cannot tell" in said
    assert "vv-unsure" in said
    assert "whole face" in said


def test_errors_are_said_in_chinese_with_limit_and_remedy(tmp_path: Path) -> None:
    service = Service(options=options(tmp_path))
    page = Page(service, Sessions(service), ZH, tmp_path)
    black = io.BytesIO()
    Image.new("RGB", (300, 200)).save(black, "PNG")
    small = Limits(max_pixels=1000)
    narrow = Caller("k", SimpleNamespace(scopes=["identify"], allows=lambda _: False))
    calls = {
        "300 × 200": lambda: service.engine.verify(black.getvalue(), black.getvalue()),
        "1,000": lambda: images.decode(black.getvalue(), limits=small),
        "字节": lambda: images.decode(black.getvalue(), limits=Limits(max_bytes=20)),
        "JPEG": lambda: images.decode(b"no photo at all"),
        "verify": lambda: narrow.require("verify"),
    }
    for told, call in calls.items():
        said = str(page.answer(call))
        assert told in said
        assert "details" not in said, said
        assert re.search(r"请[^<(]+。</p>", said), said
    service.close()


def test_scores_have_a_minus_sign() -> None:
    assert [Words("en").score(value) for value in (-0.123, 0.5)] == ["−0.12", "0.50"]


def test_files_outside_the_private_folder_are_not_taken(tmp_path: Path) -> None:
    inside, outside = tmp_path / "own" / "a.jpg", tmp_path / "secret.jpg"
    inside.parent.mkdir()
    inside.write_bytes(b"a")
    outside.write_bytes(b"b")
    (tmp_path / "own" / "link.jpg").symlink_to(outside)
    service = Service(options=options(tmp_path))
    page = Page(service, Sessions(service), Words("en"), inside.parent)
    given = [inside, outside, inside.parent / ".." / "secret.jpg", inside.parent / "link.jpg"]
    found = page.files([{"path": str(path), "folder": ""} for path in given])
    service.close()
    assert [one.path for one in found] == [inside.resolve()]


def test_the_private_folder_is_private_and_goes(tmp_path: Path) -> None:
    service = Service(options=options(tmp_path))
    app = create_app(service)
    mount_page(app, service)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    with running(service, app=app) as site:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        sent = site.client.post("/ui/en/gradio_api/upload", files={"files": b"photo"})
        assert sent.status_code == 200
        (place,) = sent.json()
        assert Path(place).is_relative_to(folder)
        large = b"x" * (service.options.body_bytes + 1)
        assert (
            site.client.post("/ui/en/gradio_api/upload", files={"files": large}).status_code == 413
        )
    assert not folder.exists()


def test_the_command_ends_although_a_page_is_open(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", "--ui", "--port", str(port), "--grace", "600", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from visavis.cli import main; main()", *words],
        env={**os.environ, "VISAVIS_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr or ():
            if "Uvicorn running" in line:
                break
        url = f"http://127.0.0.1:{port}/ui/en/gradio_api/heartbeat/visitor"
        with httpx.stream("GET", url, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "data: ALIVE"
            process.terminate()
            rest = list(lines)
        assert rest == [""]
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.communicate()
