"""Two processes enroll and remove while four identify: is every answer right for some moment?

Each operation is logged with the times it was called and returned. An answer is right if some state
explains it that the gallery can have had between the search's call and its return: with all
operations that had returned before, none called after, and those in between in the order of each
process. No error of any kind may reach any of the processes.

``python -m benchmarks.gallery_processes --seconds 60``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from visavis.gallery.crypto.key import Key
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.store import SqliteGallery

MODEL = "c" * 64
LENGTH = 64
PROBES = 200
BEST = 3
WRITERS, READERS = 2, 4
CROWD = 300
LEAST = 20  # operations of each process, however slow the machine


def unit(seed: int, count: int) -> np.ndarray:
    """``(count, LENGTH)`` templates of a seed."""
    rows = np.random.default_rng(seed).normal(size=(count, LENGTH)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def opened(folder: Path, key: Key | None) -> SqliteGallery:
    """The gallery."""
    return SqliteGallery(folder / "gallery", create=True, key=key)


def write(folder: Path, key: Key | None, number: int, end: float) -> None:
    """Enroll and remove people, keeping about ``CROWD`` of them."""
    chooser = random.Random(number)
    people: list[str] = []
    made = done = 0
    with opened(folder, key) as store, (folder / f"writer-{number}").open("w") as log:
        while time.monotonic() < end or done < LEAST:
            done += 1
            if len(people) < 20 or chooser.random() > len(people) / CROWD / 2:
                name, count = f"writer {number} person {made:06}", chooser.randint(1, 3)
                seed = number * 10**6 + made
                made += 1
                faces = [NewFace(name, v, "model", MODEL) for v in unit(seed, count)]
                begun = time.monotonic()
                store.add(faces)
                line: dict[str, Any] = {"add": name, "seed": seed, "count": count}
                people.append(name)
            else:
                name = people.pop(chooser.randrange(len(people)))
                begun = time.monotonic()
                store.remove(name)
                line = {"remove": name}
            log.write(json.dumps(line | {"from": begun, "to": time.monotonic()}) + "\n")


def read(folder: Path, key: Key | None, number: int, end: float) -> None:
    """Identify probes."""
    probes = unit(10**9, PROBES)
    chooser = random.Random(number)
    done = 0
    with opened(folder, key) as store, (folder / f"reader-{number}").open("w") as log:
        while time.monotonic() < end or done < LEAST:
            done += 1
            at = chooser.randrange(PROBES)
            begun = time.monotonic()
            (matches,) = store.search(probes[at][None], model_sha256=MODEL, k=BEST, fusion="max")
            line = {
                "probe": at,
                "from": begun,
                "to": time.monotonic(),
                "found": [[m.person, m.score, m.faces] for m in matches],
            }
            log.write(json.dumps(line) + "\n")


class History:
    """What the writers did, and which states it explains."""

    def __init__(self, folder: Path) -> None:
        self.log = [_lines(folder / f"writer-{n}") for n in range(WRITERS)]
        self.begun = [np.array([line["from"] for line in log]) for log in self.log]
        self.ended = [np.array([line["to"] for line in log]) for log in self.log]
        self.names: list[str] = []
        owners, came, went, counts, scores = [], [], [], [], []
        probes = unit(10**9, PROBES).astype(np.float64)
        for writer, log in enumerate(self.log):
            leaving = {line["remove"]: at for at, line in enumerate(log) if "remove" in line}
            for at, line in enumerate(log):
                if "add" in line:
                    self.names.append(line["add"])
                    owners.append(writer)
                    came.append(at)
                    went.append(leaving.get(line["add"], len(log)))
                    counts.append(line["count"])
                    rows = unit(line["seed"], line["count"]).astype(np.float64)
                    scores.append((probes @ rows.T).max(axis=1))
        self.owner, self.came, self.went = np.array(owners), np.array(came), np.array(went)
        self.count = np.array(counts)
        self.scores = np.array(scores).T

    def explains(self, answer: dict[str, Any]) -> bool:
        """Whether some moment between call and return gives this answer."""
        first = [int(np.searchsorted(ended, answer["from"])) for ended in self.ended]
        last = [int(np.searchsorted(begun, answer["to"])) for begun in self.begun]
        return any(
            self._gives((a, b), answer)
            for a in range(first[0], last[0] + 1)
            for b in range(first[1], last[1] + 1)
        )

    def _gives(self, done: tuple[int, int], answer: dict[str, Any]) -> bool:
        """Whether the state after the first operations of each writer does."""
        at = np.array(done)[self.owner]
        scores = np.where((self.came < at) & (at <= self.went), self.scores[answer["probe"]], -2)
        best = [int(i) for i in np.argsort(-scores)[:BEST] if scores[i] > -2]
        found = answer["found"]
        return len(best) == len(found) and all(
            self.names[i] == name and abs(scores[i] - score) < 1e-6 and self.count[i] == faces
            for i, (name, score, faces) in zip(best, found, strict=True)
        )


def forked(work: Callable[[], object]) -> int:
    """Start a process; an exception ends it with its traceback and code 1."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException:
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
        os._exit(1)


def run(folder: Path, key: Key | None, seconds: float) -> str:
    """One run; returns a line about it.

    Raises:
        RuntimeError: an error reached a process, or an answer is wrong.
    """
    end = time.monotonic() + seconds
    processes = [
        forked(lambda n=n: write(folder, key, n, end))  # type: ignore[misc]
        for n in range(WRITERS)
    ] + [
        forked(lambda n=n: read(folder, key, n, end))  # type: ignore[misc]
        for n in range(READERS)
    ]
    failed = sum(os.waitpid(process, 0)[1] != 0 for process in processes)
    if failed:
        raise RuntimeError(f"an error reached {failed} of {len(processes)} processes")
    history = History(folder)
    answers = [line for n in range(READERS) for line in _lines(folder / f"reader-{n}")]
    wrong = [answer for answer in answers if not history.explains(answer)]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(answers)} answers are wrong: {wrong[0]}")
    with opened(folder, key) as store:
        report = store.check()
    if not report.ok:
        raise RuntimeError(str(report.problems))
    took = np.array([answer["to"] - answer["from"] for answer in answers]) * 1000
    return (
        f"{sum(map(len, history.log))} writes, {len(answers)} answers, all right; "
        f"search {np.percentile(took, 50):.1f} ms (median), {took.max():.0f} ms (longest)"
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> int:
    """Run with and without encryption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    for kind, key in (("plain", None), ("encrypted", Key(b"\1" * 32))):
        with tempfile.TemporaryDirectory(prefix="gallery-processes-") as folder:
            try:
                print(f"{kind}: {run(Path(folder), key, options.seconds)}", flush=True)
            except RuntimeError as error:
                print(f"FAILED: {kind}: {error}", flush=True)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
