"""Keys, their file and their commands; jobs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import Run, run
from tests.faults.damage import KINDS, damage

from visavis.errors import BusyError, KeyFileError, OptionError
from visavis.service.jobs import Job, Jobs
from visavis.service.keys import KeyStore, TokenBuckets, access_key_id
from visavis.service.problems import ProblemError

__all__ = ["run"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    found = KeyStore(tmp_path / "home" / "keys.sqlite")
    yield found
    found.close()


def test_a_token_is_checked(store: KeyStore) -> None:
    assert not store
    assert store.check("vv_000000000000_" + "A" * 43) is None
    key, token = store.create(scopes=["identify"], galleries=["door"], label="front desk")
    assert store
    assert store.check(token) == key
    assert (key.allows("identify"), key.allows("verify")) == (True, False)
    assert (key.sees("door"), key.sees("vault")) == (True, False)
    for wrong in ("", token[:-1], token + "A", token.swapcase(), token[3:], f" {token}",
                  token.replace(key.id, "0" * 12)):  # fmt: skip
        assert store.check(wrong) is None


def test_a_key_ends(store: KeyStore) -> None:
    soon = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    _, old = store.create(scopes=["verify"], expires=soon)
    key, valid = store.create(scopes=["verify"], expires=later)
    assert store.check(old) is None
    assert store.check(valid) == key
    other = KeyStore(store._path)  # another process
    assert other.revoke(key.id).state == "revoked"
    assert store.check(valid) is None
    assert [one.state for one in store.entries()] == ["expired", "revoked"]
    assert store
    with pytest.raises(OptionError):
        store.revoke("nobody")


@pytest.mark.parametrize(
    "arguments",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["enroll"]},
        {"scopes": ["verify"], "rate": 0},
        {"scopes": ["verify"], "label": "a\nb"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(store: KeyStore, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        store.create(**arguments)
    assert not store


def test_a_bucket_fills_steadily() -> None:
    bucket = TokenBuckets()
    assert [bucket.take("a", 60, now=0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take("a", 60, now=0.0) == pytest.approx(1.0)
    assert bucket.take("b", 60, now=0.0) == 0.0
    assert bucket.take("a", 60, now=0.5) == pytest.approx(0.5)
    assert bucket.take("a", 60, now=1.0) == 0.0
    assert bucket.take("a", 600, now=1000.0) == 0.0


def test_keys_are_made_listed_and_revoked_by_the_command(run: Run, home: Path) -> None:
    made = run("keys", "create", "--scope", "verify", "--scope", "identify", "--gallery", "door",
               "--expires", "90d", "--label", "desk", "--json").json  # fmt: skip
    store = KeyStore(home / "keys.sqlite")
    found = store.check(made["token"])
    assert found is not None
    assert found.to_dict() == {key: value for key, value in made.items() if key != "token"}
    days = datetime.fromisoformat(found.expires or "") - datetime.now(UTC)
    assert timedelta(days=89) < days <= timedelta(days=90)
    listed = run("keys", "list", "--json").json
    assert [(one["id"], one["state"]) for one in listed] == [(found.id, "valid")]
    assert made["token"] not in run("keys", "list").out
    assert run("keys", "revoke", found.id).code == 0
    assert store.check(made["token"]) is None
    assert run("keys", "create", "--scope", "enroll").code == 2
    assert run("serve", "--host", "0.0.0.0", "--gallery-key-file", "x").code == 2
    store.close()


def test_a_gallery_that_is_not_there_names_the_option(run: Run, tmp_path: Path) -> None:
    answer = run("serve", "--gallery", f"door={tmp_path / 'none'}")
    assert answer.code == 2
    assert "--create" in answer.err
    assert not (tmp_path / "none").exists()


def test_an_access_key_of_aws(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its secret comes from the key file alone: the keys' own file does not hold it."""
    create = ("keys", "create", "--scope", "verify", "--json", "--aws")
    assert run(*create).code == 2
    file = tmp_path / "aws.key"
    file.write_text("5a" * 32)
    file.chmod(0o600)
    made = run(*create, "--aws-key-file", str(file)).json
    access, secret = made["aws_access_key_id"], made["aws_secret_access_key"]
    assert re.fullmatch(r"[A-Z0-9]{16}", access)
    message = f"visavis secret access key\n{access}".encode()
    digest = hmac.new(b"Z" * 32, message, hashlib.sha256).digest()
    assert secret == base64.b64encode(digest[:30]).decode()
    content = (home / "keys.sqlite").read_bytes()
    for form in (secret.encode(), digest[:30], b"Z" * 32, b"5a" * 32):
        assert form not in content
    monkeypatch.setenv("VISAVIS_AWS_KEY", "5a" * 32)
    other = run(*create).json
    assert other["aws_secret_access_key"] != secret
    plain = run(*create[:-2], "--aws").out.split()
    assert plain[1].startswith("aws_access_key_id=VVAK")
    assert len(plain[2]) == len("aws_secret_access_key=") + 40
    store = KeyStore(home / "keys.sqlite")
    for id_, found in ((access, True), (other["aws_access_key_id"], True), (access[:-1], False),
                       (access.lower(), False), (made["id"], False), ("", False)):  # fmt: skip
        key = store.of_access_key(id_)
        assert (key is not None) == found
    store.revoke(made["id"])
    assert store.of_access_key(access) is None
    monkeypatch.delenv("VISAVIS_AWS_KEY")
    assert run("serve", "--dialect", "rekognition").code == 2  # it could check no signature
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    ended, _ = store.create(scopes=["verify"], expires=past)
    assert store.of_access_key(access_key_id(ended)) is None
    store.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    found = Jobs(most=3, lifetime=1, parent=tmp_path)
    yield found
    found.close()


def ended(job: Job) -> Job:
    assert job._future is not None
    job._future.result(60)
    return job


def test_a_job_has_progress_a_result_and_an_end(jobs: Jobs) -> None:
    job = jobs.create("cluster", "one")
    going, wait = threading.Event(), threading.Event()

    def work(running: Job) -> str:
        running.update("photos", 1, 2)
        going.set()
        wait.wait(60)
        return "result"

    jobs.start(job, work)
    going.wait(60)
    assert (job.state, job.stage, job.done, job.total) == ("running", "photos", 1, 2)
    assert jobs.active == 1
    wait.set()
    assert (ended(job).state, job.result) == ("done", "result")
    assert json.dumps(job.to_dict())
    assert jobs.get(job.id, "one") is job
    with pytest.raises(ProblemError):
        jobs.get(job.id, "two")
    (job.folder / "a.jpg").write_bytes(b"x")
    job.expires = datetime.now(UTC) - timedelta(seconds=1)
    jobs.sweep()
    assert not job.folder.exists()
    with pytest.raises(ProblemError):
        jobs.get(job.id, "one")


def test_jobs_are_canceled_waiting_or_running(jobs: Jobs) -> None:
    first, second = jobs.create("cluster", ""), jobs.create("cluster", "")
    going, wait = threading.Event(), threading.Event()

    def work(running: Job) -> None:
        going.set()
        wait.wait(60)
        running.update("photos", 1, 2)
        raise AssertionError

    jobs.start(first, work)
    jobs.start(second, work)
    going.wait(60)
    jobs.delete(second)
    assert not second.folder.exists()
    jobs.delete(first)
    wait.set()
    assert ended(first).state == "canceled"
    assert not first.folder.exists()


def test_a_failed_job_says_why_and_too_many_are_refused(jobs: Jobs) -> None:
    def refuse(_: Job) -> None:
        raise OptionError("a bad option", "give a good one")

    def fail(_: Job) -> None:
        raise RuntimeError

    for work, reason in ((refuse, "option"), (fail, "unexpected")):
        job = jobs.create("check", "")
        jobs.start(job, work)
        assert ended(job).state == "failed"
        assert job.to_dict()["problem"]["reason"] == reason
    jobs.create("check", "")
    with pytest.raises(BusyError):
        jobs.create("check", "")


def test_folders_of_jobs_are_private_and_erased_in_the_end(tmp_path: Path) -> None:
    one = Jobs(most=1, lifetime=1, parent=tmp_path)
    job = one.create("cluster", "")
    assert one.folder.stat().st_mode & 0o777 == job.folder.stat().st_mode & 0o777 == 0o700
    two = Jobs(most=1, lifetime=1, parent=tmp_path)  # leaves a running service's alone
    assert job.folder.exists()
    one.close()
    two.close()
    assert list(tmp_path.iterdir()) == []


def _several(path: Path) -> dict[str, str]:
    """Tokens by what they are; among others one that was revoked."""
    store = KeyStore(path)
    made = {
        "valid": store.create(scopes=["admin"], galleries=["*"]),
        "revoked": store.create(scopes=["admin"], galleries=["*"]),
        "expired": store.create(scopes=["verify"], expires="2020-01-01T00:00:00+00:00"),
    }
    store.revoke(made["revoked"][0].id)
    store.own_calibration("gate", ["door"])
    store.close()
    return {name: token for name, (_, token) in made.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_opens_nothing(tmp_path: Path, kind: str) -> None:
    """Neither the service to everybody, nor a key that was revoked."""
    tokens = _several(tmp_path / "whole")
    whole = KeyStore(tmp_path / "whole")
    truth = (True, whole.check(tokens["valid"]), None, None, {"gate": frozenset({"door"})})
    rng = np.random.default_rng([7, KINDS.index(kind)])
    refused = 0
    for _ in range(40):
        shutil.copy(tmp_path / "whole", tmp_path / "copy")
        damage(tmp_path / "copy", kind, rng)
        store = KeyStore(tmp_path / "copy")
        try:
            found = (bool(store), *map(store.check, tokens.values()), store.calibrations())
            assert found == truth
        except KeyFileError:
            refused += 1
        store.close()
    assert refused
    whole.close()


def test_a_row_that_somebody_changed_is_seen_by_a_running_service(tmp_path: Path) -> None:
    tokens = _several(tmp_path / "keys")
    store = KeyStore(tmp_path / "keys")
    assert store.check(tokens["revoked"]) is None
    with closing(sqlite3.connect(tmp_path / "keys")) as db:
        db.execute("UPDATE key SET revoked = NULL")
        db.commit()
    for _ in range(2):
        with pytest.raises(KeyFileError, match="not those that were written"):
            store.check(tokens["revoked"])
    store.close()


def test_an_empty_file_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "keys").touch()
    store = KeyStore(tmp_path / "keys")
    for ask in (lambda: bool(store), lambda: store.create(scopes=["verify"]), store.entries):
        with pytest.raises(KeyFileError, match="empty"):
            ask()


def test_keys_of_a_former_version_are_kept_and_sealed(tmp_path: Path) -> None:
    tokens = _several(tmp_path / "keys")
    with closing(sqlite3.connect(tmp_path / "keys")) as db:
        db.execute("DROP TABLE seal")
        db.execute("PRAGMA user_version = 0")
        db.commit()
    stores = [KeyStore(tmp_path / "keys") for _ in range(2)]
    for store in stores:
        assert store.check(tokens["valid"]) is not None
        assert store.check(tokens["revoked"]) is None
    _, token = stores[0].create(scopes=["verify"])
    assert stores[1].check(token) is not None  # another process wrote: compared, and right
    for store in stores:
        store.close()


def test_many_processes_may_make_the_first_key(tmp_path: Path) -> None:
    stores = [KeyStore(tmp_path / "keys") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda store: store.create(scopes=["verify"])[0], stores))
    assert {key.id for key in stores[0].entries()} == {key.id for key in made}
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
    for store in stores:
        store.close()


def test_a_running_service_sees_a_file_that_was_replaced_or_removed(tmp_path: Path) -> None:
    tokens = _several(tmp_path / "keys")
    store = KeyStore(tmp_path / "keys")
    found = store.check(tokens["valid"])
    assert found is not None
    shutil.copy(tmp_path / "keys", tmp_path / "backup")
    other = KeyStore(tmp_path / "backup")
    other.revoke(found.id)
    other.close()
    (tmp_path / "backup").replace(tmp_path / "keys")
    assert store.check(tokens["valid"]) is None
    (tmp_path / "keys").unlink()
    with pytest.raises(KeyFileError, match="removed"):
        bool(store)  # not open to everybody
    store.close()
