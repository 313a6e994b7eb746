"""A Milvus server for tests: the binary in the wheel ``milvus``, in a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

_COMPONENTS = (
    "proxy", "rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode",
)  # fmt: skip
_SECONDS_TO_START = 150


class MilvusServer:
    """A standalone server over a folder; it can be killed and started again.

    It announces itself as 127.0.0.1 and is spoken to there. This version cannot be kept from
    listening on other interfaces too, so what it holds must not be anybody's data.

    Args:
        folder: for its binary and data.
    """

    def __init__(self, folder: Path) -> None:
        milvus = pytest.importorskip("milvus", reason="the wheel milvus is not installed")
        if not hasattr(milvus, "MilvusServerConfig"):
            pytest.skip("the package milvus is not the server's wheel")
        self._folder = folder
        config = milvus.MilvusServerConfig(data_dir=str(folder), proxy_port=_free_port())
        for component in _COMPONENTS:
            config.set(f"{component}.ip", "127.0.0.1")
        config.set("proxy.timeTickInterval", 25)  # ms; a strong read waits for one
        config.set("queryCoord.checkInterval", 100)
        config.set("queryCoord.distPullInterval", 100)
        config.set("log.level", "error")
        config.resolve()
        milvus._initialize_data_files(str(folder))
        self._give_etcd_ports(int(config.get("etcd_port")))
        self._port = int(config.get("proxy_port"))
        self._health = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _give_etcd_ports(self, client: int) -> None:
        # Its own setting is for the client only: the etcd inside would listen on 2379 and 2380.
        peer = _free_port()
        etcd = self._folder / "configs" / "etcd.yaml"
        etcd.write_text(
            f"name: default\n"
            f"listen-client-urls: http://127.0.0.1:{client}\n"
            f"advertise-client-urls: http://127.0.0.1:{client}\n"
            f"listen-peer-urls: http://127.0.0.1:{peer}\n"
            f"initial-advertise-peer-urls: http://127.0.0.1:{peer}\n"
            f"initial-cluster: default=http://127.0.0.1:{peer}\n"
        )
        settings = self._folder / "configs" / "milvus.yaml"
        use = "  use:\n    embed: true"
        assert use in settings.read_text()
        settings.write_text(
            settings.read_text().replace(use, f"  config:\n    path: {etcd}\n{use}")
        )

    @property
    def uri(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it serves."""
        binaries = self._folder / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": str(binaries),
            "DYLD_LIBRARY_PATH": str(binaries),
        }
        # Where it can be had: the server ends with the tests, however they end.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*tied, str(binaries / "milvus"), "run", "standalone"],
                cwd=self._folder, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz") as answer:
                    if b"OK" in answer.read():
                        time.sleep(2)  # as the wheel's own code: it is not quite ready
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("the Milvus server did not start")

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
