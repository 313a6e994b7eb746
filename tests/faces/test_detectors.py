"""Each detector under the contract, and all of them against each other."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.faces.dlib import Dlib
from visavis.faces.mtcnn import Mtcnn
from visavis.faces.yunet import YuNet
from visavis.types import Detector

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.contracts.detector import Ability, DetectorContract
from tests.contracts.photos import error


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet(threads=1)


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    pytest.importorskip("lz4")
    return Mtcnn(threads=1)


@pytest.fixture(scope="module")
def dlib() -> Dlib:
    pytest.importorskip("dlib")
    return Dlib()


class TestYuNet(DetectorContract):
    @pytest.fixture
    def detector(self, yunet: YuNet) -> Detector:
        return yunet

    @pytest.fixture
    def ability(self) -> Ability:
        return Ability(smallest_face=lambda height, width: 20, tolerance=0.15)


class TestMtcnn(DetectorContract):
    @pytest.fixture
    def detector(self, mtcnn: Mtcnn) -> Detector:
        return mtcnn

    @pytest.fixture
    def ability(self) -> Ability:
        return Ability(smallest_face=lambda height, width: 20, tolerance=0.1)


class TestDlib(DetectorContract):
    @pytest.fixture
    def detector(self, dlib: Dlib) -> Detector:
        return dlib

    @pytest.fixture
    def ability(self, dlib: Dlib) -> Ability:
        # Its boxes are squares of some 0.8 face heights.
        return Ability(smallest_face=dlib.smallest_face, tolerance=0.1)


@pytest.mark.lfw
def test_detectors_agree_on_real_photos(lfw: Path, yunet: YuNet, mtcnn: Mtcnn, dlib: Dlib) -> None:
    people = (lfw / "peopleDevTrain.txt").read_text(encoding="utf-8").splitlines()[1::250]
    errors: dict[str, list[float]] = {"yunet-mtcnn": [], "yunet-dlib": [], "mtcnn-dlib": []}
    for name in (line.split("\t")[0] for line in people):
        path = lfw / "lfw-deepfunneled" / name / f"{name}_0001.jpg"
        pixels = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        # LFW's own face is the one in the middle.
        found = {
            room: min(
                detector.detect(pixels),
                key=lambda face: float(np.abs(face.landmarks.mean(0) - 125).max()),
            ).landmarks
            for room, detector in (("yunet", yunet), ("mtcnn", mtcnn), ("dlib", dlib))
        }
        for pair, kept in errors.items():
            first, second = pair.split("-")
            kept.append(error(found[first], found[second]))
    assert len(people) > 12
    assert np.median(errors["yunet-mtcnn"]) < 0.12
    assert np.median(errors["yunet-dlib"]) < 0.12
    assert np.median(errors["mtcnn-dlib"]) < 0.06
    assert max(map(max, errors.values())) < 0.5
