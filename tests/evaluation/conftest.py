"""A recognizer without a network: templates follow from a photo's path or bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visavis.faces.align import TEMPLATE
from visavis.pipeline.records import PhotoResult
from visavis.types import Face, Quality, Template

DIMENSION = 16
SHA = "ab" * 32


def vector_of(seed: bytes, *, towards: bytes = b"", share: float = 0.75) -> np.ndarray:
    """A unit vector that only the seeds decide; ``towards`` pulls those of one person together."""

    def draw(key: bytes) -> np.ndarray:
        number = int.from_bytes(hashlib.sha256(key).digest()[:8], "big")
        return np.random.default_rng(number).normal(size=DIMENSION)

    v = draw(seed) * (1 - share) + (draw(b"person " + towards) * share if towards else 0)
    return (v / np.linalg.norm(v)).astype(np.float32)


@dataclass(frozen=True)
class FakeEmbedder:
    """Says what its templates are."""

    dimension: int = DIMENSION


@dataclass
class FakeRecognizer:
    """What ``evaluation`` uses of ``pipeline.Recognizer``; photos lie in folders of people.

    A file of the text ``no face`` has none; one of ``two faces`` has two.
    """

    model: str = "fake"
    model_sha256: str = SHA
    pipeline_id: str = "fake-detector, similarity-5pt-112, plain"
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    detector: Any = None
    rules: list[str] = field(default_factory=list)

    def clone(self, *, detector: Any) -> FakeRecognizer:
        return replace(self, detector=detector, pipeline_id=f"{detector.name}, plain")

    def embed_many(
        self,
        photos: Sequence[Path | bytes],
        *,
        rule: str = "central",
        cache: Any = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[PhotoResult]:
        self.rules.append(rule)
        for k, photo in enumerate(photos):
            yield self._one(photo, rule)
            if progress is not None:
                progress(k + 1, len(photos))

    def _one(self, photo: Path | bytes, rule: str) -> PhotoResult:
        if isinstance(photo, bytes):
            # The picture's mean color stands for the person.
            light = np.asarray(Image.open(io.BytesIO(photo))).mean() > 128
            return self._result("bytes", [vector_of(photo, towards=b"light" if light else b"dark")])
        if not photo.is_file():
            return PhotoResult(str(photo), (), "image-not-found", f"{photo}: there is no file")
        content = photo.read_bytes()
        if content == b"no face":
            return PhotoResult(str(photo), (), "no-face", f"{photo}: no face found")
        seed = photo.name.encode()
        person = photo.parent.name.encode()
        own = [vector_of(seed, towards=person)]
        if content == b"two faces" and rule == "best-match":
            own.append(vector_of(seed + b"2", towards=b"bystander"))
        return self._result(str(photo), own)

    def _result(self, source: str, vectors: list[np.ndarray]) -> PhotoResult:
        face = Face((10.0, 10.0, 90.0, 90.0), TEMPLATE.astype(np.float32), 0.9)
        quality = Quality(40, 100, 0.5, 0.2, 0, 0, 0, 0.9)
        return PhotoResult(
            source,
            tuple(
                Template(v, self.model, self.model_sha256, face, quality, source) for v in vectors
            ),
        )


@pytest.fixture
def recognizer() -> FakeRecognizer:
    """A recognizer that needs no model file."""
    return FakeRecognizer()


def jpeg(shade: int, seed: int = 0, side: int = 112) -> bytes:
    """A noisy gray square, encoded."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(shade + rng.integers(-40, 40, (side, side, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Makes encoded images."""
    return jpeg


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Twelve people with three photos each, in folders."""
    root = tmp_path / "people"
    for p in range(12):
        folder = root / f"Person_{p:02d}"
        folder.mkdir(parents=True)
        for k in range(1, 4):
            (folder / f"Person_{p:02d}_{k:04d}.jpg").write_bytes(jpeg(40 + 15 * p, seed=10 * p + k))
    return root


@pytest.fixture
def tiny_lfw(tmp_path: Path, people: Path) -> Path:
    """A data set in the layout of Labeled Faces in the Wild."""
    root = tmp_path / "lfw"
    root.mkdir()
    people.rename(root / "lfw-deepfunneled")
    names = [f"Person_{p:02d}" for p in range(12)]
    mated = [f"{name}\t1\t2" for name in names[:6]] + [f"{name}\t2\t3" for name in names[:6]]
    other = [f"{names[k]}\t1\t{names[k + 1]}\t2" for k in range(11)] + [
        f"{names[0]}\t3\t{names[5]}\t1"
    ]
    (root / "pairsDevTest.txt").write_text("12\n" + "\n".join(mated + other) + "\n")
    (root / "pairsDevTrain.txt").write_text("2\n" + "\n".join(mated[:2] + other[:2]) + "\n")
    folds = []
    for k in range(3):
        folds += mated[4 * k : 4 * k + 4] + other[4 * k : 4 * k + 4]
    (root / "pairs.txt").write_text("3\t4\n" + "\n".join(folds) + "\n")
    (root / "peopleDevTrain.txt").write_text("2\nPerson_00\t3\nPerson_01\t3\n")
    (root / "peopleDevTest.txt").write_text("1\nPerson_02\t2\n")
    return root
