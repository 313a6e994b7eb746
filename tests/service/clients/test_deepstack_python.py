"""deepstack-python 0.9, unmodified, against a running service: every method that is about faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run, run
from tests.service.clients.calls import Client, ClientError, cases, client
from tests.service.conftest import face, faceless, mirrored, options
from tests.service.running import Running, running

from visavis.service.state import GalleryPlace, Service

__all__ = ["face", "faceless", "mirrored", "run"]
pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("served")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    known = options(place, dialects=("deepstack",), megapixels=50, photo_bytes=20_000_000)
    with running(Service({"door": gallery}, options=known)) as found:
        yield found


@pytest.fixture(scope="module")
def deepstack(served: Running) -> Iterator[Client]:
    scopes = ["verify", "identify", "enroll"]
    _, key = served.service.keys.create(scopes=scopes, galleries=["door"], rate=100_000)
    with client("deepstack", served.url.rpartition(":")[2], key) as found:
        yield found


def test_every_method(deepstack: Client, face: bytes, mirrored: bytes, faceless: bytes) -> None:
    (box,) = deepstack("face", "detect", image_bytes=face)
    assert box["confidence"] > 0.8
    assert box["x_min"] < box["x_max"]
    assert deepstack("face", "detect", image_bytes=faceless) == []
    assert deepstack("face", "get_registered_faces") == []
    assert deepstack("face", "register", name="Anna B", image_bytes=face) == "face added"
    assert deepstack("face", "get_registered_faces") == ["Anna B"]
    found = deepstack("face", "recognize", image_bytes=mirrored)
    assert [one["userid"] for one in found] == ["Anna B"]
    (percent,) = deepstack("core", "get_recognized_faces", predictions=found).values()
    assert percent == round(100 * found[0]["confidence"], 1)
    assert percent > 50
    with pytest.raises(ClientError, match="no face") as refused:
        deepstack("face", "register", name="Anna B", image_bytes=faceless)
    assert refused.value.kind == "DeepstackException"
    with pytest.raises(ClientError, match="401") as denied:
        deepstack("wrong", "detect", image_bytes=face)
    assert denied.value.kind == "DeepstackException"
    for of, method in (("object", "detect"), ("scene", "recognize")):  # not about faces
        with pytest.raises(ClientError, match="Bad url"):
            deepstack(of, method, image_bytes=face)


def test_same_people_as_the_command_finds(
    served: Running, deepstack: Client, peers: Path, run: Run
) -> None:
    pairs = cases(peers)
    for k, (photo, _) in enumerate(pairs[:4]):
        deepstack("face", "register", name=f"Person {k}", image_bytes=photo.read_bytes())
    gallery = served.service.galleries["door"].location
    for probe in [b for _, b in pairs[1:5]] + [pairs[-1][1]]:
        told = run("identify", probe, "--gallery", gallery, "--json").json["photos"][0]["faces"]
        found = deepstack("face", "recognize", image_bytes=probe.read_bytes())
        assert [one["userid"] for one in found] == [one["person"] or "unknown" for one in told]
        assert all((one["confidence"] >= 0.5) == (one["userid"] != "unknown") for one in found)
