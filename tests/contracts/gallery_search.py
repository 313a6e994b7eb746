"""The gallery contract: searches equal the naive loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from visavis.decision.domain import Domain
from visavis.errors import (
    OptionError,
)
from visavis.gallery.records import NewFace
from visavis.gallery.store import GalleryStore

from .gallery_common import (
    HALF,
    A,
    B,
    E,
    WithStore,
    face,
    found,
    other,
)
from .gallery_model import GalleryModel


class SearchingContract(WithStore):
    @pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
    def test_search_equals_the_naive_loop(self, store: GalleryStore, fusion: Any) -> None:
        rng = np.random.default_rng(7)
        vectors = rng.normal(size=(90, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        batch = [
            face(f"P{i % 23:02}", v, quality_score=float(rng.random()))
            for i, v in enumerate(vectors[:80])
        ]
        model = GalleryModel()
        model.add(batch, store.add(batch))
        ids = {person.name: person.id for person in store.people()}
        for k in (1, 5, 23, 50):
            answers = store.search(vectors[75:], model_sha256=A, k=k, fusion=fusion)
            for probe, matches in zip(vectors[75:], answers, strict=True):
                scores = model.scores(probe, A, fusion)
                best = sorted(scores, key=lambda name: -scores[name])[:k]
                assert [m.person for m in matches] == best
                for match in matches:
                    mine = model.of(match.person)
                    each = {n: float(probe.astype(float) @ f.vector) for n, f in mine.items()}
                    assert match.score == pytest.approx(scores[match.person], abs=2e-6)
                    assert match.best_score == pytest.approx(max(each.values()), abs=2e-6)
                    assert match.best_face == max(each, key=each.__getitem__)
                    assert match.faces == len(mine)
                    assert match.person_id == ids[match.person]
                    assert -1 <= match.score <= 1

    @pytest.mark.parametrize("sides", ["one", "two", "whitened"])
    @pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
    def test_search_in_a_domain_equals_the_naive_loop(
        self, store: GalleryStore, fusion: Any, sides: str
    ) -> None:
        rng = np.random.default_rng(11)
        common = rng.normal(size=16)
        vectors = (rng.normal(size=(66, 16)) + common).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        batch = [
            face(f"P{i % 23:02}", v, quality_score=float(rng.random()))
            for i, v in enumerate(vectors[:60])
        ]
        half = rng.normal(size=(16, 16)) / 8 + np.eye(16)
        domain = Domain(
            vectors[:60].mean(axis=0), 60, 23,
            mean_b=-vectors[:60].mean(axis=0) if sides == "two" else None,
            whitening=(half @ half.T).astype(np.float32) if sides == "whitened" else None,
        )  # fmt: skip
        model = GalleryModel()
        model.add([*batch, other("P0")], store.add([*batch, other("P0")]))
        for k in (1, 5, 50):
            answers = store.search(vectors[60:], model_sha256=A, k=k, fusion=fusion, domain=domain)
            for probe, matches in zip(vectors[60:], answers, strict=True):
                scores = model.scores(probe, A, fusion, domain)
                best = sorted(scores, key=lambda name: -scores[name])[:k]
                assert [m.person for m in matches] == best
                for match in matches:
                    mine = model.of(match.person, A)
                    each = {n: model.score(probe, [f], "max", domain) for n, f in mine.items()}
                    assert match.score == pytest.approx(scores[match.person], abs=2e-6)
                    assert match.best_score == pytest.approx(max(each.values()), abs=2e-6)
                    assert match.best_face == max(each, key=each.__getitem__)
                    assert match.faces == len(mine)
        plain = model.scores(vectors[60], A, fusion)
        ((first,),) = store.search(vectors[60:61], model_sha256=A, k=1, fusion=fusion)
        assert first.score == pytest.approx(max(plain.values()), abs=2e-6)
        with pytest.raises(OptionError):
            store.search(
                vectors[60:], model_sha256=A, domain=Domain(np.zeros(15, np.float32), 1, 1)
            )

    def test_the_mean_counts_each_person_once(self, store: GalleryStore) -> None:
        assert store.mean(A) is None
        rng = np.random.default_rng(5)
        vectors = (rng.normal(size=(50, 8)) + rng.normal(size=8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        batch = [face(f"P{int(i**0.5)}", v) for i, v in enumerate(vectors)]
        model = GalleryModel()
        model.add([*batch, other("Q")], store.add([*batch, other("Q")]))

        def same() -> None:
            got = store.mean(A)
            assert got is not None
            mean, people = got
            assert people == len({f.person for f in model.faces.values() if f.model_sha256 == A})
            assert mean.dtype == np.float32
            np.testing.assert_allclose(mean, model.mean(A), atol=1e-6)

        same()
        assert store.mean("c" * 64) is None
        late = [face("Late", vectors[0]), face("P3", vectors[1])]
        model.add(late, store.add(late))
        same()
        for gallery in (model, store):
            gallery.remove("P6")
            gallery.remove_faces([2])
            gallery.merge("P1", "P4")
        same()

    def test_equal_scores_by_name(self, store: GalleryStore) -> None:
        numbers = store.add([face(n) for n in ("Carl", "Anne", "Dora", "Bob")] + [face("Anne")])
        for fusion in ("max", "mean", "weighted"):
            assert found(store, HALF, fusion=fusion, k=3) == [
                ("Anne", 0.5), ("Bob", 0.5), ("Carl", 0.5),
            ]  # fmt: skip
            (matches,) = store.search(HALF[None], model_sha256=A, k=1, fusion=fusion)
            assert matches[0].best_face == numbers[1]

    def test_fusions_differ_as_they_should(self, store: GalleryStore) -> None:
        store.add([
            face("Anne", E[0], quality_score=0.75), face("Anne", E[1], quality_score=0.0),
            face("Bob", HALF, quality_score=0.0),
        ])  # fmt: skip
        assert found(store, E[0], fusion="max") == [("Anne", 1.0), ("Bob", 0.5)]
        (anne, bob) = found(store, E[0], fusion="mean")
        assert anne == ("Anne", pytest.approx(0.5**0.5, abs=1e-6))
        assert bob == ("Bob", pytest.approx(0.5, abs=1e-6))
        assert found(store, E[0], fusion="weighted")[0] == ("Anne", pytest.approx(1.0, abs=1e-6))
        for bad in ({"fusion": "median"}, {"k": 0}):
            with pytest.raises(OptionError):
                found(store, E[0], **bad)

    def test_models_are_never_compared(self, store: GalleryStore) -> None:
        store.add([face("Anne"), other("Bob")])
        store.add([NewFace("Carl", E[0], "model-c", "c" * 64)])
        assert found(store, E[0]) == [("Anne", 1.0)]
        (matches,) = store.search(E[0][None], model_sha256="c" * 64)
        assert [m.person for m in matches] == ["Carl"]
        assert store.search(E[0][None], model_sha256="d" * 64) == [[]]
        assert store.info().faces == {A: 1, B: 1, "c" * 64: 1}
        assert store.info().models == {A: "model-a", B: "model-b", "c" * 64: "model-c"}
        assert store.non_mated(model_sha256=A).shape == (0,)

    @pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
    def test_non_mated(self, store: GalleryStore, fusion: Any) -> None:
        rng = np.random.default_rng(3)
        vectors = rng.normal(size=(40, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        batch = [
            face(f"P{i % 25}", v, quality_score=float(rng.random())) for i, v in enumerate(vectors)
        ]
        model = GalleryModel()
        model.add([*batch, other("P0"), other("Q")], store.add([*batch, other("P0"), other("Q")]))
        got = store.non_mated(model_sha256=A, fusion=fusion)
        assert got.dtype == np.float32
        assert got.shape == (25,)
        expected = model.non_mated(A, fusion)
        wrong = np.array([
            [not any(abs(v - value) < 2e-6 for v in each) for each in expected] for value in got
        ])  # fmt: skip
        assert wrong[linear_sum_assignment(wrong)].sum() == 0  # one value for each person
        domain = Domain(
            vectors.mean(axis=0) + np.float32(0.1), 40, 25, mean_b=np.zeros(8, np.float32)
        )
        about = store.non_mated(model_sha256=A, fusion=fusion, domain=domain)
        expected = model.non_mated(A, fusion, domain)
        wrong = np.array([
            [not any(abs(v - value) < 2e-6 for v in each) for each in expected] for value in about
        ])  # fmt: skip
        assert wrong[linear_sum_assignment(wrong)].sum() == 0
        some = store.non_mated(model_sha256=A, most=10, fusion=fusion)
        assert some.shape == (10,)
        again = store.non_mated(model_sha256=A, most=10, fusion=fusion)
        np.testing.assert_array_equal(some, again)
