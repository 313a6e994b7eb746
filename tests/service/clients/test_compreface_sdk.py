"""compreface-sdk 0.6.0, unmodified, against a running service: every method."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run, run
from tests.service.clients.calls import Client, ClientError, cases, client
from tests.service.clients.environments import python
from tests.service.conftest import face, faceless, mirrored, options
from tests.service.running import Running, running

from visavis.service.dialects import similarity
from visavis.service.state import GalleryPlace, Service

__all__ = ["face", "faceless", "mirrored", "run"]
pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with two galleries; the client's key is for one of them."""
    place = tmp_path_factory.mktemp("served")
    galleries = {
        name: GalleryPlace(str(place / f"{name}.gallery"), create=True) for name in ("door", "b")
    }
    known = options(place, dialects=("compreface",), megapixels=50, photo_bytes=20_000_000)
    with running(Service(galleries, options=known)) as found:
        yield found


@pytest.fixture(scope="module")
def sdk(served: Running) -> Iterator[Client]:
    scopes = ["verify", "identify", "enroll"]
    _, key = served.service.keys.create(scopes=scopes, galleries=["door"], rate=100_000)
    with client("compreface", served.url.rpartition(":")[2], key) as found:
        yield found


@pytest.fixture
def photos(tmp_path: Path, face: bytes, mirrored: bytes, faceless: bytes) -> dict[str, Path]:
    found = {}
    for name, data in (("face", face), ("mirrored", mirrored), ("faceless", faceless)):
        found[name] = tmp_path / f"{name}.jpg"
        found[name].write_bytes(data)
    return found


def test_every_method(served: Running, sdk: Client, photos: dict[str, Path], face: bytes) -> None:
    assert sdk("subjects", "list") == {"subjects": []}
    assert sdk("subjects", "add", subject="Anna B") == {"subject": "Anna B"}
    assert sdk("subjects", "add", subject="Anna B")["code"] == 43
    assert sdk("subjects", "update", subject="Anna B", new_name="Anna C") == {"updated": True}
    assert sdk("subjects", "delete", subject="Anna C") == {"subject": "Anna C"}
    assert sdk("subjects", "delete", subject="Anna C")["code"] == 42
    added = sdk("faces", "add", image_path=photos["face"], subject="Anna B",
                options={"det_prob_threshold": 0.8})  # fmt: skip
    assert added["subject"] == "Anna B"
    assert uuid.UUID(added["image_id"])
    assert sdk("faces", "add", image_path=face, subject="Anna B") == added  # bytes of the same
    assert sdk("faces", "add", image_path=photos["faceless"], subject="Anna B")["code"] == 28
    listed = sdk("faces", "list")
    assert listed["faces"] == [added]
    assert listed["total_elements"] == 1
    plugins = {"limit": 1, "det_prob_threshold": 0.8, "prediction_count": 1, "status": True,
               "face_plugins": "landmarks,age,gender,calculator"}  # fmt: skip
    (found,) = sdk("recognition", "recognize", image_path=photos["mirrored"],
                   options=plugins)["result"]  # fmt: skip
    assert found["subjects"][0]["subject"] == "Anna B"
    assert found["subjects"][0]["similarity"] > 0.5
    assert {"box", "landmarks", "embedding"} <= {*found}
    usual = sdk("recognition", "recognize", image_path=photos["mirrored"])
    assert usual["result"][0]["subjects"] == found["subjects"]
    assert usual["plugins_versions"]  # status is among the options of the client
    none = sdk("recognition", "recognize", image_path=photos["faceless"])
    assert none == {"message": "No face is found in the given image", "code": 28}
    (one,) = sdk("faces", "verify", image_path=photos["mirrored"],
                 image_id=added["image_id"])["result"]  # fmt: skip
    assert one["similarity"] > 0.5
    (pair,) = sdk("verification", "verify", source_image_path=photos["face"],
                  target_image_path=photos["mirrored"])["result"]  # fmt: skip
    assert pair["face_matches"][0]["similarity"] == pytest.approx(one["similarity"], abs=1e-4)
    (box,) = sdk("detection", "detect", image_path=photos["face"])["result"]
    assert box["box"]["probability"] > 0.8
    assert sdk("faces", "delete", image_id=added["image_id"]) == added
    assert sdk("faces", "delete", image_id=added["image_id"])["code"] == 44
    sdk("faces", "add", image_path=photos["face"], subject="Bea")
    assert sdk("faces", "delete_all", subject="Bea") == {"deleted": 1}
    assert sdk("faces", "delete_all", subject="Nobody") == {"deleted": 0}
    assert sdk("subjects", "delete_all") == {"deleted": 2}
    for service in ("recognition", "verification", "detection"):
        assert sdk(service, "get_available_functions") is not None
    assert served.service.galleries["b"].people() == []
    with pytest.raises(ClientError):
        sdk("recognition", "recognize", image_path=photos["face"], options={"limit": -1})


def test_the_lines_of_the_page_run(
    served: Running, tmp_path: Path, face: bytes, mirrored: bytes
) -> None:
    page = (Path(__file__).parents[3] / "docs/switching/compreface.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "anna.jpg").write_bytes(face)
    (tmp_path / "door.jpg").write_bytes(mirrored)
    scopes = ["verify", "identify", "enroll"]
    _, key = served.service.keys.create(scopes=scopes, galleries=["b"], rate=100_000)
    code = code.replace('"8000"', repr(served.url.rpartition(":")[2]))
    *before, last = code.strip().splitlines()
    lines = [f"TOKEN = {key!r}", *before, f"print(({last.partition('#')[0]})['subject'])"]
    done = subprocess.run(
        [python("compreface"), "-c", "\n".join(lines)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "Anna B"
    served.service.galleries["b"].remove("Anna B")


def test_same_photos_same_decisions(
    served: Running, sdk: Client, peers: Path, run: Run, home: Path
) -> None:
    """Real photos: the numbers are above 0.5 exactly where the command says "same"."""
    same, pairs = 0, cases(peers)
    for a, b in pairs[:5] + pairs[-3:]:
        told = run("verify", a, b, "--json").json
        answer = sdk("verification", "verify", source_image_path=a, target_image_path=b)
        (pair,) = answer["result"]
        number = next(
            one["similarity"] for one in pair["face_matches"] if _is(one["box"], told["b"]["face"])
        )
        wanted = similarity.compreface(told["score"], threshold=told["threshold"])
        assert number == pytest.approx(wanted, abs=1e-3), (a, b)
        if told["same"] is not None:
            assert (number >= 0.5) is told["same"], (a, b)
            same += told["same"]
    assert same == 5


def test_same_people_as_the_command_finds(
    served: Running, sdk: Client, peers: Path, run: Run
) -> None:
    pairs = cases(peers)
    for k, (photo, _) in enumerate(pairs[:4]):
        sdk("faces", "add", image_path=photo, subject=f"Person {k}")
    gallery = served.service.galleries["door"].location
    for probe in [b for _, b in pairs[1:5]] + [pairs[-1][1]]:
        told = run("identify", probe, "--gallery", gallery, "--json").json["photos"][0]["faces"]
        found = sdk("recognition", "recognize", image_path=probe, options={"limit": 0})["result"]
        assert len(found) == len(told)
        for one, wanted in zip(found, told, strict=True):
            (row,) = one["subjects"]
            assert row["subject"] == wanted["candidates"][0]["person"]
            named = row["subject"] if row["similarity"] >= 0.5 else None
            assert named == wanted["person"], probe
    sdk("subjects", "delete_all")


def _is(box: dict, face: dict) -> bool:
    """Whether a box is that of a face, whose box may reach over the border."""
    x, y, width, height = face["box"]
    sides = {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height}
    return sum(abs(box[name] - side) <= 1 for name, side in sides.items()) >= 2
