"""``visavis data``: from photos to a pack, and what a check finds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visavis.training.data.pack import START, open_pack

Run = Any


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def people(tmp_path: Path, portrait: np.ndarray) -> Path:
    root = tmp_path / "people"
    save(portrait, root / "Zoë" / "写真.png")
    save((portrait * 0.8).astype(np.uint8), root / "Zoë" / "dark.png")
    save(np.ascontiguousarray(portrait[:, ::-1]), root / "Bo" / "1.png")
    save(np.zeros((90, 90, 3), np.uint8), root / "Bo" / "nobody.png")
    (root / "Bo" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no")
    save(np.zeros((90, 90, 3), np.uint8), root / "Cy" / "1.png")
    return root


def test_pack_and_show(run: Run, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.pack"
    made = run("data", "pack", people, out, "--size", "64", "--json")
    assert made.code == 1
    assert made.json["people"] == 2
    assert made.json["photos"] == 3
    assert made.json["people_left_out"] == ["Cy"]
    assert {(o["photo"], o["reason"]) for o in made.json["left_out"]} == {
        ("Bo/nobody.png", "no-face"),
        ("Bo/broken.jpg", "image-truncated"),
        ("Cy/1.png", "no-face"),
    }
    assert "left out: Bo/broken.jpg" in made.err
    pack = open_pack(out)
    assert (pack.size, pack.scale, pack.people) == (64, 0.85, ("Bo", "Zoë"))
    assert pack.origin == (
        "people, a folder a person "
        "(yunet-2023mar/min20/0.8-0.1/level96+128/turn0.91-0.925, central)"
    )
    shown = run("data", "show", out)
    assert shown.code == 0
    assert "3 crops of 2 people, 64x64 pixels, scale 0.85" in shown.out
    assert "left out: 3, 2 no-face, 1 image-truncated" in shown.out
    assert "left out: Bo/broken.jpg" in shown.out
    assert pack.fingerprint in shown.out
    assert run("data", "show", out, "--json").json["fingerprint"] == pack.fingerprint


def test_the_crop_is_the_one_that_verify_sees(
    run: Run, people: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    from visavis.faces import align
    from visavis.pipeline import Recognizer

    run("data", "pack", people, tmp_path / "p.pack")
    pack = open_pack(tmp_path / "p.pack")
    face = Recognizer().detect(portrait)[0]
    expected = align.crop(portrait, face.landmarks, size=144, scale=0.85)
    assert np.array_equal(pack.crops[pack.names.index("Zoë/写真.png")], expected)


def test_aligned_crops_and_pair_lists(run: Run, tmp_path: Path, portrait: np.ndarray) -> None:
    for k in range(4):
        save(np.roll(portrait[:112, :112], 9 * k, axis=0).copy(), tmp_path / f"{k}.png")
    (tmp_path / "pairs.csv").write_text("a,b,same\n0.png,1.png,1\n1.png,2.png,1\n")
    made = run("data", "pack", tmp_path / "pairs.csv", tmp_path / "x", "--aligned", "--json")
    assert made.code == 0
    pack = open_pack(tmp_path / "x")
    assert (pack.size, pack.scale, pack.people) == (112, 1.0, ("0.png",))
    with Image.open(tmp_path / "1.png") as image:
        assert np.array_equal(pack.crops[1], np.asarray(image))
    (tmp_path / "pairs.csv").write_text("a,b,same\n0.png,1.png,1\n1.png,2.png,1\n0.png,2.png,0\n")
    failed = run("data", "pack", tmp_path / "pairs.csv", tmp_path / "y", "--aligned")
    assert failed.code == 2
    assert "0.png and 2.png" in failed.err
    assert failed.err.count("\n") == 1


def test_record_files(run: Run, tmp_path: Path, portrait: np.ndarray) -> None:
    import struct

    body = b""
    for label in (3, 3, 8):
        png = save(portrait[:112, label : 112 + label].copy(), tmp_path / "c.png").read_bytes()
        content = struct.pack("<IfQQ", 0, label, 0, 0) + png
        body += struct.pack("<II", 0xCED7230A, len(content)) + content
        body += b"\0" * (-len(content) % 4)
    (tmp_path / "train.rec").write_bytes(body)
    made = run("data", "pack", tmp_path, tmp_path / "x", "--json")
    assert made.code == 0
    pack = open_pack(tmp_path / "x")
    assert pack.people == ("0000003", "0000008")
    assert np.array_equal(pack.crops[2], portrait[:112, 8:120])


def test_check_finds_damage(run: Run, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.pack"
    run("data", "pack", people, out, "--size", "64")
    sound = run("data", "check", out)
    assert sound.code == 0
    assert "3 crops" in sound.out
    with out.open("r+b") as file:
        file.seek(START + 64 * 64 * 3 + 5)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    damaged = run("data", "check", out)
    assert damaged.code == 2
    assert "Zoë/dark.png" in damaged.err
    assert damaged.err.count("\n") == 1


def test_check_finds_test_people(
    run: Run, people: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    out = tmp_path / "p.pack"
    run("data", "pack", people, out, "--size", "64")
    test = tmp_path / "test"
    save(np.full((90, 90, 3), 50, np.uint8), test / "zoë" / "1.png")
    named = run("data", "check", out, "--against", test)
    assert named.code == 2
    assert "(Zoë)" in named.err
    assert run("data", "check", out, "--against", test, "--ignore-names").code == 0

    shutil.rmtree(test)
    (test / "Dee").mkdir(parents=True)
    shutil.copy(people / "Bo" / "1.png", test / "Dee" / "x.png")
    copied = run("data", "check", out, "--against", test)
    assert copied.code == 2
    assert "(Bo/1.png = Dee/x.png)" in copied.err

    save(portrait[20:, 30:].copy(), test / "Dee" / "x.png")
    cut = run("data", "check", out, "--against", test)
    assert cut.code == 2
    assert "near-identical" in cut.err
    thin = tmp_path / "thin.pack"
    dropped = run("data", "check", out, "--against", test, "--drop", thin, "--json")
    # The mirrored photo and the darker one are copies of it too.
    assert dropped.code == 2
    assert "no crop is left" in dropped.err


def test_a_dropped_photo_is_gone(
    run: Run, people: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    wider = Image.fromarray(portrait).resize((780, 512))  # no turning and scaling undoes that
    save(np.asarray(wider), people / "Flo" / "1.png")
    out, thin, test = tmp_path / "p.pack", tmp_path / "thin.pack", tmp_path / "test"
    run("data", "pack", people, out, "--size", "64")
    assert "Flo" in open_pack(out).people
    save(portrait, test / "Dee" / "x.png")
    dropped = run("data", "check", out, "--against", test, "--drop", thin, "--json")
    assert dropped.code == 0
    assert {(c["photo"], c["kind"]) for c in dropped.json["leaks"]["copies"]} == {
        ("Bo/1.png", "mirrored"),
        ("Zoë/dark.png", "near-identical"),
        ("Zoë/写真.png", "same-file"),
    }
    assert open_pack(thin).people == ("Flo",)
    clean = run("data", "check", thin, "--against", test, "--strict")
    assert clean.code == 0
    assert "no name in both, 0 photo(s), the same file" in clean.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pack", "none", "OUT"], "none: not a folder"),
        (["pack", "PEOPLE", "OUT", "--part", "all"], "--part all"),
        (["pack", "PEOPLE", "OUT", "--part", "test"], "a folder a person and has no parts"),
        (["pack", "PEOPLE", "OUT", "--part", "most"], "choose train, test or all"),
        (["pack", "PEOPLE", "OUT", "--faces", "all"], "face rule 'all'"),
        (["pack", "PEOPLE", "OUT", "--detector", "eyes"], "detector 'eyes'"),
        (["pack", "PEOPLE", "OUT", "--size", "4"], "size 4 of the crops"),
        (["pack", "PEOPLE", "OUT", "--size", "100000"], "size 100000 of the crops"),
        (["pack", "PEOPLE", "OUT", "--crop-scale", "nan"], "crop scale nan"),
        (["show", "PEOPLE"], "cannot be read"),
        (["pack", "PEOPLE", "PEOPLE"], "is a folder"),
        (["pack", "PEOPLE", "PEOPLE/Bo/1.png"], "name another file, or replace it"),
        (["check", "none.pack"], "cannot be read"),
        (["check", "PEOPLE/Bo/1.png"], "not a pack"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, people: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    places = {"PEOPLE": str(people), "OUT": str(tmp_path / "out.pack")}
    given = [places.get(a, a.replace("PEOPLE/", f"{people}/")) for a in arguments]
    failed = run("data", *given)
    assert failed.code == 2
    assert message in failed.err
    assert failed.err.count("\n") == 1
    assert "Traceback" not in failed.err


def test_drop_needs_against_and_overwrites_nothing(run: Run, people: Path, tmp_path: Path) -> None:
    run("data", "pack", people, tmp_path / "x", "--size", "16")
    assert "--drop" in run("data", "check", tmp_path / "x", "--drop", tmp_path / "y").err
    (tmp_path / "y").write_text("mine")
    refused = run("data", "check", tmp_path / "x", "--against", people, "--drop", tmp_path / "y")
    assert refused.code == 2
    assert "is there already" in refused.err
    assert (tmp_path / "y").read_text() == "mine"


@pytest.mark.lfw
def test_one_photo_of_lfw_goes_by_two_names(run: Run, lfw: Path, tmp_path: Path) -> None:
    """The one photo that is in both halves of View 1, of 35 million pairs."""
    from visavis.evaluation.protocols.lfw import photo_folder

    for part, names in (
        ("train", ("Emmy_Rossum", "Aaron_Eckhart", "Tom_Hanks")),
        ("test", ("Eva_Amurri", "Demi_Moore", "Pinar_del_Rio")),
    ):
        for name in names:
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            shutil.copy(photo_folder(lfw) / name / f"{name}_0001.jpg", folder)
    packs = [tmp_path / f"{part}.pack" for part in ("train", "test")]
    for pack, part in zip(packs, ("train", "test"), strict=True):
        assert run("data", "pack", tmp_path / part, pack).code == 0
    for against in (packs[1], tmp_path / "test"):
        failed = run("data", "check", packs[0], "--against", against)
        assert failed.code == 2
        assert "Emmy_Rossum/Emmy_Rossum_0001.jpg = Eva_Amurri/Eva_Amurri_0001.jpg" in failed.err


def test_a_whole_photo_is_no_crop(run: Run, portrait: np.ndarray, tmp_path: Path) -> None:
    side = min(portrait.shape[:2])
    whole = np.ascontiguousarray(portrait[:side, :side])
    (tmp_path / "people" / "Zoë").mkdir(parents=True)
    Image.fromarray(whole).save(tmp_path / "people" / "Zoë" / "1.png")
    refused = run("data", "pack", tmp_path / "people", tmp_path / "x", "--aligned")
    assert refused.code == 2
    assert "not aligned crops" in refused.err
    assert not (tmp_path / "x").exists()
    packed = run("data", "pack", tmp_path / "people", tmp_path / "x", "--size", "112",
                 "--crop-scale", "1", "--json")  # fmt: skip
    assert packed.json["people"] == 1


def test_one_person_is_one_person(run: Run, portrait: np.ndarray, tmp_path: Path) -> None:
    save(portrait, tmp_path / "people" / "Zoë" / "1.png")
    made = run("data", "pack", tmp_path / "people", tmp_path / "x", "--size", "32")
    assert made.code == 0
    assert "1 crop of 1 person, 32x32 pixels, scale 0.85, " in made.out
    assert " kB" in made.out
