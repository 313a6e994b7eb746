"""The gallery contract under test: a plain store passes it, and broken ones are caught."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visavis.errors import UnknownPersonError
from visavis.gallery.records import AuditEntry, Match, NewFace, Person, StoredFace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference_store import ReferenceStore
from tests.contracts.gallery import GalleryContract, Opener
from tests.contracts.gallery_machine import run_histories


class TestReference(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: ReferenceStore(tmp_path)


def test_histories() -> None:
    run_histories(ReferenceStore, examples=30)


class AddsOneByOne(ReferenceStore):
    def add(self, faces: Any, /) -> list[int]:
        return [number for face in faces for number in super(AddsOneByOne, self).add([face])]


class UsesNumbersTwice(ReferenceStore):
    def add(self, faces: Any, /) -> list[int]:
        everything = self._load()
        everything["next"] = max([0, *everything["model"].faces]) + 1
        self._save(everything)
        return super().add(faces)


class Forgets(ReferenceStore):
    def set_attributes(self, name: str, attributes: Any, /) -> None:
        self.person(name)


class KnowsOneForm(ReferenceStore):
    def person(self, name: str, /) -> Person:
        if not name.isascii() and len(name) > 2:
            raise UnknownPersonError(name, "look again")
        return super().person(name)


class ComparesEverything(ReferenceStore):
    def search(self, vectors: Any, /, **options: Any) -> list[list[Match]]:
        everything = self._load()
        for number, face in everything["model"].faces.items():
            if len(face.vector) == vectors.shape[1]:
                everything["model"].faces[number] = replace(
                    face, model_sha256=options["model_sha256"]
                )
        self._load = lambda: everything  # type: ignore[method-assign]
        try:
            return super().search(vectors, **options)
        finally:
            del self._load


class TiesByNumber(ReferenceStore):
    def search(self, vectors: Any, /, **options: Any) -> list[list[Match]]:
        k = options.pop("k", 5)
        found = super().search(vectors, k=1000, **options)
        return [sorted(m, key=lambda match: (-match.score, match.best_face))[:k] for m in found]


class AlwaysClosest(ReferenceStore):
    def search(self, vectors: Any, /, **options: Any) -> list[list[Match]]:
        return super().search(vectors, **(options | {"fusion": "max"}))


class ForgetsTheDomain(ReferenceStore):
    def search(self, vectors: Any, /, **options: Any) -> list[list[Match]]:
        return super().search(vectors, **(options | {"domain": None}))


class LosesTheLastBit(ReferenceStore):
    def faces(self, **wanted: Any) -> Iterator[StoredFace]:
        for face in super().faces(**wanted):
            yield replace(face, vector=face.vector * 0.9999999)


class WritesNamesInTheAudit(ReferenceStore):
    def rename(self, old: str, new: str, /) -> None:
        super().rename(old, new)
        self.note("rename", details={"from": old})


class ForgetsTheAudit(ReferenceStore):
    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        return iter(list(super().audit(action=action))[:1])


class GivesTheWholeAudit(ReferenceStore):
    def audit(self, *, action: str | None = None) -> Iterator[AuditEntry]:
        return super().audit()


class LeavesBytes(ReferenceStore):
    def remove(self, name: str, /) -> int:
        kept = self._path.read_bytes()
        self._path.with_suffix(".old").write_bytes(kept)
        return super().remove(name)


class MergesHalf(ReferenceStore):
    def merge(self, into: str, *others: str) -> None:
        for name in others:
            super().merge(into, name)


class SplitsWhatItFinds(ReferenceStore):
    def split(self, name: str, faces: Any, /, *, into: str) -> None:
        held = {face.id for face in self.faces(person=name)}
        super().split(name, [number for number in faces if number in held], into=into)


class WorksWhenClosed(ReferenceStore):
    def close(self) -> None:
        pass


class KeepsTheCallersArray(ReferenceStore):
    def add(self, faces: Any, /) -> list[int]:
        numbers = super().add(faces)
        self._arrays = {
            **getattr(self, "_arrays", {}),
            **{number: face.vector for number, face in zip(numbers, faces, strict=True)},
        }
        return numbers

    def faces(self, **wanted: Any) -> Iterator[StoredFace]:
        for face in super().faces(**wanted):
            yield replace(face, vector=self._arrays[face.id])


class ExpiresLate(ReferenceStore):
    def expire(self, now: str, /) -> int:
        return super().expire(now.replace("12:00", "11:00"))


class TakesAnyVector(ReferenceStore):
    def add(self, faces: Any, /) -> list[int]:
        def unit(face: NewFace) -> NewFace:
            length = (face.vector**2).sum() ** 0.5
            return face if not length > 0 else replace(face, vector=face.vector / length)

        return super().add([unit(face) for face in faces])


BROKEN: list[tuple[type[ReferenceStore], str, dict[str, Any]]] = [
    (AddsOneByOne, "test_other_lengths_are_refused", {}),
    (UsesNumbersTwice, "test_numbers_rise_and_are_never_used_twice", {}),
    (Forgets, "test_attributes", {}),
    (KnowsOneForm, "test_names_mean_nothing_but_themselves", {}),
    (ComparesEverything, "test_models_are_never_compared", {}),
    (TiesByNumber, "test_equal_scores_by_name", {}),
    (AlwaysClosest, "test_search_equals_the_naive_loop", {"fusion": "mean"}),
    (
        ForgetsTheDomain,
        "test_search_in_a_domain_equals_the_naive_loop",
        {"fusion": "max", "sides": "one"},
    ),
    (LosesTheLastBit, "test_a_face_comes_back_as_given", {}),
    (WritesNamesInTheAudit, "test_audit", {}),
    (ForgetsTheAudit, "test_audit", {}),
    (GivesTheWholeAudit, "test_audit_of_one_action", {}),
    (SplitsWhatItFinds, "test_splits_that_are_refused", {}),
    (LeavesBytes, "test_removed_bytes_are_in_no_file", {}),
    (MergesHalf, "test_merge", {}),
    (WorksWhenClosed, "test_a_closed_store_refuses", {}),
    (KeepsTheCallersArray, "test_arrays_are_not_shared", {}),
    (ExpiresLate, "test_expire", {}),
    (TakesAnyVector, "test_bad_vectors_are_refused", {}),
]


@pytest.mark.parametrize(
    ("kind", "test", "given"), BROKEN, ids=[kind.__name__ for kind, *_ in BROKEN]
)
def test_a_broken_store_is_caught(
    kind: type[ReferenceStore], test: str, given: dict[str, Any], tmp_path: Path
) -> None:
    opener = lambda: kind(tmp_path)  # noqa: E731
    method: Callable[..., None] = getattr(GalleryContract(), test)
    names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    fixtures = {"store": opener, "opener": lambda: opener, "tmp_path": lambda: tmp_path}
    arguments = {name: given[name] if name in given else fixtures[name]() for name in names}
    with pytest.raises((AssertionError, UnknownPersonError, pytest.fail.Exception)):
        method(**arguments)


@pytest.mark.parametrize("kind", [Forgets, AlwaysClosest, LosesTheLastBit])
def test_histories_catch_it_too(kind: type[ReferenceStore]) -> None:
    with pytest.raises(AssertionError):
        # Chance decides nothing here: a store that is rarely wrong could slip through.
        run_histories(kind, examples=400, shortest=False, always_the_same=True)
