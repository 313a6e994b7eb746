"""The gallery contract for Milvus: in a Milvus Lite folder, and by the URI of a server."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

from visavis.gallery.milvus import MilvusGallery
from visavis.gallery.milvus_options import MilvusOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from milvus_server import serving

from contracts.gallery import Abilities, GalleryContract, Opener
from contracts.gallery_common import E, face, names
from contracts.gallery_keeping import KeepingContract
from contracts.gallery_machine import run_histories
from contracts.gallery_search import SearchingContract

pytestmark = pytest.mark.milvus


class TestMilvusLite(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: MilvusGallery(str(tmp_path / "gallery.db"), create=True)


def test_histories() -> None:
    run_histories(
        lambda folder: MilvusGallery(str(folder / "gallery.db"), create=True), examples=5, steps=15
    )


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as uri:
        yield uri


class TestMilvusByUri(SearchingContract):
    """What differs by URI: indexes, partitions, nothing locked, nothing rewritten. The server is
    Milvus Lite's; no cluster was at hand."""

    abilities = Abilities(
        erases_bytes="a Milvus server compacts and collects its garbage in its own time"
    )

    test_removed_bytes_are_in_no_file = KeepingContract.test_removed_bytes_are_in_no_file

    @pytest.fixture
    def opener(self, uri: str) -> Opener:
        tenant, options = uuid.uuid4().hex, MilvusOptions(partitions=4)
        return lambda: MilvusGallery(uri, tenant=tenant, options=options)

    def test_the_rest(self, opener: Opener) -> None:
        with opener() as store, opener() as other:
            store.add([face("Anne", crop=b"png"), face("Bob", E[1]), face("Carl", E[2])])
            assert names(other) == ["Anne", "Bob", "Carl"]
            other.merge("Anne", "Bob")
            store.rename("Carl", "Dora")
            assert other.remove("Anne") == 2
            assert names(store) == names(other) == ["Dora"]
            assert store.check().ok
            assert [e.action for e in other.audit()] == ["enrol", "merge", "rename", "remove"]

    def test_an_unfinished_write_is_left_to_its_writer_for_a_while(self, uri: str) -> None:
        tenant, options = uuid.uuid4().hex, MilvusOptions(partitions=4)
        with MilvusGallery(uri, tenant=tenant, options=options) as store:
            store.add([face("Anne")])
            op = store._journal.begin("add", {})
            store._people.insert({"Bob": "b" * 32}, batch=op, created=0)
            with MilvusGallery(uri, tenant=tenant, options=options) as other:
                assert names(other) == names(store) == ["Anne"]
                other.add([face("Carl")])
                assert [intent.op for intent in other._journal.pending()] == [op]
            hasty = MilvusOptions(partitions=4, stale_after=1e-6)
            with MilvusGallery(uri, tenant=tenant, options=hasty) as other:
                assert other._journal.pending() == []
                assert other._tables.count("people") == 2
                assert other.check().ok
