"""A gallery on a real Milvus server: the contract, and what a kill in the middle leaves."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

from visavis.errors import GalleryError, OptionError
from visavis.gallery.milvus.connection import Connection
from visavis.gallery.milvus.options import MilvusOptions
from visavis.gallery.milvus.store import MilvusGallery
from visavis.gallery.records import NewFace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from milvus_server import MilvusServer
from tests.contracts.gallery_common import A, Abilities, Opener, face
from tests.contracts.gallery_keeping import KeepingContract
from tests.contracts.gallery_names import AcceptingContract
from tests.contracts.gallery_search import SearchingContract
from tests.contracts.gallery_writing import WritingContract

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    server = MilvusServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


class OnServer:
    """A tenant of its own for each test."""

    abilities = Abilities(
        erases_bytes="a Milvus server compacts and collects its garbage in its own time"
    )

    @pytest.fixture
    def opener(self, server: MilvusServer, tmp_path: Path) -> Opener:
        tenant = uuid.uuid4().hex
        return lambda: MilvusGallery(server.uri, tenant=tenant, home=tmp_path)


class TestSearching(OnServer, SearchingContract):
    pass


@pytest.mark.slow
class TestMilvusServer(OnServer, WritingContract, AcceptingContract, KeepingContract):
    """The rest of the contract: `make milvus-test`, for time's sake."""


def batch(number: int, faces: int = 1100) -> list[NewFace]:
    """Faces of 100 people, of whom half are in all batches; more than one request takes."""
    rng = np.random.default_rng(number)
    vectors = rng.normal(size=(faces, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        NewFace(f"P{i % 50 if i % 2 else number * 1000 + i % 50}", vector, "model-a", A,
                photo=f"{number}-{i}.jpg", crop=b"png" if i % 100 == 0 else None)
        for i, vector in enumerate(vectors)
    ]  # fmt: skip


def held(store: MilvusGallery) -> Any:
    """What readers see, without what differs from run to run."""
    (found,) = store.search(batch(1)[0].vector[None], model_sha256=A, k=9, fusion="weighted")
    return (
        [(p.name, p.faces) for p in store.people()],
        [
            (f.person, f.photo, f.vector.tobytes(), store.crop(f.id) if f.has_crop else b"")
            for f in store.faces()
        ],
        [(m.person, m.score, m.best_score, m.faces) for m in found],
    )


def test_a_batch_sent_again_after_the_server_was_killed(
    server: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MilvusOptions(timeout=4)
    with MilvusGallery(server.uri, tenant="undisturbed", home=tmp_path) as store:
        for number in (1, 2, 3):
            store.add(batch(number))
        wanted = held(store)
    tenant = MilvusGallery(server.uri, tenant="disturbed", home=tmp_path, options=options)
    with tenant as store:
        acknowledged = store.add(batch(1))
        call, requests = Connection.call, [0]

        def killing(self: Connection, method: str, /, *args: Any, **options: Any) -> Any:
            requests[0] += method == "upsert"
            if requests[0] == 4:  # people, crops, 1,000 of the faces are on their way
                server.kill()
                requests[0] += 1
            return call(self, method, *args, **options)

        monkeypatch.setattr(Connection, "call", killing)
        with pytest.raises(GalleryError, match="refused"):
            store.add(batch(2))
        monkeypatch.undo()
    server.start()
    with MilvusGallery(server.uri, tenant="disturbed", home=tmp_path) as store:
        there = [face.photo for face in store.faces()]
        assert 1100 < len(set(there)) == len(there) < 2200  # a part of the batch
        assert [face.id for face in store.faces()][:1100] == acknowledged
        assert store.check().ok, store.check().problems  # what came through is whole
        again = store.add(batch(2))
        store.add(batch(3))
        assert [face.id for face in store.faces()][1100:2200] == again
        assert held(store) == wanted
        assert store.check().ok, store.check().problems
        assert [e.details.get("interrupted", False) for e in store.audit(action="enrol")] == [
            False, True, False, False,
        ]  # fmt: skip


def test_partitions_need_a_server_that_keeps_to_them(server: MilvusServer, tmp_path: Path) -> None:
    options = MilvusOptions(partitions=4, prefix="parts")
    with (
        MilvusGallery(server.uri, options=options, home=tmp_path) as store,
        pytest.raises(OptionError, match="partitions"),
    ):
        store.add([face("Anne")])


def test_more_faces_than_a_page(server: MilvusServer, tmp_path: Path) -> None:
    with MilvusGallery(server.uri, tenant=uuid.uuid4().hex, home=tmp_path) as store:
        numbers = store.add(batch(4, 2500))
        assert [face.id for face in store.faces()] == numbers
        assert len(list(store.people())) == len({face.person for face in batch(4, 2500)})
        assert store.info().faces == {A: 2500}
        assert store.remove_faces(numbers[100:2400]) == 2300
        assert [face.id for face in store.faces()] == numbers[:100] + numbers[2400:]
        assert store.check().ok, store.check().problems
