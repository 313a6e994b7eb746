"""Every route over HTTP, with the answers of the API and of the command line."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.decision.conftest import few_half_samples
from tests.service.conftest import close
from tests.service.running import Running

import visavis
from visavis.errors import KeyFileError
from visavis.service.keys import KeyStore
from visavis.service.server import serve

__all__ = ["few_half_samples"]


def test_verify_decides_as_the_command(
    door: Running, people: Path, told: Callable[..., dict]
) -> None:
    train = people / "train"
    a, same, other = (
        train / "obama/obama.jpg",
        train / "obama/obama2.jpg",
        train / "biden/biden.jpg",
    )
    for b, decision in ((same, True), (other, False)):
        with a.open("rb") as first, b.open("rb") as second:
            answer = door.client.post(
                "/v1/verify", files={"a": first, "b": second}, params={"fmr": 1e-4}
            )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["same"] is decision
        assert [found["a"]["photo"], found["b"]["photo"]] == ["a", "b"]
        assert close(found, told("verify", str(a), str(b), "--fmr", "1e-4"))


def test_json_has_the_same_answer_as_a_form(door: Running, face: bytes, mirrored: bytes) -> None:
    form = door.client.post("/v1/verify", files={"a": face, "b": mirrored})
    plain = door.client.post(
        "/v1/verify",
        json={"a": base64.b64encode(face).decode(), "b": base64.b64encode(mirrored).decode()},
    )
    assert plain.status_code == 200, plain.text
    assert close(plain.json(), form.json())
    assert plain.json()["same"] is True


def test_detect_and_embed(door: Running, face: bytes, faceless: bytes, people: Path) -> None:
    found = door.client.post("/v1/detect", files={"photo": face}).json()
    assert close(found["faces"], [one.to_dict() for one in visavis.detect(face)])
    assert found["photo"] == "photo"
    group = people / "test/obama_and_biden.jpg"
    both = visavis.detect(group)
    (largest,) = door.client.post(
        "/v1/detect", files={"photo": group.read_bytes()}, params={"limit": 1}
    ).json()["faces"]
    assert len(both) > 1
    assert close(largest, max(both, key=lambda one: one.area).to_dict())
    assert door.client.post("/v1/detect", files={"photo": faceless}).json()["faces"] == []
    answer = door.client.post("/v1/embed", files={"photo": face}).json()
    assert close(answer["templates"], [one.to_dict() for one in visavis.embed(face)])
    refused = door.client.post("/v1/embed", files={"photo": faceless})
    assert refused.status_code == 422
    assert refused.json()["reason"] == "no-face"
    assert refused.json()["detail"].startswith("photo")


def test_a_batch_has_a_row_for_every_photo(door: Running, face: bytes, faceless: bytes) -> None:
    photos = [("photo", face), ("photo", b"no photo"), ("photo", faceless)]
    reasons = {
        "detect": [None, "not-an-image", None],
        "embed": [None, "not-an-image", "no-face"],
        "identify": [None, "not-an-image", "no-face"],
    }
    for task, wanted in reasons.items():
        answer = door.client.post("/v1/batch", params={"task": task}, files=photos)
        assert answer.status_code == 200, answer.text
        rows = answer.json()["rows"]
        assert [row["reason"] for row in rows] == wanted
        assert [row["photo"] for row in rows] == ["photo 1", "photo 2", "photo 3"]


def test_people_are_enrolled_and_identified_as_by_the_command(
    door: Running, people: Path, faceless: bytes, told: Callable[..., dict]
) -> None:
    client = door.client
    train = people / "train"
    files = [("photo", (train / "biden" / name).read_bytes())
             for name in ("biden.jpg", "biden2.jpg")]  # fmt: skip
    made = client.post("/v1/people", files=[*files, ("photo", faceless)], data={"name": "Joe/B"})
    assert made.status_code == 201, made.text
    assert [row["status"] for row in made.json()["rows"]] == ["enrolled", "enrolled", "no-face"]
    joe = made.json()["person"]
    place = made.headers["location"]
    assert client.get(place).json() == joe
    again = client.post("/v1/people", files=files, data={"name": "Joe/B"})
    assert (again.status_code, again.json()["reason"]) == (409, "person-exists")
    nobody = client.post("/v1/people", files={"photo": faceless}, data={"name": "Nobody"})
    assert (nobody.status_code, nobody.json()["reason"]) == (422, "nothing-enrolled")
    assert nobody.json()["rows"][0]["status"] == "no-face"
    photo = people / "test" / "obama_and_biden.jpg"
    found = client.post("/v1/identify", files={"photo": photo.read_bytes()}, params={"top": 3})
    assert found.status_code == 200, found.text
    named = {one["person"] for one in found.json()["faces"]}
    assert named == {"Joe/B", None}
    gallery = door.service.galleries["door"].location
    wanted = told("identify", str(photo), "--gallery", gallery)
    assert close(found.json()["faces"], wanted["photos"][0]["faces"])


def test_people_are_changed_merged_split_and_erased(
    door: Running, face: bytes, mirrored: bytes
) -> None:
    client = door.client
    made = client.post("/v1/people", files={"photo": face}, data={"name": "Ann"}).json()
    ann = made["person"]["id"]
    more = client.post(f"/v1/people/{ann}/photos", files={"photo": mirrored})
    assert more.json()["rows"][0]["status"] == "enrolled"
    faces = client.get(f"/v1/people/{ann}/photos").json()["faces"]
    assert [one["photo"] for one in faces] == ["photo", "photo"]
    assert all("vector" not in one for one in faces)

    changed = client.patch(
        f"/v1/people/{ann}",
        json={"name": "Ann B.", "attributes": {"team": "night"}, "expires": "30d"},
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["attributes"]) == ("Ann B.", {"team": "night"})
    faces = client.get(f"/v1/people/{ann}/photos").json()["faces"]
    assert all(one["expires"] is not None for one in faces)
    client.patch(f"/v1/people/{ann}", json={"expires": None})
    faces = client.get(f"/v1/people/{ann}/photos").json()["faces"]
    assert [one["expires"] for one in faces] == [None, None]

    assert client.get(f"/v1/people/{ann}/split").json() == {"suggestions": []}
    second = faces[1]["id"]
    apart = client.post(f"/v1/people/{ann}/split", json={"faces": [second], "into": "Bea"}).json()
    assert apart["name"] == "Bea"
    page = client.get("/v1/people", params={"limit": 1, "offset": 0}).json()
    assert (page["people"][0]["name"], page["next"]) == ("Ann B.", 1)
    assert client.get("/v1/people", params={"name": "Bea"}).json()["people"] == [apart]
    assert client.get("/v1/people", params={"name": "Nobody"}).json()["people"] == []
    one = client.post(f"/v1/people/{ann}/merge", json={"others": [apart["id"]]}).json()
    assert sum(one["faces"].values()) == 2
    assert client.get(f"/v1/people/{apart['id']}").status_code == 404

    assert client.delete(f"/v1/people/{ann}/photos/{second}").status_code == 204
    assert client.delete(f"/v1/people/{ann}/photos/{second}").status_code == 404
    assert client.delete(f"/v1/people/{ann}").status_code == 204
    assert client.delete(f"/v1/people/{ann}").json()["reason"] == "unknown-person"


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return file.getvalue()


def test_photos_are_sorted_and_corrected(door: Running, people: Path) -> None:
    client = door.client
    train = people / "train"
    photos = {
        f"../{person}/{name}": (train / person / name).read_bytes()
        for person, name in (
            ("obama", "obama.jpg"), ("obama", "obama2.jpg"),
            ("biden", "biden.jpg"), ("biden", "biden2.jpg"),
        )
    }  # fmt: skip
    photos |= {"__MACOSX/x.jpg": b"", "a/.hidden.jpg": b"", "readme.txt": b"no photo"}
    begun = client.post("/v1/cluster", files={"archive": archive(photos)})
    assert begun.status_code == 202, begun.text
    place, job = begun.headers["location"], begun.json()["id"]
    assert door.wait(job)["job"]["state"] == "done"
    found = client.get(place).json()
    album = found["album"]
    assert sorted(len(one["faces"]) for one in album["clusters"]) == [2, 2]
    assert [one["photo"] for one in album["photos"]] == [
        "biden.jpg", "biden2.jpg", "obama.jpg", "obama2.jpg", "readme.txt.jpg",
    ]  # fmt: skip
    assert album["photos"][-1]["reason"] == "not-an-image"
    assert album["settings"]["root"] == ""
    assert str(door.service.jobs.folder) not in json.dumps(found)
    one, two = (cluster["id"] for cluster in album["clusters"])
    faces = album["clusters"][0]["faces"]
    for correction in (
        {"kind": "name", "cluster": one, "name": "Ann"},
        {"kind": "split", "cluster": "Ann", "faces": faces[:1]},
        {"kind": "move", "faces": faces[:1], "to": "Ann"},
        {"kind": "merge", "clusters": [one, two]},
        {"kind": "undo"},
        {"kind": "not-a-face", "faces": faces[:1]},
    ):
        done = client.post(f"{place}/corrections", json=correction)
        assert done.status_code == 200, done.text
    after = client.get(place).json()
    assert [one["kind"] for one in after["corrections"]] == [
        "name", "split", "move", "merge", "not-a-face",
    ]  # fmt: skip
    assert after["album"]["counts"]["not_faces"] == 1
    folder = door.service.jobs.folder / job
    assert folder.stat().st_mode & 0o777 == 0o700
    assert client.delete(place).status_code == 204
    assert client.get(place).json()["reason"] == "unknown-job"
    assert not folder.exists()


@pytest.mark.usefixtures("few_half_samples")
def test_calibrations_are_made_checked_and_erased(door: Running, lfw: Path) -> None:
    client = door.client
    lines = (lfw / "peopleDevTest.txt").read_text(encoding="utf-8").splitlines()[1:53]
    names = [line.split("\t")[0] for line in lines]
    photos = {
        f"{name}.jpg": (lfw / "lfw-deepfunneled" / name / f"{name}_0001.jpg").read_bytes()
        for name in names
    }
    body = {"archive": archive(photos)}
    begun = client.post("/v1/calibrations", params={"name": "gate"}, files=body)
    assert begun.status_code == 202, begun.text
    made = door.wait(begun.json()["id"])
    assert made["job"]["state"] == "done", made
    assert (made["result"]["name"], made["result"]["method"]) == ("gate", "unlabelled")
    assert not (door.service.jobs.folder / begun.json()["id"] / "photos").exists()
    assert "gate" in client.get("/v1/calibrations").json()["calibrations"]
    assert client.get("/v1/calibrations/gate").json() == made["result"]
    taken = client.post("/v1/calibrations", params={"name": "gate"}, files=body)
    assert taken.status_code == 422
    begun = client.post(
        "/v1/calibrations/check", params={"calibration": "gate", "fmr": 0.01}, files=body
    )
    checked = door.wait(begun.json()["id"])
    assert checked["result"]["trusted"] is True, checked
    assert client.delete("/v1/calibrations/gate").status_code == 204
    assert client.get("/v1/calibrations/gate").status_code == 404


def test_jobs_are_listed_and_erased(door: Running, faceless: bytes) -> None:
    begun = door.client.post("/v1/cluster", files=[("photo", faceless), ("photo", faceless)])
    assert begun.status_code == 202, begun.text
    job = begun.json()["id"]
    assert job in {one["id"] for one in door.client.get("/v1/jobs").json()["jobs"]}
    door.wait(job)
    assert door.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert door.client.get(f"/v1/jobs/{job}").status_code == 404


def test_models_health_and_metrics(door: Running, face: bytes) -> None:
    models = door.client.get("/v1/models").json()["models"]
    assert models[0] == visavis.models.list()[0].to_dict()
    assert door.client.get("/healthz").json() == {"status": "ok"}
    assert door.client.get("/readyz").json() == {"status": "ready"}
    door.client.post("/v1/verify", files={"a": face, "b": face})
    text = door.client.get("/metrics").text
    assert 'visavis_decisions_total{outcome="same",task="verify"}' in text
    assert 'visavis_stage_seconds_count{stage="embed"}' in text
    assert "visavis_queue_photos 0.0" in text
    assert 'route="/v1/verify",status="200"' in text
    assert "door" not in text


def test_damaged_keys_open_nothing_and_the_service_says_so(
    door: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Liveness holds; readiness does not; nobody learns where the file is."""
    store = KeyStore(tmp_path / "keys.sqlite")
    store.create(scopes=["verify"])
    store.close()
    (tmp_path / "keys.sqlite").write_bytes(b"")
    monkeypatch.setattr(door.service, "keys", KeyStore(tmp_path / "keys.sqlite"))
    assert door.client.get("/healthz").status_code == 200
    for path in ("/readyz", "/v1/models", "/v1/people", "/metrics"):
        answer = door.client.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (500, "key-file")
        assert str(tmp_path) not in answer.text
    with pytest.raises(KeyFileError, match=str(tmp_path)):
        serve(door.service, host="127.0.0.1", port=0, grace=1)


def test_answers_have_security_headers_and_the_request_id(door: Running) -> None:
    answer = door.client.get("/healthz", headers={"X-Request-Id": "client-chosen-1"})
    assert answer.headers["x-request-id"] == "client-chosen-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    missing = door.client.get("/v1/nothing")
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["instance"].endswith(missing.headers["x-request-id"])
    wrong = door.client.get("/v1/verify")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    for path, allowed in (
        ("/v1/people", "GET, POST"),
        (f"/v1/people/{0:032}", "DELETE, GET, PATCH"),
        ("/v1/calibrations/check", "POST"),
    ):
        wrong = door.client.options(path)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Host": "evil.example"}, "forbidden-host"),
        ({"Origin": "https://evil.example"}, "forbidden-origin"),
        ({"Origin": "null"}, "forbidden-origin"),
    ],
)
def test_an_open_service_answers_no_other_site(
    door: Running, headers: dict[str, str], reason: str
) -> None:
    answer = door.client.get("/v1/models", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (403, reason)


def test_a_page_of_its_own_may_ask(door: Running) -> None:
    answer = door.client.get("/v1/models", headers={"Origin": door.url})
    assert answer.status_code == 200
