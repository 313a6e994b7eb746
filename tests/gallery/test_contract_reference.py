"""The gallery contract under test: a plain store passes it, and broken ones are caught."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference_store import ReferenceStore

from contracts.gallery import GalleryContract, Opener
from contracts.gallery_machine import run_histories


class TestReference(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: ReferenceStore(tmp_path)


def test_histories() -> None:
    run_histories(ReferenceStore, examples=30)
