"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from tests.worker_death import pytest_handlecrashitem, pytest_runtest_logreport

from visavis.inference import session

__all__ = ["pytest_handlecrashitem", "pytest_runtest_logreport"]

# No test asserts how long anything takes: machines are shared and noisy.
hypothesis.settings.register_profile("visavis", deadline=None)
hypothesis.settings.load_profile("visavis")

ROOT = Path(__file__).resolve().parents[1]


def _data(variable: str, name: str, sign: str) -> Path:
    named = os.environ.get(variable)
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / name
    if not (folder / sign).exists():
        pytest.skip(f"no {name.upper()} data: set {variable} to its folder")
    return folder


@pytest.fixture(scope="session")
def lfw() -> Path:
    """Labeled Faces in the Wild: lfw-deepfunneled/ and the protocol files."""
    return _data("VISAVIS_LFW", "lfw", "pairs.txt")


@pytest.fixture(scope="session")
def orl() -> Path:
    """The ORL faces, s1 .. s40."""
    return _data("VISAVIS_ORL", "orl", "s1")


@pytest.fixture(scope="session")
def peers() -> Path:
    """Photos that other projects test with: deepface/, face_recognition/, antispoof/."""
    return _data("VISAVIS_PEERS", "peers", "deepface")


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The portrait that scikit-image ships, (512, 512, 3) RGB uint8, one face."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder for models, calibrations and caches."""
    return tmp_path / "home"


@pytest.fixture(scope="session", autouse=True)
def optimized_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Graphs are optimized once a process, and linked into each test's home from there.

    Optimizing takes 0.6 s, and most tests have an empty home. What is linked is checked as anything
    else in a home is. tests/inference/ calls ``optimized`` itself.
    """
    optimized = session.optimized
    shelf = tmp_path_factory.mktemp("optimized")

    def linked(
        model: bytes, *, cache: Path, sha256: str | None = None, **options: object
    ) -> Path | None:
        found = optimized(model, cache=shelf, sha256=sha256, **options)
        kept = None if found is None else cache / found.parent.name
        if kept is not None and not kept.exists():
            with contextlib.suppress(OSError):
                shutil.copytree(found.parent, kept, copy_function=os.link)
        return optimized(model, cache=cache, sha256=sha256, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "optimized", linked)
        yield
