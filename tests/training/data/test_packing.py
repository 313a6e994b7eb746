"""Packing photos: what comes out, what is left out, and going on after any kill."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import DataError, NoFaceError, OptionError
from visavis.faces import align
from visavis.training.data import pack as layout
from visavis.training.data import packing
from visavis.training.data.pack import open_pack
from visavis.training.data.sources import Photo
from visavis.types import Image

SIDE = 40


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photo, ...]:
    """Seven photos of three people, mixed up; one is no image, one has no face, one is missing."""
    root = tmp_path_factory.mktemp("people")
    listed = []
    for k, name in enumerate(["b/1", "a/1", "b/2", "c/1", "a/broken", "b/faceless", "a/missing"]):
        path = root / f"{name}.png"
        if name == "a/broken":
            path.write_bytes(b"no image")
        elif name != "a/missing":
            picture(path, k)
        listed.append(Photo(name.split("/")[0], f"{name}.png", path))
    return tuple(listed)


def find(pixels: Image, name: str) -> np.ndarray:
    if "faceless" in name:
        raise NoFaceError(f"{name}: no face", "give another")
    return align.positions(size=SIDE, scale=0.9)


def run(photos: tuple[Photo, ...], out: Path, **changed: object) -> packing.Pack:
    given: dict[str, object] = {
        "finder": lambda: find, "how": "fixed", "origin": "a test", "size": 16, "scale": 0.8,
        "workers": 2,
    }  # fmt: skip
    return packing.pack(photos, out, **(given | changed))  # type: ignore[arg-type]


def test_crops_are_aligned_and_reasons_kept(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    pack = run(photos, tmp_path / "x.pack", progress=lambda *at: seen.append(at))
    assert seen == [(k, 7) for k in range(1, 8)]
    assert pack.people == ("b", "a", "c")
    assert pack.names == ("b/1.png", "b/2.png", "a/1.png", "c/1.png")
    assert pack.labels.tolist() == [0, 0, 1, 2]
    pack.verify()
    paths = {photo.name: photo.path for photo in photos}
    for crop, name, source in zip(pack.crops, pack.names, pack.sources, strict=True):
        pixels = np.ascontiguousarray(cv2.imread(str(paths[name]))[..., ::-1])
        marks = align.positions(size=SIDE, scale=0.9)
        assert np.array_equal(crop, align.crop(pixels, marks, size=16, scale=0.8))
        assert source == hashlib.sha256(paths[name].read_bytes()).hexdigest()
    reasons = {one.photo: one.reason for one in pack.left_out}
    assert reasons == {
        "b/faceless.png": "no-face", "a/broken.png": "not-an-image", "a/missing.png":
        "image-not-found",
    }  # fmt: skip
    assert all(one.photo in one.message for one in pack.left_out)
    # Nothing but the pack and the lock is left.
    assert {path.name for path in tmp_path.iterdir()} <= {"x.pack", ".x.pack.lock"}


def test_aligned_crops_go_in_as_they_are(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    pack = run(photos[:3], tmp_path / "x", finder=None, size=SIDE, scale=1.0)
    for crop, name in zip(pack.crops, pack.names, strict=True):
        (path,) = (photo.path for photo in photos if photo.name == name)
        assert np.array_equal(crop, cv2.imread(str(path))[..., ::-1])


def test_an_aligned_crop_is_square(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((20, 30, 3), np.uint8))
    picture(tmp_path / "ok.png", 0)
    names = ("wide.png", "ok.png")
    listed = tuple(Photo("a", name, tmp_path / name) for name in names)
    pack = run(listed, tmp_path / "x", finder=None)
    assert [(one.photo, one.reason) for one in pack.left_out] == [("wide.png", "image-unsupported")]


@given(crops=st.floats(0, 1), lines=st.floats(0, 1), flip=st.booleans())
@settings(deadline=None, max_examples=40)
def test_any_torn_beginning_is_gone_on_with(
    photos: tuple[Photo, ...], crops: float, lines: float, flip: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.pack"
        whole = run(photos, out)
        expected = (whole.fingerprint, whole.left_out, whole.sources)
        # What a killed run leaves: prefixes of both files, perhaps with a page that was not
        # written back before the power went.
        body = out.read_bytes()[: layout.START + len(whole) * 16 * 16 * 3]
        rows = [f'{{"request": "{whole.request}"}}\n']
        kept = dict(zip(whole.names, zip(whole.digests, whole.sources, strict=True), strict=True))
        for photo in packing._by_person(photos):
            if photo.name in kept:
                digest, source = kept[photo.name]
                rows.append(f'{{"digest": "{digest}", "source": "{source}"}}\n')
            else:
                (one,) = (o for o in whole.left_out if o.photo == photo.name)
                rows.append(
                    f'{{"name": "{one.photo}", "reason": "{one.reason}", '
                    f'"message": "{one.message}"}}\n'
                )
        log = "".join(rows).encode()
        out.unlink()
        part = bytearray(body[: round(crops * len(body))])
        if flip and len(part) > layout.START:
            part[(layout.START + len(part)) // 2] ^= 255
        out.with_name("x.pack.partial").write_bytes(part)
        out.with_name("x.pack.partial.jsonl").write_bytes(log[: round(lines * len(log))])
        again = run(photos, out)
        again.verify()
        assert (again.fingerprint, again.left_out, again.sources) == expected


def test_what_was_done_is_not_done_again(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise StopError

    with pytest.raises(StopError):
        run(photos, tmp_path / "x", progress=stop)
    assert not (tmp_path / "x").exists()
    asked: list[str] = []

    def counted(pixels: Image, name: str) -> np.ndarray:
        asked.append(name)
        return find(pixels, name)

    assert len(run(photos, tmp_path / "x", finder=lambda: counted)) == 4
    assert asked == ["c/1.png"]  # the missing and the broken one come to no finder
    run(photos, tmp_path / "x", finder=lambda: counted)
    assert asked == ["c/1.png"]


@pytest.mark.slow
def test_killed_and_run_again_is_the_same_pack(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from visavis.faces import align
from visavis.training.data import packing
from visavis.training.data.sources import Photo
def find(pixels, name):
    time.sleep(0.02)
    return align.positions(size={SIDE}, scale=0.9)
root = Path(sys.argv[1])
photos = [Photo(p.parent.name, str(p.relative_to(root)), p) for p in sorted(root.rglob("*.png"))]
packing.pack(photos, Path(sys.argv[2]), finder=lambda: find, how="fixed", origin="a test",
             size=16, scale=0.8, workers=2)
"""
    root = tmp_path / "photos"
    for k in range(60):
        picture(root / f"p{k % 7}" / f"{k}.png", k)
    out = tmp_path / "killed.pack"
    command = [sys.executable, "-c", code, str(root)]
    lines = out.with_name("killed.pack.partial.jsonl")
    for wanted in (5, 25):
        process = subprocess.Popen([*command, str(out)])
        while process.poll() is None and (
            not lines.exists() or len(lines.read_bytes().splitlines()) < wanted
        ):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
    begun = len(lines.read_bytes().splitlines())
    assert 25 <= begun < 60
    subprocess.run([*command, str(out)], check=True)
    subprocess.run([*command, str(tmp_path / "whole.pack")], check=True)
    first, second = open_pack(out), open_pack(tmp_path / "whole.pack")
    first.verify()
    assert first.fingerprint == second.fingerprint
    assert out.read_bytes() == (tmp_path / "whole.pack").read_bytes()


def test_other_photos_or_options_are_refused(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    out = tmp_path / "x"
    run(photos, out)
    for changed in ({"size": 18}, {"scale": 0.7}, {"how": "otherwise"}):
        with pytest.raises(DataError, match="--anew"):
            run(photos, out, **changed)
    with pytest.raises(DataError, match="other photos"):
        run(photos[1:], out)
    assert len(run(photos[1:], out, anew=True)) == 3
    made = out.stat()
    assert len(run(photos[1:], out, replace=True)) == 3
    assert out.stat().st_ino == made.st_ino
    assert len(run(photos, out, replace=True)) == 4
    assert len(run(photos[1:], out, replace=True)) == 3
    assert len(open_pack(tmp_path / "x-1")) == 3, "set aside, not lost"
    assert len(open_pack(tmp_path / "x-2")) == 4
    (tmp_path / "mine").write_text("no pack")
    with pytest.raises(DataError, match="mine"):
        run(photos, tmp_path / "mine", replace=True)
    assert (tmp_path / "mine").read_text() == "no pack"


def test_work_begun_otherwise_is_refused(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "x", progress=stop)
    with pytest.raises(DataError, match="other photos"):
        run(photos, tmp_path / "x", size=18)
    assert run(photos, tmp_path / "x", size=18, anew=True).size == 18
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "y", progress=stop)
    assert run(photos, tmp_path / "y", size=18, replace=True).size == 18


def test_a_changed_photo_counts_as_another(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    photo = (Photo("a", "a.png", tmp_path / "a.png"),)
    first = run(photo, tmp_path / "x")
    picture(tmp_path / "a.png", 1)
    os.utime(tmp_path / "a.png", ns=(1, 1))
    with pytest.raises(DataError, match="other photos"):
        run(photo, tmp_path / "x")
    assert run(photo, tmp_path / "x", anew=True).fingerprint != first.fingerprint


def test_two_at_once_are_refused(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    def again(done: int, total: int) -> None:
        with pytest.raises(DataError, match="another process"):
            run(photos, tmp_path / "x")

    run(photos, tmp_path / "x", progress=again)


def test_bad_input_is_refused(photos: tuple[Photo, ...], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no photos"):
        run((), tmp_path / "x")
    with pytest.raises(OptionError, match="twice"):
        run((photos[0], photos[0]), tmp_path / "x")
    for changed in ({"size": 7}, {"scale": 0.0}, {"workers": 0}):
        with pytest.raises(OptionError):
            run(photos, tmp_path / "x", **changed)
    with pytest.raises(DataError, match=r"1 photos.*no face"):
        run(photos[5:6], tmp_path / "x")
    assert not list(tmp_path.glob("x*")), "nothing is left that would stand in the way"
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file"):
        run(photos, tmp_path / "file" / "x")
    assert len(run(photos, tmp_path / "new" / "x")) == 4
