"""``visavis detect``, ``embed`` and ``cache``: many photos, some of them bad."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import visavis


def test_detect_prints_what_the_library_finds(run, photo: Path) -> None:
    outcome = run("detect", photo, "--json")
    assert outcome.code == 0
    want = visavis.detect(photo)
    assert len(want) == len(outcome.json["faces"]) == 1
    got = outcome.json["faces"][0]
    assert set(got) == {"box", "landmarks", "score", "turn"}
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


def test_embed_writes_a_folder_of_parquet_files(
    run, photo: Path, darker: Path, blank: Path, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = tmp_path / "shards"
    outcome = run("embed", photo, blank, darker, "--out", out)
    assert outcome.code == 1
    assert "2 templates of 3 photos in 1 files" in outcome.out
    assert "1 of 3 photos gave no template: 1 no-face" in outcome.err
    pq.write_table(pa.table({"photo": [str(blank)]}), tmp_path / "list.parquet")
    again = run("embed", tmp_path / "list.parquet", photo, "--out", out, "--json")
    assert again.json["photos"] == again.json["earlier"] == 3
    rows = pq.read_table(out / "part-000000.parquet").to_pylist()
    assert [row["reason"] for row in rows] == [None, "no-face", None]
    want = visavis.embed(darker)[0].vector
    np.testing.assert_allclose(rows[2]["template"], want, atol=1e-4)
    assert run("embed", blank, "--out", tmp_path / "none").code == 2
    refused = run("embed", photo, "--out", out, "--faces", "all")
    assert (refused.code, refused.out) == (2, "")
    assert "made with faces 'largest'" in refused.err
    assert "add --out FOLDER" in run("embed", photo, "--ray", "local").err


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
    assert "as in grep" in text
    assert "--fmr" in text


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_photo_on_standard_input(
    run: Any,
    photo: Path,
    darker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
) -> None:
    pipe(monkeypatch, photo.read_bytes())
    rows = run("detect", name, darker, "--json").json
    assert [row["photo"] for row in rows] == ["standard input", str(darker)]
    assert rows[0]["faces"] == run("detect", photo, "--json").json["faces"]

    pipe(monkeypatch, photo.read_bytes())
    piped = run("verify", darker, name, "--json").json
    named = run("verify", darker, photo, "--json").json
    assert (piped["score"], piped["b"]["photo"]) == (named["score"], "standard input")

    pipe(monkeypatch, photo.read_bytes())
    assert run("embed", name, "--json").json[0]["templates"][0]["photo"] == "standard input"


def test_people_on_standard_input(
    run: Any, photo: Path, darker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = ("--gallery", tmp_path / "g")
    pipe(monkeypatch, photo.read_bytes())
    assert run("enroll", "-", "--name", "Ann", *gallery).code == 0
    pipe(monkeypatch, darker.read_bytes())
    (row,) = run("identify", "-", *gallery, "--fpir", 0.1, "--json").json["photos"]
    assert (row["photo"], row["faces"][0]["person"]) == ("standard input", "Ann")
    pipe(monkeypatch, photo.read_bytes())
    nobody = run("enroll", "-", *gallery)
    assert (nobody.code, nobody.err.count("\n")) == (2, 1)
    assert "--name" in nobody.err


def test_standard_input_is_one_photo_and_not_empty(
    run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (("verify", "-", "-"), ("detect", "-", photo, "/dev/stdin")):
        pipe(monkeypatch, photo.read_bytes())
        ended = run(*command)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "twice" in ended.err
    for given in (b"", b"no photo"):
        pipe(monkeypatch, given)
        ended = run("verify", photo, "-")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "standard input" in ended.err
    monkeypatch.setattr("sys.stdin", None)
    assert "closed" in run("detect", "-").err


def test_a_url_is_told_as_given(run: Any, photo: Path, tmp_path: Path) -> None:
    url = "https://example.org/a.jpg"
    rows = run("detect", url, photo, "--json").json
    assert [row["photo"] for row in rows] == [url, str(photo)]
    gallery = ("--gallery", tmp_path / "g")
    for command in (
        ("detect", url), ("embed", url), ("verify", photo, url),
        ("enroll", url, "--name", "Ann", *gallery), ("identify", url, *gallery, "--fpir", 0.1),
    ):  # fmt: skip
        ended = run(*command)
        assert ended.code == 2
        assert f"{url} is a URL" in ended.err


def test_a_photo_is_called_as_given(run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    assert run("detect", f"./{photo.name}", "--json").json["photo"] == f"./{photo.name}"


def test_templates_are_written_for_their_owner_alone_or_not_at_all(
    run: Any, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.npz"
    assert run("embed", photo, "--out", out).code == 0
    assert os.name == "nt" or out.stat().st_mode & 0o777 == 0o600
    for impossible in (photo / "t.npz", photo / "no" / "t.npz"):
        ended = run("embed", photo, "--out", impossible)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert str(impossible) in ended.err
