"""Random histories of photos, runs and corrections: what must hold holds after every step."""

from __future__ import annotations

import shutil
import tempfile
from itertools import combinations
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.albums import collection as toy
from tests.albums.oracle import Oracle

from visavis.albums.fixing import CorrectionResult, Fixer

CLUSTERERS = (
    toy.at_score(0.5),
    toy.at_score(0.3),
    toy.at_score(0.6),
)


class History(RuleBasedStateMachine):
    """Photos come and go, runs and corrections happen."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = toy.new_store(self.folder)
        self.oracle = Oracle()
        self.oracles: list[Oracle] = []
        self.photos: toy.Photos = {}
        self.away: toy.Photos = {}
        self.highest = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    @rule(people=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), max_size=5))
    def add(self, people: list[list[int]]) -> None:
        for who in people:
            name, faces = toy.photo(str(len(self.photos) + len(self.away)), who)
            self.photos[name] = faces

    @precondition(lambda self: self.photos)
    @rule(data=st.data())
    def take_away(self, data: st.DataObject) -> None:
        for name in data.draw(st.sets(st.sampled_from(sorted(self.photos)), max_size=4)):
            self.away[name] = self.photos.pop(name)

    @rule()
    def bring_back(self) -> None:
        self.photos |= self.away
        self.away = {}

    @rule(clusterer=st.sampled_from(CLUSTERERS), anew=st.booleans())
    def run(self, clusterer: object, anew: bool) -> None:
        before = toy.clusters(self.store, away=True)
        toy.run(self.store, self.photos, clusterer=clusterer, anew=anew)  # type: ignore[arg-type]
        after = toy.clusters(self.store, away=True)
        last = self.store.last_run()
        assert last is not None
        if not anew:
            heir = {gone: one["kept"] for one in last[3]["merged"] for gone in one["gone"]}
            for one in last[3]["merged"]:
                assert one["faces"] or one["why"] == "must-link"
            for face, cluster in before.items():
                if cluster is not None:
                    assert after[face] == heir.get(cluster, cluster)
        new = {c for c in after.values() if c is not None} - set(before.values())
        assert all(cluster > self.highest for cluster in new)
        self.highest = max([self.highest, *(c for c in after.values() if c is not None)])

    def correct(self, data: st.DataObject, kind: str) -> CorrectionResult | None:
        inside = toy.inside(self.store)
        fixer = Fixer(self.store)
        one = data.draw(st.sampled_from(sorted(inside)))
        faces = sorted(inside[one])
        some = data.draw(st.lists(st.sampled_from(faces), min_size=1, max_size=3, unique=True))
        others = sorted(set(inside) - {one})
        if kind == "merge" and others:
            return fixer.merge([one, data.draw(st.sampled_from(others))])
        members = [face for face, c in toy.clusters(self.store, away=True).items() if c == one]
        if kind == "split" and len(some) < len(members):
            return fixer.split(one, some)
        if kind == "move" and others:
            return fixer.move(some, data.draw(st.sampled_from(others)))
        if kind == "not a face":
            return fixer.not_a_face(some)
        if kind == "name":
            name = data.draw(st.sampled_from(["", f"Person {one}"]))
            if name not in fixer.names().values():
                return fixer.name(one, name)
        return None

    @precondition(lambda self: toy.inside(self.store))
    @rule(data=st.data(), kind=st.sampled_from(["merge", "split", "move", "not a face", "name"]))
    def correction(self, data: st.DataObject, kind: str) -> None:
        import copy

        with self.store.changing():
            fixed = self.correct(data, kind)
        if fixed is not None:
            self.oracles.append(copy.deepcopy(self.oracle))
            self.oracle.apply(fixed.correction)
            self.highest = max(
                [self.highest, *(c for c in toy.clusters(self.store).values() if c is not None)]
            )

    @precondition(lambda self: self.oracles)
    @rule()
    def undo(self) -> None:
        with self.store.changing():
            Fixer(self.store).undo()
        self.oracle = self.oracles.pop()
        # A run in between may have made more of it than can be taken back.
        toy.run(self.store, self.photos)

    @invariant()
    def corrections_hold(self) -> None:
        if not hasattr(self, "store"):
            return
        found = toy.clusters(self.store, away=True)
        for pair in self.oracle.same:
            a, b = pair
            assert found[a] == found[b], f"f{a} and f{b} are one person"
        for pair in self.oracle.apart:
            a, b = pair
            assert found[a] is None or found[a] != found[b], f"f{a} and f{b} are two people"
        for face in self.oracle.not_faces:
            assert found[face] is None, f"f{face} is no face"
        called = Fixer(self.store).names()
        for faces, name in self.oracle.names.items():
            assert {called.get(found[face] or 0) for face in faces} == {name}

    @invariant()
    def two_in_a_photo_are_two_people(self) -> None:
        if not hasattr(self, "store"):
            return
        shown: dict[str, list[tuple[int, int]]] = {}
        for face in self.store.faces():
            if face.cluster is not None and face.here:
                shown.setdefault(face.photo, []).append((face.id, face.cluster))
        for faces in shown.values():
            for (a, one), (b, other) in combinations(faces, 2):
                assert one != other or frozenset((a, b)) in self.oracle.same


History.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
TestHistories = History.TestCase
