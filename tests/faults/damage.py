"""Damages files of galleries, caches, calibrations, packs and exports, and asks what they hold.

``python -m tests.faults.damage --count 2000 --seed 1`` damages a copy of each kind of file again
and again: bits, page headers, sectors of zeros, swapped sectors, truncations. Each time it asks
everything that a user can ask. An answer must be the one of the undamaged file, or a refusal in one
line. It prints a table and exits with 1 if an answer was wrong or an exception was no refusal.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.decision.profile import CalibrationStore
from visavis.embedding.cache import EmbeddingCache
from visavis.errors import VisavisError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.transfer import export, import_
from visavis.training.data.pack import open_pack, write_pack

SECTOR: Final = 512
PAGE: Final = 4096
KINDS: Final = ("bits", "page header", "zeroed sector", "swapped sectors", "truncation")
_PEOPLE: Final = 90
_MODEL: Final = "a" * 64
_KEY: Final = Key(bytes(range(32)))
_EAGER: Final = GalleryOptions(index=IndexOptions(), snapshot_from=1, timeout=5)
_LAZY: Final = GalleryOptions(timeout=5)

Question = tuple[str, Callable[[], Any]]


def damage(path: Path, kind: str, rng: np.random.Generator) -> str:
    """Damages a file in place; returns what was done, in words."""
    data = bytearray(path.read_bytes())
    size = len(data)
    sectors = max(size // SECTOR, 1)
    if kind == "bits":
        places = rng.integers(0, 8 * size, rng.integers(1, 9)).tolist()
    elif kind == "page header":
        # The file's own header is the first 100 bytes; a page's is 8 or 12.
        page = int(rng.integers(0, max(size // PAGE, 1)))
        start, length = (0, 112) if page == 0 else (PAGE * page, 12)
        length = min(length, size - start)
        places = (8 * start + rng.integers(0, 8 * length, rng.integers(1, 5))).tolist()
    if kind in {"bits", "page header"}:
        for place in places:
            data[place // 8] ^= 1 << place % 8
        done = f"bits {places}"
    elif kind == "zeroed sector":
        at = int(rng.integers(0, sectors)) * SECTOR
        data[at : at + SECTOR] = bytes(len(data[at : at + SECTOR]))
        done = f"zeros at {at}"
    elif kind == "swapped sectors":
        one, two = (rng.integers(0, sectors, 2) * SECTOR).tolist()
        length = min(SECTOR, size - one, size - two)
        first = bytes(data[one : one + length])
        data[one : one + length] = data[two : two + length]
        data[two : two + length] = first
        done = f"{one} and {two} swapped"
    else:
        left = int(rng.integers(0, size))
        del data[left:]
        done = f"cut to {left} of {size} bytes"
    path.write_bytes(data)
    return f"{path.name}: {done}"


@dataclass(frozen=True, slots=True)
class Target:
    """What is damaged.

    Attributes:
        name: for the table.
        make: writes the files into an empty folder.
        files: those to damage.
        questions: what is asked, given the folder; each is asked even if others were refused.
        known: answers besides the true one, by question: "not there, compute it anew".
    """

    name: str
    make: Callable[[Path], None]
    files: Callable[[Path], list[Path]]
    questions: Callable[[Path], Iterator[Question]]
    known: Callable[[str, Any, Any], bool] = lambda question, truth, answer: False


@dataclass(frozen=True, slots=True)
class Finding:
    """A wrong answer or an exception that is no refusal."""

    target: str
    kind: str
    done: str
    question: str
    what: str


def asked(questions: Iterator[Question]) -> dict[str, tuple[str, Any]]:
    """Asks every question; answers are ("is", value), ("refused", text) or ("raised", text)."""
    answers: dict[str, tuple[str, Any]] = {}
    while True:
        name = "(opening)"
        try:
            question = next(questions, None)
            if question is None:
                return answers
            name, ask = question
            answers[name] = ("is", ask())
        except VisavisError as error:
            said = str(error)
            answers[name] = ("raised", said) if "\n" in said else ("refused", said)
        except Exception:  # the suite's purpose: none of these
            answers[name] = ("raised", "".join(traceback.format_exc().splitlines(True)[-3:]))
        if name == "(opening)":
            return answers


class Attack:
    """Damages copies of one target.

    Args:
        target: what is damaged.
        folder: an empty folder to work in.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self._folder = target, folder
        self._whole = folder / "whole"
        self._whole.mkdir(parents=True)
        target.make(self._whole)
        self._truth = self._asked()
        wrong = {name: said for name, (how, said) in self._truth.items() if how != "is"}
        if wrong:
            raise AssertionError(f"{target.name}: undamaged, yet {wrong}")

    def _asked(self, kind: str = "", rng: np.random.Generator | None = None) -> Any:
        copy = self._folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._whole, copy)
        if rng is None:
            return asked(self.target.questions(copy))
        files = self.target.files(copy)
        self.done = damage(files[int(rng.integers(0, len(files)))], kind, rng)
        return asked(self.target.questions(copy))

    def once(self, kind: str, rng: np.random.Generator) -> tuple[str, list[Finding]]:
        """Damages a copy once; returns "noticed" or "harmless", and what was found."""
        answers = self._asked(kind, rng)
        findings, noticed = [], False
        for question, (how, said) in answers.items():
            truth = self._truth.get(question, ("is", None))[1]
            if how == "refused":
                noticed = True
            elif how == "raised":
                findings.append(
                    Finding(self.target.name, kind, self.done, question, f"raised: {said}")
                )
            elif said != truth:
                if self.target.known(question, truth, said):
                    noticed = True
                else:
                    what = f"wrong: {str(said)[:200]} instead of {str(truth)[:200]}"
                    findings.append(Finding(self.target.name, kind, self.done, question, what))
        return "noticed" if noticed else "harmless", findings


# --- galleries -----------------------------------------------------------------------------------


def _vectors(count: int, length: int = 64, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


VECTORS: Final = _vectors(3 * _PEOPLE)


def _face(person: str, at: int, *, crop: bool = False, expires: str | None = None) -> NewFace:
    return NewFace(
        person, VECTORS[at], "model", _MODEL, "pipeline", 0.5, f"photos/{at}.jpg", f"{at:064x}",
        bytes(range(256)) * 4 if crop else None, expires,
    )  # fmt: skip


def _gallery(path: Path, key: Key | None, options: GalleryOptions) -> None:
    with SqliteGallery(path, create=True, key=key, options=options) as store:
        for start in range(0, 2 * _PEOPLE, 60):
            store.add([
                _face(f"Person {at % _PEOPLE:03}", at, crop=at % 9 == 0,
                      expires="2999-01-01T00:00:00Z" if at % 7 == 0 else None)
                for at in range(start, start + 60)
            ])  # fmt: skip
        store.set_attributes("Person 004", {"door": 4})
        store.rename("Person 005", "Renamed 005")
        store.merge("Person 006", "Person 007")
        store.split(
            "Person 008", [f.id for f in store.faces(person="Person 008")][:1], into="Split"
        )
        store.set_expiry("Person 009", "2998-01-01T00:00:00Z")
        store.remove("Person 010")
        store.load_index()


def _gallery_questions(
    folder: Path, key: Key | None, options: GalleryOptions
) -> Iterator[Question]:
    with SqliteGallery(folder / "g", key=key, options=options) as store:
        names = [*(f"Person {at:03}" for at in range(11, _PEOPLE, 4)), "Renamed 005", "Split"]
        probes = VECTORS[: 2 * _PEOPLE : 5]
        for fusion in ("max", "weighted"):
            yield (
                f"search {fusion}",
                lambda fusion=fusion: [
                    [m.to_dict() for m in found]
                    for found in store.search(probes, model_sha256=_MODEL, k=3, fusion=fusion)
                ],
            )
        yield "people", lambda: [person.to_dict() for person in store.people()]
        yield "faces", lambda: [(f.to_dict(), f.vector.tobytes()) for f in store.faces()]
        yield "crops", lambda: [store.crop(f.id) for f in store.faces() if f.has_crop]
        yield "has person", lambda: [store.has_person(name) for name in [*names, "Nobody"]]
        yield "person", lambda: [store.person(name).to_dict() for name in names]
        yield "faces of", lambda: [f.id for name in ("Split", "Person 006", "Renamed 005")
                                   for f in store.faces(person=name)]  # fmt: skip
        yield (
            "has source",
            lambda: [
                store.has_source(f"{at:064x}", person=f"Person {at:03}", model_sha256=_MODEL)
                for at in (0, 15, 20, 85, 30)
            ],
        )
        yield "counts", lambda: [store.info().people, store.info().faces, store.info().models]
        yield "audit", lambda: [entry.to_dict() for entry in store.audit()]
        yield "removals", lambda: [e.to_dict() for e in store.audit(action="remove")]
        yield (
            "non-mated scores",
            lambda: np.round(store.non_mated(model_sha256=_MODEL, most=50), 6).tolist(),
        )
        yield "expire nobody", lambda: store.expire("2900-01-01T00:00:00Z")
        yield "enroll", lambda: len(store.add([_face("New", 2 * _PEOPLE)]))
        yield (
            "search after",
            lambda: [
                [(m.person, round(m.score, 6)) for m in found]
                for found in store.search(
                    VECTORS[2 * _PEOPLE : 2 * _PEOPLE + 1], model_sha256=_MODEL, k=2
                )
            ],
        )
        yield "expire some", lambda: store.expire("2998-06-01T00:00:00Z")
        yield "people after", lambda: [(p.name, p.faces) for p in store.people()]


def _gallery_target(name: str, key: Key | None, options: GalleryOptions, pattern: str) -> Target:
    return Target(
        name,
        lambda folder: _gallery(folder / "g", key, options),
        lambda folder: sorted((folder / "g").glob(pattern)),
        lambda folder: _gallery_questions(folder, key, options),
    )


def _check_questions(folder: Path, key: Key | None) -> Iterator[Question]:
    """Asks ``check`` first; if it is content, everything must be right."""
    with SqliteGallery(folder / "g", key=key, options=_LAZY) as store:
        yield "check", lambda: store.check().ok
        yield "people", lambda: [person.to_dict() for person in store.people()]
        yield "faces", lambda: [(f.to_dict(), f.vector.tobytes()) for f in store.faces()]
        yield "audit", lambda: [entry.to_dict() for entry in store.audit()]


# --- the other files -----------------------------------------------------------------------------


def _photo(at: int) -> str:
    return f"{at:064x}"


def _cached(at: int) -> tuple[Any, np.ndarray]:
    return {"faces": [{"box": [at, 1, 2, 3], "score": 0.5}], "size": [9, 9]}, VECTORS[at : at + 1]


def _cache(folder: Path) -> None:
    with EmbeddingCache(folder / "cache" / "c.sqlite") as cache:
        for at in range(120):
            cache.put(_photo(at), "pipeline", _MODEL, *_cached(at))


def _cache_questions(folder: Path) -> Iterator[Question]:
    def got(at: int) -> Any:
        found = cache.get(_photo(at), "pipeline", _MODEL)
        return None if found is None else (found[0], found[1].tolist())

    with EmbeddingCache(folder / "cache" / "c.sqlite") as cache:
        for at in range(0, 120, 7):
            yield f"photo {at}", lambda at=at: got(at)
        yield "nobody's photo", lambda: got(500)
        yield "put", lambda: cache.put(_photo(21), "pipeline", _MODEL, *_cached(21))
        yield "put photo", lambda: got(21)


def _calibration(folder: Path) -> None:
    import visavis.decision

    shipped = Path(visavis.decision.__file__).parent / "data" / "sface-lfw.json"
    (folder / "calibrations").mkdir()
    shutil.copy(shipped, folder / "calibrations" / "mine.json")


def _calibration_questions(folder: Path) -> Iterator[Question]:
    store = CalibrationStore(folder)
    yield "load", lambda: store.load("mine").to_dict()
    yield "list", store.names


def _pack(folder: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
    labels = np.repeat(np.arange(10), 4)
    write_pack(
        folder / "p.pack", crops, labels, [f"P{i}" for i in range(10)],
        [f"P{i // 4}/{i}.jpg" for i in range(40)], size=16, scale=0.85, origin="here",
    )  # fmt: skip


def _pack_questions(folder: Path) -> Iterator[Question]:
    def read() -> Any:
        pack = open_pack(folder / "p.pack")
        pack.verify()
        return (pack.labels.tolist(), pack.people, pack.names, pack.crops.tobytes(), pack.origin)

    yield "verified", read


def _export(folder: Path, key: Key | None) -> None:
    _gallery(folder / "g", None, _LAZY)
    with SqliteGallery(folder / "g") as store:
        export(store, folder / "e.visavis", key=key)
    shutil.rmtree(folder / "g")


def _export_questions(folder: Path, key: Key | None) -> Iterator[Question]:
    def imported() -> Any:
        with SqliteGallery(folder / "new", create=True) as store:
            try:
                report = import_(store, folder / "e.visavis", key=key)
            except VisavisError:
                if any(True for _ in store.people()):
                    raise AssertionError("refused, but something was imported") from None
                raise
            faces = [(f.person, f.vector.tobytes(), f.photo) for f in store.faces()]
            people = [(p.name, p.attributes, p.faces) for p in store.people()]
            return report.faces, report.people, report.content, faces, people

    yield "import", imported


TARGETS: Final = (
    _gallery_target("gallery, plain", None, _LAZY, "gallery.sqlite"),
    _gallery_target("gallery, encrypted", _KEY, _LAZY, "gallery.sqlite"),
    _gallery_target("search index, plain", None, _EAGER, "index/*"),
    _gallery_target("search index, encrypted", _KEY, _EAGER, "index/*"),
    Target(
        "gallery, checked",
        lambda folder: _gallery(folder / "g", None, _LAZY),
        lambda folder: [folder / "g" / "gallery.sqlite"],
        lambda folder: _check_questions(folder, None),
        lambda question, truth, answer: question == "check" and answer is False,
    ),
    Target(
        "embedding cache",
        _cache,
        lambda folder: [folder / "cache" / "c.sqlite"],
        _cache_questions,
        lambda question, truth, answer: "photo" in question and answer is None,
    ),
    Target(
        "calibration",
        _calibration,
        lambda folder: [folder / "calibrations" / "mine.json"],
        _calibration_questions,
    ),
    Target("pack", _pack, lambda folder: [folder / "p.pack"], _pack_questions),
    Target(
        "export, plain",
        lambda folder: _export(folder, None),
        lambda folder: [folder / "e.visavis"],
        lambda folder: _export_questions(folder, None),
    ),
    Target(
        "export, encrypted",
        lambda folder: _export(folder, _KEY),
        lambda folder: [folder / "e.visavis"],
        lambda folder: _export_questions(folder, _KEY),
    ),
)


@dataclass(slots=True)
class Tally:
    """Counts of one target and kind, or time, of damage."""

    noticed: int = 0
    harmless: int = 0
    wrong: int = 0
    raised: int = 0

    def add(self, noticed: bool, findings: Sequence[Finding]) -> None:
        """Counts one damage."""
        self.wrong += any(one.what.startswith("wrong") for one in findings)
        self.raised += any(one.what.startswith("raised") for one in findings)
        self.noticed += noticed and not findings
        self.harmless += not noticed and not findings


def attack(
    count: int, seed: int, *, targets: Sequence[Target] = TARGETS
) -> tuple[dict[tuple[str, str], Tally], list[Finding]]:
    """Makes ``count`` damages in all, as many of each kind to each target as possible."""
    tallies: dict[tuple[str, str], Tally] = {}
    findings: list[Finding] = []
    pairs = [(target, kind) for kind in KINDS for target in targets]
    share = Counter(pairs[at % len(pairs)][::-1] for at in range(count))
    with tempfile.TemporaryDirectory() as folder:
        for number, target in enumerate(targets):
            attacked = Attack(target, Path(folder) / str(number))
            for kind in KINDS:
                tally = tallies.setdefault((target.name, kind), Tally())
                rng = np.random.default_rng([seed, number, KINDS.index(kind)])
                for _ in range(share[kind, target]):
                    how, found = attacked.once(kind, rng)
                    tally.add(how == "noticed", found)
                    findings += found
            shutil.rmtree(Path(folder) / str(number))
    return tallies, findings


def main(arguments: list[str] | None = None) -> int:
    """Runs the attack; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.damage", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="damages in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only targets whose name starts so")
    parser.add_argument("--show", type=int, default=10, help="findings to print")
    options = parser.parse_args(arguments)
    chosen = [target for target in TARGETS if target.name.startswith(options.only)]
    tallies, findings = attack(options.count, options.seed, targets=chosen)
    for one in findings[: options.show]:
        print(f"{one.target} | {one.kind} | {one.done} | {one.question}\n    {one.what}")
    print(f"{'':24} {'':16} noticed harmless wrong tracebacks")
    for (target, kind), t in tallies.items():
        print(f"{target:24} {kind:16} {t.noticed:7} {t.harmless:8} {t.wrong:5} {t.raised:10}")
    every = tallies.values()
    sums = [sum(getattr(t, n) for t in every) for n in ("noticed", "harmless", "wrong", "raised")]
    print(f"{'all':24} {'':16} {sums[0]:7} {sums[1]:8} {sums[2]:5} {sums[3]:10}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
