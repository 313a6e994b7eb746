"""``visavis verify`` as users call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.images.corpus import Recipe, recipes

import visavis
from visavis.pipeline.comparison import MARGINS, Margin


def test_same_is_exit_code_0(run, photo: Path, darker: Path) -> None:
    outcome = run("verify", photo, darker)
    assert outcome.code == 0
    assert outcome.out.startswith("SAME")
    assert "threshold" in outcome.out
    assert "likelier" in outcome.out
    assert photo.name in outcome.out


def test_json_is_the_record(run, photo: Path, darker: Path) -> None:
    outcome = run("verify", photo, darker, "--json", "--fmr", "1e-4", "--prior", "0.1")
    assert outcome.code == 0
    answer = outcome.json
    want = visavis.verify(photo, darker, fmr=1e-4, prior=0.1).to_dict()
    assert set(answer) == set(want)
    assert answer["same"] is True
    assert answer["fmr"] == 1e-4
    assert answer["model"] == "sface"
    assert answer["score"] == pytest.approx(want["score"], abs=1e-5)
    assert answer["threshold"] == want["threshold"] == answer["operating_point"]["threshold"]
    assert answer["llr"] == pytest.approx(want["llr"], abs=1e-3)
    assert answer["posterior"] > 0.9
    assert answer["operating_point"]["fmr"] <= 1e-4
    low, high = answer["operating_point"]["fmr_ci"]
    assert low <= answer["operating_point"]["fmr"] <= high


def test_what_cannot_be_told_is_exit_code_3(
    run, photo: Path, darker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = {sha256: Margin(clear=99, slope=1, blind=98) for sha256 in MARGINS}
    monkeypatch.setattr("visavis.pipeline.comparison.MARGINS", never)
    outcome = run("verify", photo, darker, "--json")
    assert outcome.code == 3
    answer = outcome.json
    assert answer["same"] is None
    assert photo.name in answer["reason"]
    assert answer["a"]["magnitude"] > 0
    outcome = run("verify", photo, darker)
    assert outcome.code == 3
    assert outcome.out.startswith("CANNOT TELL")
    assert answer["reason"] in outcome.out
    assert "likelier" not in outcome.out


def test_one_picture_twice_is_told(run, photo: Path, darker: Path, tmp_path: Path) -> None:
    """Under another name or as another file: a score of 1 says nothing about the person."""
    with Image.open(photo) as opened:
        opened.save(tmp_path / "again.bmp")
    for other in (photo, tmp_path / "again.bmp"):
        warnings = run("verify", photo, other, "--json").json["warnings"]
        assert sum("same picture" in warning for warning in warnings) == 1
    assert "same picture" in run("verify", photo, photo).out
    assert "same picture" not in run("verify", photo, darker).out


def test_a_stricter_rate_has_a_higher_threshold(run, photo: Path, darker: Path) -> None:
    thresholds = [
        run("verify", photo, darker, "--json", "--fmr", fmr).json["threshold"]
        for fmr in ("1e-1", "1e-2", "1e-3", "3e-4", "1e-4", "1e-5")
    ]
    assert thresholds == sorted(set(thresholds))


@pytest.mark.lfw
def test_different_is_exit_code_1(run, lfw: Path) -> None:
    photos = lfw / "lfw-deepfunneled"
    outcome = run(
        "verify",
        photos / "Aaron_Eckhart" / "Aaron_Eckhart_0001.jpg",
        photos / "AJ_Cook" / "AJ_Cook_0001.jpg",
    )
    assert outcome.code == 1
    assert outcome.out.startswith("DIFFERENT")


def test_no_face_is_exit_code_2(run, photo: Path, blank: Path) -> None:
    outcome = run("verify", photo, blank)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"visavis: {blank}: no face found in 200x150 pixels; ")


def test_several_faces_and_the_rules(
    run, photo: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(path)
    outcome = run("verify", photo, path, "--faces", "refuse")
    assert outcome.code == 2
    assert "2 faces found" in outcome.err
    assert run("verify", photo, path).code == 0
    best = run("verify", photo, path, "--faces", "best-match", "--json").json
    assert best["comparisons"] == 2
    assert run("verify", photo, path, "--faces", "nicest").code == 2


@pytest.mark.parametrize(
    "recipe",
    [r for r in recipes() if r.file is not None and r.expect is not None],
    ids=lambda recipe: recipe.name,
)
def test_bad_files_end_in_one_line(run, photo: Path, tmp_path: Path, recipe: Recipe) -> None:
    case = recipe.cook(tmp_path)
    outcome = run("verify", photo, case.source)
    assert (outcome.code, outcome.out) == (2, "")
    # libtiff writes lines of its own; the installed command drops them (see below).
    ours = [line for line in outcome.err.splitlines() if not line.startswith(("ZIPDecode", "LZW"))]
    assert len(ours) == 1
    assert ours[0].startswith("visavis: ")
    for words in case.contains:
        assert words in ours[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fmr", "0"), "false match rate"),
        (("--fmr", "1e-12"), "more people"),
        (("--model", "no-such"), "no-such"),
        (("--calibration", "no-such"), "no-such"),
        (("--detector", "haar"), "yunet, mtcnn, dlib"),
        (("--runtime", "magic"), "onnxruntime"),
        (("--prior", "2"), "prior"),
    ],
)
def test_bad_options_end_in_one_line(run, photo: Path, options, words: str) -> None:
    outcome = run("verify", photo, photo, *options)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("visavis: ")


def test_a_missing_argument_is_exit_code_2(run, photo: Path) -> None:
    outcome = run("verify", photo)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_the_installed_command_says_nothing_else(photo: Path, tmp_path: Path) -> None:
    recipe = next(r for r in recipes() if r.name == "tiff-deflate-damaged")
    done = subprocess.run(
        [sys.executable, "-c", "from visavis.cli import main; main()", "verify", photo,
         recipe.cook(tmp_path).source],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"visavis: ")
    assert done.stderr.count(b"\n") == 1


def test_as_a_process_offline(photo: Path, darker: Path, tmp_path: Path) -> None:
    """The installed command, with the network refused and a home of its own."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from visavis.cli import main\n"
        "sys.argv = ['visavis', 'verify', sys.argv[1], sys.argv[2], '--json']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, photo, darker],
        capture_output=True,
        check=False,
        env={"VISAVIS_HOME": str(tmp_path / "fresh"), "PATH": "", "LANG": "C"},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b'"same": true' in done.stdout
    assert "写真" in done.stdout.decode("utf-8")
