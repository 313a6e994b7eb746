"""Drawn videos, and an analyzer that knows what was drawn.

A scene is a list of people: where, who, and how good the picture is. The analyzer reads them from
the frame's first pixels instead of running networks.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from visavis.faces.align import TEMPLATE
from visavis.types import Face, Quality, Template
from visavis.video.analysis import MeasuredFace
from visavis.video.records import VisitEvent
from visavis.video.source import Frame
from visavis.video.visits import VisitDecision, Visits, VisitsOptions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FPS = 10


@dataclass(frozen=True)
class Person:
    """A face in a frame."""

    name: int
    x: float
    y: float = 40
    side: float = 40
    quality: float = 1.0


Scene = Sequence[Person]


def frame(scene: Scene, time: float) -> Frame:
    """A frame whose pixels say what is in it."""
    pixels = np.zeros((200, 320, 3), np.uint8)
    for k, one in enumerate(scene):
        values = np.array([one.name + 1, one.x, one.y, one.side, one.quality * 1e3], np.int32)
        pixels[k, :20].reshape(-1)[:20] = values.view(np.uint8)
    return Frame(pixels, time, NOON + timedelta(seconds=time))


class KnowingAnalyzer:
    """Reads the scene; templates of a person differ a little from frame to frame."""

    def __init__(self, *, calibrated: bool = True, noise: float = 0.3) -> None:
        self._calibrated, self._noise = calibrated, noise
        self._rng = np.random.default_rng(0)
        self.embedded = 0

    def faces(self, pixels: np.ndarray) -> list[MeasuredFace]:
        found = []
        for row in pixels[:10, :20]:
            name, x, y, side, score = row.reshape(-1)[:20].view(np.int32).tolist()
            if name:
                face = Face((x, y, side, side), np.add(TEMPLATE, (name - 1, 0)), 0.9)
                quality = Quality(30, 100, 0.5, 0.2, 0, 0, 0, 0.9)
                found.append(MeasuredFace(face, quality, score / 1e3))
        return found

    def templates(
        self, pixels: np.ndarray, faces: Sequence[MeasuredFace]
    ) -> list[tuple[Template, ...]]:
        self.embedded += len(faces)
        return [(self._template(one),) for one in faces]

    def _template(self, one: MeasuredFace) -> Template:
        person = round(float(one.face.landmarks[0, 0] - TEMPLATE[0][0]))
        vector = np.random.default_rng(person).normal(size=64)
        vector = vector / np.linalg.norm(vector) + self._noise * self._rng.normal(size=64) / 8
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Template(unit, "drawn", "0" * 64, one.face, one.quality, "frame")

    def project(self, vectors: np.ndarray) -> np.ndarray:
        return vectors

    def threshold(self, fmr: float) -> float:
        return {1e-2: 0.4, 1e-3: 0.5}[fmr] if self._calibrated else inf


def name_of(vector: np.ndarray, people: Iterable[int]) -> int | None:
    """The person whose clean template is close."""
    for person in people:
        clean = np.random.default_rng(person).normal(size=64)
        if vector @ clean / np.linalg.norm(clean) > 0.5:
            return person
    return None


class Searches:
    """Decides by name; counts the searches."""

    def __init__(self, *enrolled: int) -> None:
        self.enrolled, self.looks = enrolled, []

    def __call__(self, looks: Sequence[Sequence[Template]], picture: Any) -> VisitDecision:
        self.looks.append([len(one) for one in looks])
        person = name_of(np.mean([one.vector for one in looks[0]], axis=0), self.enrolled)
        name = None if person is None else f"P{person}"
        return VisitDecision(name, name, 0.7 if name else 0.1, 0.45, 0.001)


def watched(
    scenes: Iterable[Scene],
    *enrolled: int,
    fps: float = FPS,
    calibrated: bool = True,
    **options: Any,
) -> tuple[list[VisitEvent], Searches, KnowingAnalyzer]:
    """Events of scenes, one a frame."""
    analyzer, decide = KnowingAnalyzer(calibrated=calibrated), Searches(*enrolled)
    visits = Visits(analyzer, decide, fpir=0.01, options=VisitsOptions(**options))
    events = []
    for k, scene in enumerate(scenes):
        events += visits.step(frame(scene, k / fps))
    return events + visits.finish(), decide, analyzer


def write_video(
    path: Path | str,
    pictures: Iterable[np.ndarray],
    *,
    fps: int = FPS,
    format: str | None = None,
    rotation: int = 0,
) -> None:
    """Writes RGB pictures as an MPEG-4 video of good quality."""
    import av

    with av.open(str(path), "w", format=format) as container:
        stream: Any = None
        for k, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream("mpeg4", rate=fps)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
                stream.codec_context.gop_size = fps
            one = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            one.pts, one.time_base = k, Fraction(1, fps)
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))


def plain(color: int, count: int, size: tuple[int, int] = (64, 96)) -> Iterator[np.ndarray]:
    """Gray pictures."""
    for _ in range(count):
        yield np.full((*size, 3), color, np.uint8)


@contextmanager
def serving(*streams: bytes, hang: bool = False, pause: float = 0.01) -> Iterator[str]:
    """A TCP server that sends one of these to each connection, 8 kB at a time, and closes it; the
    last one again and again. Yields its address.

    Args:
        hang: keep the connection open afterwards.
        pause: seconds between two parts.
    """
    server = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def run() -> None:
        for k in range(100):
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                data = streams[min(k, len(streams) - 1)]
                for at in range(0, len(data), 8192):
                    connection.sendall(data[at : at + 8192])
                    stopped.wait(pause)
                if hang:
                    stopped.wait(20)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stopped.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(2)
