"""The contact sheet in a real browser: it opens without complaint, filters, unfolds, composes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.albums import collection as toy

from visavis.albums import pictures, sheet
from visavis.albums.records import Album, AlbumCluster, AlbumFace, LikelySame, PhotoFile


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox"]}
        if not Path(playwright.chromium.executable_path).exists():
            options["executable_path"] = shutil.which("chromium") or shutil.which("google-chrome")
            if options["executable_path"] is None:
                pytest.skip("no Chromium: run `playwright install chromium`")
        opened = playwright.chromium.launch(**options)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clusters of 30, 2 and 1 faces; two of the first are in doubt."""
    faces = {
        k: AlbumFace(k, f"p{k}", 1, (0, 0, 9, 9), 1.0, 1 if k <= 30 else (2 if k <= 32 else 3),
                     0.7, "score 0.30 below 0.45" if k in (29, 30) else "")
        for k in range(1, 34)
    }  # fmt: skip
    clusters = (
        AlbumCluster(1, "Zoë <b>", "you", 0.0, tuple(range(1, 31)), 30, 0.7, 2),
        AlbumCluster(2, "", "", 0.0, (31, 32), 2, 0.7, 0),
        AlbumCluster(3, "", "", 0.0, (33,), 1, float("nan"), 0),
    )
    files = tuple(PhotoFile(f"Été/{k}.jpg", f"p{k}") for k in range(1, 34))
    album = Album(
        2, "2026-01-01T00:00:00", replace(toy.SETTINGS, root="Fotos", threshold=0.45), files, faces,
        clusters, (LikelySame(1, 2, 0.44),), (), 0, 0,
    )  # fmt: skip
    colors = np.random.default_rng(0).integers(0, 255, (33, 1, 1, 3))
    cut = {
        k: pictures.jpeg(np.broadcast_to(c, (72, 72, 3)).astype(np.uint8).copy())
        for k, c in enumerate(colors, start=1)
    }
    path = tmp_path_factory.mktemp("out") / "it's here" / "contact-sheet.html"
    path.parent.mkdir()
    sheet.write(path, album, cut)
    return path


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page_file.as_uri())
    yield tab
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    tab.close()


def test_it_shows_faces(page: Any) -> None:
    page.wait_for_function("document.querySelectorAll('article img[src]').length > 10")
    assert page.locator("article").count() == 2
    assert page.locator("#c1 h3").inner_text() == "Zoë <b> 1"
    assert page.locator(".f.unsure").count() == 2
    drawn = page.locator("article img[src]").first.evaluate("img => img.decode().then(() => 1)")
    assert drawn == 1


def test_it_filters(page: Any) -> None:
    page.keyboard.press("/")
    page.keyboard.type("zoë")
    page.wait_for_selector("#c2", state="hidden")
    assert page.locator("#shown").inner_text() == "1 of 3 shown"
    page.locator("#search").fill("32.jpg")
    page.wait_for_selector("#c1", state="hidden")
    assert page.locator("#c2").is_visible()
    page.locator("#search").fill("27.jpg")  # folded away
    page.wait_for_selector("#c1", state="visible")
    page.locator("#search").fill("")
    page.locator("#unsure").check()
    page.wait_for_selector("#c2", state="hidden")
    assert page.locator("#c1").is_visible()


def test_it_unfolds(page: Any) -> None:
    before = page.locator("#c1 .faces .f").count()
    page.locator("#c1 .more").click()
    assert page.locator("#c1 .faces .f").count() == 30 > before
    assert page.locator("#c1 img:not([src])").count() == 0


def test_it_composes_commands_that_a_shell_takes(page: Any, page_file: Path) -> None:
    import shlex

    page.locator("#c1 .f").nth(0).click()
    page.locator("#c1 .f").nth(2).click()
    page.locator("#into").fill("Åsa's")
    lines = [shlex.split(text) for text in page.locator("#lines code").all_inner_texts()]
    start = ["visavis", "cluster", "fix", str(page_file.parent)]
    assert lines == [
        [*start, "split", "1", "f1", "f3"],
        [*start, "move", "f1", "f3", "Åsa's"],
        [*start, "not-a-face", "f1", "f3"],
    ]
    page.locator("#c2 .f").nth(0).click()
    first = shlex.split(page.locator("#lines code").first.inner_text())
    assert first == [*start, "merge", "1", "2"]
    page.locator("h1").click()
    page.keyboard.press("Escape")
    assert page.locator("#tray").is_hidden()
    pair = shlex.split(page.locator(".pair code").inner_text())
    assert pair == [*start, "merge", "1", "2"]


def test_it_is_led_by_keys(page: Any) -> None:
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "c1"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "c2"
    page.keyboard.press("k")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator("[aria-pressed=true]").get_attribute("data-f") == "f2"
