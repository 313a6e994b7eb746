"""Several processes, and processes that die, share one home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import visavis
from visavis.errors import ModelUnavailableError
from visavis.weights import ModelEntry, WeightStore
from visavis.weights import store as store_module

FETCH = """
import sys
from pathlib import Path
from visavis.weights import ModelEntry, WeightStore, store
home, url, sha256, size = sys.argv[1:]
store.BUILTIN = {"toy": ModelEntry(name="toy", kind="embedder", filename="toy.onnx", sha256=sha256,
    size=int(size), license="MIT", urls=(url,))}
print(WeightStore(Path(home)).fetch("toy"), flush=True)
"""


def start(home: Path, entry: ModelEntry) -> subprocess.Popen[str]:
    arguments = [str(home), entry.urls[0], entry.sha256, str(entry.size)]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(visavis.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited in vain")
        time.sleep(0.02)


def test_eight_processes_fetch_one_file_once(home: Path, register, server, content) -> None:
    entry = register(urls=(server.url("slow"),))
    processes = [start(home, entry) for _ in range(8)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, results
    assert {out.strip() for out, _ in results} == {str(home / "models" / f"{entry.sha256}.onnx")}
    assert WeightStore(home).path("toy").read_bytes() == content
    assert server.requests == ["/slow"]


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_killed_download_leaves_no_damaged_file(home: Path, register, server, content) -> None:
    entry = register(urls=(server.url("stuck"),))
    models = home / "models"
    process = start(home, entry)
    parts = f".{entry.sha256}.onnx.{8 * '[0-9a-f]'}"
    wait_for(lambda: any(p.stat().st_size > 0 for p in models.glob(parts)))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (models / f"{entry.sha256}.onnx").exists()
    with pytest.raises(ModelUnavailableError):
        WeightStore(home).path("toy")
    assert list(models.glob(parts))

    server.release.set()
    assert WeightStore(home).fetch("toy").read_bytes() == content
    assert not list(models.glob(parts))


def test_waiting_for_a_lock_has_an_end(
    home: Path, register, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    entry = register(urls=(server.url("good"),))
    monkeypatch.setattr(store_module, "_LOCK_SECONDS", 0.1)
    (home / "models").mkdir(parents=True)
    with (
        FileLock(home / "models" / f".{entry.sha256}.onnx.lock"),
        pytest.raises(ModelUnavailableError),
    ):
        WeightStore(home).fetch("toy")
    assert server.requests == []


def test_models_added_at_once_are_all_kept(home: Path, tmp_path: Path) -> None:
    def add(number: int) -> None:
        file = tmp_path / f"{number}.onnx"
        file.write_bytes(b"%d" % number)
        WeightStore(home).add(
            f"model-{number}", file, input_size=112, mean=0, std=1, color="rgb", license="MIT"
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    store = WeightStore(home)
    for number in range(16):
        assert store.path(f"model-{number}").read_bytes() == b"%d" % number
