"""Copies of photos are found whatever was done to them; other photos are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.errors import DataError, NoFaceError, OptionError
from visavis.faces import align
from visavis.training.data import leakage, perceptual_hash
from visavis.training.data.leakage import ProtocolPhotos
from visavis.training.data.pack import Pack, SkippedPhoto, without, write_pack
from visavis.training.data.sources import Photo

SIZE, SCALE = 144, 0.85


def scene(seed: int) -> np.ndarray:
    """A smooth random picture, (300, 300, 3): what faces have in common is not needed here."""
    noise = np.random.default_rng(seed).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    return cv2.resize(noise, (300, 300), interpolation=cv2.INTER_CUBIC)


MARKS = align.positions(size=200) + 50.0
"""Landmarks in the middle of a scene."""


def cut(
    picture: np.ndarray, size: int = SIZE, scale: float = SCALE, shift: float = 0
) -> np.ndarray:
    return align.crop(picture, MARKS + shift, size=size, scale=scale)


def packed(path: Path, crops: list[np.ndarray], people: list[str], **options: object) -> Pack:
    known = sorted(set(people))
    names = [f"{person}/{k}.jpg" for k, person in enumerate(people)]
    given: dict[str, object] = {"size": SIZE, "scale": SCALE, "origin": "a test"}
    labels = [known.index(person) for person in people]
    return write_pack(path, crops, labels, known, names, **(given | options))  # type: ignore[arg-type]


def protocol(crops: list[np.ndarray], people: list[str], **changed: object) -> ProtocolPhotos:
    given: dict[str, object] = {
        "name": "the test", "people": tuple(people),
        "names": tuple(f"test/{k}.jpg" for k in range(len(people))), "sources": ("",) * len(people),
        "hashes": perceptual_hash.hash_crops(np.array(crops, np.uint8), size=SIZE, scale=SCALE),
    }  # fmt: skip
    return ProtocolPhotos(**(given | changed))  # type: ignore[arg-type]


def test_looks_by_a_naive_computation() -> None:
    crop = cut(scene(0), size=perceptual_hash.VIEW, scale=1.0)
    (row,) = perceptual_hash.hash_crops(crop[None], size=perceptual_hash.VIEW, scale=1.0)
    gray = crop.astype(float) @ [0.299, 0.587, 0.114]
    side = perceptual_hash.VIEW // perceptual_hash.SIDE
    small = gray.reshape(perceptual_hash.SIDE, side, perceptual_hash.SIDE, side).mean(axis=(1, 3))
    expected = small - cv2.GaussianBlur(small, (0, 0), 3.0)
    expected -= expected.mean()
    expected /= np.linalg.norm(expected)
    assert np.dot(row, expected.ravel()) > 0.9999
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_looks_do_not_depend_on_the_geometry() -> None:
    for size, scale in ((112, 0.9), (200, 0.7), (96, 1.0)):
        other = perceptual_hash.hash_crops(cut(scene(1), size, scale)[None], size=size, scale=scale)
        own = perceptual_hash.hash_crops(cut(scene(1))[None], size=SIZE, scale=SCALE)
        assert float((own @ other.T)[0, 0]) > 0.98


@pytest.mark.parametrize(("turn", "stretch", "shift"), [(0, 1, 0), (2, 1.02, 2), (-3, 0.96, -4)])
def test_looks_are_laid_over_each_other(turn: float, stretch: float, shift: float) -> None:
    picture = scene(3)
    matrix = cv2.getRotationMatrix2D((150, 150), turn, stretch)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(picture, matrix, (300, 300), borderMode=cv2.BORDER_REFLECT)
    one, other, strange = perceptual_hash.hash_crops(
        np.stack([cut(picture), cut(moved), cut(scene(4))]), size=SIZE, scale=SCALE
    )
    assert perceptual_hash.registered_similarity(one, other) > 0.95
    assert perceptual_hash.registered_similarity(one, other) >= float(one @ other) - 0.01
    assert perceptual_hash.registered_similarity(one, strange) < 0.9
    assert perceptual_hash.registered_similarity(one, np.zeros_like(one)) == -1


def test_one_color_is_like_nothing() -> None:
    plain = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    assert not perceptual_hash.hash_crops(plain, size=SIZE, scale=SCALE).any()


def test_mirrored_looks_are_looks_of_the_mirror_image() -> None:
    crop = cut(scene(2))
    one = perceptual_hash.mirrored(perceptual_hash.hash_crops(crop[None], size=SIZE, scale=SCALE))
    other = perceptual_hash.hash_crops(crop[None, :, ::-1], size=SIZE, scale=SCALE)
    # The template is not quite symmetric: half a pixel of difference.
    assert float((one @ other.T)[0, 0]) > 0.97


def changed(how: str) -> np.ndarray:
    picture = scene(5)
    match how:
        case "jpeg":
            coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
            return cut(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        case "darker":
            return cut((picture * 0.7).astype(np.uint8))
        case "smaller":
            small = cv2.resize(cut(picture), (60, 60), interpolation=cv2.INTER_AREA)
            return cv2.resize(small, (SIZE, SIZE))
        case "aligned a little differently":
            return cut(picture, shift=1.5)
        case "gray":
            return np.repeat(cv2.cvtColor(cut(picture), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        case _:
            return cut(picture)[:, ::-1]


@pytest.mark.parametrize(
    "how", ["jpeg", "darker", "smaller", "aligned a little differently", "gray", "mirrored"]
)
def test_a_copy_is_found(tmp_path: Path, how: str) -> None:
    pack = packed(tmp_path / "x", [cut(scene(k)) for k in range(8)], list("abcdefgh"))
    tested = protocol([changed(how), cut(scene(50))], ["y", "z"])
    leaks = leakage.find_leaks(pack, tested)
    kind = "mirrored" if how == "mirrored" else "near-identical"
    assert [(c.row, c.photo, c.other, c.kind) for c in leaks.copies] == [
        (5, "f/5.jpg", "test/0.jpg", kind)
    ]
    assert leaks.rows.tolist() == [5]
    with pytest.raises(DataError, match=r"f/5\.jpg = test/0.*--drop"):
        leakage.check_disjoint(leaks)


def test_other_pictures_are_no_copies(tmp_path: Path) -> None:
    pack = packed(tmp_path / "x", [cut(scene(k)) for k in range(40)], [f"p{k}" for k in range(40)])
    others = [cut(scene(k)) for k in range(100, 140)]
    leaks = leakage.find_leaks(pack, protocol(others, [f"q{k}" for k in range(40)]))
    assert leaks.copies == ()
    assert leaks.people == ()
    leakage.check_disjoint(leaks, tolerated=0)


@pytest.mark.parametrize("name", ["Ann_Lee", "ann lee", "ANN-LEE"])
def test_a_name_in_both_is_refused(tmp_path: Path, name: str) -> None:
    pack = packed(tmp_path / "x", [cut(scene(k)) for k in range(2)], ["Ann_Lee", "Bo"])
    tested = protocol([cut(scene(9))], [name])
    with pytest.raises(DataError, match=r"Ann_Lee.*--ignore-names"):
        leakage.check_disjoint(leakage.find_leaks(pack, tested), tolerated=1)
    leakage.check_disjoint(leakage.find_leaks(pack, tested, names=False))


def test_a_file_in_both_is_refused_even_without_a_face(tmp_path: Path) -> None:
    pack = packed(
        tmp_path / "x", [cut(scene(k)) for k in range(2)], ["a", "b"], sources=["1f", "2f"]
    )
    blind = np.zeros((1, perceptual_hash.SIDE**2), np.float32)
    tested = protocol([], ["c"], sources=("2f",), hashes=blind)
    leaks = leakage.find_leaks(pack, tested)
    assert leaks.without_look == 1
    with pytest.raises(DataError, match=r"b/1\.jpg = test/0\.jpg"):
        leakage.check_disjoint(leaks, tolerated=1)


def test_a_few_copies_in_a_large_protocol_are_tolerated(tmp_path: Path) -> None:
    pack = packed(tmp_path / "x", [cut(scene(k)) for k in range(2)], ["a", "b"])
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1000, perceptual_hash.SIDE**2)).astype(np.float32)
    rows = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    rows[3] = perceptual_hash.hash_crops(cut(scene(1))[None], size=SIZE, scale=SCALE)[0]
    people = [f"q{k}" for k in range(1000)]
    leaks = leakage.find_leaks(pack, protocol([], people, hashes=rows))
    assert leaks.rows.tolist() == [1]
    leakage.check_disjoint(leaks)
    with pytest.raises(DataError, match="near-identical"):
        leakage.check_disjoint(leaks, tolerated=0)


def test_thresholds_are_checked(tmp_path: Path) -> None:
    pack = packed(tmp_path / "x", [cut(scene(0))], ["a"])
    with pytest.raises(OptionError, match="threshold"):
        leakage.find_leaks(pack, protocol([cut(scene(1))], ["b"]), threshold=0)


def test_an_empty_protocol_has_nothing_in_common(tmp_path: Path) -> None:
    pack = packed(tmp_path / "x", [cut(scene(0))], ["a"])
    none = np.zeros((0, perceptual_hash.SIDE**2), np.float32)
    leakage.check_disjoint(leakage.find_leaks(pack, protocol([], [], hashes=none)))


def test_photos_of_a_protocol_are_looked_at_once(tmp_path: Path) -> None:
    from visavis.embedding.cache import EmbeddingCache

    photos = []
    for k in range(4):
        path = tmp_path / f"{k}.png"
        cv2.imwrite(str(path), scene(k)[..., ::-1])
        photos.append(Photo(f"p{k}", path.name, path))
    (tmp_path / "1.png").write_bytes(b"no photo")
    photos.append(Photo("p5", "5.png", tmp_path / "5.png"))
    asked: list[str] = []

    def find(pixels: np.ndarray, name: str) -> np.ndarray:
        asked.append(name)
        if name == "2.png":
            raise NoFaceError("2.png", "look elsewhere")
        return MARKS

    def read() -> ProtocolPhotos:
        with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
            return leakage.of_photos(
                photos, name="t", finder=lambda: find, how="fixed", cache=cache, workers=1
            )

    tested = read()
    assert asked == ["0.png", "2.png", "3.png"]
    assert tested.hashes.any(axis=1).tolist() == [True, False, False, True, False]
    again = read()
    assert len(asked) == 3
    assert np.array_equal(again.hashes, tested.hashes)
    assert again.sources == tested.sources
    pack = packed(tmp_path / "x", [cut(scene(k)) for k in (8, 3)], ["a", "b"])
    leaks = leakage.find_leaks(pack, tested)
    assert [(c.row, c.other) for c in leaks.copies] == [(1, "3.png")]
    assert leaks.without_look == 3


def test_a_pack_is_a_protocol_too(tmp_path: Path) -> None:
    train = packed(tmp_path / "x", [cut(scene(k)) for k in range(3)], ["a", "b", "c"])
    tested = packed(
        tmp_path / "y", [cut(scene(k), 100, 1.0) for k in (2, 7)], ["d", "e"], size=100, scale=1.0
    )
    leaks = leakage.find_leaks(train, leakage.of_pack(tested))
    assert [(c.row, c.other) for c in leaks.copies] == [(2, "d/0.jpg")]
    same = leakage.find_leaks(train, leakage.of_pack(train))
    assert same.people == ("a", "b", "c")
    assert len(same.copies) == 3


def test_rows_are_left_out(tmp_path: Path) -> None:
    crops = [cut(scene(k)) for k in range(5)]
    pack = packed(
        tmp_path / "x",
        crops,
        ["a", "a", "b", "c", "c"],
        left_out=[SkippedPhoto("a/9.jpg", "no-face")],
    )
    why = [SkippedPhoto("b/2.jpg", "in-test-protocol"), SkippedPhoto("c/3.jpg", "in-test-protocol")]
    thin = without(pack, [2, 3], tmp_path / "thin", left_out=why)
    thin.verify()
    assert thin.people == ("a", "c")
    assert thin.labels.tolist() == [0, 0, 1]
    assert thin.names == ("a/0.jpg", "a/1.jpg", "c/4.jpg")
    assert np.array_equal(thin.crops, np.stack([crops[0], crops[1], crops[4]]))
    assert thin.left_out == (SkippedPhoto("a/9.jpg", "no-face"), *why)
    assert without(pack, [], tmp_path / "all", left_out=[]).fingerprint == pack.fingerprint
    for rows, out, error in (
        ([5], tmp_path / "y", OptionError),
        ([-1], tmp_path / "y", OptionError),
        ([0], tmp_path / "x", OptionError),
        ([0, 1, 2, 3, 4], tmp_path / "y", DataError),
        ([0], tmp_path / "no" / "y", DataError),
    ):
        with pytest.raises(error):
            without(pack, rows, out, left_out=[])
