"""The gallery contract: people, audit, re-opening, erasing, closing."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis.errors import (
    GalleryError,
    ModelMismatchError,
    OptionError,
    UnknownPersonError,
)
from visavis.gallery.store import GalleryStore

from .gallery_common import (
    A,
    B,
    E,
    Opener,
    WithStore,
    assert_gone,
    face,
    found,
    names,
    other,
    state,
)


class KeepingContract(WithStore):
    def test_is_a_store(self, store: GalleryStore) -> None:
        assert isinstance(store, GalleryStore)

    def test_an_empty_one(self, store: GalleryStore) -> None:
        assert names(store) == []
        assert list(store.faces()) == []
        assert store.search(np.stack(E), model_sha256=A) == [[], [], [], []]
        assert store.search(np.zeros((0, 4), np.float32), model_sha256=A) == []
        assert store.non_mated(model_sha256=A).shape == (0,)
        assert store.add([]) == []
        assert store.check().ok
        info = store.info()
        assert (info.people, info.faces, info.models) == (0, {}, {})

    def test_templates_that_a_former_version_levelled_are_named_until_they_are_gone(
        self, store: GalleryStore
    ) -> None:
        plain = "detector, crop, plain"
        levelled = f"{plain} levelled 0123abcd"
        store.add([face("Anne", pipeline_id=plain), other("Bob")])
        assert store.info().levelled == {}
        first, _ = store.add(
            [face("Anne", pipeline_id=levelled), face("Cem", pipeline_id=levelled)]
        )
        store.add([face("Dora", pipeline_id=plain)])
        for _ in range(2):
            info = store.info()
            assert info.levelled == {A: levelled}
            with pytest.raises(ModelMismatchError):
                info.require_plain(A)
            info.require_plain(B)
        store.rename("Cem", "Cemal")
        store.remove_faces([first])
        assert store.info().levelled == {A: levelled}
        store.remove("Cemal")
        for _ in range(2):
            assert store.info().levelled == {}
        store.add([face("Eve", pipeline_id=levelled)])
        assert store.info().levelled == {A: levelled}

    def test_a_name_is_found_by_the_opaque_id(self, store: GalleryStore) -> None:
        store.add([face("Bob"), face("Anne")])
        anne = store.person("Anne").id
        assert store.name_of(anne) == "Anne"
        store.rename("Anne", "Anna")
        assert store.name_of(anne) == "Anna"
        store.remove("Anna")
        for nobody in (anne, "", "Bob", "' or 1 == 1", "0" * 32):
            with pytest.raises(UnknownPersonError):
                store.name_of(nobody)

    def test_all_faces_of_a_person_expire_at_another_time(self, store: GalleryStore) -> None:
        store.add([face("Bob"), other("Bob"), face("Anne", expires="2031-01-01T00:00:00+00:00")])
        kept = [one.vector for one in store.faces(person="Bob")]
        store.set_expiry("Bob", "2030-01-01T02:00:00+02:00")
        bobs = list(store.faces(person="Bob"))
        wanted = datetime(2030, 1, 1, tzinfo=UTC)
        assert {datetime.fromisoformat(one.expires or "") for one in bobs} == {wanted}
        for one, vector in zip(bobs, kept, strict=True):
            np.testing.assert_array_equal(one.vector, vector)
        assert store.check().ok
        store.set_expiry("Anne", None)
        assert [one.expires for one in store.faces(person="Anne")] == [None]
        assert store.expire("2032-01-01T00:00:00+00:00") == 2
        assert names(store) == ["Anne"]
        with pytest.raises(UnknownPersonError):
            store.set_expiry("Bob", None)
        with pytest.raises(OptionError):
            store.set_expiry("Anne", "soon")

    def test_people(self, store: GalleryStore) -> None:
        store.add([face("Bob"), face("anne"), face("Anne"), face("Bob"), other("Bob"), face("é")])
        assert names(store) == ["Anne", "Bob", "anne", "é"]
        bob = store.person("Bob")
        assert bob.faces == {A: 2, B: 1}
        assert bob.attributes == {}
        assert bob == next(p for p in store.people() if p.name == "Bob")
        assert len({p.id for p in store.people()}) == 4
        with pytest.raises(UnknownPersonError, match="Anne"):
            store.person("Annne")
        with pytest.raises(UnknownPersonError):
            store.person(" ")

    def test_has_person(self, store: GalleryStore) -> None:
        assert not store.has_person("Anne")
        store.add([face("Anne"), face("e\u0301")])
        assert [store.has_person(name) for name in ("Anne", "anne", "é", "e\u0301", "", " ")] == [
            True, False, True, True, False, False,
        ]  # fmt: skip
        store.rename("Anne", "Bob")
        store.remove("é")
        assert [store.has_person(name) for name in ("Anne", "Bob", "é")] == [False, True, False]

    def test_has_source(self, store: GalleryStore) -> None:
        store.add([face("Anne", photo_sha256="a" * 64)])
        assert store.has_source("a" * 64, person="Anne", model_sha256=A)
        assert not store.has_source("b" * 64, person="Anne", model_sha256=A)
        assert not store.has_source("a" * 64, person="Bob", model_sha256=A)
        assert not store.has_source("a" * 64, person="Anne", model_sha256=B)

    def test_faces_of_a_person_or_model(self, store: GalleryStore) -> None:
        numbers = store.add([face("Anne"), face("Bob"), other("Anne"), face("Anne")])
        got = [f.id for f in store.faces(person="Anne")]
        assert got == [numbers[0], numbers[2], numbers[3]]
        assert [f.id for f in store.faces(model_sha256=B)] == [numbers[2]]
        assert [f.id for f in store.faces(person="Anne", model_sha256=A)] == [
            numbers[0],
            numbers[3],
        ]
        assert list(store.faces(model_sha256="0" * 64)) == []
        with pytest.raises(UnknownPersonError):
            list(store.faces(person="Nobody"))

    def test_audit(self, opener: Opener) -> None:
        with opener() as store:
            store.add([face("Very Secret"), face("Other", E[1])])
            person = store.person("Very Secret").id
            store.note("identify", subject=person, details={"fpir": 0.01, "é": [None]})
            store.rename("Very Secret", "More Secret")
            store.merge("Other", "More Secret")
            store.remove("Other")
            before = list(store.audit())
        with opener() as store:
            store.note("export", details={})
            entries = list(store.audit())
            assert [e.to_dict() for e in entries[:-1]] == [e.to_dict() for e in before]
            assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
            done = [e.action for e in entries]
            assert set(done) >= {"enrol", "identify", "rename", "merge", "remove", "export"}
            noted = entries[done.index("identify")]
            assert (noted.subject, noted.details) == (person, {"fpir": 0.01, "é": [None]})
            assert len({e.hash for e in entries}) == len(entries)
            assert all(len(e.hash) == 64 for e in entries)
            assert [e.time for e in entries] == sorted(e.time for e in entries)
            assert "Secret" not in json.dumps([e.to_dict() for e in entries])
            assert store.check().audit_entries == store.info().audit_entries == len(entries)
            with pytest.raises(OptionError):
                store.note("identify", details={"x": float("nan")})
            assert len(list(store.audit())) == len(entries)

    def test_audit_of_one_action(self, store: GalleryStore) -> None:
        store.add([face("Anne"), face("Bob")])
        for at in range(3):
            store.note("search", details={"at": at})
            store.note('odd " or action != "', details={"at": at})
        store.remove("Bob")
        everything = list(store.audit())
        for action in {entry.action for entry in everything} | {"never", ""}:
            wanted = [entry for entry in everything if entry.action == action]
            assert list(store.audit(action=action)) == wanted
        assert [e.details["at"] for e in store.audit(action="search")] == [0, 1, 2]
        # What comes later is not waited for.
        reading = store.audit()
        first = next(reading)
        store.note("search", details={"at": 3})
        assert [first, *reading] == everything

    def test_reading_writes_nothing(self, store: GalleryStore) -> None:
        store.add([face("Anne", photo_sha256="a" * 64), other("Bob")])
        before = state(store)
        found(store, E[0])
        store.non_mated(model_sha256=A)
        store.check()
        store.person("Anne")
        assert state(store) == before

    def test_check_and_info(self, store: GalleryStore) -> None:
        store.add([face("Anne"), face("Bob"), other("Bob")])
        report = store.check()
        assert report.ok, report.problems
        assert report.faces == 3
        info = store.info()
        assert info.kind
        assert info.location
        assert (info.people, info.faces) == (2, {A: 2, B: 1})
        assert info.bytes >= 0
        assert set(info.index) <= {A, B}

    def test_everything_is_there_again(self, opener: Opener) -> None:
        with opener() as store:
            store.add([face("Anne", crop=b"png", photo="a.jpg"), other("Bob"), face("é")])
            store.set_attributes("Bob", {"a": [1]})
            store.remove("é")
            before = state(store)
        for _ in range(2):
            with opener() as store:
                assert state(store) == before
                assert store.check().ok

    def test_two_see_each_others_writes(self, opener: Opener) -> None:
        with opener() as first, opener() as second:
            first.add([face("Anne")])
            assert found(second, E[0]) == [("Anne", 1.0)]
            second.add([face("Bob", E[1]), face("Anne", E[2])])
            assert found(first, E[1])[0] == ("Bob", 1.0)
            assert first.remove("Anne") == 2
            assert found(second, E[0]) == [("Bob", 0.0)]
            second.rename("Bob", "Carl")
            assert [f.person for f in first.faces()] == ["Carl"]
            assert state(first) == state(second)
            assert first.check().ok

    def test_threads(self, store: GalleryStore) -> None:
        def work(i: int) -> list[int]:
            numbers = store.add([face(f"P{i % 5}"), face(f"P{i % 5}", E[1])])
            assert len(found(store, E[0], k=9)) >= 1
            return numbers

        with ThreadPoolExecutor(4) as pool:
            numbers = [n for got in pool.map(work, range(16)) for n in got]
        assert sorted(numbers) == [f.id for f in store.faces()]
        assert len(set(numbers)) == 32
        assert store.check().ok
        assert len(names(store)) == 5

    def test_removed_bytes_are_in_no_file(self, opener: Opener, tmp_path: Path) -> None:
        if self.abilities.erases_bytes:
            pytest.skip(f"declared: {self.abilities.erases_bytes}")
        rng = np.random.default_rng(5)
        vectors = rng.normal(size=(40, 64)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        name, source, crop = "Gudrun Gesucht", "verraeterisch.jpg", rng.bytes(3000)
        with opener() as store:
            store.add([face(f"P{i}", v) for i, v in enumerate(vectors[:38])])
            store.add([face(name, v, photo=source, crop=crop) for v in vectors[38:]])
            store.set_attributes(name, {"note": "unmistakable"})
            found_before = store.search(vectors[38:39], model_sha256=A, k=1)
            assert found_before[0][0].person == name
            store.remove(name)
            assert_gone(tmp_path, [name, source, "unmistakable"], vectors[38:], crop)
        assert_gone(tmp_path, [name, source, "unmistakable"], vectors[38:], crop)

    def test_a_closed_store_refuses(self, opener: Opener) -> None:
        store = opener()
        (number,) = store.add([face("Anne")])
        store.close()
        store.close()
        calls: list[Callable[[], Any]] = [
            lambda: store.add([face("Bob")]),
            lambda: list(store.people()),
            lambda: store.person("Anne"),
            lambda: list(store.faces()),
            lambda: store.crop(number),
            lambda: store.face(number),
            lambda: store.add_person("Bob"),
            lambda: store.has_person("Anne"),
            lambda: store.has_source("a", person="Anne", model_sha256=A),
            lambda: store.set_attributes("Anne", {}),
            lambda: store.rename("Anne", "Bob"),
            lambda: store.merge("Anne", "Bob"),
            lambda: store.split("Anne", [number], into="Bob"),
            lambda: store.remove("Anne"),
            lambda: store.remove_faces([number]),
            lambda: store.expire("2030-01-01T00:00:00+00:00"),
            lambda: store.search(E[0][None], model_sha256=A),
            lambda: store.non_mated(model_sha256=A),
            lambda: store.note("identify", details={}),
            lambda: list(store.audit()),
            store.info,
            store.check,
        ]
        for call in calls:
            with pytest.raises(GalleryError, match="closed"):
                call()
        with opener() as again:
            assert names(again) == ["Anne"]
