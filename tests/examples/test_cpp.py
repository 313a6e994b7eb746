"""The example in C++ compiles, and its score is that of visavis."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.examples.conftest import EXAMPLES

from visavis.pipeline.extractor import Extractor


def onnxruntime(folder: Path) -> str:
    """Headers named by ONNXRUNTIME_INCLUDE or installed, with the library of the Python package."""
    named = [os.environ.get("ONNXRUNTIME_INCLUDE", ""), "/usr/include/onnxruntime"]
    found = [place for place in named if place and (Path(place) / "onnxruntime_cxx_api.h").exists()]
    if not found:
        pytest.skip("no headers of ONNX Runtime: set ONNXRUNTIME_INCLUDE to their folder")
    import onnxruntime as package

    libraries = sorted((Path(package.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("the Python package onnxruntime has no library of its own here")
    (folder / "lib").mkdir()
    (folder / "include").symlink_to(found[0])
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(libraries[0])
    return f"-DONNXRUNTIME={folder}"


def openvino(_: Path) -> str:
    pytest.importorskip("openvino")
    from openvino.utils import get_cmake_path

    return f"-DOpenVINO_DIR={get_cmake_path()}"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [onnxruntime, openvino], ids=lambda one: one.__name__)
def test_crops_score_as_in_visavis(
    runtime: object, models: Path, portrait: np.ndarray, tmp_path: Path
) -> None:
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("no CMake or no C++ compiler: the example in C++ is not run")
    assert callable(runtime)
    options = [f"-DRUNTIME={runtime.__name__}", runtime(tmp_path), "-DCMAKE_BUILD_TYPE=Debug"]
    build = tmp_path / "build"
    for command in (
        ["cmake", "-S", EXAMPLES / "cpp", "-B", build, *options], ["cmake", "--build", build],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    extractor = Extractor()
    crops = [
        extractor.prepare(photo).crops[0]
        for photo in (portrait, np.ascontiguousarray(portrait[:, ::-1]))
    ]
    for name, crop in zip("ab", crops, strict=True):
        Image.fromarray(crop).save(tmp_path / f"{name}.ppm")
    a, b = extractor.embedder.embed(np.stack(crops))
    files = [models / "model.onnx", tmp_path / "a.ppm", tmp_path / "b.ppm"]
    for threshold, answer, status in ((0.3, "same", 0), (1.1, "different", 1)):
        done = subprocess.run(
            [build / "compare_crops", *files, str(threshold)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        score, told = done.stdout.split()
        assert (told, done.returncode) == (answer, status)
        assert float(score) == pytest.approx(float(a @ b), abs=1e-4)
    short = tmp_path / "short.ppm"
    short.write_bytes((tmp_path / "a.ppm").read_bytes()[:-1])
    done = subprocess.run(
        [build / "compare_crops", models / "model.onnx", short, short, "0.3"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "short.ppm: ends early" in done.stderr
