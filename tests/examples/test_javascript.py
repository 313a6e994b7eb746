"""The examples in JavaScript, in Node.js and in Chromium, answer as visavis does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from tests.examples.conftest import EXAMPLES
from tests.service.browser import chromium

import visavis as vv
from visavis.faces import align
from visavis.faces.yunet import YuNet
from visavis.pipeline.extractor import Extractor, RecognizerOptions

CLOSE = 0.01
"""Largest difference of a score. The detector's landmarks move by up to 1 % of the face when one
level of brightness changes anywhere, and runtimes differ in their last bits."""


@pytest.fixture(scope="module")
def photos(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two photos of one person: the portrait, and the same darker, smaller and turned by EXIF."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(portrait).save(folder / "a.png")
    other = Image.fromarray((portrait * 0.8).astype(np.uint8)).resize((400, 400))
    exif = Image.Exif()
    exif[0x0112] = 6
    other.transpose(Image.Transpose.ROTATE_90).save(folder / "b.jpg", exif=exif, quality=95)
    return folder / "a.png", folder / "b.jpg"


def run(node: str, *arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [node, *(str(a) for a in arguments)], input=data, capture_output=True, timeout=200,
        check=False,
    )  # fmt: skip


def test_landmarks_crop_and_template_are_those_of_visavis(
    node: str, models: Path, portrait: np.ndarray
) -> None:
    height, width = portrait.shape[:2]
    opaque = np.full((height, width, 1), 255, np.uint8)
    done = run(
        node, EXAMPLES.parent / "tests/examples/describe.mjs", models, width, height,
        data=np.concatenate([portrait, opaque], axis=2).tobytes(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = YuNet(threads=1).detect(portrait)
    assert len(told["faces"]) == len(found)
    landmarks = np.array(told["faces"][0]["landmarks"])
    assert np.abs(landmarks - found[0].landmarks).max() < 0.01 * found[0].box[3]
    np.testing.assert_allclose(told["faces"][0]["box"], found[0].box, atol=1)
    extractor = Extractor()
    crop = align.crop(portrait, landmarks, scale=extractor.crop_scale)
    drawn = np.array(told["crop"], np.uint8).reshape(112, 112, 4)[..., :3]
    wrong = np.abs(drawn.astype(int) - crop)
    assert wrong.max() <= 1
    assert (wrong > 0).mean() < 0.01
    (template,) = extractor.embedder.embed(drawn[None])
    np.testing.assert_allclose(told["template"], template, atol=1e-4)


def test_node_answers_as_verify_does(node: str, models: Path, photos: tuple[Path, Path]) -> None:
    script = EXAMPLES / "node" / "verify.mjs"
    done = run(node, script, *photos, "--models", models, "--fmr", "0.0001")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    expected = vv.verify(*photos, fmr=1e-4)
    assert told["same"] is expected.same is True
    assert abs(told["score"] - expected.score) < CLOSE
    assert told["threshold"] == pytest.approx(expected.threshold)


def test_node_says_that_there_is_no_face(
    node: str, models: Path, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), "white").save(tmp_path / "wall.png")
    script = EXAMPLES / "node" / "verify.mjs"
    done = run(node, script, photos[0], tmp_path / "wall.png", "--models", models)
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"wall.png: no face found in 300x200 pixels" in done.stderr


@pytest.fixture
def site(node: str, models: Path, tmp_path: Path) -> Iterator[str]:
    """The page, served by the example's own server."""
    for path in ("browser", "faces.mjs", "node_modules"):
        (tmp_path / path).symlink_to(EXAMPLES / path)
    (tmp_path / "models").symlink_to(models)
    command = [node, "--preserve-symlinks-main", str(tmp_path / "browser" / "serve.mjs")]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


def pairs(photos: tuple[Path, Path], request: pytest.FixtureRequest) -> list[tuple[Path, Path]]:
    """Real pairs where there is such data, then the portrait's pair."""
    try:
        folder = request.getfixturevalue("peers") / "face_recognition" / "examples"
    except pytest.skip.Exception:
        return [photos]
    names = [("obama.jpg", "obama2.jpg"), ("obama.jpg", "biden.jpg")]
    return [*((folder / a, folder / b) for a, b in names), photos]


def template(photo: Path) -> np.ndarray:
    """The template with the page's smallest face: 1/40 of a photo of more than 800 pixels."""
    smallest = max(20, round(max(Image.open(photo).size) / 40))
    extractor = Extractor(options=RecognizerOptions(min_face=smallest))
    return extractor.embed_photo(photo, "largest")[0].vector


@pytest.mark.slow
def test_the_page_answers_as_verify_does_and_asks_no_other_host(
    site: str, models: Path, photos: tuple[Path, Path], tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    own = urlsplit(site).netloc
    asked: set[str] = set()
    said: list[str] = []

    def only_own(route: Any) -> None:
        host = urlsplit(route.request.url).netloc
        asked.add(host)
        if host == own:
            route.continue_()
        else:
            route.abort()

    Image.new("RGB", (300, 200), "white").save(tmp_path / "wall.png")
    (tmp_path / "notes.jpg").write_text("no photo")
    with chromium() as browser:
        context = browser.new_context()
        context.route("**/*", only_own)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda one: said.append(one.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(site)
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("crossOriginIsolated")  # so WebAssembly may use threads
        # Whatever the page tries now needs no server.
        context.set_offline(True)
        shown = None
        for a, b in pairs(photos, request):
            if a != shown:
                page.set_input_files("#a input", a)
                shown = a
            page.set_input_files("#b input", b)
            page.wait_for_selector(f"#b [role=status]:text('{b.name}'):not(:text('Looking'))")
            answer = page.locator("#answer.same, #answer.different")
            answer.wait_for()
            told = answer.evaluate("answer => ({...answer.dataset})")
            expected = vv.verify(a, b)
            assert told["same"] == str(expected.same).lower()
            assert float(told["threshold"]) == pytest.approx(expected.threshold)
            assert abs(float(told["score"]) - float(template(a) @ template(b))) < CLOSE
        page.locator("#fmr").select_option(label="10,000")
        (stricter,) = [
            one["threshold"]
            for one in json.loads((models / "thresholds.json").read_text())["points"]
            if one["fmr"] == 1e-4
        ]
        told = page.locator("#answer").evaluate("answer => answer.dataset.threshold")
        assert float(told) == stricter
        for bad, reason in (("wall.png", "no face found"), ("notes.jpg", "is not a photo")):
            page.set_input_files("#b input", tmp_path / bad)
            page.wait_for_selector(f"#answer.failed:text('{bad}'):text('{reason}')")
        context.set_offline(False)
        page.evaluate("fetch('https://example.com/').catch(() => 0)")
        context.close()
    assert asked == {own}
    assert all("Content Security Policy" in line for line in said[-1:])
    assert [line for line in said if "example.com" not in line] == []


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((EXAMPLES / "package-lock.json").read_text())
    packages = [one for name, one in lock["packages"].items() if name]
    assert packages
    assert all("resolved" not in one and one["integrity"].startswith("sha512-") for one in packages)
    wanted = json.loads((EXAMPLES / "package.json").read_text())["dependencies"]
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted
