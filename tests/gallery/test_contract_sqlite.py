"""The contract of every gallery, kept by the one in SQLite, plain and encrypted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.contracts.gallery import GalleryContract, Opener
from tests.contracts.gallery_machine import run_histories

from visavis.gallery.crypto.key import Key
from visavis.gallery.sqlite.store import SqliteGallery

KEY = Key(bytes(range(32)))


class TestPlain(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: SqliteGallery(tmp_path / "g", create=True)


class TestEncrypted(GalleryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: SqliteGallery(tmp_path / "g", create=True, key=KEY)


def test_histories() -> None:
    run_histories(lambda folder: SqliteGallery(folder, create=True), examples=20)


def test_histories_of_an_encrypted_gallery() -> None:
    run_histories(lambda folder: SqliteGallery(folder, create=True, key=KEY), examples=10)
