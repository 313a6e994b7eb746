"""How long the contact sheet takes to open: ``python -m benchmarks.contact_sheet --lfw DIR``.

The sheet of a collection of LFW photos, sorted by the people they are known to show, is opened in
headless Chromium, from the start of loading until two frames are drawn. The bound is three seconds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import data_folder
from visavis.albums import pictures, sheet
from visavis.albums.records import (
    Album,
    AlbumCluster,
    AlbumFace,
    LikelySame,
    PhotoFile,
    RunSettings,
)

BOUND = 3.0
_FACES = (100, 1_000, 10_000)

# Where the faces lie in the funneled photos.
_LANDMARKS = np.array(
    [[102, 113], [147, 113], [125, 140], [106, 164], [144, 164]], dtype=np.float32
)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a page takes longer than the bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contact_sheet", description=__doc__)
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--times", type=int, default=5, help="openings a page")
    parser.add_argument("--keep", type=Path, help="folder for the pages, to look at them")
    options = parser.parse_args(arguments)
    if options.lfw is None:
        raise SystemExit("no photos: give the folder of LFW by --lfw")
    root = options.lfw / "lfw-deepfunneled"
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        pages = [_page(root, count, folder) for count in _FACES]
        rows = _open(pages, options.times)
        sizes = [page.stat().st_size / 1e6 for page in pages]
    print("| faces | page, MB | opened in, s (median, worst) | of the 3 s allowed |")
    print("|---:|---:|---:|---:|")
    for count, size, seconds in zip(_FACES, sizes, rows.values(), strict=True):
        middle, worst = statistics.median(seconds), max(seconds)
        print(f"| {count:,} | {size:.1f} | {middle:.2f}, {worst:.2f} | {worst / BOUND:.2f} |")
    return int(any(max(seconds) > BOUND for seconds in rows.values()))


def _page(root: Path, count: int, folder: Path) -> Path:
    """The sheet of so many photos, whole people at a time."""
    people = sorted(path for path in root.iterdir() if path.is_dir())
    people.sort(key=lambda path: -len(list(path.iterdir())))
    # Large and small clusters in the proportion of the whole set.
    chosen = people if count >= 5_000 else people[:: max(1, 13_233 // count)]
    files: list[PhotoFile] = []
    clusters: list[AlbumCluster] = []
    faces: dict[int, AlbumFace] = {}
    for number, person in enumerate(chosen, start=1):
        own = []
        for photo in sorted(person.iterdir())[: count - len(files)]:
            face = len(files) + 1
            name = photo.relative_to(root).as_posix()
            files.append(PhotoFile(name, name))
            faces[face] = AlbumFace(
                face, name, 1, (70.0, 60.0, 110.0, 130.0), 1.0, number,
                0.8, "score 0.40 below 0.45" if face % 50 == 0 else "", False, _LANDMARKS,
            )  # fmt: skip
            own.append(face)
        if own:
            name = person.name.replace("_", " ") if len(own) > 3 else ""
            doubtful = sum(bool(faces[face].doubt) for face in own)
            clusters.append(
                AlbumCluster(
                    number, name, "you" if name else "", 0.0, tuple(own), len(own), 0.8, doubtful
                )
            )
    settings = RunSettings(
        str(root), "sface", "0" * 64, "", "labels", 0.01, 0.45, "sface-lfw", min_size=1
    )
    alike = tuple(LikelySame(a.id, b.id, 0.44) for a, b in _neighbors(clusters[:81]))
    album = Album(1, "2026-01-01T00:00:00", settings, tuple(files), faces, tuple(clusters),
                  alike, (), 0, 0)  # fmt: skip
    wanted = [face for on_page in sheet.shown(album).values() for face in on_page]
    page = folder / f"contact-sheet-{count}.html"
    sheet.write(page, album, dict(pictures.cut(album, wanted)))
    return page


def _neighbors(clusters: Sequence[AlbumCluster]) -> list[tuple[AlbumCluster, AlbumCluster]]:
    return list(zip(clusters[:-1:2], clusters[1::2], strict=False))


def _open(pages: Sequence[Path], times: int) -> dict[Path, list[float]]:
    from playwright.sync_api import sync_playwright

    browser_of: dict[str, Any] = {"args": ["--no-sandbox"]}
    found: dict[Path, list[float]] = {page: [] for page in pages}
    with sync_playwright() as playwright:
        if not Path(playwright.chromium.executable_path).exists():
            browser_of["executable_path"] = shutil.which("chromium") or shutil.which(
                "google-chrome"
            )
        browser = playwright.chromium.launch(**browser_of)
        for page in pages:
            for _ in range(times):
                tab = browser.new_page(viewport={"width": 1280, "height": 900})
                start = time.perf_counter()
                tab.goto(page.resolve().as_uri(), wait_until="load")
                tab.evaluate(
                    "() => new Promise(done => requestAnimationFrame("
                    "() => requestAnimationFrame(done)))"
                )
                found[page].append(time.perf_counter() - start)
                tab.close()
        browser.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
