"""The gallery contract: what is accepted, and what is refused without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visavis.errors import (
    ModelMismatchError,
    OptionError,
    PersonExistsError,
)
from visavis.gallery.store import GalleryStore

from .gallery_common import (
    BAD_NAMES,
    NAMES,
    A,
    E,
    Opener,
    WithStore,
    face,
    names,
    refused,
    state,
)


class AcceptingContract(WithStore):
    @pytest.mark.parametrize("first", ["e\u0301a", "éa"])
    def test_composed_and_decomposed_are_one_name(self, store: GalleryStore, first: str) -> None:
        second = "éa" if first == "e\u0301a" else "e\u0301a"
        store.add([face(first)])
        store.add([face(second, E[1], photo_sha256="f" * 64)])
        assert names(store) == ["éa"]
        assert store.person(first) == store.person(second)
        assert len(list(store.faces(person="e\u0301a"))) == 2
        assert store.has_source("f" * 64, person="e\u0301a", model_sha256=A)
        store.set_attributes("e\u0301a", {"a": 1})
        store.add([face("Bob")])
        with pytest.raises(PersonExistsError):
            store.rename("Bob", "e\u0301a")
        assert store.remove("e\u0301a") == 2

    def test_names_mean_nothing_but_themselves(self, opener: Opener) -> None:
        with opener() as store:
            store.add([face(name, photo_sha256="c" * 64) for name in NAMES])
        with opener() as store:
            stored = names(store)
            assert stored == sorted(stored)
            assert len(stored) == len({store.person(name).name for name in NAMES}) == len(NAMES)
            for name in NAMES:
                assert [f.person for f in store.faces(person=name)] == [store.person(name).name]
                assert store.has_source("c" * 64, person=name, model_sha256=A)
            for name in NAMES[1:]:
                store.set_attributes(name, {"of": name})
                store.rename(name, name[:190] + " renamed")
                assert store.person(name[:190] + " renamed").attributes == {"of": name}
            for name in NAMES[1:5]:
                assert store.remove(name[:190] + " renamed") == 1
            assert len(names(store)) == len(NAMES) - 4

    def test_bad_names_are_refused(self, store: GalleryStore) -> None:
        store.add([face("Bob")])
        before = state(store)
        for name in BAD_NAMES:
            with refused(f"enrolling {name!a}", OptionError):
                store.add([face("New"), face(name)])
            with refused(f"renaming to {name!a}", OptionError):
                store.rename("Bob", name)
            assert state(store) == before, ascii(name)

    def test_bad_vectors_are_refused(self, store: GalleryStore) -> None:
        store.add([face("Bob")])
        before = state(store)
        for vector in (
            [1.01, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 0],
            [[1, 0, 0, 0]], [],
        ):  # fmt: skip
            bad = np.array(vector, dtype=np.float32)
            with refused(f"enrolling {vector}", OptionError):
                store.add([face("New"), face("Bob", bad), face("Bob")])
            with refused(f"searching {vector}", OptionError):
                store.search(bad[None], model_sha256=A)
            assert state(store) == before, vector

    def test_other_lengths_are_refused(self, store: GalleryStore) -> None:
        six = np.eye(6, dtype=np.float32)
        with pytest.raises(ModelMismatchError):
            store.add([face("New"), face("New", six[0])])
        assert names(store) == []
        store.add([face("Bob")])
        before = state(store)
        with pytest.raises(ModelMismatchError):
            store.add([face("New"), face("New", six[0])])
        with pytest.raises(ModelMismatchError):
            store.search(six[:1], model_sha256=A)
        assert state(store) == before

    @pytest.mark.parametrize(
        "changes",
        [{"quality_score": 1.5}, {"quality_score": -0.1}, {"quality_score": float("nan")},
         {"expires": "tomorrow"}, {"expires": "2026-01-01T00:00:00"}, {"model_sha256": "' or 1"}],
        ids=str,
    )  # fmt: skip
    def test_other_bad_fields_are_refused(self, store: GalleryStore, changes: Any) -> None:
        with pytest.raises(OptionError):
            store.add([face("New"), face("New", **changes)])
        assert names(store) == []
