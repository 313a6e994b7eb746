"""A registry of made-up models, fake carriers, and a server that can misbehave."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from visavis.weights import Carrier, ModelEntry, WeightStore
from visavis.weights import store as store_module

CONTENT = b"weights of a made-up network " * 5000


def make_entry(name: str = "toy", content: bytes = CONTENT, **fields: object) -> ModelEntry:
    return ModelEntry(
        name=name,
        kind="embedder",
        filename=f"{name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        license="MIT",
        **fields,  # type: ignore[arg-type]
    )


@pytest.fixture
def content() -> bytes:
    """The bytes of the made-up model."""
    return CONTENT


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelEntry]:
    """Make an entry built in, as the only one."""

    def _register(**fields: object) -> ModelEntry:
        entry = make_entry(**fields)  # type: ignore[arg-type]
        monkeypatch.setattr(store_module, "BUILTIN", {entry.name: entry})
        return entry

    return _register


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> WeightStore:
    return WeightStore(home)


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Carrier]:
    """Install a distribution that carries one file; importing its code would raise."""

    def _carrier(content: bytes = CONTENT) -> Carrier:
        site = tmp_path / "site"
        info = site / "toy_carrier-2.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-carrier\nVersion: 2.1\n")
        (info / "RECORD").write_text("toy_carrier/toy.onnx,,\n")
        (site / "toy_carrier").mkdir()
        (site / "toy_carrier" / "__init__.py").write_text("raise RuntimeError('imported')\n")
        (site / "toy_carrier" / "toy.onnx").write_bytes(content)
        monkeypatch.syspath_prepend(str(site))
        return Carrier("toy-carrier", "toy_carrier/toy.onnx", extra="toy")

    return _carrier


class Server:
    """Serves ``content`` at ``/good``, and trouble elsewhere; counts requests by path."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.requests: list[str] = []
        self.release = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                getattr(server, self.path.strip("/").replace("-", "_"), server.missing)(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{path}"

    def close(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()

    def _send(self, to: BaseHTTPRequestHandler, body: bytes, length: int | None) -> None:
        to.send_response(200)
        if length is not None:
            to.send_header("Content-Length", str(length))
        to.end_headers()
        to.wfile.write(body)

    def good(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, self.content, len(self.content))

    def unannounced(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, self.content, None)

    def wrong(self, to: BaseHTTPRequestHandler) -> None:
        body = self.content[:-1] + bytes([self.content[-1] ^ 1])
        self._send(to, body, len(body))

    def truncated(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, self.content[: len(self.content) // 2], len(self.content))

    def short(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, self.content[:100], None)

    def endless(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        try:
            for _ in range(100_000):
                to.wfile.write(self.content)
        except OSError:
            return

    def redirect(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(302)
        to.send_header("Location", self.url("good"))
        to.end_headers()

    def loop(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(302)
        to.send_header("Location", self.url("loop"))
        to.end_headers()

    def silent(self, to: BaseHTTPRequestHandler) -> None:
        self.release.wait(30)

    def stuck(self, to: BaseHTTPRequestHandler) -> None:
        """Sends half, then waits to be released before it sends the rest."""
        half = len(self.content) // 2
        self._send(to, self.content[:half], len(self.content))
        to.wfile.flush()
        if self.release.wait(60):
            to.wfile.write(self.content[half:])

    def slow(self, to: BaseHTTPRequestHandler) -> None:
        """Takes long enough that others come to wait."""
        time.sleep(0.5)
        self.good(to)

    def missing(self, to: BaseHTTPRequestHandler) -> None:
        to.send_error(404)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(CONTENT)
    yield running
    running.close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach the network fails the test."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the network was touched")

    for name in ("socket.socket.connect", "socket.create_connection", "socket.getaddrinfo"):
        monkeypatch.setattr(name, refuse)
