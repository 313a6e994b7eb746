"""What must be true of a gallery whose processes were killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery_crash_work import LENGTH, MODEL, Place, State, crop, load, opened, vector


def look(place: Place, *, workers: int) -> dict[str, int]:
    """Compare the gallery with the logs; raises AssertionError; rewrites the state."""
    before: State = load(place.state)
    sure, open_operations, erased = replayed(place, before, workers)
    must_be_gone(place.gallery, erased, "before opening")
    with opened(place) as store:
        report = store.check()
        assert report.ok, report.problems
        actual: State = {person.name: {} for person in store.people()}
        vectors: dict[int, np.ndarray] = {}
        seeds = {s: None for faces in sure.values() for s in faces.values()}
        seeds |= {s: None for op in open_operations if op["op"] == "add" for _, s in op["faces"]}
        by_bytes = {vector(seed).tobytes(): seed for seed in seeds}
        for face in store.faces():
            actual[face.person][face.id] = by_bytes[face.vector.tobytes()]
            assert store.crop(face.id) == crop(by_bytes[face.vector.tobytes()])
            vectors[face.id] = face.vector
        assert_allowed(sure, open_operations, actual)
        search_equals_brute_force(store, actual, vectors)
    everything = {seed for faces in before.values() for seed in faces.values()} | set(seeds)
    alive = {seed for faces in actual.values() for seed in faces.values()}
    names = {name for name in (*before, *sure) if name not in actual}
    must_be_gone(place.gallery, [*(everything - alive), *names], "after opening")
    place.state.write_text(json.dumps(actual), encoding="utf-8")
    for worker in range(workers):
        place.log(worker).unlink(missing_ok=True)
    return {
        "faces": len(vectors),
        "people": len(actual),
        "unfinished": len(open_operations),
        "erased": len(erased),
    }


def replayed(
    place: Place, before: State, workers: int
) -> tuple[State, list[dict[str, Any]], list[str]]:
    """The state that acknowledged operations lead to, those in flight, and what was erased."""
    sure: State = {person: dict(faces) for person, faces in before.items()}
    in_flight, erased = [], []
    for worker in range(workers):
        begun: dict[str, Any] | None = None
        for line in lines(place.log(worker)):
            if "op" in line:
                begun = line
            elif begun is not None:
                erased += apply(sure, begun, line["done"])
                begun = None
        if begun is not None:
            in_flight.append(begun)
    alive = {seed for faces in sure.values() for seed in faces.values()}
    return sure, in_flight, [what for what in erased if what not in alive and what not in sure]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines of a log; the last may be torn."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def apply(state: State, operation: dict[str, Any], numbers: Any) -> list[str]:
    """Do an operation; returns what it erased."""
    if operation["op"] == "add":
        for number, (name, seed) in zip(numbers, operation["faces"], strict=True):
            state.setdefault(name, {})[number] = seed
        return []
    person = operation["person"]
    if operation["op"] == "remove":
        return [person, *state.pop(person).values()]
    return [state[person].pop(number) for number in operation["faces"]]


def assert_allowed(sure: State, in_flight: list[dict[str, Any]], actual: State) -> None:
    """Every operation in flight happened wholly or not at all, nothing else is different."""
    for operation in in_flight:
        if operation["op"] == "add":
            known = {number for faces in sure.values() for number in faces}
            new = {
                seed: number
                for faces in actual.values()
                for number, seed in faces.items()
                if number not in known
            }
            numbers = [new.get(seed) for _, seed in operation["faces"]]
            if any(number is not None for number in numbers):
                assert None not in numbers, f"half there: {operation}"
                apply(sure, operation, numbers)
        elif operation["op"] == "remove":
            if operation["person"] not in actual:
                apply(sure, operation, True)
        elif not set(operation["faces"]) & set(actual[operation["person"]]):
            apply(sure, operation, True)
    assert actual == sure, differences(sure, actual)


def differences(sure: State, actual: State) -> str:
    """In words."""
    lost = {p: f for p, f in sure.items() if actual.get(p) != f}
    return (
        f"wanted {lost}, found { {p: actual.get(p) for p in lost} }, more: {actual.keys() - sure}"
    )


def search_equals_brute_force(store: Any, actual: State, vectors: dict[int, np.ndarray]) -> None:
    """Random probes, each against every template."""
    probes = np.random.default_rng(len(vectors)).normal(size=(20, LENGTH)).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    answers = store.search(probes, model_sha256=MODEL, k=5, fusion="max")
    for probe, matches in zip(probes, answers, strict=True):
        scores = {
            person: max(float(probe.astype(float) @ vectors[n]) for n in faces)
            for person, faces in actual.items()
            if faces
        }
        best = sorted(scores, key=lambda name: -scores[name])[:5]
        assert [match.person for match in matches] == best
        for match in matches:
            assert abs(match.score - scores[match.person]) < 1e-5


def must_be_gone(folder: Path, erased: list[str], when: str) -> None:
    """Neither a name nor a quarter of a template is in any file."""
    content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for what in erased:
        pieces = [what.encode()]
        if not what.startswith("Worker"):
            pieces = [f"<{what}>".encode(), f"/{what}.".encode()]
            raw = vector(what).tobytes()
            pieces += [raw[start : start + 32] for start in range(0, len(raw), 32)]
        for piece in pieces:
            for path, blob in content.items():
                assert piece not in blob, f"{what} is still in {path.name} {when}"
