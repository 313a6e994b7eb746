"""Watching a video: strangers named a visit, speed on one core, memory over an hour.

    python -m benchmarks.watch --lfw ../shared/data/lfw --peers ../shared/data/peers \\
        --markdown docs/watch.md

FPIR: galleries of 100 of LFW's View 1 test people, whom the shipped calibration has never seen,
one photo each; the other test people are strangers. A visit is several photos of one person, or
several disturbed copies of one photo (turned, reduced, blurred, darkened, compressed), which are
alike as frames of a video are. Thresholds are the program's for the stated FPIR; nothing is chosen
on these people.

Speed: the clip of face_recognition (9 s, 640x360), ten frames a second, on one core.

Memory: an hour of a video, looped. Detector and embedder are replaced by constants there, since
only what is kept from frame to frame can grow.
"""

from __future__ import annotations

import argparse
import gc
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import visavis as vv
from benchmarks.measuring import pinned
from benchmarks.open_set import embed
from benchmarks.photos import data_folder
from benchmarks.tables import Table, load, machine, write_section
from visavis.cli.output import home
from visavis.decision.open_set import open_set
from visavis.decision.profile import Calibration
from visavis.evaluation.protocols import lfw
from visavis.faces.align import TEMPLATE
from visavis.gallery.fusion import fused_probe, simulated_non_mated
from visavis.metrics.verification import fmr_name
from visavis.pipeline import Recognizer
from visavis.types import Face, Quality, Template
from visavis.video import SourceOptions, Visits, frames
from visavis.video.analysis import MeasuredFace
from visavis.video.visits import VisitDecision

RATES = (1e-1, 1e-2)
PEOPLE = 100
LOOKS = 8
CLIP = Path("face_recognition/examples/short_hamilton_clip.mp4")
PAGE = "# Watching\n" + "".join(
    f"\n<!-- begin watch {name} (generated) -->\n<!-- end watch {name} -->\n"
    for name in ("fpir", "speed", "memory")
)

Scores = NDArray[np.float32]


def every_frame(scores: Scores, _vectors: Any, _quality: Any) -> Scores:
    """No fusing: each frame is searched; the visit has its best score with each person."""
    return np.asarray(scores.max(axis=0))


def best_frame(scores: Scores, _vectors: Any, quality: NDArray[np.float64]) -> Scores:
    """Only the frame of the best quality is searched."""
    return np.asarray(scores[quality.argmax()])


def mean_template(
    scores: Scores, vectors: NDArray[np.float32], quality: NDArray[np.float64]
) -> Scores:
    """The mean template of unit length."""
    return np.asarray(fused(scores, vectors, quality) / fused_probe(vectors, weights=quality)[1])


def fused(scores: Scores, _vectors: Any, quality: NDArray[np.float64]) -> Scores:
    """As ``vv.watch``: the mean of the scores, weighted by quality."""
    return np.asarray(np.average(scores, axis=0, weights=quality))


WAYS: dict[str, Callable[..., Scores]] = {
    "every frame": every_frame,
    "best frame": best_frame,
    "normalized mean template": mean_template,
    "fused, as `vv.watch` does": fused,
}


@dataclass(frozen=True, slots=True)
class Case:
    """People to enroll, by one template each, and visits: templates and quality scores."""

    name: str
    enrolled: dict[str, NDArray[np.float32]]
    visits: dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]


def fpir_table(cases: Sequence[Case], calibration: Calibration, rounds: int) -> Table:
    """How many visits of strangers get a name, and how many enrolled people are missed."""
    table = Table(
        "Visits of strangers that get a name: measured FPIR / stated FPIR",
        ("visits of", "searched", "strangers", *(
            text for rate in RATES
            for text in (f"at {fmr_name(rate)}", f"missed at {fmr_name(rate)}")
        )),
        note=f"{rounds} galleries of {PEOPLE} people: the mean, and in brackets the 10th and 90th "
        "percentile of the galleries. Missed: visits of enrolled people without the right name.",
    )  # fmt: skip
    for case in cases:
        named: dict[tuple[str, float], list[float]] = {}
        missed: dict[tuple[str, float], list[bool]] = {}
        strangers = 0
        for k in range(rounds):
            names = np.array(sorted(case.enrolled))
            chosen = np.random.default_rng(k).choice(names, PEOPLE, replace=False).tolist()
            gallery = np.stack([case.enrolled[name] for name in chosen])
            own = simulated_non_mated(gallery, np.arange(PEOPLE))
            model = open_set(people=PEOPLE, calibration=calibration, own=own)
            strangers = len(case.visits.keys() - set(chosen))
            for way, combine in WAYS.items():
                scores = {
                    name: combine(vectors @ gallery.T, vectors, quality)
                    for name, (vectors, quality) in case.visits.items()
                }
                outside = np.array([s.max() for n, s in scores.items() if n not in chosen])
                for rate in RATES:
                    threshold = model.point(rate).threshold
                    named.setdefault((way, rate), []).append((outside >= threshold).mean() / rate)
                    missed.setdefault((way, rate), []).extend(
                        bool(s.max() < threshold or chosen[s.argmax()] != n)
                        for n, s in scores.items()
                        if n in chosen
                    )
        for way in WAYS:
            cells = []
            for rate in RATES:
                low, high = np.quantile(named[way, rate], [0.1, 0.9])
                cells += [f"{np.mean(named[way, rate]):.2f} ({low:.2f} to {high:.2f})"]
                cells += [f"{np.mean(missed[way, rate]):.3f}"]
            table.rows.append((case.name, way, f"{strangers:,}", *cells))
    return table


def disturbed(photo: Path, count: int, seed: int) -> Iterator[bytes]:
    """Copies of a photo, as a camera would see it in successive moments."""
    rng = np.random.default_rng(seed)
    with Image.open(photo) as opened:
        original = opened.convert("RGB")
    width, height = original.size
    for _ in range(count):
        scale = rng.uniform(0.5, 1.0)
        size = (round(width * scale), round(height * scale))
        picture = original.rotate(rng.normal(0, 4), Image.Resampling.BICUBIC).resize(size)
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2) * scale))
        pixels = np.asarray(picture, dtype=np.float64) / 255
        pixels = pixels ** rng.uniform(0.7, 1.5) + rng.normal(0, 0.02, pixels.shape)
        shown = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=int(rng.integers(40, 90)))
        yield buffer.getvalue()


def cases(folder: Path, recognizer: Recognizer, people: int) -> list[Case]:
    """Visits of several photos, and of copies of one."""
    unseen = lfw.people(folder, "test")
    photos = sorted(lfw.photo_folder(folder).glob("*/*.jpg"))
    photos = [photo for photo in photos if photo.parent.name in unseen]
    every = embed(recognizer, photos, [photo.parent.name for photo in photos])
    rows = {name: np.flatnonzero(every.people == k) for k, name in enumerate(every.names)}
    first = {name: every.vectors[own[0]] for name, own in rows.items()}
    several = {
        name: (every.vectors[own[1 : LOOKS + 1]], every.quality_score[own[1 : LOOKS + 1]])
        for name, own in rows.items()
        if len(own) >= 4
    }
    last = {photo.parent.name: photo for photo in photos}
    drawn = np.random.default_rng(0).permutation(sorted(last))[:people].tolist()
    copies = [one for k, name in enumerate(drawn) for one in disturbed(last[name], LOOKS, k)]
    found = embed(recognizer, copies, [n for n in drawn for _ in range(LOOKS)], keep=False)
    moments = {
        name: (found.vectors[found.people == k], found.quality_score[found.people == k])
        for k, name in enumerate(found.names)
    }
    # Who has one photo only would be enrolled by the photo of the visit: a stranger always.
    twice = {name: vector for name, vector in first.items() if len(rows[name]) > 1}
    return [
        Case("several photos (3 to 8)", first, several),
        Case(f"copies of one photo ({LOOKS})", twice, moments),
    ]


def speed_table(clip: Path, repeats: int) -> Table:
    """Speed on one core, relative to real time."""
    table = Table(
        "Speed on one core: seconds of video processed per second",
        (
            *("what", "video seconds per CPU second"),
            *("per second of wall time", "CPU ms per frame"),
        ),
        note=f"640x360, 10 frames per second, one thread on one core, median of {repeats} runs, "
        "without loading. CPU time depends less on other load.",
    )
    photos = clip.parent
    names = ("lin-manuel-miranda.png", "alex-lacamoire.png", "obama.jpg", "biden.jpg")
    with (
        tempfile.TemporaryDirectory() as folder,
        pinned({min(os.sched_getaffinity(0))}),
        vv.Gallery(Path(folder) / "g", create=True) as gallery,
    ):
        gallery.enroll([(name, photos / name) for name in names])
        looked = list(frames(clip, options=SourceOptions(threads=1)))
        seconds = looked[-1].time

        def watch(**options: Any) -> Callable[[], object]:
            return lambda: list(vv.watch(clip, gallery=gallery, fpir=0.01, threads=1, **options))

        def each_frame() -> None:
            for frame in frames(clip, options=SourceOptions(threads=1)):
                gallery.identify(frame.pixels, fpir=0.01, threads=1)

        ways = {
            "`vv.watch`": watch(),
            "`vv.watch(max_size=480)`": watch(max_size=480),
            "identifying every frame": each_frame,
            "decoding only": lambda: list(frames(clip, options=SourceOptions(threads=1))),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for run in ways.values():
            run()  # loads
        for _ in range(repeats):
            for name, run in ways.items():
                begun, used = time.perf_counter(), time.process_time()
                run()
                times[name].append((time.process_time() - used, time.perf_counter() - begun))
        for name, every in times.items():
            used, took = np.median(every, axis=0).tolist()
            factors = (f"{seconds / used:.2f}", f"{seconds / took:.2f}")
            table.rows.append((name, *factors, f"{1000 * used / len(looked):.1f}"))
    return table


class Constant:
    """A detector that finds two faces, one moving, and an embedder of two constants."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._vectors = rng.normal(size=(50, 128)).astype(np.float32)
        self._vectors /= np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self._frame = 0

    def faces(self, _pixels: Any) -> list[MeasuredFace]:
        self._frame += 1
        phase = self._frame % 300
        quality = Quality(30, 100, 0.5, 0.2, 0, 0, 0, 0.9)
        places = [(10.0, 0)] + [(60.0 + phase / 4, 1 + self._frame // 300)] * (phase < 150)
        return [
            MeasuredFace(Face((x, 10.0, 30.0, 30.0), TEMPLATE + who, 0.9), quality, 0.95)
            for x, who in places
        ]

    def templates(self, _pixels: Any, faces: Sequence[MeasuredFace]) -> list[tuple[Template, ...]]:
        return [(self._template(one),) for one in faces]

    def _template(self, one: MeasuredFace) -> Template:
        who = round(float(one.face.landmarks[0, 0] - TEMPLATE[0, 0]))
        vector = self._vectors[who % len(self._vectors)]
        return Template(vector, "constant", "0" * 64, one.face, one.quality, "frame")

    def project(self, vectors: Any) -> Any:
        return vectors

    def threshold(self, _fmr: float) -> float:
        return 0.5


def resident() -> float:
    """Resident memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**10
    raise SystemExit("memory is measured on Linux only")


def memory_table(minutes: int) -> Table:
    """Resident memory while a video of a minute is looped."""
    import av

    table = Table(
        f"Memory over {minutes} minutes of looped video",
        ("minute", "resident MiB", "events so far"),
        note="160x120, 10 frames a second, decoded for real, faster than real time; detector and "
        "embedder are constants.",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minute.mp4"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            noise = np.random.default_rng(0).integers(0, 255, (20, 120, 160, 3)).astype(np.uint8)
            for k in range(600):
                frame = av.VideoFrame.from_ndarray(noise[k % 20], format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        visits = Visits(
            Constant(), lambda _looks, _picture: VisitDecision(None, None, 0.1, 0.5, 1.0), fpir=0.01
        )
        events = 0
        for minute in range(minutes):
            for frame in frames(path):
                shifted = type(frame)(frame.pixels, frame.time + 60.0 * minute)
                events += len(visits.step(shifted))
            if minute in {0, 4} or minute % 10 == 9:
                gc.collect()
                table.rows.append((f"{minute + 1}", f"{resident():.1f}", f"{events:,}"))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--peers", type=Path, default=data_folder("peers"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--people", type=int, default=500, help="people of the disturbed copies")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--only", choices=["fpir", "speed", "memory"])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    logging.getLogger("visavis").setLevel(logging.ERROR)
    tables: dict[str, Table] = {}
    if options.only in {None, "fpir"} and options.lfw is not None:
        recognizer = Recognizer(home=home())
        found = cases(options.lfw, recognizer, options.people)
        tables["fpir"] = fpir_table(found, recognizer.calibration, options.rounds)
    if options.only in {None, "speed"} and options.peers is not None:
        tables["speed"] = speed_table(options.peers / CLIP, options.repeats)
    if options.only in {None, "memory"}:
        tables["memory"] = memory_table(options.minutes)
    for name, table in tables.items():
        told = f"Measured on {machine()}; load {load()}."
        print(f"{table.text()}\n{told}\n")
        if options.markdown is not None:
            text = f"{table.markdown()}\n{told}\n"
            write_section(options.markdown, f"watch {name}", text, page=PAGE)


if __name__ == "__main__":
    main()
