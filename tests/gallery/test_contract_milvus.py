"""The gallery contract for Milvus: in a Milvus Lite folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

from visavis.gallery.milvus.store import MilvusGallery

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tests.contracts.gallery import GalleryContract, Opener
from tests.contracts.gallery_machine import run_histories

pytestmark = pytest.mark.milvus


class TestMilvusLite(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: MilvusGallery(str(tmp_path / "gallery.db"), create=True)


def test_histories() -> None:
    run_histories(
        lambda folder: MilvusGallery(str(folder / "gallery.db"), create=True), examples=5, steps=15
    )
