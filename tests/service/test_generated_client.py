"""A client that openapi-python-client generates from the OpenAPI document calls every route.

Its answers are compared with what the commands print for the same photos.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.service.conftest import close
from tests.service.running import Running
from tests.service.test_routes import archive

import visavis

PACKAGE = "visavis_generated_client"


@pytest.fixture(scope="module")
def generated(door: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that the generator makes of the running service's document."""
    pytest.importorskip("openapi_python_client")
    place = tmp_path_factory.mktemp("client")
    document = place / "openapi.json"
    document.write_bytes(door.client.get("/openapi.json").content)
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document),
         "--output-path", str(place / PACKAGE), "--meta", "none", "--fail-on-warning"],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(place))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(place))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


class Api:
    """Calls the generated functions, and notes which.

    Args:
        package: the generated package.
        url: where the service is.
    """

    def __init__(self, package: ModuleType, url: str) -> None:
        self._name = package.__name__
        self._client = package.AuthenticatedClient(base_url=url, token="unused", timeout=300)
        self.called: set[str] = set()

    def file(self, data: bytes, name: str = "photo.jpg") -> Any:
        """A photo as the generated client takes it."""
        types = importlib.import_module(f"{self._name}.types")
        return types.File(payload=io.BytesIO(data), file_name=name)

    def model(self, name: str, /, *values: Any, **fields: Any) -> Any:
        """A generated record."""
        return getattr(importlib.import_module(f"{self._name}.models"), name)(*values, **fields)

    def __call__(self, operation: str, *path: object, **options: Any) -> Any:
        """The answer of an operation, as plain values."""
        self.called.add(operation)
        module = importlib.import_module(
            f"{self._name}.api.{operation.partition('_')[0]}.{operation}"
        )
        answer = module.sync_detailed(*path, client=self._client, **options)
        assert 200 <= answer.status_code < 300, answer.content
        if answer.status_code == 204:
            return None
        plain = answer.parsed.to_dict()
        assert close(plain, json.loads(answer.content))  # the generated records lose nothing
        return plain


def operations(document: Mapping[str, Any]) -> set[str]:
    return {
        one["operationId"]
        for paths in document["paths"].values()
        for one in paths.values()
        if any("application/json" in said.get("content", {}) or code == "204"
               for code, said in one["responses"].items())
    }  # fmt: skip


def test_a_face_is_verified_enrolled_and_identified(
    door: Running, generated: ModuleType, face: bytes, mirrored: bytes
) -> None:
    api = Api(generated, door.url)
    body = api.model("PhotosVerifyFilesBody", a=api.file(face), b=api.file(mirrored))
    wanted = visavis.verify(face, mirrored, fmr=1e-4)
    compared = api("photos_verify", body=body, fmr=1e-4)
    assert compared["same"] is wanted.same is True
    assert compared["score"] == pytest.approx(wanted.score, abs=1e-4)
    body = api.model("PeopleAddFilesBody", name="Ann", photo=[api.file(face)])
    ann = api("people_add", body=body, keep_crops=True)["person"]["id"]
    body = api.model("PhotosIdentifyFilesBody", photo=api.file(mirrored))
    assert [one["person"] for one in api("photos_identify", body=body)["faces"]] == ["Ann"]
    assert api("people_erase", ann) is None


@pytest.mark.clients
def test_every_route_decides_as_the_command(
    door: Running, generated: ModuleType, people: Path, lfw: Path, told: Callable[..., Any]
) -> None:
    api = Api(generated, door.url)
    train = people / "train"
    obama, obama2 = train / "obama/obama.jpg", train / "obama/obama2.jpg"
    biden, biden2 = train / "biden/biden.jpg", train / "biden/biden2.jpg"

    assert api("system_alive") == {"status": "ok"}
    assert api("system_ready") == {"status": "ready"}
    for model, wanted in zip(api("system_models")["models"], told("models", "list"), strict=True):
        assert close(model, {key: wanted[key] for key in model})

    for second, same in ((obama2, True), (biden, False)):
        body = api.model(
            "PhotosVerifyFilesBody", a=api.file(obama.read_bytes()), b=api.file(second.read_bytes())
        )
        found = api("photos_verify", body=body, fmr=1e-4)
        assert found["same"] is same
        assert close(found, told("verify", str(obama), str(second), "--fmr", "1e-4"))

    def one(kind: str, path: Path) -> Any:
        return api.model(f"Photos{kind}FilesBody", photo=api.file(path.read_bytes()))

    assert close(api("photos_detect", body=one("Detect", obama)), told("detect", str(obama)))
    embedded = api("photos_embed", body=one("Embed", obama))
    (wanted,) = told("embed", str(obama))
    assert close(embedded["templates"], wanted["templates"], but={"magnitude"})
    both = api.model(
        "PhotosBatchFilesBody", photo=[api.file(path.read_bytes()) for path in (obama, biden)]
    )
    rows = api("photos_batch", body=both)["rows"]
    for row, wanted in zip(rows, told("embed", str(obama), str(biden)), strict=True):
        assert row["reason"] is wanted["reason"] is None
        assert close(row["templates"], wanted["templates"], but={"magnitude"})  # batches keep none

    # People: what the service enrolls, the commands see, and name in other photos.
    gallery = door.service.galleries["door"].location
    ids = {}
    for name, path in (("Barack", obama), ("Joe", biden)):
        body = api.model("PeopleAddFilesBody", name=name, photo=[api.file(path.read_bytes())])
        ids[name] = api("people_add", body=body)["person"]["id"]
    more = api.model("PeopleAddPhotosFilesBody", photo=[api.file(biden2.read_bytes())])
    assert api("people_add_photos", ids["Joe"], body=more)["rows"][0]["status"] == "enrolled"
    group = people / "test/obama_and_biden.jpg"
    found = api("photos_identify", body=one("Identify", group), top=3)
    assert {face["person"] for face in found["faces"]} == {"Barack", "Joe", None}
    (wanted,) = told("identify", str(group), "--gallery", gallery)["photos"]
    assert close(found["faces"], wanted["faces"])
    listed = api("people_people")["people"]
    assert {person["name"] for person in listed} == {"Barack", "Joe"}
    assert close(listed, told("people", "list", "--gallery", gallery))
    faces = api("people_faces_of", ids["Joe"])["faces"]
    assert len(faces) == 2
    assert api("people_suggest_splits", ids["Joe"]) == {"suggestions": []}
    apart = api("people_split", ids["Joe"],
                body=api.model("SplitPerson", faces=[faces[1]["id"]], into="Joseph"))  # fmt: skip
    assert apart["name"] == "Joseph"
    merged = api("people_merge", ids["Joe"], body=api.model("MergePeople", others=[apart["id"]]))
    assert sum(merged["faces"].values()) == 2
    changed = api("people_change", ids["Joe"], body=api.model("ChangePerson", name="Joe B."))
    assert changed == api("people_show", ids["Joe"])
    assert api("people_erase_photo", ids["Joe"], faces[0]["id"]) is None
    for person in ids.values():
        assert api("people_erase", person) is None
    assert told("people", "list", "--gallery", gallery) == []

    # Sorting: the same clusters as the command.
    photos = [obama, obama2, biden, biden2]
    body = api.model(
        "ClusterSortFilesBody", photo=[api.file(path.read_bytes(), path.name) for path in photos]
    )
    job = api("cluster_sort", body=body)["id"]
    door.wait(job)
    album = api("cluster_show", job)["album"]
    photo = {one["sha256"]: one["photo"] for one in album["photos"]}
    names = {one["face"]: photo[one["photo_sha256"]] for one in album["faces"]}
    clusters = {frozenset(names[face] for face in one["faces"]) for one in album["clusters"]}
    assert clusters == {
        frozenset({"obama.jpg", "obama2.jpg"}), frozenset({"biden.jpg", "biden2.jpg"}),
    }  # fmt: skip
    name = api.model(
        "Name", kind=api.model("NameKind", "name"), cluster=album["clusters"][0]["id"], name="Anna"
    )
    assert api("cluster_correct", job, body=name)["correction"]["kind"] == "name"
    assert job in {one["id"] for one in api("jobs_jobs")["jobs"]}
    assert api("cluster_erase", job) is None

    # Calibrations: measured on 52 people's photos, used by the command, and checked on the same.
    lines = (lfw / "peopleDevTest.txt").read_text(encoding="utf-8").splitlines()[1:53]
    people_photos = {
        f"{one}.jpg": (lfw / "lfw-deepfunneled" / one / f"{one}_0001.jpg").read_bytes()
        for one in (line.split("\t")[0] for line in lines)
    }
    packed = archive(people_photos)
    body = api.model("CalibrationsMakeFilesBody", archive=api.file(packed, "gate.zip"))
    job = api("calibrations_make", body=body, name="gate")["id"]
    done = door.wait(job)
    assert api("jobs_show", job)["job"]["state"] == "done", done
    assert "gate" in api("calibrations_names")["calibrations"]
    shown = api("calibrations_show", "gate")
    (wanted,) = [one for one in told("calibrate", "--list") if one["name"] == "gate"]
    assert close(shown, wanted)
    verdict = told("verify", str(obama), str(obama2), "--calibration", "gate", "--fmr", "0.01")
    body = api.model(
        "PhotosVerifyFilesBody", a=api.file(obama.read_bytes()), b=api.file(obama2.read_bytes())
    )
    assert close(api("photos_verify", body=body, calibration="gate", fmr=0.01), verdict)
    body = api.model("CalibrationsCheckFilesBody", archive=api.file(packed, "gate.zip"))
    job = api("calibrations_check", body=body, calibration="gate", fmr=0.01)["id"]
    assert door.wait(job)["result"]["trusted"] is True
    assert api("jobs_cancel", job) is None
    assert api("calibrations_erase", "gate") is None

    assert api.called == operations(door.client.get("/openapi.json").json())
