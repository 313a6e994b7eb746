"""A running service without keys, and photos for it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.service.running import Running, running

from visavis.service.state import GalleryPlace, Service, ServiceOptions


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture(scope="session")
def face(portrait: np.ndarray) -> bytes:
    """A photo of one face."""
    return jpeg(portrait[:300, 80:380])


@pytest.fixture(scope="session")
def mirrored(portrait: np.ndarray) -> bytes:
    """The same face, mirrored."""
    return jpeg(portrait[:300, 80:380][:, ::-1])


@pytest.fixture(scope="session")
def faceless() -> bytes:
    """A photo without a face."""
    noise = np.random.default_rng(0).integers(90, 160, (64, 64, 3), np.uint8)
    return jpeg(noise)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An open service with one gallery ``door``."""
    place = tmp_path_factory.mktemp("service")
    with running(Service({"door": GalleryPlace(str(place / "door.gallery"), create=True)},
                         options=options(place))) as found:  # fmt: skip
        yield found


def options(place: Path, **more: object) -> ServiceOptions:
    """Options of a small service whose state is below a folder."""
    (place / "temporary").mkdir(exist_ok=True)
    small: dict[str, object] = {
        "workers": 1, "home": place / "home", "temporary": place / "temporary",
        "photo_bytes": 2_000_000, "body_bytes": 8_000_000, "megapixels": 10, "photos": 20,
        "seconds": 300,
    }  # fmt: skip
    return ServiceOptions(**(small | more))  # type: ignore[arg-type]
