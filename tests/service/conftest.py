"""A running service without keys, and photos for it."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Collection, Iterator
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


def command(
    *words: str, home: Path, capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> dict:  # fmt: skip
    """What a command prints with --json."""
    from visavis.cli.app import run

    monkeypatch.setenv("VISAVIS_HOME", str(home))
    capfdbinary.readouterr()
    with pytest.raises(SystemExit) as ended:
        run([*words, "--json"])
    assert ended.value.code in {0, 1, 3}
    return json.loads(capfdbinary.readouterr().out)


def close(found: object, wanted: object, *, but: Collection[str] = ()) -> bool:
    """Whether two answers are equal, numbers to 1e-4 (batches round otherwise), but for names of
    photos and for the keys in ``but``."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        assert found.keys() == wanted.keys()
        keys = wanted.keys() - {"photo", *but}
        return all(close(found[key], wanted[key], but=but) for key in keys)
    if isinstance(wanted, list) and isinstance(found, list):
        equal = (close(one, other, but=but) for one, other in zip(found, wanted, strict=False))
        return len(found) == len(wanted) and all(equal)
    if isinstance(wanted, float) and isinstance(found, (int, float)):
        return found == pytest.approx(wanted, abs=1e-4, rel=1e-3)
    return found == wanted


@pytest.fixture(scope="module")
def people(peers: Path) -> Path:
    return peers / "face_recognition/examples/knn_examples"


@pytest.fixture
def told(
    door: Running, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict]:
    """What a command prints with --json, in the service's home folder."""
    home = door.service.options.home
    assert home is not None
    return functools.partial(command, home=home, capfdbinary=capfdbinary, monkeypatch=monkeypatch)
