"""Load on the HTTP service, beside what the same photos take in ``vv.embed_many``.

    python -m benchmarks.service --lfw ../shared/data/lfw

A service (``visavis serve`` in a process of its own) with 100,000 enrolled people, synthetic but
for a few dozen of LFW, is asked by 64 clients for 60 s each to verify and to identify photos of
LFW. Only 200 and 429 may come back. The bound is the rate of ``embed_many`` on the same photos,
measured in turns with the load; the clients share the processors with the service. Then processes
are ended by SIGTERM and SIGKILL while clients enroll: every acknowledged person must be there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import numpy as np

from benchmarks.measuring import quantile, usual_environment
from benchmarks.photos import ROOT, data_folder, lfw_pairs
from benchmarks.synthetic_faces import chunks
from benchmarks.tables import Table, load, machine, write_section

PAGE: Final = ROOT / "docs" / "benchmarks.md"
_GALLERY: Final = "door"
_BOUNDARY: Final = "visavis-benchmark"
_BATCH: Final = 20_000
_TURNS: Final = 6
"""A virtual machine's speed changes by a fifth within a minute: load and bound take turns."""


@dataclass(slots=True)
class Outcome:
    """What the clients saw.

    Attributes:
        status: number of answers by status.
        seconds: of each answer with status 200, from sending to the last byte.
        elapsed: seconds of the whole load.
        memory: resident MiB of the service, once a second.
        cpu: seconds of processor time that the clients took.
    """

    status: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    memory: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, other: Outcome) -> None:
        """Adds what they saw later."""
        self.status += other.status
        self.seconds += other.seconds
        self.memory += other.memory
        self.elapsed += other.elapsed
        self.cpu += other.cpu


def form(parts: Sequence[tuple[str, bytes]], fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """A multipart body."""
    out = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields
    ]
    for name, data in parts:
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="p.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        out += [head.encode(), data, b"\r\n"]
    return b"".join([*out, f"--{_BOUNDARY}--\r\n".encode()])


def request(path: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """A kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, whole: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(whole)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split()[1]), headers, body

    def close(self) -> None:
        """Ends it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def clients(port: int, requests: Sequence[bytes], *, count: int, seconds: float, pid: int
                  ) -> Outcome:  # fmt: skip
    """``count`` clients, each with one request at a time, for ``seconds``."""
    out, started, cpu = Outcome(), time.perf_counter(), time.process_time()
    until = started + seconds

    async def one(number: int) -> None:
        draw, connection = random.Random(number), Connection(port)
        while (sent := time.perf_counter()) < until:
            status, headers, _ = await connection.ask(draw.choice(requests))
            out.status[status] += 1
            if status == 200:
                out.seconds.append(time.perf_counter() - sent)
            else:
                await asyncio.sleep(min(float(headers.get("retry-after", "1")), 5))
        connection.close()

    async def watch() -> None:
        while time.perf_counter() < until:
            out.memory.append(resident(pid))
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(one(k) for k in range(count)))
    out.elapsed, out.cpu = time.perf_counter() - started, time.process_time() - cpu
    return out


def resident(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**10
    return float("nan")


@dataclass(frozen=True, slots=True)
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, gallery: Path, home: Path, log: Path) -> Running:
        """Start it, and wait until it is ready."""
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            *(sys.executable, "-c", "from visavis.cli import main; main()", "serve"),
            *("--gallery", f"{_GALLERY}={gallery}", "--create", "--port", str(port)),
        ]
        environment = {**usual_environment(), "VISAVIS_HOME": str(home)}
        with log.open("ab") as stream:
            process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        for _ in range(600):
            try:
                with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                    if answer.status == 200:
                        return cls(process, port)
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"the service did not start: {log.read_text()[-2000:]}")

    def end(self, sign: signal.Signals) -> float:
        """Send a signal; seconds until it has ended."""
        began = time.perf_counter()
        self.process.send_signal(sign)
        self.process.wait(120)
        return time.perf_counter() - began


def filled(gallery: Path, photos: Sequence[Path], *, people: int, home: Path) -> None:
    """Enroll some real people, and synthetic ones up to ``people``."""
    import visavis as vv
    from visavis.gallery.records import NewFace

    with vv.Gallery(gallery, create=True, home=home) as g:
        g.enroll([(path.parent.name, path) for path in photos], faces="central")
        model = next(iter(g.info().models.items()))
        face = g.faces(g.people()[0].name)[0]
        missing = people - len(g.people())
        done = 0
        for vectors, _ in chunks(missing, np.ones(missing, int), 7):
            for start in range(0, len(vectors), _BATCH):
                part = vectors[start : start + _BATCH]
                g.store.add(
                    [
                        NewFace(
                            f"synthetic {done + k}", vector, model[1], model[0],
                            face.pipeline_id, 0.9, "", "",
                        )
                        for k, vector in enumerate(part)
                    ]
                )  # fmt: skip
                done += len(part)
        g.store.load_index()


def embed_rate(photos: Sequence[bytes], *, home: Path, seconds: float) -> float:
    """Photos a second of ``embed_many``."""
    import visavis as vv

    list(vv.embed_many(photos[:16], faces="largest", home=home))
    done, began = 0, time.perf_counter()
    for _ in range(1000):
        for _row in vv.embed_many(photos, faces="largest", home=home):
            done += 1
        if time.perf_counter() - began > seconds:
            break
    return done / (time.perf_counter() - began)


async def enroll_until_ended(port: int, bodies: Sequence[bytes], acknowledged: set[str],
                             prefix: str) -> None:  # fmt: skip
    """Eight clients enroll new people until the service is gone."""

    async def one(number: int) -> None:
        connection = Connection(port)
        for k in range(10_000):
            name = f"{prefix}-{number}-{k}"
            body = bodies[(number + 8 * k) % len(bodies)].replace(b"NAME", name.encode())
            try:
                status, headers, answer = await connection.ask(
                    request(f"/v1/people?gallery={_GALLERY}&faces=central", body)
                )
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                return
            if status in {200, 201} and b'"enrolled"' in answer:
                acknowledged.add(name)
            elif status in {429, 503}:
                await asyncio.sleep(min(float(headers.get("retry-after", "0.2")), 1))

    await asyncio.gather(*(one(k) for k in range(8)))


def kills(
    photos: Sequence[bytes], folder: Path, *, rounds: int,
    signals: Sequence[str] = ("SIGKILL", "SIGTERM"),
) -> dict[str, Any]:  # fmt: skip
    """End the service while clients enroll; what was acknowledged must be in the gallery."""
    import visavis as vv

    gallery, home, log = folder / "killed.gallery", folder / "home", folder / "log"
    bodies = [form([("photo", data)], [("name", "NAME")]) for data in photos]
    acknowledged: set[str] = set()
    lost = 0
    for k in range(rounds):
        sign = signal.Signals[signals[k % len(signals)]]
        service = Running.start(gallery, home, log)

        async def round_(service: Running = service, sign: signal.Signals = sign, k: int = k
                         ) -> None:  # fmt: skip
            work = asyncio.create_task(
                enroll_until_ended(service.port, bodies, acknowledged, f"r{k}")
            )
            await asyncio.sleep(random.Random(k).uniform(0.5, 3))
            await asyncio.to_thread(service.end, sign)
            await work

        asyncio.run(round_())
        with vv.Gallery(gallery, home=home) as g:
            lost += len(acknowledged - {person.name for person in g.people()})
            if not g.check().ok:
                raise SystemExit(f"round {k}: {g.check().problems}")
    return {"rounds": rounds, "acknowledged": len(acknowledged), "lost": lost}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every bound holds, 1 where one does not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load; 0: only kills")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20, help="rounds of killing the service")
    parser.add_argument("--signals", nargs="+", default=["SIGKILL", "SIGTERM"], help="in turns")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help=f"write into {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.lfw is None:
        raise SystemExit("no photos; give --lfw DIR with LFW and its lists")
    pairs = lfw_pairs(options.lfw.resolve(), limit=100)
    paths = sorted({path for pair in pairs for path in (pair.a, pair.b)})
    photos = [path.read_bytes() for path in paths]
    before = load()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, gallery = folder / "home", folder / "door.gallery"
        _say(f"enrolling {options.people:,} people")
        filled(gallery, paths[:40], people=options.people, home=home)
        kinds = {
            "verify": (
                [
                    request("/v1/verify", form([("a", p.a.read_bytes()), ("b", p.b.read_bytes())]))
                    for p in pairs
                ],
                2,
            ),
            "identify": (
                [
                    request(f"/v1/identify?gallery={_GALLERY}&faces=largest", form([("photo", d)]))
                    for d in photos
                ],
                1,
            ),
        }
        for kind, (requests, each) in kinds.items() if options.seconds else ():
            service = Running.start(gallery, home, folder / "log")
            _say(f"{kind}: {options.clients} clients for {options.seconds:g} s")
            asyncio.run(
                clients(service.port, requests, count=4, seconds=3, pid=service.process.pid)
            )
            found, rate = Outcome(), []
            for _ in range(_TURNS):
                rate.append(embed_rate(photos, home=home, seconds=options.seconds / 2 / _TURNS))
                found.add(
                    asyncio.run(
                        clients(
                            service.port, requests, count=options.clients,
                            seconds=options.seconds / _TURNS, pid=service.process.pid,
                        )
                    )
                )  # fmt: skip
            rows[kind] = _row(found, rate, each, service.end(signal.SIGTERM))
        _say(f"{options.kills} rounds of killing")
        killed: dict[str, Any] = {}
        if options.kills:
            killed = kills(
                photos[:60], folder, rounds=options.kills, signals=tuple(options.signals)
            )
    good = all(_holds(row) for row in rows.values()) and not killed.get("lost")
    about = f"{machine()}. Load average {before} before, {load()} after."
    if options.json:
        print(json.dumps({"machine": about, "load": rows, "kills": killed}, indent=2))
    table = _table(rows, options)
    after = (
        f"{killed['acknowledged']:,} enrollments were acknowledged in {killed['rounds']} rounds "
        f"that ended by {' and '.join(options.signals)} in turn; {killed['lost']} are missing.\n\n"
        if killed
        else ""
    )
    if not options.json:
        print(table.text() + after + about)
    if options.markdown:
        write_section(PAGE, "service", f"{table.markdown()}\n{after}{about}", page="")
    return 0 if good else 1


def _row(found: Outcome, rate: Sequence[float], each: int, ended: float) -> dict[str, Any]:
    half = len(found.memory) // 2
    return {
        "answers a second": found.status[200] / found.elapsed,
        "photos a second": each * found.status[200] / found.elapsed,
        "embed_many": statistics.mean(rate),
        "share": each * found.status[200] / found.elapsed / statistics.mean(rate),
        "status": dict(found.status),
        "p50 ms": 1e3 * quantile(found.seconds, 0.5),
        "p95 ms": 1e3 * quantile(found.seconds, 0.95),
        "MiB at half time": max(found.memory[: half + 1]),
        "MiB at the end": max(found.memory[half:]),
        "CPU share of clients": found.cpu / found.elapsed / (os.cpu_count() or 1),
        "seconds to end": ended,
    }


def _holds(row: dict[str, Any]) -> bool:
    flat = row["MiB at the end"] <= 1.1 * row["MiB at half time"] + 16
    return row["share"] >= 0.8 and {*row["status"]} <= {200, 429} and flat


def _table(rows: dict[str, dict[str, Any]], options: argparse.Namespace) -> Table:
    table = Table(
        f"The service under {options.clients} clients, {options.people:,} people enrolled",
        (
            *("request", "answers /s", "photos /s", "embed_many /s", "share", "p50 ms", "p95 ms"),
            *("200", "429", "others", "MiB, first half", "second half", "clients' CPU"),
        ),
        note="Share: photos a second over those of embed_many, measured in turns. Bound: "
        "0.8. Clients' CPU: share of all processors that the clients themselves took.",
    )
    for kind, row in rows.items():
        status = row["status"]
        others = sum(count for code, count in status.items() if code not in {200, 429})
        table.rows.append(
            (
                kind,
                f"{row['answers a second']:.1f}",
                f"{row['photos a second']:.1f}",
                f"{row['embed_many']:.1f}",
                f"{row['share']:.2f}",
                f"{row['p50 ms']:.0f}",
                f"{row['p95 ms']:.0f}",
                f"{status.get(200, 0):,}",
                f"{status.get(429, 0):,}",
                f"{others:,}",
                f"{row['MiB at half time']:.0f}",
                f"{row['MiB at the end']:.0f}",
                f"{row['CPU share of clients']:.0%}",
            )
        )
    return table


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
