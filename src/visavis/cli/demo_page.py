"""``visavis demo --ui``: the page with sample people, which are erased when it ends."""

from __future__ import annotations

import tempfile
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.api import views
from visavis.cli.output import home, messages
from visavis.errors import require_extra

if TYPE_CHECKING:
    from visavis.types import Image

Photos = dict[str, bytes]

_PEOPLE: Final = 12
_EACH: Final = 4
_TRIES: Final = 120


def open_page(
    root: Path | None, portrait: Callable[[], Image], *, port: int, browser: bool
) -> None:
    """Serves the page on this machine until it is stopped.

    Args:
        root: LFW's folder; ``None``: the portrait is shown.
        portrait: returns a portrait of Eileen Collins.
        port: TCP port.
        browser: open the browser, too.

    Raises:
        MissingExtraError: an extra is not installed.
    """
    require_extra("service", "the page")
    from visavis.cli.serve import page_app
    from visavis.service.keys import KeyStore
    from visavis.service.server import serve
    from visavis.service.state import GalleryPlace, Service, ServiceOptions

    people, samples = _portraits(portrait()) if root is None else _lfw(root)
    with tempfile.TemporaryDirectory(prefix="visavis-demo-") as folder:
        service = Service(
            {"demo": GalleryPlace(str(Path(folder) / "demo.gallery"), create=True)},
            options=ServiceOptions(home=home()),
            keys=KeyStore(Path(folder) / "keys.sqlite"),
        )
        try:
            app = page_app(service, samples=samples)
            report = service.galleries["demo"].enroll(people, keep_crops=True)
            count = len({row.person for row in report.rows if row.there})
            address = f"http://127.0.0.1:{port}/ui"
            messages.print(f"{count} sample people; page: {address} (Ctrl+C ends)", markup=False)
            if browser:
                threading.Thread(target=_open, args=[address], daemon=True).start()
            serve(service, host="127.0.0.1", port=port, grace=5, app=app)
        finally:
            service.close()


def _open(address: str) -> None:
    """Opens the browser as soon as the page answers."""
    for _ in range(_TRIES):
        try:
            with urllib.request.urlopen(address):
                webbrowser.open(address)
                return
        except urllib.error.URLError:
            sleep(0.5)


def _lfw(root: Path) -> tuple[list[tuple[str, bytes, str]], Photos]:
    """Three photos each of some people of View 1's test list; further photos of them to try."""
    folder = next(p for p in (root / "lfw-deepfunneled", root / "lfw_funneled", root) if p.is_dir())
    _, *lines = (root / "pairsDevTest.txt").read_text(encoding="utf-8").splitlines()
    names = list(dict.fromkeys(line.split("\t")[0] for line in lines if line.count("\t") == 2))
    several = [name for name in names if (folder / name / f"{name}_{_EACH:04d}.jpg").exists()]
    chosen, others = several[:_PEOPLE], several[_PEOPLE : _PEOPLE + 2]

    def photo(name: str, k: int) -> bytes:
        return (folder / name / f"{name}_{k:04d}.jpg").read_bytes()

    def called(name: str) -> str:
        return name.replace("_", " ")

    people = [(called(n), photo(n, k), f"{n} {k}") for n in chosen for k in range(1, _EACH)]
    tried = [*((name, _EACH) for name in chosen[:3]), (chosen[0], 1), *((n, 1) for n in others)]
    return people, {f"{called(name)} {k}": photo(name, k) for name, k in tried}


def _portraits(photo: Image) -> tuple[list[tuple[str, bytes, str]], Photos]:
    small: Image = np.ascontiguousarray(photo[::2, ::-2])
    dark = (photo * 0.35).astype(np.uint8)
    shown = {"mirrored": views.jpeg(small), "underexposed": views.jpeg(dark)}
    return [("Eileen Collins", views.jpeg(photo), "portrait")], shown
