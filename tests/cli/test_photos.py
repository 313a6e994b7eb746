"""``visavis detect``, ``embed`` and ``cache``: many photos, some of them bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import visavis


def test_detect_prints_what_the_library_finds(run, photo: Path) -> None:
    outcome = run("detect", photo, "--json")
    assert outcome.code == 0
    want = visavis.detect(photo)
    assert len(want) == len(outcome.json["faces"]) == 1
    got = outcome.json["faces"][0]
    assert set(got) == {"box", "landmarks", "score"}
    np.testing.assert_allclose(got["box"], want[0].box, atol=1e-2)
    np.testing.assert_allclose(got["landmarks"], want[0].landmarks, atol=1e-2)


def test_detect_without_a_face_is_no_error(run, blank: Path) -> None:
    outcome = run("detect", blank)
    assert outcome.code == 0
    assert "0 face(s)" in outcome.out


def test_a_batch_with_a_bad_photo_goes_on(run, photo: Path, darker: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    outcome = run("detect", photo, broken, tmp_path / "missing.jpg", darker, "--json")
    assert outcome.code == 1
    rows = outcome.json
    assert [len(row["faces"]) for row in rows] == [1, 0, 0, 1]
    assert rows[1]["reason"] in {"not-an-image", "image-truncated"}
    assert rows[2]["reason"] == "image-not-found"
    assert "2 of 4 photos could not be read" in outcome.err
    assert run("detect", broken).code == 2


def test_embed_writes_unit_vectors(
    run, photo: Path, darker: Path, blank: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.npz"
    outcome = run("embed", photo, blank, darker, "--out", out)
    assert outcome.code == 1
    assert "no face found" in outcome.err
    with np.load(out) as kept:
        assert list(kept["photo"]) == [str(photo), str(darker)]
        np.testing.assert_allclose(np.linalg.norm(kept["vector"], axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(kept["vector"][0], visavis.embed(photo)[0].vector, atol=1e-4)


def test_embed_takes_folders_and_says_when_they_are_empty(
    run, photo: Path, blank: Path, tmp_path: Path
) -> None:
    rows = run("embed", tmp_path, "--json").json
    assert {Path(row["photo"]).name for row in rows} == {photo.name, blank.name}
    (tmp_path / "empty").mkdir()
    outcome = run("embed", tmp_path / "empty")
    assert outcome.code == 2
    assert "a folder without photos" in outcome.err


def test_the_cache_is_told_and_erased(run, home: Path) -> None:
    assert run("cache", "info", "--json").json["photos"] == 0
    assert not (home / "cache" / "embeddings.sqlite").exists()
    assert "erased the templates of 0 photos" in run("cache", "clear").out


def test_help_and_version(run) -> None:
    assert run("--version").out.strip() == f"visavis {visavis.__version__}"
    text = run("verify", "--help").out
    assert "grep's habit" in text
    assert "--fmr" in text
