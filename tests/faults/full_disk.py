"""Fills a small disk at random points of changes to a gallery; nothing that was said may be untrue.

``python -m tests.faults.full_disk --count 200 --seed 1`` needs the right to mount. Each time it
leaves a random number of bytes free and enrolls, rekeys, backs up, exports, compacts or removes. An
error must say that the disk is full, and whether the change was made; the gallery must hold exactly
what was acknowledged, and the same change must succeed when there is room. Prints a table; exits
with 1 if something was wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.errors import ErasureIncompleteError, GalleryError, VisavisError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.transfer import export, import_

_SIZE: Final = 3 << 20
_KEYS: Final = (None, Key(bytes(range(32))), Key(bytes(range(32, 64))))
_OPTIONS: Final = GalleryOptions(index=IndexOptions(), snapshot_from=10, timeout=5)
_NOTHING: Final = "nothing of this write was kept"
CHANGES: Final = ("enroll", "rekey", "encrypt anew", "backup", "export", "compact", "remove")


@contextmanager
def small_disk(place: Path, *, size: int = _SIZE) -> Iterator[Path | None]:
    """Mounts a file system of some bytes; yields ``None`` where that is not allowed."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None:
        yield None
        return
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(filler: Path, free: int) -> None:
    """Writes a file that leaves so many bytes free on its disk."""
    room = os.statvfs(filler.parent)
    filler.write_bytes(bytes(max(room.f_bavail * room.f_frsize - free, 0)))


def _faces(count: int, seed: int, name: str) -> list[NewFace]:
    rows = np.random.default_rng(seed).normal(size=(count, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        NewFace(f"{name} {k % 8}", row, "model", "a" * 64, "", 0.5, f"{k}.jpg", "", bytes(3000))
        for k, row in enumerate(rows)
    ]


def _content(store: SqliteGallery) -> Any:
    return [(f.person, f.vector.tobytes(), store.crop(f.id)) for f in store.faces()]


class Case:
    """One change of a gallery on a disk that fills up.

    Args:
        disk: the small file system, empty.
        whole: a gallery to copy.
        change: one of ``CHANGES``.
        key: number of the gallery's key.
        free: bytes to leave free.
        early: fill the disk before the gallery is opened.
    """

    def __init__(
        self, disk: Path, whole: Path, change: str, key: int, free: int, *,
        early: bool,
    ) -> None:  # fmt: skip
        self._disk, self._change, self._key = disk, change, key
        self._other = 2 if key == 1 else 1
        self._folder = disk / "g"
        shutil.copytree(whole, self._folder)
        self._free, self._early = free, early
        self.wrong: list[str] = []
        self.failed = False

    def run(self) -> None:
        """Changes the gallery, and looks at what was said and what is there."""
        filler = self._disk / "filler"
        error: VisavisError | None = None
        opened = False
        with SqliteGallery(self._folder, key=_KEYS[self._key], options=_OPTIONS) as store:
            before = _content(store)
            if not self._early:
                self._fill(filler)
                opened = True
                error = self._tried(store)
        if self._early:
            self._fill(filler)
            try:
                with SqliteGallery(self._folder, key=_KEYS[self._key], options=_OPTIONS) as store:
                    opened = True
                    error = self._tried(store)
            except VisavisError as raised:
                error = raised
        self._judge(error, filler, opened=opened)
        done = error is None or isinstance(error, ErasureIncompleteError)
        self.failed = error is not None
        self._look(before, done)

    def _fill(self, filler: Path) -> None:
        fill(filler, self._free)

    def _tried(self, store: SqliteGallery) -> VisavisError | None:
        try:
            self._acts(store)[self._change]()
        except VisavisError as error:
            return error
        return None

    def _judge(self, error: VisavisError | None, filler: Path, *, opened: bool) -> None:
        """Compares what was said with what happened, and makes room again."""
        made = {path.name for path in self._disk.iterdir()} - {"g", "filler"}
        if made - {"e", "b"} or (error is not None and made):
            self.wrong.append(f"left behind: {sorted(made)}")
        filler.unlink()
        if error is None:
            return
        said, done = str(error), isinstance(error, ErasureIncompleteError)
        if "disk is full" not in said:
            self.wrong.append(f"said: {said}")
        changes = opened and self._change not in {"backup", "export", "compact"}
        if changes and (_NOTHING in said) == done:
            self.wrong.append(f"done is {done}, but it said: {said}")

    def _acts(self, store: SqliteGallery) -> dict[str, Callable[[], object]]:
        return {
            "enroll": lambda: store.add(_faces(40, 5, "New")),
            "rekey": lambda: store.rekey(_KEYS[self._other]),
            "encrypt anew": lambda: store.rekey(_KEYS[self._other], reencrypt=True),
            "backup": lambda: store.backup(self._disk / "b"),
            "export": lambda: export(store, self._disk / "e"),
            "compact": store.compact,
            "remove": lambda: store.remove("Old 3"),
        }

    def _look(self, before: Any, done: bool) -> None:
        rekeyed = done and self._change in {"rekey", "encrypt anew"}
        key = _KEYS[self._other if rekeyed else self._key]
        try:
            with SqliteGallery(self._folder, key=key, options=_OPTIONS) as store:
                wanted = before
                if done and self._change == "enroll":
                    wanted = before + [
                        (f.person, f.vector.tobytes(), f.crop) for f in _faces(40, 5, "New")
                    ]
                if done and self._change == "remove":
                    wanted = [row for row in before if row[0] != "Old 3"]
                if _content(store) != wanted:
                    self.wrong.append("not what was acknowledged")
                if problems := store.check().problems:
                    self.wrong.append(f"check: {problems}")
                if not done and self._change not in {"rekey", "encrypt anew"}:
                    self._acts(store)[self._change]()  # there is room now
                if self._change == "backup":
                    with SqliteGallery(self._disk / "b", key=_KEYS[self._key]) as copy:
                        if _content(copy) != before or not copy.check().ok:
                            self.wrong.append("the backup is another")
            if self._change == "export":
                with SqliteGallery(self._disk / "new", create=True) as store:
                    import_(store, self._disk / "e")
                    if sorted(_content(store)) != sorted(before):
                        self.wrong.append("the export is another")
        except GalleryError as error:
            self.wrong.append(f"afterwards: {error}")


def attack(count: int, seed: int) -> dict[str, tuple[int, int, list[str]]] | None:
    """Runs ``count`` cases; returns cases, failed changes and what was wrong, by change.

    ``None`` where no small disk can be mounted.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, tuple[int, int, list[str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        wholes = []
        for number, key in enumerate(_KEYS[:2]):
            wholes.append(Path(folder) / f"whole{number}")
            with SqliteGallery(wholes[-1], create=True, key=key, options=_OPTIONS) as store:
                store.add(_faces(60, 1, "Old"))
                store.load_index()
        for k in range(count):
            change, key = CHANGES[k % len(CHANGES)], int(rng.integers(0, 2))
            free = int(rng.integers(0, 500_000)) // 4096 * 4096
            with small_disk(Path(folder) / "disk") as disk:
                if disk is None:
                    return None
                case = Case(disk, wholes[key], change, key, free, early=bool(k % 3 == 0))
                case.run()
            (Path(folder) / "disk").rmdir()
            cases, failed, wrong = found.get(change, (0, 0, []))
            wrong += [f"{free:,} free, key {key}: {what}" for what in case.wrong]
            found[change] = (cases + 1, failed + case.failed, wrong)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the attack; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.full_disk", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    found = attack(options.count, options.seed)
    if found is None:
        print("skipped: mounting a small file system is not permitted")
        return 0
    print(f"{'':14} cases  full  wrong")
    for change, (cases, failed, wrong) in found.items():
        print(f"{change:14} {cases:5} {failed:5} {len(wrong):6}")
    for change, (_, _, wrong) in found.items():
        for what in wrong[:3]:
            print(f"{change}: {what}")
    return 1 if any(wrong for _, _, wrong in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
