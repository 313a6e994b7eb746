"""A tiny pack and network for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training import tiny

from visavis.training.data.pack import Pack


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Twelve people, five photos each, the last one with one."""
    tiny.register()
    folder: Path = tmp_path_factory.mktemp("tiny")
    return tiny.make_pack(folder / "tiny.pack")
