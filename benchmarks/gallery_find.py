"""``identify`` against deepface's ``find``: 10,000 enrolled photos, the same weights.

Both get the same folder of LFW photos and the same queries, people of View 1's test list of whom
another photo is enrolled. Those photos' templates are made by each package itself; the other
templates are synthetic on both sides, since neither's time depends on what is in them: embedding
10,000 photos is not what is compared.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery_worker import MODEL, SHA256
from benchmarks.measuring import median, usual_environment
from benchmarks.peers import environment
from benchmarks.photos import ROOT
from benchmarks.synthetic_faces import Vectors, draw
from benchmarks.tables import Table

FACES = 10_000
MODES: dict[str, dict[str, Any]] = {
    "find(photo, folder)": {},
    "find(…, refresh_database=False)": {"refresh_database": False},
    'find(…, refresh_database=False, return_type="dict")': {
        "refresh_database": False,
        "return_type": "dict",
    },
}
OWN = "visavis"


@dataclass(frozen=True, slots=True)
class Find:
    """Seconds a query by what was called: whole calls, and without detection and embedding."""

    whole: dict[str, list[float]]
    rest: dict[str, list[float]]
    right: dict[str, int]
    queries: int

    def ratio(self, mode: str, *, whole: bool) -> float:
        """How many times as long as visavis."""
        times = self.whole if whole else self.rest
        return median(times[mode]) / median(times[OWN])

    def table(self) -> Table:
        """A row for each way to call."""
        table = Table(
            f"A query among {FACES:,} faces",
            ("", "search ms", "× visavis", "whole call ms", "× visavis", "right"),
            note='Medians. `find` is deepface\'s; "search ms" is the call without detection and '
            "embedding.",
        )
        for mode in (OWN, *MODES):
            table.rows.append(
                (
                    f"`{mode}`" if mode != OWN else "visavis: embed, `SqliteGallery.search`",
                    f"{1e3 * median(self.rest[mode]):.2f}",
                    f"{self.ratio(mode, whole=False):.1f}",
                    f"{1e3 * median(self.whole[mode]):.1f}",
                    f"{self.ratio(mode, whole=True):.1f}",
                    f"{self.right[mode]} of {self.queries}",
                )
            )
        return table


def measure(lfw: Path, *, queries: int = 20) -> Find:
    """Prepare both and time the queries."""
    environment.ready()
    templates, _ = draw(FACES, 1, seed=3)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        photos, pairs = _laid_out(lfw, folder / "photos", queries)
        np.save(folder / "templates.npy", templates)
        theirs = _deepface(folder, pairs)
        whole, rest, right = _visavis(folder / "gallery", photos, pairs, templates)
    out = Find({OWN: whole}, {OWN: rest}, {OWN: right}, len(pairs))
    for mode, rows in theirs.items():
        out.whole[mode] = [row["seconds"] for row in rows]
        out.rest[mode] = [row["rest"] for row in rows]
        out.right[mode] = sum(
            query.parent.name in {Path(best).parent.name for best in row["best"]}
            for row, (_, query) in zip(rows, pairs, strict=True)
        )
    return out


def _laid_out(lfw: Path, folder: Path, queries: int) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """Links to photos, a folder a person; and pairs of an enrolled photo and a query."""
    lines = (lfw / "peopleDevTest.txt").read_text(encoding="utf-8").splitlines()[1:]
    several = [line.split()[0] for line in lines if int(line.split()[1]) > 1][:queries]
    source = next(path for path in sorted(lfw.iterdir()) if (path / several[0]).is_dir())
    asked = {name: sorted((source / name).iterdir())[1] for name in several}
    pairs, photos = [], []
    chosen = [sorted((source / name).iterdir())[0] for name in several]
    left = set(asked.values()) | set(chosen)
    everyone = (p for p in sorted(source.glob("*/*.jpg")) if p.parent.name not in asked)
    chosen += [p for p, _ in zip(everyone, range(FACES - len(chosen)), strict=False)]
    for photo in chosen:
        link = folder / photo.parent.name / photo.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(photo)
        photos.append(link)
        if photo in left:
            pairs.append((link, asked[photo.parent.name]))
    return sorted(photos, key=str), pairs


def _deepface(folder: Path, pairs: list[tuple[Path, Path]]) -> dict[str, list[dict[str, Any]]]:
    translate_errors = {
        "folder": str(folder / "photos"),
        "templates": str(folder / "templates.npy"),
        "mates": [str(mate) for mate, _ in pairs],
        "queries": [str(query) for _, query in pairs],
        "modes": MODES,
    }
    done = subprocess.run(
        [str(environment.PYTHON), str(ROOT / "benchmarks" / "peers" / "worker_find.py")],
        input=json.dumps(translate_errors),
        capture_output=True,
        text=True,
        check=False,
        env={**usual_environment(), **environment.variables()},
    )
    if done.returncode:
        raise SystemExit(f"deepface failed: {done.stderr[-2000:]}")
    answer: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return answer


def _visavis(
    place: Path, photos: list[Path], pairs: list[tuple[Path, Path]], templates: Vectors
) -> tuple[list[float], list[float], int]:
    from visavis.gallery.records import NewFace
    from visavis.gallery.sqlite.store import SqliteGallery
    from visavis.pipeline import Recognizer

    recognizer = Recognizer()
    vectors = dict(zip(photos, templates, strict=True))
    for mate, _ in pairs:
        vectors[mate] = recognizer.embed(mate)[0].vector
    with SqliteGallery(place, create=True) as gallery:
        gallery.add([NewFace(p.parent.name, v, MODEL, SHA256) for p, v in vectors.items()])
        gallery.search(templates[:1], model_sha256=SHA256, k=5)
        whole, rest, right = [], [], 0
        for _, query in pairs:
            began = time.perf_counter()
            probe = recognizer.embed(query)[0].vector[None]
            embedded = time.perf_counter()
            found = gallery.search(probe, model_sha256=SHA256, k=5)[0]
            ended = time.perf_counter()
            whole.append(ended - began)
            rest.append(ended - embedded)
            right += found[0].person == query.parent.name
    return whole, rest, right
