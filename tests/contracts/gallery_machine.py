"""Random histories of a ``GalleryStore`` beside the plain dictionaries of ``GalleryModel``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from visavis.errors import VisavisError
from visavis.gallery.records import NewFace
from visavis.gallery.store import GalleryStore

from .gallery_model import GalleryModel, nfc

OpenIn = Callable[[Path], GalleryStore]
"""Makes a gallery in an empty folder, opens it in one that has it."""

_MODELS = {"a" * 64: ("model-a", 4), "b" * 64: ("model-b", 6)}
_NAMES = ["Anne", "anne", "e\u0301", "é", "O'Brien\" or 1==1", "👩‍👧", "محمد", "%", "{x}", "a\\"]
_BAD_NAMES = ["", " x", "x\n", "x" * 201]
_TIMES = [f"2030-01-0{day}T00:00:00+00:00" for day in (1, 2, 3, 4)]


def _vectors(length: int) -> list[np.ndarray]:
    rng = np.random.default_rng(length)
    some = [*np.eye(length), -np.eye(length)[0], *rng.normal(size=(4, length))]
    return [(v / np.linalg.norm(v)).astype(np.float32) for v in some]


_VECTORS = {sha256: _vectors(length) for sha256, (_, length) in _MODELS.items()}

person_names = st.sampled_from(_NAMES)
hashes = st.sampled_from(sorted(_MODELS))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@st.composite
def new_faces(draw: Any) -> NewFace:
    sha256 = draw(hashes)
    return NewFace(
        person=draw(person_names),
        vector=draw(st.sampled_from(_VECTORS[sha256])),
        model=_MODELS[sha256][0],
        model_sha256=sha256,
        pipeline_id=draw(st.sampled_from(["", "yunet; central"])),
        quality_score=draw(st.sampled_from([0.0, 0.25, 1.0])),
        photo=draw(st.sampled_from(["", "a.jpg", "ü'\".jpg"])),
        photo_sha256=draw(st.sampled_from(["", "1" * 64, "2" * 64])),
        crop=draw(st.sampled_from([None, b"\x89PNG\0", b""])),
        expires=draw(st.sampled_from([None, *_TIMES[:3]])),
    )


@st.composite
def bad_faces(draw: Any) -> NewFace:
    name, vector, sha256 = draw(
        st.one_of(
            st.tuples(
                st.sampled_from(_BAD_NAMES), st.just(_VECTORS["a" * 64][0]), st.just("a" * 64)
            ),
            st.tuples(
                person_names,
                st.sampled_from([np.full(4, 0.6, np.float32), np.full(4, np.nan, np.float32)]),
                st.just("a" * 64),
            ),
            st.tuples(person_names, st.just(_VECTORS["b" * 64][1]), st.just("a" * 64)),
        )
    )
    return NewFace(name, vector, "model-a", sha256)


class GalleryMachine(RuleBasedStateMachine):
    """Set ``open_in`` in a subclass."""

    open_in: OpenIn

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="gallery-machine-")
        self.model = GalleryModel()
        self.attributes: dict[str, Any] = {}
        self.entries = 0
        self.highest = 0

    @initialize(batch=st.lists(new_faces(), max_size=4))
    def begin(self, batch: list[NewFace]) -> None:
        self.store = type(self).open_in(Path(self.folder.name))
        self._add(batch)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        with suppress(OSError):
            self.folder.cleanup()

    def _add(self, batch: list[NewFace]) -> None:
        refusal = self.model.refusal(batch)
        if refusal is not None:
            with pytest.raises(refusal):
                self.store.add(batch)
            return
        numbers = self.store.add(batch)
        assert numbers == sorted(set(numbers))
        assert not numbers or numbers[0] > self.highest
        self.highest = max([self.highest, *numbers])
        self.model.add(batch, numbers)

    def _both(self, act: Callable[[Any], Any]) -> None:
        """Does the same to both; they answer alike or raise the same kind of error."""
        wanted: Any = None
        error: type[VisavisError] | None = None
        try:
            wanted = act(self.model)
        except VisavisError as raised:
            error = type(raised)
        if error is not None:
            with pytest.raises(error):
                act(self.store)
        else:
            assert act(self.store) == wanted

    @rule(batch=st.lists(new_faces(), max_size=5))
    def add(self, batch: list[NewFace]) -> None:
        self._add(batch)

    @rule(before=st.lists(new_faces(), max_size=2), bad=bad_faces(), after=new_faces())
    def add_with_a_bad_one(self, before: list[NewFace], bad: NewFace, after: NewFace) -> None:
        right = NewFace("Anne", _VECTORS["a" * 64][0], "model-a", "a" * 64)
        self._add([*before, right, bad, after])

    @rule(name=person_names, attributes=st.dictionaries(st.text(max_size=5), values, max_size=3))
    def set_attributes(self, name: str, attributes: dict[str, Any]) -> None:
        def act(gallery: Any) -> None:
            if gallery is self.model:
                gallery.people[gallery.known(name)] = attributes
            else:
                gallery.set_attributes(name, attributes)

        self._both(act)

    @rule(old=person_names, new=person_names)
    def rename(self, old: str, new: str) -> None:
        self._both(lambda gallery: gallery.rename(old, new))

    @rule(into=person_names, others=st.lists(person_names, min_size=1, max_size=3))
    def merge(self, into: str, others: list[str]) -> None:
        if {nfc(n) for n in (into, *others)} <= set(self.model.people) or into in self.model.people:
            self._both(lambda gallery: gallery.merge(into, *others))

    @precondition(lambda self: self.model.faces)
    @rule(data=st.data(), into=person_names)
    def split(self, data: st.DataObject, into: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.people)))
        numbers = st.sampled_from([*self.model.of(name), *sorted(self.model.faces)[:2]])
        some = data.draw(st.lists(numbers, max_size=3))

        def act(gallery: Any) -> None:
            if gallery is self.model:
                gallery.split(name, some, into)
            else:
                gallery.split(name, some, into=into)

        self._both(act)

    @rule(name=person_names)
    def remove(self, name: str) -> None:
        self._both(lambda gallery: gallery.remove(name))

    @precondition(lambda self: self.model.faces)
    @rule(data=st.data())
    def remove_faces(self, data: st.DataObject) -> None:
        numbers = st.sampled_from([*sorted(self.model.faces), 10**7])
        some = data.draw(st.lists(numbers, max_size=4))
        people = data.draw(st.booleans())
        self._both(lambda gallery: gallery.remove_faces(some, people=people))

    @rule(now=st.sampled_from(_TIMES))
    def expire(self, now: str) -> None:
        self._both(lambda gallery: gallery.expire(now))

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = type(self).open_in(Path(self.folder.name))

    @rule(
        sha256=hashes,
        at=st.integers(0, 8),
        k=st.integers(1, 12),
        fusion=st.sampled_from(["max", "mean", "weighted"]),
    )
    def search(self, sha256: str, at: int, k: int, fusion: Any) -> None:
        probe = _VECTORS[sha256][at]
        (matches,) = self.store.search(probe[None], model_sha256=sha256, k=k, fusion=fusion)
        wanted = self.model.scores(probe, sha256, fusion)
        best = sorted(wanted.values(), reverse=True)[:k]
        got = [m.score for m in matches]
        np.testing.assert_allclose(got, best, atol=3e-6)
        assert [(-m.score, m.person) for m in matches] == sorted(
            (-m.score, m.person) for m in matches
        )
        assert len({m.person for m in matches}) == len(matches)
        for match in matches:
            mine = self.model.of(match.person, sha256)
            assert match.faces == len(mine)
            assert abs(match.score - wanted[match.person]) < 3e-6
            closest = self.model.score(probe, list(mine.values()), "max")
            assert abs(match.best_score - closest) < 3e-6
            assert abs(self.model.score(probe, [mine[match.best_face]], "max") - closest) < 3e-6

    @rule(sha256=hashes, fusion=st.sampled_from(["max", "mean", "weighted"]))
    def non_mated(self, sha256: str, fusion: Any) -> None:
        got = self.store.non_mated(model_sha256=sha256, fusion=fusion)
        wanted = self.model.non_mated(sha256, fusion)
        assert len(got) == len(wanted)
        for value in got:
            assert any(abs(value - v) < 3e-6 for each in wanted for v in each)

    @rule(name=person_names, source=st.sampled_from(["1" * 64, "2" * 64]), sha256=hashes)
    def has_source(self, name: str, source: str, sha256: str) -> None:
        wanted = any(f.photo_sha256 == source for f in self.model.of(nfc(name), sha256).values())
        assert self.store.has_source(source, person=name, model_sha256=sha256) == wanted

    @rule()
    def check(self) -> None:
        report = self.store.check()
        assert report.ok, report.problems
        assert report.faces == len(self.model.faces)
        entries = list(self.store.audit())
        assert report.audit_entries == len(entries) >= self.entries
        self.entries = len(entries)
        info = self.store.info()
        assert info.people == len(self.model.people)
        assert sum(info.faces.values()) == len(self.model.faces)

    @invariant()
    def the_same_state(self) -> None:
        if not hasattr(self, "store"):
            return
        people = {p.name: (p.faces, p.attributes) for p in self.store.people()}
        assert list(people) == sorted(people)
        assert people == {
            name: (self.model.counts(name), attributes)
            for name, attributes in self.model.people.items()
        }
        faces = list(self.store.faces())
        assert [f.id for f in faces] == sorted(self.model.faces)
        for stored in faces:
            given = self.model.faces[stored.id]
            assert stored.vector.tobytes() == given.vector.tobytes()
            assert (stored.person, stored.model, stored.model_sha256, stored.pipeline_id) == (
                given.person, given.model, given.model_sha256, given.pipeline_id,
            )  # fmt: skip
            assert (stored.quality_score, stored.photo, stored.photo_sha256, stored.has_crop) == (
                given.quality_score, given.photo, given.photo_sha256, given.crop is not None,
            )  # fmt: skip
            assert (stored.expires is None) == (given.expires is None)
            if given.crop is not None:
                assert self.store.crop(stored.id) == given.crop


def run_histories(
    open_in: OpenIn,
    *,
    examples: int = 30,
    steps: int = 25,
    shortest: bool = True,
    always_the_same: bool = False,
) -> None:
    """Runs random histories; a failing one is shown as the shortest found, or as it was found."""

    class Machine(GalleryMachine):
        pass

    Machine.open_in = staticmethod(open_in)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=always_the_same,
            report_multiple_bugs=False,
            phases=[Phase.generate, *([Phase.shrink] if shortest else [])],
        ),
    )
