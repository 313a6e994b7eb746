"""A small world: people made of colored tiles, a detector that finds them, two models, a gallery.

Nothing here is a face, and everything is fast: a photo is one tile for each "face" in a row, the
landmarks of a tile are where every aligned face has them, and the models average blocks of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.faces.align import TEMPLATE
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.pipeline import Recognizer
from visavis.types import Face
from visavis.weights import WeightStore

SIDE = 112


def tile(person: int, photo: int = 0) -> np.ndarray:
    """One person's face: blocks of color, and noise that differs from photo to photo."""
    blocks = np.random.default_rng(person).uniform(20, 235, (4, 4, 3))
    face = np.kron(blocks, np.ones((SIDE // 4, SIDE // 4, 1)))
    rng = np.random.default_rng((person, photo, 7))
    shift = rng.normal(0, 12, (4, 4, 3))
    face = face + np.kron(shift, np.ones((SIDE // 4, SIDE // 4, 1))) + rng.normal(0, 8, face.shape)
    return np.clip(face, 1, 255).astype(np.uint8)


class TileDetector:
    """Finds each tile that is not black."""

    name = "tiles/1"

    def detect(self, image: np.ndarray, /) -> list[Face]:
        found = []
        for k in range(image.shape[1] // SIDE):
            part = image[:, k * SIDE : (k + 1) * SIDE]
            if part.max() == 0:
                continue
            # A tile with a black top half is a small face.
            height = SIDE / 3 if part[: SIDE // 2].max() == 0 else SIDE
            landmarks = np.add(TEMPLATE, (k * SIDE, 0)).astype(np.float32)
            found.append(Face((k * SIDE, 0.0, height, height), landmarks, 0.95))
        return sorted(found, key=lambda face: -face.area)


def add_model(home: Path, name: str, *, size: int, seed: int, crop_scale: float = 1.0) -> str:
    """Register a network that averages 4x4 blocks and turns them by a random matrix."""
    weight = np.random.default_rng(seed).normal(size=(48, 32)).astype(np.float32)
    step = size // 4
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["pooled"], kernel_shape=[step] * 2, strides=[step] * 2
            ),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["vector"]),
        ],
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 3, size, size))],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ("n", 32))],
        [numpy_helper.from_array(weight, "weight")],
    )
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{name}.onnx"
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        ).SerializeToString()
    )
    entry = WeightStore(home).add(
        name,
        path,
        input_size=size,
        mean=(127.5,) * 3,
        std=(64.0,) * 3,
        color="rgb",
        license="MIT",
        layout="NCHW",
        dimension=32,
        crop_scale=crop_scale,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    return entry.sha256


def calibrated(home: Path, model: str) -> Recognizer:
    """A recognizer of tiles with a calibration measured on 250 people of tiles."""
    plain = Recognizer(model=model, detector=TileDetector(), home=home)
    tiles = np.stack([tile(10_000 + k // 2, k % 2) for k in range(500)])
    crops = np.concatenate([plain.prepare(t).crops for t in tiles])
    made = Provenance(
        f"{model}-tiles", model, plain.model_sha256, plain.pipeline_id, "tiles", len(tiles)
    )
    owners = np.arange(500) // 2
    known: Calibration = calibrate(
        all_pairs(plain.embedder.embed(crops), owners), made, replicates=100
    )
    CalibrationStore(home).save(known)
    return Recognizer(model=model, detector=TileDetector(), calibration=known, home=home)


@pytest.fixture(scope="session")
def tiles_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the models ``old`` and ``new``."""
    home = tmp_path_factory.mktemp("home")
    add_model(home, "old", size=16, seed=1)
    add_model(home, "new", size=24, seed=2, crop_scale=0.9)
    return home


@pytest.fixture(scope="session")
def old(tiles_home: Path) -> Recognizer:
    return calibrated(tiles_home, "old")


@pytest.fixture(scope="session")
def new(tiles_home: Path) -> Recognizer:
    return calibrated(tiles_home, "new")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[SqliteGallery]:
    with SqliteGallery(tmp_path / "gallery", create=True) as store:
        yield store


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """``save("ann/1.png", tile(1), tile(2))``: a photo with these faces side by side."""

    def _save(name: str, *tiles: np.ndarray) -> Path:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(tiles, axis=1)).save(path)
        return path

    return _save
