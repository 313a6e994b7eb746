"""Folders of Parquet files: what they hold, and that a killed run loses and repeats nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import visavis
from visavis import errors
from visavis.faces import align
from visavis.pipeline import Recognizer, shards

_MAIN = "from visavis.cli import main; main()"


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """The portrait, two of it side by side, no face, and no photo; six times, all different."""
    folder = tmp_path_factory.mktemp("album")
    face = portrait[:240, 100:340]
    two = np.concatenate([face, face[:, ::-1]], axis=1)
    for k in range(6):
        shade = 1 - 0.08 * k
        for name, pixels in (("one", face), ("two", two), ("white", np.full_like(face, 255))):
            shaded = Image.fromarray((pixels * shade).astype(np.uint8))
            shaded.save(folder / f"{k}-{name}.png")
        (folder / f"{k}-broken.jpg").write_bytes(b"\xff\xd8\xff nothing %d" % k)
    return folder


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Aligned crops, which need no detection."""
    folder = tmp_path_factory.mktemp("crops")
    crop = align.crop(portrait, Recognizer().detect(portrait)[0].landmarks)
    for k in range(48):
        Image.fromarray((crop * (1 - 0.01 * k)).astype(np.uint8)).save(folder / f"{k:02}.png")
    return folder


@pytest.fixture(scope="module")
def whole(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Rows of the crops by a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    visavis.embed_to_parquet(crops, out, shard=16, aligned=True)
    return table(out)


def table(folder: Path) -> pa.Table:
    """All rows, in the order of the files."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def bits(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_rows_are_those_of_embed_many(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[tuple[str, int, int]] = []
    made = visavis.embed_to_parquet(
        album, out, faces="all", shard=16, progress=lambda *told: seen.append(told)
    )
    want = list(visavis.embed_many(album, faces="all"))
    assert made.to_dict() == {
        "folder": str(out),
        "photos": 24,
        "faces": sum(len(row.templates) for row in want),
        "reasons": {"image-truncated": 6, "no-face": 6},
        "shards": 2,
        "earlier": 0,
    }
    assert made.failed == 12
    assert seen == [("photos", k, 24) for k in range(25)]
    got = table(out).to_pylist()
    expected = []
    for row in want:
        if row.reason:
            expected.append((row.photo, row.sha256, None, None, row.reason, row.message))
        for k, one in enumerate(row.templates):
            expected.append((row.photo, row.sha256, k, one, None, None))
    assert len(got) == len(expected)
    for row, (photo, sha256, face, template, reason, message) in zip(got, expected, strict=True):
        assert (row["photo"], row["sha256"], row["face"]) == (photo, sha256, face)
        assert (row["reason"], row["message"]) == (reason, message)
        if template is None:
            assert row["template"] is row["box"] is row["quality"] is None
            continue
        assert row["template"] == template.vector.tolist()
        assert row["landmarks"] == template.face.landmarks.ravel().tolist()
        assert row["box"] == np.float32(template.face.box).tolist()
        assert row["confidence"] == np.float32(template.face.score)
        assert row["sharpness"] == np.float32(template.quality.sharpness)
        assert row["warnings"] == list(template.quality.warnings)
        assert row["faces_found"] == template.faces_found


def test_files_are_private_and_say_what_made_them(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    visavis.embed_to_parquet([album / "0-one.png"], out, flip=True)
    (path,) = out.glob("*.parquet")
    assert (bits(out), bits(path)) == (0o700, 0o600)
    schema = pq.read_schema(path)
    assert schema.field("template").type == pa.list_(pa.float32(), 128)
    known = Recognizer()
    found = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert found.pop("pipeline_id").endswith("flip")
    assert found == {
        "model": "sface",
        "model_sha256": known.model_sha256,
        "runtime": "onnxruntime",
        "faces": "largest",
        "visavis_version": visavis.__version__,
    }


def test_the_same_call_embeds_what_is_missing(crops: Path, whole: pa.Table, tmp_path: Path) -> None:
    out = tmp_path / "out"
    visavis.embed_to_parquet(crops, out, shard=16, aligned=True)
    (out / "part-000001.parquet").unlink()  # as a cluster may leave it
    (out / ".part-000001.parquet.0a1b2c3d").write_bytes(b"of a run that was killed")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    seen: list[int] = []
    made = visavis.embed_to_parquet(
        crops, out, shard=16, aligned=True, progress=lambda _stage, done, _total: seen.append(done)
    )
    assert (made.photos, made.earlier, made.shards) == (48, 32, 3)
    assert seen == list(range(32, 49))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert table(out).equals(whole)
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock", *(f"part-{k:06}.parquet" for k in range(3))
    ]  # fmt: skip
    again = visavis.embed_to_parquet(crops, out, shard=16, aligned=True)
    assert (again.photos, again.earlier) == (48, 48)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_continues(crops: Path, whole: pa.Table, tmp_path: Path) -> None:
    """``benchmarks/bulk.py`` kills at random moments, and more often."""
    out = tmp_path / "out"
    command = [sys.executable, "-c", _MAIN, "embed", crops, "--out", out, "--aligned"]
    command += ["--shard", "16", "--workers", "1"]
    killed = 0
    for _ in range(2):
        count = len(list(out.glob("*.parquet")))
        with subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL) as process:
            for _ in range(6000):
                if process.poll() is not None or len(list(out.glob("*.parquet"))) > count:
                    break
                time.sleep(0.01)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
    assert killed
    visavis.embed_to_parquet(crops, out, shard=16, aligned=True)
    assert table(out).equals(whole)


def test_new_photos_are_added(crops: Path, tmp_path: Path) -> None:
    photos = sorted(crops.iterdir())
    out = tmp_path / "out"
    visavis.embed_to_parquet(photos[4:8], out, shard=16, aligned=True)
    visavis.embed_to_parquet(photos[:12], out, shard=16, aligned=True)
    assert sorted(table(out)["photo"].to_pylist()) == [str(photo) for photo in photos[:12]]


def test_a_photo_named_twice_is_embedded_once(album: Path, tmp_path: Path) -> None:
    photo = album / "0-one.png"
    assert visavis.embed_to_parquet([photo, photo, str(photo)], tmp_path / "out").faces == 1


def test_a_parquet_file_lists_photos(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = [str(path) for path in sorted(crops.iterdir())[:5]]
    pq.write_table(pa.table({"photo": names, "other": range(5)}), tmp_path / "list.parquet")
    visavis.embed_to_parquet(tmp_path / "list.parquet", out, aligned=True)
    assert table(out)["photo"].to_pylist() == names
    # A shard is such a list, too.
    other = tmp_path / "other"
    visavis.embed_to_parquet(out / "part-000000.parquet", other, aligned=True, flip=True)
    assert table(other)["photo"].to_pylist() == names
    out = tmp_path / "none"
    pq.write_table(pa.table({"path": names}), tmp_path / "list.parquet")
    with pytest.raises(errors.DataError, match="column photo"):
        visavis.embed_to_parquet(tmp_path / "list.parquet", out)
    with pytest.raises(errors.DataError, match=r"none\.parquet"):
        visavis.embed_to_parquet(tmp_path / "none.parquet", out)
    assert not out.exists()


@pytest.mark.parametrize("changed", [{"faces": "all"}, {"flip": True}, {"runtime": "openvino"}])
def test_a_folder_of_another_kind_is_refused(
    album: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    out = tmp_path / "out"
    photo = [album / "0-one.png"]
    visavis.embed_to_parquet(photo, out)
    before = table(out)
    with pytest.raises(errors.DataError, match="new folder"):
        visavis.embed_to_parquet([album / "1-one.png"], out, **changed)  # type: ignore[arg-type]
    assert table(out).equals(before)


def test_what_a_folder_may_not_be(album: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="other files"):
        visavis.embed_to_parquet(album, album)
    out = tmp_path / "out"
    with pytest.raises(errors.OptionError):
        visavis.embed_to_parquet(album, out, shard=0)
    with pytest.raises(errors.OptionError):
        visavis.embed_to_parquet(album, out, faces="nicest")
    with pytest.raises(errors.OptionError, match="mount"):
        visavis.embed_to_parquet(album, "s3://bucket/out")
    with pytest.raises(errors.ImageNotFoundError):
        visavis.embed_to_parquet([], out)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.DataError, match="cannot be written"):
        visavis.embed_to_parquet(album, tmp_path / "file")


def test_a_damaged_file_is_named(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    visavis.embed_to_parquet([album / "0-one.png"], out)
    path = out / "part-000000.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(errors.DataError, match=f"{path.name}.*delete it"):
        visavis.embed_to_parquet([album / "0-one.png"], out)
    path.write_bytes(whole)
    (out / "part-000007.parquet").write_bytes(whole)
    with pytest.raises(errors.DataError, match="delete one"):
        visavis.embed_to_parquet([album / "0-one.png"], out)


def test_one_run_at_a_time(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        shards.open_shards(out, Recognizer(), "largest"),
        pytest.raises(errors.BusyError, match="another run"),
    ):
        visavis.embed_to_parquet(album, out)


def test_a_full_disk_leaves_what_is_complete(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written: list[Path] = []

    def full(data: pa.Table, path: Path, **_: object) -> None:
        if written:
            Path(path).write_bytes(b"a part of it")
            raise OSError(28, os.strerror(28))
        written.append(path)
        real(data, path)

    real = pq.write_table
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(errors.DataError, match="No space left"):
        visavis.embed_to_parquet(crops, out, shard=16, aligned=True)
    assert [path.name for path in out.glob("*part*")] == ["part-000000.parquet"]
    monkeypatch.undo()
    assert visavis.embed_to_parquet(crops, out, shard=16, aligned=True).earlier == 16


@pytest.mark.skipif(sys.platform != "linux", reason="such names exist on Linux")
def test_a_name_that_is_no_text_is_done_once(crops: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path / "photos" / "caf") + b"\xe9.png"
    (tmp_path / "photos").mkdir()
    Path(os.fsdecode(name)).write_bytes((crops / "00.png").read_bytes())
    out = tmp_path / "out"
    for earlier in (0, 1):
        made = visavis.embed_to_parquet(tmp_path / "photos", out, aligned=True)
        assert (made.faces, made.earlier) == (1, earlier)
    assert table(out)["photo"].to_pylist() == [str(tmp_path / "photos" / "caf") + "\\udce9.png"]
