"""The real command: how it begins, how it ends, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import visavis


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def served(
    place: Path, *words: str, more: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen, httpx.Client]]:
    """``visavis serve`` in a process of its own, ready."""
    port = free_port()
    (place / "temporary").mkdir(exist_ok=True)
    code = "from visavis.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", str(port), "--seconds", "200",
         "--temporary", str(place / "temporary"), "--workers", "1", *words],
        env={**os.environ, "VISAVIS_HOME": str(place / "home"), **(more or {})},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=200) as client:
            for _ in range(1200):
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
                time.sleep(0.1)
            yield process, client
    finally:
        process.kill()
        process.communicate()


def enrolled(gallery: Path, **access: object) -> set[str]:
    with visavis.Gallery(gallery, **access) as found:  # type: ignore[arg-type]
        assert found.check().ok
        return {person.name for person in found.people()}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_acknowledged_enrollment_is_lost(
    tmp_path: Path, face: bytes, how: signal.Signals
) -> None:
    """People are enrolled one after another until the signal stops it; who was told so is there."""
    gallery, told = tmp_path / "door.gallery", set()
    with served(tmp_path, "--gallery", f"door={gallery}", "--create") as (process, client):

        def enroll() -> None:
            for number in range(1000):
                name = f"person {number}"
                try:
                    answer = client.post("/v1/people", files={"photo": face}, data={"name": name})
                except httpx.TransportError:
                    return
                if answer.status_code != 201:
                    return
                told.add(name)

        thread = threading.Thread(target=enroll)
        thread.start()
        for _ in range(1200):
            if len(told) >= 3:
                break
            time.sleep(0.05)
        process.send_signal(how)
        _, text = process.communicate(timeout=120)
        thread.join(120)
    assert len(told) >= 3
    assert told <= enrolled(gallery)
    if how == signal.SIGTERM:
        assert process.returncode == 0, text
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert {line["status"] for line in lines if line["message"] == "request"} <= {200, 201, 503}
        assert list((tmp_path / "temporary").iterdir()) == []


def test_a_second_signal_ends_it_at_once_and_a_port_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with served(tmp_path) as (process, client):
        port = str(client.base_url.port)
        code = "from visavis.cli import main; main()"
        second = subprocess.run(
            [sys.executable, "-c", code, "serve", "--port", port],
            env={**os.environ, "VISAVIS_HOME": str(tmp_path / "other")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert f"--port {port} cannot be listened on" in second.stderr
        with socket.create_connection(("127.0.0.1", int(port))) as slow:
            slow.sendall(
                b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
            )
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):  # it waits for what was accepted
                process.wait(2)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        assert process.returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_killed_service_leaves_no_photos_behind(tmp_path: Path, faceless: bytes) -> None:
    with served(tmp_path) as (process, client):
        assert client.post("/v1/cluster", files={"photo": faceless}).status_code == 202
        process.kill()
        process.wait()
    assert list((tmp_path / "temporary").rglob("*.jpg"))
    with served(tmp_path) as (process, client):
        assert not list((tmp_path / "temporary").rglob("*.jpg"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def test_an_encrypted_gallery_is_opened_by_file_or_variable(tmp_path: Path, face: bytes) -> None:
    key = visavis.Key.generate()
    key.to_file(tmp_path / "door.key")
    gallery = tmp_path / "door.gallery"
    visavis.Gallery(gallery, create=True, key=key).close()
    words = ("--gallery", str(gallery), "--gallery-key-file", f"door={tmp_path / 'door.key'}")
    with served(tmp_path, *words) as (_, client):
        made = client.post("/v1/people", files={"photo": face}, data={"name": "Ann"})
        assert made.status_code == 201, made.text
    more = {"VISAVIS_KEY_DOOR": key.to_text()}
    with served(tmp_path, "--gallery", str(gallery), more=more) as (_, client):
        assert [one["name"] for one in client.get("/v1/people").json()["people"]] == ["Ann"]
    assert enrolled(gallery, key=key) == {"Ann"}
