"""The gallery contract: what is written comes back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest

from visavis.errors import (
    GalleryError,
    OptionError,
    PersonExistsError,
    UnknownFaceError,
    UnknownPersonError,
)
from visavis.gallery.store import GalleryStore

from .gallery_common import (
    A,
    B,
    E,
    Opener,
    WithStore,
    face,
    found,
    names,
    other,
    refused,
    state,
)


class WritingContract(WithStore):
    def test_a_face_comes_back_as_given(self, store: GalleryStore) -> None:
        vector = np.random.default_rng(1).normal(size=4).astype(np.float32)
        vector /= np.linalg.norm(vector)
        given = face(
            "Anne", vector, pipeline_id="yunet; flip", quality_score=0.123456789,
            photo="Ördner/a b.jpg", photo_sha256=hashlib.sha256(b"photo").hexdigest(),
            crop=bytes(range(256)) * 400, expires="2099-12-31T23:59:59+00:00",
        )  # fmt: skip
        before = datetime.now(UTC)
        (number,) = store.add([given])
        (stored,) = store.faces()
        assert stored.id == number > 0
        assert stored.vector.dtype == np.float32
        assert stored.vector.tobytes() == vector.tobytes()
        for name in ("person", "model", "model_sha256", "pipeline_id", "quality_score", "photo",
                     "photo_sha256"):  # fmt: skip
            assert getattr(stored, name) == getattr(given, name), name
        assert datetime.fromisoformat(stored.expires or "") == datetime(
            2099, 12, 31, 23, 59, 59, tzinfo=UTC
        )
        at = datetime.fromisoformat(stored.created)
        assert before - timedelta(seconds=2) <= at <= datetime.now(UTC) + timedelta(seconds=2)
        assert stored.has_crop
        assert store.crop(number) == given.crop

    def test_without_a_crop(self, store: GalleryStore) -> None:
        (number,) = store.add([face("Anne")])
        assert store.crop(number) is None
        assert not next(store.faces()).has_crop
        with pytest.raises(GalleryError):
            store.crop(number + 1)

    def test_a_face_by_number(self, store: GalleryStore) -> None:
        numbers = store.add([face("Anne", photo="a.jpg"), other("Bob"), face("Anne", E[1])])
        every = list(store.faces())
        for k, number in enumerate(numbers):
            found = store.face(number)
            assert found.to_dict() == every[k].to_dict()
            assert found.vector.tobytes() == every[k].vector.tobytes()
            assert [f.id for f in store.faces(after=number)] == numbers[k + 1 :]
        assert [f.id for f in store.faces(person="Anne", after=numbers[0])] == numbers[2:]
        assert [f.id for f in store.faces(model_sha256=B, after=numbers[0])] == [numbers[1]]
        store.remove_faces(numbers[:1])
        for unknown in (numbers[0], 0, -1, numbers[2] + 1, 2**63, 2**70):
            with pytest.raises(UnknownFaceError):
                store.face(unknown)

    def test_people_who_lose_their_last_face(self, opener: Opener) -> None:
        with opener() as store:
            numbers = store.add([face("Anne"), face("Anne", E[1]), face("Bob", E[2]), other("Cem")])
            store.add_person("Dora")
            assert store.remove_faces(numbers[1:2], people=True) == 1
            assert names(store) == ["Anne", "Bob", "Cem", "Dora"]  # Dora lost none
            assert store.remove_faces(numbers[1:], people=True) == 2
            assert names(store) == ["Anne", "Dora"]
            assert store.remove_faces(numbers[:1]) == 1
            assert names(store) == ["Anne", "Dora"]
            assert store.check().ok
        with opener() as store:
            assert names(store) == ["Anne", "Dora"]
            assert not store.has_person("Bob")
            assert found(store, E[2]) == []

    def test_a_person_without_faces(self, opener: Opener) -> None:
        with opener() as store:
            store.add_person("Zoe\u0308")
            made = store.person("Zo\u00eb")
            assert (made.faces, made.attributes) == ({}, {})
            assert (names(store), store.info().people, store.info().faces) == (["Zo\u00eb"], 1, {})
            for name in ("Zo\u00eb", "Zoe\u0308"):
                with pytest.raises(PersonExistsError):
                    store.add_person(name)
            with pytest.raises(OptionError):
                store.add_person(" Anne")
            (entry,) = store.audit(action="add")
            assert entry.subject == made.id
            assert found(store, E[0]) == []
            store.set_attributes("Zo\u00eb", {"a": 1})
            before = state(store)
            assert store.check().ok
        with opener() as store:
            assert state(store) == before
            (number,) = store.add([face("Zo\u00eb")])
            assert store.person("Zo\u00eb").id == made.id
            assert found(store, E[0]) == [("Zo\u00eb", 1.0)]
            assert [f.id for f in store.faces()] == [number]
            store.remove("Zo\u00eb")
            assert names(store) == []

    def test_arrays_are_not_shared(self, store: GalleryStore) -> None:
        vector = E[1].copy()
        store.add([face("Anne", vector)])
        vector[:] = 0
        stored = next(store.faces()).vector
        if stored.flags.writeable:
            stored[:] = 0
        assert next(store.faces()).vector.tobytes() == E[1].tobytes()
        assert found(store, E[1]) == [("Anne", 1.0)]

    def test_numbers_rise_and_are_never_used_twice(self, opener: Opener) -> None:
        with opener() as store:
            first = store.add([face("Anne"), face("Bob"), face("Anne", E[1])])
            assert first == sorted(set(first))
            assert [f.person for f in store.faces()] == ["Anne", "Bob", "Anne"]
            store.remove("Anne")
            store.remove("Bob")
        with opener() as store:
            assert min(store.add([face("Anne")])) > max(first)

    def test_attributes(self, opener: Opener) -> None:
        given = {
            "ключ": ["é", "👍", None, True, -1, 1.5, {"tief": {"er": []}}],
            'quote"\'\\': "x\ny\0z", "": {}, "big": 2**53, "long": "ü" * 5000, "a.b[0]": 1,
        }  # fmt: skip
        with opener() as store:
            store.add([face("Anne"), face("Bob")])
            store.set_attributes("Anne", given)
            given["later"] = 1
            store.person("Anne").attributes["more"] = 1
        del given["later"]
        with opener() as store:
            assert store.person("Anne").attributes == given
            assert store.person("Bob").attributes == {}
            store.set_attributes("Anne", {"only": 1})
            assert store.person("Anne").attributes == {"only": 1}
            for bad in ({"a": float("nan")}, {"a": object()}, {1: 2}, {"a": b"x"}, {"a": "\ud800"}):
                with pytest.raises(OptionError):
                    store.set_attributes("Anne", bad)  # type: ignore[arg-type]
            with pytest.raises(UnknownPersonError):
                store.set_attributes("Nobody", {})
            assert store.person("Anne").attributes == {"only": 1}

    def test_rename(self, store: GalleryStore) -> None:
        store.add([face("Anne"), face("Bob", E[1])])
        anne = store.person("Anne")
        store.rename("Anne", "Zoë")
        assert names(store) == ["Bob", "Zoë"]
        assert replace(anne, name="Zoë") == store.person("Zoë")
        assert [f.person for f in store.faces()] == ["Zoë", "Bob"]
        assert found(store, E[0], k=1) == [("Zoë", 1.0)]
        before = state(store)[:2]
        store.rename("Bob", "Bob")
        with pytest.raises(PersonExistsError):
            store.rename("Bob", "Zoë")
        with pytest.raises(UnknownPersonError):
            store.rename("Anne", "Carl")
        assert state(store)[:2] == before

    def test_merge(self, store: GalleryStore) -> None:
        numbers = store.add([face("Anne"), face("Bob", E[1]), face("Carl", E[2]), other("Bob")])
        store.set_attributes("Anne", {"kept": True})
        store.set_attributes("Bob", {"kept": False})
        anne = store.person("Anne")
        before = state(store)
        with pytest.raises(UnknownPersonError):
            store.merge("Anne", "Bob", "Nobody")
        with pytest.raises(UnknownPersonError):
            store.merge("Nobody", "Bob")
        with pytest.raises(OptionError):
            store.merge("Anne", "Bob", "Anne")
        assert state(store) == before
        store.merge("Anne", "Bob", "Carl", "Bob")
        assert store.person("Anne") == replace(anne, faces={A: 3, B: 1})
        assert names(store) == ["Anne"]
        assert [f.id for f in store.faces(person="Anne")] == numbers
        assert found(store, E[2]) == [("Anne", 1.0)]

    def test_erased_names_leave_the_paths_of_photos(self, store: GalleryStore) -> None:
        for name in ("Anne Lee", "Bob", "Carl"):
            store.add([face(name, photo=f"staff/{name}/anne_lee_{name}1.jpg"), other(name)])
        store.rename("Anne Lee", "Zoë")
        store.merge("Carl", "Bob")
        photos = [(f.person, f.photo) for f in store.faces() if f.photo.startswith("staff")]
        assert sorted(photos) == [
            ("Carl", "staff/Carl/anne_lee_Carl1.jpg"),
            ("Carl", "staff/…/anne_lee_…1.jpg"),
            ("Zoë", "staff/…/…_…1.jpg"),
        ]
        assert store.check().ok

    def test_split(self, opener: Opener) -> None:
        with opener() as store:
            numbers = store.add([
                face("Anne", crop=b"one"), face("Anne", E[1], photo="b.jpg", crop=b"two"),
                other("Anne"), face("Anne", E[2], quality_score=0.5), face("Bob", E[3]),
            ])  # fmt: skip
            store.set_attributes("Anne", {"kept": True})
            store.search(E[0][None], model_sha256=A)  # an index in memory follows
            anne, bob = store.person("Anne"), store.person("Bob")
            store.split("Anne", [numbers[1], numbers[2], numbers[1]], into="Zoe\u0308")
            assert names(store) == ["Anne", "Bob", "Zo\u00eb"]
            assert store.person("Anne") == replace(anne, faces={A: 2})
            zoe = store.person("Zo\u00eb")
            assert (zoe.faces, zoe.attributes) == ({A: 1, B: 1}, {})
            assert len({anne.id, bob.id, zoe.id}) == 3
            assert anne.created <= zoe.created
            assert found(store, E[1], k=1) == [("Zo\u00eb", 1.0)]
            assert dict(found(store, E[2]))["Anne"] == 1.0
            (mean,) = store.search(E[1][None], model_sha256=A, k=9, fusion="weighted")
            assert {m.person: m.faces for m in mean} == {"Anne": 2, "Bob": 1, "Zo\u00eb": 1}
            assert next(m.score for m in mean if m.person == "Anne") == pytest.approx(0, abs=1e-6)
            store.split("Anne", [numbers[3]], into="Bob")  # somebody who is there
            assert store.person("Bob") == replace(bob, faces={A: 2})
            (moved,) = [f for f in store.faces(person="Zo\u00eb") if f.model_sha256 == A]
            assert (moved.id, moved.photo, store.crop(moved.id)) == (numbers[1], "b.jpg", b"two")
            entries = list(store.audit(action="split"))
            assert [e.subject for e in entries] == [anne.id, anne.id]
            before = state(store)
            assert store.check().ok
        with opener() as store:
            assert state(store) == before
            assert [f.id for f in store.faces(person="Bob")] == numbers[3:]
            store.merge("Anne", "Zo\u00eb")  # the way back
            assert store.person("Anne") == replace(anne, faces={A: 2, B: 1})
            assert store.check().ok

    def test_splits_that_are_refused(self, store: GalleryStore) -> None:
        numbers = store.add([face("Anne"), face("Anne", E[1]), face("Bob", E[2])])
        faces = {
            "none": [], "all": numbers[:2], "another's": [numbers[0], numbers[2]],
            "nobody's": [numbers[0], 10**9], "one": numbers[:1],
        }  # fmt: skip
        before = state(store)
        for which, into in product(faces, ["New", "Bob", "Anne", " x", ""]):
            nobody = which == "one" and into in {"New", "Bob"}
            with refused(f"{which} into {into!r}", UnknownPersonError if nobody else OptionError):
                store.split("Nobody" if nobody else "Anne", faces[which], into=into)
            assert state(store) == before, (which, into)

    def test_remove(self, opener: Opener) -> None:
        with opener() as store:
            store.add([face("Anne"), face("Bob"), other("Anne")])
            assert store.remove("Anne") == 2
            for _ in range(2):
                with pytest.raises(UnknownPersonError):
                    store.remove("Anne")
        with opener() as store:
            assert names(store) == ["Bob"]
            assert [f.person for f in store.faces()] == ["Bob"]
            assert [name for name, _ in found(store, E[0])] == ["Bob"]
            assert store.info().faces.get(B, 0) == 0
            store.add([face("Anne", E[3])])
            assert store.person("Anne").faces == {A: 1}

    def test_remove_faces(self, store: GalleryStore) -> None:
        numbers = store.add([face("Anne"), face("Anne", E[1]), face("Bob", E[2])])
        assert store.remove_faces([numbers[0], numbers[2], numbers[2], 10**9]) == 2
        assert store.remove_faces([numbers[0]]) == store.remove_faces([]) == 0
        assert [p.faces for p in store.people()] == [{A: 1}, {}]
        assert found(store, E[2]) == [("Anne", 0.0)]
        assert store.remove("Bob") == 0

    def test_expire(self, store: GalleryStore) -> None:
        now = "2030-01-01T12:00:00+00:00"
        store.add([
            face("Anne", expires="2030-01-01T11:59:59+00:00"), face("Anne"),
            face("Bob", expires="2030-01-01T13:59:59+02:00"),
            face("Carl", expires="2030-01-01T12:00:00Z"), face("Dora"),
        ])  # fmt: skip
        store.remove_faces([f.id for f in store.faces(person="Dora")])
        assert store.expire("2020-01-01T00:00:00+00:00") == 0
        assert store.expire(now) == 2
        assert {p.name: sum(p.faces.values()) for p in store.people()} == {
            "Anne": 1, "Carl": 1, "Dora": 0,
        }  # fmt: skip
        with pytest.raises(OptionError):
            store.expire("soon")

    def test_people_may_be_removed_while_listed(self, store: GalleryStore) -> None:
        store.add([face(f"P{i}") for i in range(12)])
        assert [store.remove(person.name) for person in store.people()] == [1] * 12
        assert names(store) == []
