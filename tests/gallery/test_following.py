"""Faces just enrolled go into the index in memory without being read back from the table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions, TemplateIndex
from visavis.gallery.sqlite import audit, live_indexes
from visavis.gallery.sqlite import read as reading
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sqlite_gallery import EAGER, KEY, MODEL, VECTORS, new, unit

OTHER = "b" * 64


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> Key | None:
    found: Key | None = request.param
    return found


@pytest.fixture
def read_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many faces were read from the table for an index, each time."""
    counts: list[int] = []
    real = live_indexes.open_vectors

    def counted(cipher, rows, dimension):  # type: ignore[no-untyped-def]
        counts.append(len(rows))
        return real(cipher, rows, dimension)

    monkeypatch.setattr(live_indexes, "open_vectors", counted)
    return counts


def found(store: SqliteGallery, vector: np.ndarray, model: str = MODEL) -> str:
    (matches,) = store.search(vector[None], model_sha256=model, k=1, fusion="max")
    assert matches[0].score == pytest.approx(1, abs=1e-6)
    return matches[0].person


def test_a_new_gallery_reads_nothing_back(
    tmp_path: Path, key: Key | None, read_back: list[int]
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, key=key, options=EAGER) as store:
        for start in range(0, 60, 20):
            store.add([new(f"P{i}", VECTORS[i]) for i in range(start, start + 20)])
            assert found(store, VECTORS[start + 7]) == f"P{start + 7}"
        assert "made while faces were enrolled" in store.info().index[MODEL]
        assert read_back == []
        assert store.check().ok
    assert len(list((tmp_path / "g" / "index").iterdir())) == 1  # written by close
    with SqliteGallery(tmp_path / "g", key=key, options=EAGER) as store:
        assert found(store, VECTORS[33]) == "P33"
        assert read_back == []
        assert store.check().ok


def test_an_index_that_was_not_loaded_stays_so(tmp_path: Path, read_back: list[int]) -> None:
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add([new("A", VECTORS[0])])
    with SqliteGallery(tmp_path / "g") as store:
        store.add([new("B", VECTORS[1])])
        assert store.info().index[MODEL].startswith("not loaded")
        assert found(store, VECTORS[1]) == "B"
        assert read_back == [2]
        store.add([new("C", VECTORS[2])])
        assert found(store, VECTORS[2]) == "C"
        assert read_back == [2]


def test_what_another_wrote_between_is_taken_from_the_table(
    tmp_path: Path, read_back: list[int]
) -> None:
    with (
        SqliteGallery(tmp_path / "g", create=True, options=EAGER) as first,
        SqliteGallery(tmp_path / "g", options=EAGER) as second,
    ):
        first.add([new("A", VECTORS[0])])
        second.add([new("B", VECTORS[1]), new("A", VECTORS[2])])
        first.add([new("C", VECTORS[3])])
        assert [found(first, VECTORS[at]) for at in range(4)] == ["A", "B", "A", "C"]
        assert read_back == [3]
        second.remove("B")
        first.add([new("D", VECTORS[4])])
        assert found(first, VECTORS[4]) == "D"
        names = {m.person for m in first.search(VECTORS[1][None], model_sha256=MODEL, k=9)[0]}
        assert names == {"A", "C", "D"}
        assert first.check().ok
        assert second.check().ok


def test_several_models_at_once_and_several_faces_a_person(
    tmp_path: Path, read_back: list[int]
) -> None:
    others = unit(6, length=16)
    faces = [new(f"P{i % 3}", v, quality_score=i / 10) for i, v in enumerate(VECTORS[:6])]
    more = [new(f"P{i % 3}", v, model="m2", model_sha256=OTHER) for i, v in enumerate(others)]
    mixed = [face for pair in zip(faces, more, strict=True) for face in pair]
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        numbers = store.add(mixed)
        assert [face.id for face in store.faces()] == numbers
        answers = store.search(VECTORS[:9], model_sha256=MODEL, k=3)
        others_found = store.search(others, model_sha256=OTHER, k=3)
        assert read_back == []
        assert store.check().ok
    for path in (tmp_path / "g" / "index").iterdir():
        path.unlink()
    with SqliteGallery(tmp_path / "g", options=EAGER) as store:
        assert store.search(VECTORS[:9], model_sha256=MODEL, k=3) == answers
        assert store.search(others, model_sha256=OTHER, k=3) == others_found
        assert read_back


def test_an_index_that_fails_is_dropped_and_made_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteGallery(tmp_path / "g", create=True, options=EAGER) as store:
        store.add([new("A", VECTORS[0])])

        def full(self: TemplateIndex, *_: object, **__: object) -> None:
            self._columns._ids.append(np.array([999]))  # half done
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(TemplateIndex, "add", full)
            with pytest.raises(MemoryError):
                store.add([new("B", VECTORS[1])])
        assert found(store, VECTORS[1]) == "B"
        assert store.check().ok


def test_the_structure_is_made_by_the_first_search(tmp_path: Path) -> None:
    vectors = unit(900, length=32, seed=3)
    options = GalleryOptions(index=IndexOptions(exact_up_to=200), snapshot_from=10_000)
    with SqliteGallery(tmp_path / "g", create=True, options=options) as store:
        for start in range(0, 900, 150):
            part = enumerate(vectors[start : start + 150], start)
            store.add([new(f"P{i}", vector) for i, vector in part])
        assert "arranged at the next search" in store.info().index[MODEL]
        assert found(store, vectors[500]) == "P500"
        assert store.info().index[MODEL].startswith(("fast scan of 900", "exact search of 900"))
        assert store.check().ok


def test_a_length_at_the_edge_of_what_is_taken_is_found(tmp_path: Path) -> None:
    vector = (VECTORS[0].astype(np.float64) * 1.0009998).astype(np.float32)
    with SqliteGallery(tmp_path / "g", create=True) as store:
        store.add([new("A", vector)])
        (matches,) = store.search(VECTORS[:1], model_sha256=MODEL, k=1)
        assert matches[0].person == "A"


def test_reading_ends_however_fast_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of two, and two more faces before each part: nobody ever catches up."""
    monkeypatch.setattr(reading, "_PART", 2)
    monkeypatch.setattr(audit, "_PART", 2)
    monkeypatch.setattr(live_indexes, "_BATCH", 2)
    with (
        SqliteGallery(tmp_path / "g", create=True) as store,
        SqliteGallery(tmp_path / "g") as other,
    ):
        store.add([new(f"P{i}", VECTORS[i]) for i in range(5)])
        numbers = [face.id for face in store.faces()]
        transaction, left = store._db.reading, 400

        def busy() -> object:
            nonlocal left
            left -= 1
            assert left > 0, "it goes on and on"
            other.add([new("Q", VECTORS[left % 60]), new("R", VECTORS[left % 60])])
            return transaction()

        monkeypatch.setattr(store._db, "reading", busy)
        for seen in (
            [face.id for face in store.faces()],
            [face.id for face in store.faces(model_sha256=MODEL)],
        ):
            assert seen[:5] == numbers
        assert [entry.action for entry in store.audit()][:2] == ["create", "enrol"]
        store.load_index()
        monkeypatch.undo()
        assert found(store, VECTORS[3]) == "P3"
        assert store.check().ok
