"""``visavis demo``: verifies real photos and draws the results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api import evaluate, photos
from visavis.api.options import downloads
from visavis.cli.output import console, home, messages, stages

if TYPE_CHECKING:
    from visavis.types import Image

_EACH = 3


def demo(
    out: Annotated[Path, typer.Option("--out", help="Output folder.")] = Path("demo-out"),
    lfw: Annotated[
        Path | None,
        typer.Option(
            "--lfw", help="LFW's folder. Default: VISAVIS_LFW, or what --fetch downloaded."
        ),
    ] = None,
    fmr: Annotated[float, typer.Option("--fmr", help="False match rate of the decision.")] = 1e-3,
    fetch: Annotated[
        bool | None,
        typer.Option("--fetch/--no-fetch", help="Download LFW (243 MB) if it is missing."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Open the page in the browser, with sample people.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="TCP port of --ui.")] = 8000,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the browser with --ui.")
    ] = True,
) -> None:
    """Verify real photo pairs, print the results and draw them; or try the page with --ui.

    Uses Labeled Faces in the Wild if it is available, or offers to download it; otherwise uses a
    portrait by NASA. Prints which. The people of --ui are erased when it ends.

    Example: `visavis demo --ui`
    """
    if ui:
        from visavis.cli.demo_page import open_page

        open_page(_lfw(lfw, fetch), portrait, port=port, browser=browser)
        return
    from visavis.api import pictures
    from visavis.api.options import recognizer

    root = _lfw(lfw, fetch)
    pairs = _portrait_pairs() if root is None else _lfw_pairs(root)
    known = recognizer(home=home())
    console.print(f"model {known.model} ({known.model_sha256[:12]}), {known.pipeline_id}")
    rows = []
    for title, a, b, mated in pairs:
        answer = photos.verify(a, b, fmr=fmr, faces="central", home=home())
        right = "" if answer.same in {mated, None} else "  <- wrong"
        verdict = pictures.WORDS[answer.same]
        console.print(f"{verdict:16}  score {answer.score:+.3f}  {title}{right}", markup=False)
        console.print(f"           {answer.evidence}", style="dim", markup=False)
        rows.append((title, mated, answer, a, b))
    point = rows[0][2].operating_point
    console.print(
        f"threshold {point.threshold:.4f} at FMR {fmr:g}, measured on {point.dataset}: "
        f"{point.pairs:,} non-mated pairs of {point.people:,} people",
        markup=False,
    )
    picture = pictures.save(pictures.of_pairs(rows, title="What visavis saw"), out / "demo.png")
    console.print(f"picture of what was seen: {picture}", markup=False)


def _lfw(named: Path | None, fetch: bool | None) -> Path | None:
    places = [named, os.environ.get("VISAVIS_LFW"), Path("..") / "shared" / "data" / "lfw"]
    fetched = downloads(home())
    for place in [*places, fetched]:
        if place and (Path(place) / "pairsDevTest.txt").exists():
            return Path(place)
    if fetch is None and sys.stdin.isatty():
        fetch = typer.confirm("Labeled Faces in the Wild is not here. Download it (243 MB)?")
    if fetch:
        with stages() as update:
            return evaluate.fetch_lfw(progress=update, home=home())
    messages.print(
        "no LFW here (VISAVIS_LFW names its folder; --fetch downloads it): using a portrait by NASA"
    )
    return None


def _lfw_pairs(root: Path) -> list[tuple[str, Path, Path, bool]]:
    """Every 150th mated and non-mated pair of View 1's test list."""
    folder = next(p for p in (root / "lfw-deepfunneled", root / "lfw_funneled", root) if p.is_dir())
    count, *lines = (root / "pairsDevTest.txt").read_text(encoding="utf-8").splitlines()
    middle = int(count)
    chosen = [*lines[50:middle:150][:_EACH], *lines[middle + 50 :: 150][:_EACH]]
    pairs = []
    for line in chosen:
        words = line.split("\t")
        mated = len(words) == 3
        name, i, other, j = (words[0], words[1], words[0], words[2]) if mated else words
        a, b = (folder / n / f"{n}_{int(k):04d}.jpg" for n, k in ((name, i), (other, j)))
        title = f"{name} {i} / {other} {j}".replace("_", " ")
        pairs.append((title, a, b, mated))
    return pairs


def _portrait_pairs() -> list[tuple[str, Image, Image, bool]]:
    """The portrait compared with itself mirrored, smaller, and darker: three mated pairs."""
    import numpy as np

    photo = portrait()
    dark = (photo * 0.35).astype(np.uint8)
    return [
        ("portrait / mirrored", photo, np.ascontiguousarray(photo[:, ::-1]), True),
        ("portrait / a quarter of the pixels", photo, photo[::2, ::2].copy(), True),
        ("portrait / underexposed", photo, dark, True),
    ]


def portrait() -> Image:
    """Returns the portrait of Eileen Collins by NASA, in the public domain."""
    from importlib.resources import files

    import numpy as np
    from PIL import Image as Pictures

    with files("visavis.cli").joinpath("portrait.jpg").open("rb") as file:
        return np.asarray(Pictures.open(file).convert("RGB"))
