"""Where the work is done, and how long an answer takes: ``python -m benchmarks.deployment``.

One client, one request at a time, warm, on this machine: a service over loopback (the cloud without
its network), the crop sent instead of the photo (hybrid), and everything in the client's process
(edge). Each row has the bytes that a client sends for one photo, because a network adds its round
trip and the time that these bytes take. All rows run in turns on the same photos.

``--models`` names registered models for the edge, such as an exported 8-bit file or a student. The
browser's runtime is measured in Node.js if ``npm ci`` was run in ``examples/`` and ``prepare.py``
has written its files.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.measuring import quantile
from benchmarks.photos import ROOT, data_folder, lfw_pairs
from benchmarks.service import Connection, Running, form, request
from benchmarks.tables import Table, load, machine, ms, write_section

_EXAMPLES: Final = ROOT / "examples"
Action = Callable[[], object]


def photos(lfw: Path | None, limit: int) -> list[bytes]:
    """Encoded photos: of LFW, else the portrait of scikit-image in some brightnesses."""
    if lfw is not None:
        return [pair.a.read_bytes() for pair in lfw_pairs(lfw, limit=limit)]
    import skimage.data

    portrait = skimage.data.astronaut()
    return [_encoded((portrait * (1 - 0.01 * k)).astype(np.uint8), "JPEG") for k in range(limit)]


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=95)
    return stream.getvalue()


class Service:
    """A service on loopback, and one connection to it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._loop = asyncio.new_event_loop()
        self._connection = Connection(running.port)

    def ask(self, path: str, **parts: bytes) -> bytes:
        """Sends photos; returns the answer.

        Raises:
            SystemExit: another status than 200.
        """
        body = request(path, form(list(parts.items())))
        status, _, answer = self._loop.run_until_complete(self._connection.ask(body))
        if status != 200:
            raise SystemExit(f"{path} was answered by {status}: {answer[:300]!r}")
        return answer

    def end(self) -> None:
        """Ends the connection and the service."""
        self._connection.close()
        self._loop.close()
        self.running.end(signal.SIGTERM)


def edge(model: str, data: list[bytes]) -> tuple[list[Action], list[Action], list[bytes]]:
    """The edge's work on each photo with a model: photo to template, crop to template; the crops.

    Each photo is one whose face is found.
    """
    from visavis.pipeline.extractor import Extractor

    extractor = Extractor(model=model)
    crops = [extractor.prepare(photo).crops[:1] for photo in data]
    whole = [lambda photo=photo: extractor.embed_photo(photo, "largest") for photo in data]
    faces = [lambda crop=crop: extractor.embedder.embed(crop) for crop in crops]
    return whole, faces, [_encoded(crop[0], "PNG") for crop in crops]


def in_node(data: list[bytes], folder: Path) -> list[float]:
    """Seconds a photo of the examples' JavaScript, by WebAssembly; none where it cannot run."""
    node, models = shutil.which("node"), _EXAMPLES / "models"
    if node is None or not (_EXAMPLES / "node_modules").is_dir() or not models.is_dir():
        return []
    paths = []
    for k, photo in enumerate(data):
        paths.append(folder / f"{k}.jpg")
        paths[-1].write_bytes(photo)
    seconds = []
    for a, b in zip(paths[::2], paths[1::2], strict=False):
        done = subprocess.run(
            [node, _EXAMPLES / "node" / "verify.mjs", a, b], capture_output=True, check=True
        )
        seconds.append(json.loads(done.stdout)["milliseconds"][1] / 1e3)  # the first one warms up
    return seconds


def timed(action: Action) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 for bad options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deployment", description=__doc__)
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"), help="LFW's folder")
    parser.add_argument("--photos", type=int, default=40, help="number of photos")
    parser.add_argument("--models", nargs="*", default=["sface"], help="registered models")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", type=Path, help="write the table into this page")
    options = parser.parse_args(arguments)
    before = load()
    data = photos(options.lfw, options.photos)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows, sizes = _measure(data, options.models, place)
        rows["edge, in WebAssembly (Node.js): photo"] = in_node(data[:20], place)
    table = Table(
        "Cloud, hybrid and edge: milliseconds for one photo",
        ("where the work is done", "median", "95 %", "bytes sent"),
        note="Without any network. A real one adds its round trip, and the time for these bytes.",
    )
    for name, seconds in rows.items():
        told = (ms(quantile(seconds, 0.5)), ms(quantile(seconds, 0.95))) if seconds else ("-", "-")
        table.rows.append((name, *told, f"{sizes.get(name, 0):,}"))
    about = f"{machine()}. Load average {before} before, {load()} after."
    print(json.dumps({"rows": table.plain(), "machine": about}) if options.json else table.text())
    if options.markdown:
        write_section(options.markdown, "deployment", f"{table.markdown()}\n{about}", page="")
    return 0


def _measure(
    data: list[bytes], models: list[str], place: Path
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each row in turns, and the median bytes that are sent."""
    work: dict[str, list[Action]] = {}
    crops: list[bytes] = []
    for model in models:
        whole, faces, crops = edge(model, data)
        work[f"edge, {model}: photo to template"] = whole
        work[f"edge, {model}: aligned crop to template"] = faces
    service = Service(Running.start(place / "door.gallery", place / "home", place / "log"))
    cloud, hybrid = "cloud: the photo is sent", "hybrid: the crop is sent, aligned by the client"
    work[cloud] = [lambda photo=photo: service.ask("/v1/embed", photo=photo) for photo in data]
    work[hybrid] = [
        lambda crop=crop: service.ask("/v1/embed?aligned=true", photo=crop) for crop in crops
    ]
    try:
        for actions in work.values():
            timed(actions[0])  # loads the models
        rows: dict[str, list[float]] = {name: [] for name in work}
        for k in range(len(data)):
            for name, actions in work.items():
                rows[name].append(timed(actions[k]))
    finally:
        service.end()
    sizes = {
        cloud: int(quantile([len(photo) for photo in data], 0.5)),
        hybrid: int(quantile([len(crop) for crop in crops], 0.5)),
    }
    return rows, sizes


if __name__ == "__main__":
    sys.exit(main())
