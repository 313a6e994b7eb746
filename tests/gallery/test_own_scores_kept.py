"""Counts that follow the table, and non-mated scores that are kept until they are out of date."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.decision.domain import Domain
from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite.store import SqliteGallery

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import EAGER, KEY, MODEL, OTHER, VECTORS, crowd, new, tampering, unit


def counted(folder: Path) -> dict[str, int]:
    with tampering(folder) as db:
        return dict(
            db.execute(
                "SELECT sha256, count(*) FROM face JOIN model ON model.id = face.model "
                "GROUP BY sha256"
            ).fetchall()
        )


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "other", "remove", "faces", "merge", "compact", "look"]),
              st.integers(0, 5), st.booleans()),
    max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_counts_are_those_of_the_table(tmp_path_factory, steps: list) -> None:
    """Whoever writes, both handles count what a full count finds."""
    folder = tmp_path_factory.mktemp("g") / "g"
    with SqliteGallery(folder, create=True) as one, SqliteGallery(folder) as two:
        for step, k, first in steps:
            store = one if first else two
            names = [person.name for person in store.people()]
            if step in {"add", "other"}:
                changes = {"model_sha256": "b" * 64} if step == "other" else {}
                store.add([new(f"P{k}", VECTORS[k], **changes), new(f"P{k + 1}", VECTORS[k + 1])])
            elif step == "remove" and names:
                store.remove(names[k % len(names)])
            elif step == "faces":
                store.remove_faces([face.id for face in store.faces()][: k + 1])
            elif step == "merge" and len(names) > 1:
                store.merge(names[0], names[1])
            elif step == "compact":
                store.compact()
            else:
                assert store.info().faces == counted(folder)
        for store in (one, two):
            assert store.info().faces == counted(folder)
            assert store.info().people == len(list(store.people()))


def kept(folder: Path) -> int:
    with tampering(folder) as db:
        return int(
            db.execute("SELECT count(*) FROM meta WHERE key LIKE 'non-mated %'").fetchone()[0]
        )


def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    search = SqliteGallery.search

    def counting(self, vectors, /, **options):
        made.append(len(vectors))
        return search(self, vectors, **options)

    monkeypatch.setattr(SqliteGallery, "search", counting)
    return made


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_the_next_process_need_not_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key | None
) -> None:
    made = searches(monkeypatch)
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:
        crowd(store)
        measured = store.non_mated(model_sha256=MODEL)
    assert made == [20]
    with SqliteGallery(tmp_path / "g", key=key, options=EAGER) as store:
        assert np.array_equal(store.non_mated(model_sha256=MODEL), measured)
        assert made == [20]
        store.non_mated(model_sha256=MODEL, fusion="max")
        store.non_mated(model_sha256=MODEL, most=3)
        assert made == [20, 20, 3]
        # Forty templates: two changes are a twentieth, more are too many. A person counts as one.
        store.add([new("Late", unit(1, seed=9)[0])])
        store.non_mated(model_sha256=MODEL)
        assert made == [20, 20, 3]
        store.add([new("Later", unit(1, seed=8)[0])])
        assert len(store.non_mated(model_sha256=MODEL)) == 22
        assert made == [20, 20, 3, 22]
        assert store.check().ok


def test_scores_of_another_space_are_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = searches(monkeypatch)
    one, two = (Domain(VECTORS[at] / 2, 1, 1) for at in (0, 1))
    spaces = [None, one, two, replace(one, mean_b=VECTORS[2])]
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)
        found = [store.non_mated(model_sha256=MODEL, domain=space) for space in spaces]
        assert made == [20] * 3 + [20]
        assert np.array_equal(store.non_mated(model_sha256=MODEL, domain=one), found[1])
        assert made == [20] * 4  # its own templates are side a, so the other mean has no part
        assert np.array_equal(found[1], found[3])
        assert not np.allclose(found[0], found[1], atol=1e-3)
        assert not np.allclose(found[1], found[2], atol=1e-3)
        assert kept(tmp_path / "g") == 1


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_the_mean_is_kept_until_it_is_out_of_date_or_anybody_erased(
    tmp_path: Path, key: Key | None
) -> None:
    folder = tmp_path / "g"
    with SqliteGallery(folder, create=True, key=key, options=EAGER) as store:
        crowd(store)
        first = of_twenty = mean_of(store)
        np.testing.assert_allclose(first, VECTORS[:40].mean(axis=0), atol=1e-6)
        store.add([new("Late", VECTORS[50])])  # a template and a person: a twentieth
        with SqliteGallery(folder, key=key, options=EAGER) as another:
            assert np.array_equal(mean_of(another), first)
        store.add([new("Later", VECTORS[52])])
        first = mean_of(store)
        assert not np.array_equal(first, of_twenty)
        store.remove("Late")
        left = [*VECTORS[:20] / 2 + VECTORS[20:40] / 2, VECTORS[52]]
        np.testing.assert_allclose(mean_of(store), np.mean(left, axis=0), atol=1e-6)
        last = mean_of(store)
    file = (folder / "gallery.sqlite").read_bytes()
    for old in (of_twenty, first):
        assert old.astype("<f4").tobytes()[:16] not in file
    assert (last.astype("<f4").tobytes()[:16] in file) is (key is None)


def mean_of(store: SqliteGallery) -> np.ndarray:
    found = store.mean(MODEL)
    assert found is not None
    return found[0]


def test_a_small_gallery_keeps_none(tmp_path: Path) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        crowd(store)
        assert len(store.non_mated(model_sha256=MODEL)) == 20
    assert kept(tmp_path / "g") == 0


@pytest.mark.parametrize("how", ["remove", "remove_faces", "reencrypt", "decrypt"])
def test_none_is_kept_of_somebody_erased_or_under_another_key(tmp_path: Path, how: str) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=KEY, options=EAGER) as store:
        numbers = crowd(store)
        store.non_mated(model_sha256=MODEL)
        assert kept(tmp_path / "g") == 1
        if how == "remove":
            store.remove("Person 04")
        elif how == "remove_faces":
            store.remove_faces(numbers[:1])
        else:
            store.rekey(OTHER if how == "reencrypt" else None, reencrypt=True)
        assert kept(tmp_path / "g") == 0
        assert len(store.non_mated(model_sha256=MODEL)) == (19 if how == "remove" else 20)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_kept_scores_that_were_tampered_with_are_measured_again(
    tmp_path: Path, key: Key | None
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:
        crowd(store)
        measured = store.non_mated(model_sha256=MODEL)
        for junk in (b"", b"x" * 50, "text"):
            with tampering(tmp_path / "g") as db:
                db.execute("UPDATE meta SET value = ? WHERE key LIKE 'non-mated %'", (junk,))
            assert np.array_equal(store.non_mated(model_sha256=MODEL), measured)


def test_somebody_erased_while_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SqliteGallery.search
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        crowd(store)

        def erasing(self, vectors, /, **options):
            found = search(self, vectors, **options)
            if "Person 04" in [person.name for person in store.people()]:
                store.remove("Person 04")
            return found

        monkeypatch.setattr(SqliteGallery, "search", erasing)
        store.non_mated(model_sha256=MODEL)
        assert kept(tmp_path / "g") == 0
