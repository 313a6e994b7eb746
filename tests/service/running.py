"""Runs a service with uvicorn in a thread, on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from visavis.service.server import configured
from visavis.service.state import Service


@dataclass(frozen=True, slots=True)
class Running:
    """A running service, and a client that sends a key, if any."""

    service: Service
    url: str
    client: httpx.Client

    def keyed(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, timeout=300, headers=headers)

    def wait(self, job: str, *, client: httpx.Client | None = None) -> dict:
        """Waits until a job ends; returns it."""
        for _ in range(3000):
            found = (client or self.client).get(f"/v1/jobs/{job}").json()
            if found["job"]["state"] in {"done", "failed", "canceled"}:
                return found
            time.sleep(0.1)
        raise AssertionError(found)


@contextmanager
def running(service: Service, *, app: Any = None) -> Iterator[Running]:
    server = configured(service, port=0, grace=60, app=app)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(600):
        if server.started:
            break
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=300) as client:
            yield Running(service, url, client)
    finally:
        server.should_exit = True
        thread.join(120)
        assert not thread.is_alive()
