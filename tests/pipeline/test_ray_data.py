"""Ray Data on two nodes in this machine: the rows of one process, even if a node is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import visavis
from visavis import errors
from visavis.faces import align
from visavis.pipeline import Recognizer

pytest.importorskip("ray")

_CLUSTER = """
import json, sys, time
import ray
from ray.cluster_utils import Cluster

import visavis

photos, out = sys.argv[1:]
node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=node)
other = cluster.add_node(**node)
alive = []

def progress(stage, done, total):
    if 0 < done < total and not alive:
        cluster.remove_node(other, allow_graceful=False)
        for _ in range(600):
            left = sum(node["Alive"] for node in ray.nodes())
            if left == 1:
                break
            time.sleep(0.1)
        alive.append(left)

made = visavis.embed_to_parquet(
    photos, out, shard=16, aligned=True, ray=cluster.address, progress=progress
)
cluster.shutdown()
print(json.dumps([made.to_dict(), alive, ray.is_initialized()]))
"""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on the loopback interface
    "RAY_worker_niceness": "0",
}


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Aligned crops, which need no detection, and what is none."""
    folder = tmp_path_factory.mktemp("crops")
    crop = align.crop(portrait, Recognizer().detect(portrait)[0].landmarks)
    for k in range(60):
        Image.fromarray((crop * (1 - 0.01 * k)).astype(np.uint8)).save(folder / f"{k:02}.png")
    (folder / "99.png").write_bytes(b"none")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_is_killed_and_the_rows_are_those_of_one_process(
    crops: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CLUSTER, crops, tmp_path / "ray"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_ENVIRONMENT},
    )
    assert done.returncode == 0, done.stderr
    made, alive, connected = json.loads(done.stdout.splitlines()[-1])
    assert alive == [1]
    assert not connected
    one = visavis.embed_to_parquet(crops, tmp_path / "one", shard=16, aligned=True)
    assert made == {**one.to_dict(), "folder": str(tmp_path / "ray")}
    files = [sorted((tmp_path / name).glob("*.parquet")) for name in ("ray", "one")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    for ray, alone in zip(*files, strict=True):
        assert pq.read_table(ray).equals(pq.read_table(alone), check_metadata=True)
        assert ray.stat().st_mode & 0o077 == 0


def test_an_address_without_a_cluster_is_refused(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match=r"127\.0\.0\.1:9"):
        visavis.embed_to_parquet(crops, tmp_path / "out", ray="127.0.0.1:9", aligned=True)
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
