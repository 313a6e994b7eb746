"""What the processes of ``benchmarks.gallery_crash`` do: work until killed, and look afterwards."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visavis.errors import GalleryKeyError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery

MODEL = "c" * 64
LENGTH = 32
KEYS = (Key(b"\1" * 32), Key(b"\2" * 32))
OPTIONS = GalleryOptions(index=IndexOptions(), snapshot_from=40, timeout=60)

State = dict[str, dict[int, str]]
"""Face numbers by person, and of each the seed of its template."""


@dataclass(frozen=True)
class Place:
    """A gallery and what is written beside it."""

    folder: Path

    @property
    def gallery(self) -> Path:
        return self.folder / "gallery"

    @property
    def encrypted(self) -> bool:
        return self.folder.name != "plain"

    def log(self, worker: int) -> Path:
        return self.folder / f"log-{worker}.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"


def vector(seed: str) -> np.ndarray:
    """The template of a seed."""
    row = np.random.default_rng(list(seed.encode())).normal(size=LENGTH).astype(np.float32)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def crop(seed: str) -> bytes:
    """What is kept as the aligned face of a seed: more than a page."""
    return f"<{seed}>".encode() * 300


def opened(place: Place) -> SqliteGallery:
    """Make it or open it, with whichever key it has now.

    The housekeeper may change the key between two tries: whoever is told each time that the key is
    wrong tries again.
    """
    keys: tuple[Key | None, ...] = KEYS if place.encrypted else (None, KEYS[0])
    end = time.monotonic() + 30
    while True:
        for key in keys:
            try:
                return SqliteGallery(place.gallery, create=True, key=key, options=OPTIONS)
            except GalleryKeyError:
                if time.monotonic() > end:
                    raise


class Worker:
    """Enrolls and removes its own people until killed.

    Each operation is written to the log before it begins, and again, synced, after it returned.
    """

    def __init__(self, place: Place, number: int, seed: int) -> None:
        self.place, self.number = place, number
        self.random = random.Random(seed)
        everything: State = load(place.state)
        self.own = {p: f for p, f in everything.items() if p.startswith(f"Worker {number} ")}
        self.made = seed * 1000
        self.log = place.log(number).open("a", encoding="utf-8")

    def run(self) -> None:
        store = opened(self.place)
        while True:
            try:
                self._step(store)
                if self.random.random() < 0.05:
                    store.close()
                    store = opened(self.place)
            except GalleryKeyError:  # rekeyed by another process
                store.close()
                store = opened(self.place)

    def _write(self, line: dict[str, Any]) -> None:
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        os.fsync(self.log.fileno())

    def _step(self, store: SqliteGallery) -> None:
        chance = self.random.random()
        if chance < 0.55 or len(self.own) < 4:
            self._add(store)
        elif chance < 0.75:
            name = self.random.choice(sorted(self.own))
            self._write({"op": "remove", "person": name})
            store.remove(name)
            self._write({"done": True})
            del self.own[name]
        elif chance < 0.9:
            name = self.random.choice(sorted(self.own))
            numbers = list(self.own[name])[:2]
            self._write({"op": "remove_faces", "person": name, "faces": numbers})
            store.remove_faces(numbers)
            self._write({"done": True})
            for number in numbers:
                del self.own[name][number]
        else:
            probe = vector(f"probe {self.random.random()}")
            store.search(probe[None], model_sha256=MODEL, k=3, fusion="max")

    def _add(self, store: SqliteGallery) -> None:
        self.made += 1
        names = [f"Worker {self.number} person {self.made:09}"]
        if self.own:
            names.append(self.random.choice(sorted(self.own)))
        faces = [
            (name, f"{self.number} {self.made} {at}")
            for at, name in enumerate(self.random.choices(names, k=self.random.randint(1, 12)))
        ]
        self._write({"op": "add", "faces": faces})
        numbers = store.add(
            [
                NewFace(n, vector(s), "model", MODEL, photo=f"{n}/{s}.jpg", crop=crop(s))
                for n, s in faces
            ]
        )
        self._write({"done": numbers})
        for number, (name, seed) in zip(numbers, faces, strict=True):
            self.own.setdefault(name, {})[number] = seed


def keep_house(place: Place, seed: int) -> None:
    """Rekey, compact and write snapshots until killed."""
    chooser = random.Random(seed)
    time.sleep(chooser.uniform(0, 0.1))
    while True:
        with opened(place) as store:
            what = chooser.random()
            if what < 0.4:
                key: Key | None = chooser.choice(KEYS)
                if not place.encrypted:
                    key = None if store.info().encrypted else KEYS[0]
                store.rekey(key, reencrypt=chooser.random() < 0.5)
            elif what < 0.7:
                store.compact()
            else:
                store.load_index()
        time.sleep(chooser.uniform(0, 0.1))


def load(path: Path) -> Any:
    """JSON of a file, face numbers as such; empty where there is none."""
    if not path.exists():
        return {}
    return {
        person: {int(number): seed for number, seed in faces.items()}
        for person, faces in json.loads(path.read_text(encoding="utf-8")).items()
    }
