"""Kill the processes of a gallery at random moments and look whether anything is lost.

Two processes enroll and remove, in a part of the rounds a third rekeys, compacts and writes
snapshots; all are killed (SIGKILL) after a random time. Then: every acknowledged operation is
there, none is half there, ``check`` finds the index equal to the table, searches equal brute force,
and nothing that was erased is in any file.

``python -m benchmarks.gallery_crash --rounds 300``
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.gallery_crash_look import look
from benchmarks.gallery_crash_work import Place, Worker, keep_house

WORKERS = 2


def forked(work: Callable[[], object], name: str) -> int:
    """Start a process; an exception ends it with its traceback and code 1."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        sys.stderr.write(f"{name}:\n{traceback.format_exc()}")
        sys.stderr.flush()
        os._exit(1)


def wait_for_work(place: Place) -> None:
    """Until each worker has begun something, on a busy machine, too."""
    end = time.monotonic() + 30
    logs = [place.log(worker) for worker in range(WORKERS)]
    while time.monotonic() < end and not all(log.exists() and log.stat().st_size for log in logs):
        time.sleep(0.005)


def one_round(place: Place, chooser: random.Random, seed: int, *, longest: float) -> str:
    """Work, kill, look; returns a line about it.

    Raises:
        RuntimeError: a process ended by itself, or what was found is not as it must be.
    """
    workers = [
        forked(lambda at=at: Worker(place, at, seed).run(), f"worker {at}")  # type: ignore[misc]
        for at in range(WORKERS)
    ]
    house = chooser.random() < 0.5
    if house:
        workers.append(forked(lambda: keep_house(place, seed), "housekeeper"))
    if chooser.random() < 0.8:  # else they may be killed while they open it
        wait_for_work(place)
    time.sleep(chooser.uniform(0.005, longest))
    chooser.shuffle(workers)
    for process in workers:
        os.kill(process, signal.SIGKILL)
        if chooser.random() < 0.3:
            time.sleep(chooser.uniform(0, 0.05))
    for process in workers:
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            raise RuntimeError("a process ended before it was killed")
    found = place.folder / "found.txt"
    found.unlink(missing_ok=True)

    def looking() -> None:
        found.write_text(repr(look(place, workers=WORKERS)), encoding="utf-8")

    _, status = os.waitpid(forked(looking, "look"), 0)
    if status:
        raise RuntimeError(f"round with seed {seed} of the {place.folder.name} gallery")
    return found.read_text(encoding="utf-8") + (" with a housekeeper" if house else "")


def main() -> int:
    """Run the rounds; 1 where one failed (its folder is kept)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="of each kind of gallery")
    parser.add_argument("--longest", type=float, default=0.8, help="seconds until the kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    chooser = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="gallery-crash-"))
    counts: Counter[str] = Counter()
    for number in range(1, options.rounds + 1):
        for kind in ("plain", "encrypted"):
            place = Place(folder / kind)
            place.folder.mkdir(exist_ok=True)
            seed = options.seed * 1_000_000 + number
            try:
                line = one_round(place, chooser, seed, longest=options.longest)
            except RuntimeError as error:
                print(f"FAILED: {error}; see {folder}", flush=True)
                return 1
            counts[kind] += 1
            if not options.quiet:
                print(f"{kind} {number}: {line}", flush=True)
    for process in ("plain", "encrypted"):
        print(f"{process}: killed and found whole {counts[process]} times")
    import shutil

    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
