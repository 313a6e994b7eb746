"""Embedding many photos: speed against its bound and deepface, memory, kills, two Ray nodes.

``python -m benchmarks.bulk`` measures all; ``--sections`` some. On a busy machine read the columns
of processor time: the wall clock then tells how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import own_peak, usual_environment
from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table, load, machine, ms, write_section

SECTIONS = ("speed", "memory", "kills", "ray")
_MAIN = "from visavis.cli import main; main()"
_LARGE = ((4000, 3000), (6000, 4000))  # 12 and 24 megapixels
_PAGE = "<!-- begin bulk (generated) -->\n<!-- end bulk -->\n"
_STAGES = ("decode", "detect", "align", "embed")
_SEED = 20


def spread(photos: Sequence[Path], count: int) -> list[Path]:
    """``count`` photos from all over a list."""
    return [photos[k * len(photos) // count] for k in range(min(count, len(photos)))]


def large_photos(faces: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """Photos of 12 and 24 megapixels: faces enlarged to 600 to 1,500 pixels before a plain wall."""
    import numpy as np
    from PIL import Image

    made = []
    draw = np.random.default_rng(_SEED)
    for k, path in enumerate(spread(faces, count)):
        width, height = _LARGE[k % 2]
        wall = np.linspace(90, 170, width, dtype=np.float32)[None, :, None]
        noise = draw.normal(0, 4, (height // 4, width // 4, 1)).repeat(4, 0).repeat(4, 1)
        photo = Image.fromarray((wall + noise).clip(0, 255).astype(np.uint8).repeat(3, 2))
        side = int(draw.integers(600, 1500))
        with Image.open(path) as face:
            enlarged = face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        place = (int(draw.integers(0, width - side)), int(draw.integers(0, height - side)))
        photo.paste(enlarged, place)
        made.append(folder / f"{k:04}.jpg")
        photo.save(made[-1], quality=92)
    return made


@dataclass(slots=True)
class Spent:
    """Wall-clock and processor seconds."""

    wall: float = 0.0
    cpu: float = 0.0


class Clock:
    """Adds what a block takes to a ``Spent``, on one thread."""

    def __init__(self, spent: Spent) -> None:
        self._spent = spent

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._spent.wall += time.perf_counter() - self._began[0]
        self._spent.cpu += time.process_time() - self._began[1]


def stages(photos: Sequence[Path], rule: str) -> dict[str, Spent]:
    """What each stage takes alone, on one thread, for all photos."""
    import numpy as np

    from visavis import images
    from visavis.errors import FaceError
    from visavis.faces import align, quality
    from visavis.pipeline import Recognizer, rules
    from visavis.pipeline.batch import CHUNK

    recognizer = Recognizer().clone(threads=1)
    recognizer.embed(photos[0])
    spent = {name: Spent() for name in _STAGES}
    crops = []
    for path in photos:
        with Clock(spent["decode"]):
            pixels = images.decode(images.read_bytes(path))
        with Clock(spent["detect"]):
            found = recognizer.detect_in(pixels, str(path))
        with Clock(spent["align"]):
            parts = [align.crop(pixels, face.landmarks) for face in found]
            measured = [quality.measure(pixels, *one) for one in zip(found, parts, strict=True)]
            try:
                chosen = rules.choose(
                    found, rule, size=(pixels.shape[1], pixels.shape[0]), photo="",
                    weights=[quality.quality_score(one) for one in measured],
                )  # fmt: skip
            except FaceError:
                continue
            crops.append(
                align.crops(pixels, [found[k].landmarks for k in chosen.indices],
                            scale=recognizer.crop_scale)
            )  # fmt: skip
    together = np.concatenate(crops)
    with Clock(spent["embed"]):
        for k in range(0, len(together), CHUNK):
            recognizer.embedder.embed(together[k : k + CHUNK])
    return spent


def thread_times() -> dict[str, tuple[float, float]]:
    """Seconds that each thread of this process has run and waited for a processor (Linux)."""
    found = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        run, waited, _ = (int(number) / 1e9 for number in path.read_text().split())
        found[path.parent.name] = (run, waited)
    return found


def runnable(before: dict[str, tuple[float, float]], least: float) -> float:
    """Seconds since ``before`` that threads ran or waited for a processor.

    Threads that ran for less than ``least`` seconds, such as OpenCV's idle ones, do not count.
    """
    total = 0.0
    for thread, (run, waited) in thread_times().items():
        ran, had_waited = before.get(thread, (0.0, 0.0))
        if run - ran >= least:
            total += run - ran + waited - had_waited
    return total


def speed(photos: Sequence[Path], title: str, *, rule: str, workers: int, peer: int) -> Table:
    """The engine against the bound of its stages, and against deepface."""
    from visavis.pipeline import Recognizer

    table = Table(
        title,
        ("", "photos/s", "CPU ms a photo", "share of the bound", "by CPU time", "cores busy"),
        note=f"{len(photos):,} photos, {workers} workers; load {load()}.",
    )
    spent = stages(photos, rule)
    wall, cpu = (sum(getattr(one, key) for one in spent.values()) for key in ("wall", "cpu"))
    count = len(photos)
    for name in _STAGES:
        one = spent[name]
        table.rows.append((f"{name} alone", "", ms(one.cpu / count, 2), "", "", ""))
    table.rows.append(
        ("bound: the stages on all workers", f"{workers * count / wall:.1f}",
         ms(cpu / count, 2), "1", "1", "")
    )  # fmt: skip
    recognizer = Recognizer()
    list(recognizer.embed_many(photos[: 2 * workers], rule=rule, workers=workers))
    engine = Spent()
    rows = recognizer.embed_many(photos, rule=rule, workers=workers)
    busy = 0.0
    with Clock(engine):
        began, before = time.perf_counter(), thread_times()
        for k, _ in enumerate(rows):
            if k == count - 1:  # before the threads end
                busy = runnable(before, 0.01 * (time.perf_counter() - began))
    table.rows.append(
        ("visavis", f"{count / engine.wall:.1f}", ms(engine.cpu / count, 2),
         f"{wall / workers / engine.wall:.2f}", f"{cpu / engine.cpu:.2f}",
         f"{busy / engine.wall / workers:.2f}")
    )  # fmt: skip
    if peer:
        theirs = deepface(spread(photos, peer))
        ours = engine.wall / count
        each = theirs.wall / min(peer, count)
        table.rows.append(
            (f"deepface, represent, {min(peer, count)} photos", f"{1 / each:.1f}",
             ms(theirs.cpu / min(peer, count), 2), f"× {each / ours:.2f} our time",
             f"× {theirs.cpu / min(peer, count) / (engine.cpu / count):.2f}", "")
        )  # fmt: skip
    return table


def deepface(photos: Sequence[Path]) -> Spent:
    """What deepface's ``represent`` takes, one call a photo, on all cores, its models loaded."""
    from benchmarks.peers import environment

    environment.ready()
    process = subprocess.Popen(
        [str(environment.PYTHON), str(Path(__file__).parent / "peers" / "worker_represent.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**usual_environment(), **environment.variables()},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    spent = Spent()
    for k, photo in enumerate([photos[0], *photos]):
        process.stdin.write(json.dumps([str(photo), ""]) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if k:  # the first loads the models
            spent.wall += answer["seconds"]
            spent.cpu += answer["cpu"]
    process.communicate(timeout=60)
    return spent


def peak(photos: Sequence[Path], network: str, out: Path) -> float:
    """Peak memory, MiB, of a process that embeds photos into a folder of Parquet files."""
    lines = json.dumps([[str(photo) for photo in photos], network, str(out)])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bulk", "--one-run"],
        input=lines, capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return float(done.stdout)


def one_run() -> None:
    """Embeds what standard input lists, and prints the peak memory."""
    import numpy as np

    import visavis
    from visavis.embedding.onnx import OnnxEmbedder
    from visavis.faces.yunet import YuNet
    from visavis.types import Face

    photos, network, out = json.load(sys.stdin)
    if network == "without":
        points = np.array([[98, 112], [150, 112], [124, 142], [103, 172], [145, 172]], np.float32)
        face = Face((80.0, 70.0, 90.0, 120.0), points, 0.95)
        YuNet.detect = lambda *_: [face]  # type: ignore[method-assign]
        unit = np.eye(1, 128, dtype=np.float32)
        OnnxEmbedder.embed = lambda _, crops: unit.repeat(len(crops), 0)  # type: ignore[method-assign]
    visavis.embed_to_parquet(photos, out)
    print(own_peak())


def memory(photos: Sequence[Path], counts: Sequence[int], *, network: str) -> Table:
    """Peak memory by the number of photos."""
    table = Table("Peak memory of a run", ("photos", "MiB"), note=_NOTES[network])
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            out = Path(folder) / str(count)
            table.rows.append((f"{count:,}", f"{peak(photos[:count], network, out):.0f}"))
    return table


_NOTES = {
    "with": "",
    "without": "Photos are read, decoded, aligned, measured and written; detection and the "
    "network, which keep nothing of a photo, are replaced by constants.",
}


def rows_of(folder: Path) -> Any:
    """All rows of a folder, in the order of its files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def kills(photos: Sequence[Path], times: int) -> Table:
    """Runs killed at random moments, continued, and compared with an undisturbed run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import visavis

    draw = random.Random(_SEED)
    runs = equal = killed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pq.write_table(pa.table({"photo": [str(p) for p in photos]}), place / "list.parquet")
        visavis.embed_to_parquet(photos, place / "whole", shard=16)
        want = rows_of(place / "whole")
        while killed < times and runs < times:
            out = place / f"out{runs}"
            command = ["embed", str(place / "list.parquet"), "--out", str(out), "--shard", "16"]
            finished = False
            for _ in range(times):
                if killed == times:
                    break
                if killed_run([sys.executable, "-c", _MAIN, *command], draw.uniform(0.5, 3.0)):
                    killed += 1
                else:
                    finished = True
                    break
            if not finished:
                subprocess.run([sys.executable, "-c", _MAIN, *command], check=False,
                               capture_output=True)  # fmt: skip
            equal += rows_of(out).equals(want)
            runs += 1
    table = Table("Killed runs", ("", "count"))
    table.rows.extend([
        ("photos", f"{len(photos):,}"),
        ("kills (SIGKILL), after a random time", str(killed)),
        ("folders that they were continued to", str(runs)),
        ("of these, equal row by row to the undisturbed one", str(equal)),
    ])  # fmt: skip
    return table


def killed_run(command: Sequence[str], seconds: float) -> bool:
    """Starts a run and kills it after ``seconds`` of processor time; false if it ended before."""
    ticks = seconds * os.sysconf("SC_CLK_TCK")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        for _ in range(100_000):
            if run.poll() is not None:
                return False
            fields = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()
            if int(fields[11]) + int(fields[12]) >= ticks:
                run.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.005)
    raise SystemExit("a run did not end")


def on_ray(photos: Sequence[Path], *, kill: bool) -> Table:
    """Two nodes of one core, and two workers of one process, on the same photos."""
    import ray
    from ray.cluster_utils import Cluster

    import visavis

    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    table = Table(
        "Two Ray nodes in one machine",
        ("", "photos/s", "rows", "equal to one process"),
        note=f"{len(photos):,} photos in files of 32, without the start of the cluster; "
        f"load {load()}.",
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.perf_counter()
        visavis.embed_to_parquet(photos, out / "one", shard=32, workers=2)
        want = rows_of(out / "one")
        row = (f"{len(photos) / (time.perf_counter() - began):.1f}", f"{want.num_rows:,}", "")
        table.rows.append(("one process, two workers", *row))
        for name in ("two nodes", "one killed in the middle")[: 1 + kill]:
            cluster = Cluster(initialize_head=True, head_node_args=node)
            other = cluster.add_node(**node)
            ray.init(address=cluster.address, log_to_driver=False)
            left = [other]

            def progress(_: str, done: int, total: int, *, name: str = name) -> None:
                if name.endswith("middle") and 3 * done > total and left:  # noqa: B023
                    cluster.remove_node(left.pop(), allow_graceful=False)  # noqa: B023

            began = time.perf_counter()
            visavis.embed_to_parquet(
                photos, out / name, shard=32, ray=cluster.address, progress=progress
            )
            seconds = time.perf_counter() - began
            ray.shutdown()
            cluster.shutdown()
            rows = rows_of(out / name)
            same = "yes" if rows.equals(want) else "NO"
            table.rows.append((name, f"{len(photos) / seconds:.1f}", f"{rows.num_rows:,}", same))
    return table


def measure(told: argparse.Namespace) -> Iterator[Table]:
    """The tables of the sections asked for."""
    lfw = data_folder("lfw")
    if lfw is None:
        raise SystemExit("no LFW: set VISAVIS_LFW to its folder")
    everyone = sorted((lfw / "lfw-deepfunneled").rglob("*.jpg"))
    some = spread(everyone, told.photos)
    if "speed" in told.sections:
        title = "Labeled Faces in the Wild, 250×250"
        yield speed(some, title, rule="largest", workers=told.workers, peer=told.peer)
        with tempfile.TemporaryDirectory() as folder:
            mixed = large_photos(some, Path(folder), told.large)
            mixed += spread(some, 2 * told.large)
            random.Random(_SEED).shuffle(mixed)
            title = "One third photos of 12 and 24 megapixels, two thirds of 250×250"
            peer = min(told.peer, told.large)
            yield speed(mixed, title, rule="largest", workers=told.workers, peer=peer)
    if "memory" in told.sections:
        network = "without" if told.without_network else "with"
        yield memory(everyone, told.memory, network=network)
    if "kills" in told.sections:
        yield kills(spread(everyone, told.kill_photos), told.kills)
    if "ray" in told.sections:
        yield on_ray(spread(everyone, told.ray_photos), kill=True)


def main() -> None:
    """Measure and print; ``--markdown FILE`` also writes the tables into a page."""
    if sys.argv[1:] == ["--one-run"]:
        one_run()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--large", type=int, default=60, help="photos of 12 and 24 megapixels")
    parser.add_argument("--peer", type=int, default=500, help="photos that deepface gets; 0: none")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", type=int, nargs="+", default=[1000, 13000])
    parser.add_argument("--without-network", action="store_true", help="memory: see the note")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kill-photos", type=int, default=600)
    parser.add_argument("--ray-photos", type=int, default=600)
    parser.add_argument("--markdown", type=Path)
    told = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on the loopback interface
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # as the single process
    made = []
    for table in measure(told):
        made.append(table)
        print(table.text(), flush=True)
    print(machine())
    if told.markdown:
        text = "\n".join([*(table.markdown() for table in made), machine() + "."])
        write_section(told.markdown, "bulk", text, page=_PAGE)


if __name__ == "__main__":
    main()
