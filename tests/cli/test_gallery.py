"""`visavis enroll`, `identify`, `people` and `gallery` as users call them."""

from __future__ import annotations

import csv
import errno
import json
import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visavis.errors import OptionError
from visavis.gallery.crypto.key import Key, readers
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.database import Database
from visavis.gallery.sqlite.store import SqliteGallery

NAME = "Anna Ivanova"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gallery that is not there yet, named by the environment."""
    path = tmp_path / "door.gallery"
    monkeypatch.setenv("VISAVIS_GALLERY", str(path))
    for name in ("KEY", "PASSPHRASE", "TOKEN"):
        monkeypatch.delenv(f"VISAVIS_GALLERY_{name}", raising=False)
    return path


def one_line(outcome, code: int = 2) -> str:
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.startswith("visavis: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    return outcome.err


def private(file: Path) -> Path:
    """A new file that its owner alone can read."""
    file.touch(mode=0o600)
    return file


def test_from_enrollment_to_removal(
    run, place: Path, photo: Path, darker: Path, blank: Path
) -> None:
    outcome = run("enroll", photo, "--name", NAME)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"enrolled {NAME} (quality score ")
    again = run("enroll", photo, "--name", NAME)
    assert again.code == 0
    assert "1 of 1 photos are enrolled, 0 of them now, of 1 person" in again.out
    found = run("identify", darker)
    assert found.code == 0
    assert f"{NAME}, score " in found.out
    assert "threshold" in found.out
    assert "a gallery of 1 person;" in found.out
    assert run("identify", darker, blank).code == 1
    assert run("identify", blank).code == 1
    listed = run("people", "list")
    assert listed.out.startswith(f"{NAME}  1 template(s), since ")
    assert run("people", "rename", NAME, "Anna Petrova").code == 0
    assert run("people", "set", "Anna Petrova", "floor=3", "team=press", "x=").code == 0
    shown = run("people", "show", "Anna Petrova", "--json").json
    assert shown["attributes"] == {"floor": 3, "team": "press"}
    assert [face["photo"] for face in shown["templates"]] == [str(photo)]
    assert "vector" not in shown["templates"][0]
    assert "confirm it with --yes" in one_line(run("people", "remove", "Anna Petrova"))
    gone = run("people", "remove", "Anna Petrova", "--yes")
    assert (gone.code, gone.out) == (0, "erased Anna Petrova: 1 template(s)\n")
    assert run("people", "list").out == ""
    empty = run("identify", darker)
    assert empty.code == 1
    assert "unknown, nobody is enrolled" in empty.out


def test_json_documents(run, place: Path, photo: Path, darker: Path, blank: Path) -> None:
    outcome = run("enroll", photo, blank, "--name", NAME, "--json")
    assert outcome.code == 1
    answer = outcome.json
    assert answer["counts"] == {"enrolled": 1, "no-face": 1}
    assert answer["interrupted"] is False
    assert [row["status"] for row in answer["rows"]] == ["enrolled", "no-face"]
    assert answer["rows"][0]["person"] == NAME
    answer = run("identify", darker, "--json", "--fpir", "0.001", "--top", "1").json
    (row,) = answer["photos"]
    (face,) = row["faces"]
    assert face["person"] == NAME
    assert face["threshold"]["fpir"] == 0.001
    assert face["score"] >= face["threshold"]["threshold"]
    assert face["margin"] is None
    assert face["candidates"][0]["person"] == NAME
    assert len(face["face"]["box"]) == 4
    info = run("gallery", "info", "--json").json
    assert (info["people"], info["encrypted"], info["migration"]) == (1, False, None)
    assert run("gallery", "check", "--json").json["ok"] is True
    entries = run("gallery", "audit", "--json").json
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert NAME not in json.dumps(entries)


def test_one_person_under_two_names(run, place: Path, photo: Path, darker: Path) -> None:
    """Scores of the gallery's own people then are not non-mated ones."""
    assert run("enroll", photo, "--name", "Anna").code == 0
    assert run("enroll", darker, "--name", "Anne").code == 0
    for option, probes in (("--own-scores", 2), ("--no-own-scores", 0)):
        (row,) = run("identify", darker, "--json", option).json["photos"]
        point = row["faces"][0]["threshold"]
        assert point["probes"] + point["suspects"] == probes


def test_a_table_and_its_report(run, place: Path, photo: Path, blank: Path, tmp_path) -> None:
    table = tmp_path / "staff.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([
            ("person", "path", "department"), (NAME, photo.name, "press"),
            (NAME, photo.name, "press"), ("Bob", blank.name, ""), ("Eve", "gone.jpg", ""),
        ])  # fmt: skip
    report = tmp_path / "report.csv"
    outcome = run("enroll", table, "--report", report)
    assert outcome.code == 1
    assert "2 of 4 photos are enrolled, 1 of them now, of 1 person" in outcome.out
    assert "Bob, Eve" in outcome.out
    with report.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == [
        "enrolled", "already-enrolled", "no-face", "unreadable",
    ]  # fmt: skip
    assert run("people", "show", NAME, "--json").json["attributes"] == {"department": "press"}


def test_a_folder_of_folders(run, place: Path, photo: Path, darker: Path, tmp_path: Path) -> None:
    for person, source in (("Anna/Ivanova", photo), ("Mirror", darker)):
        folder = tmp_path / "staff" / person.replace("/", "_")
        folder.mkdir(parents=True)
        source.rename(folder / source.name)
    Image.new("RGB", (50, 50)).save(tmp_path / "staff" / "stray.jpg")
    outcome = run("enroll", tmp_path / "staff")
    assert outcome.code == 0
    assert "1 photo(s) directly in" in outcome.err
    # The same face under two names.
    assert "Mirror: looks like Anna_Ivanova" in outcome.err
    assert "1 enrolled with a warning" in outcome.out
    assert run("people", "merge", "Anna_Ivanova", "Mirror", "--yes").code == 0
    assert "2 template(s)" in run("people", "list").out


@pytest.mark.parametrize("key", [None, Key(bytes(32))], ids=["plain", "encrypted"])
def test_splitting(run, place: Path, tmp_path: Path, key: Key | None) -> None:
    options = ()
    if key is not None:
        key.to_file(tmp_path / "the.key")
        options = ("--key-file", tmp_path / "the.key")
    with SqliteGallery(place, create=True, key=key) as store:
        names = ("Anna", "Anna", "Anna", "Bob")
        one, two, three, bob = store.add([
            NewFace(name, vector, "m", "a" * 64, photo=f"{name}.jpg")
            for name, vector in zip(names, np.eye(4, dtype=np.float32), strict=True)
        ])  # fmt: skip
    done = run("people", "split", "Anna", two, "--into", "Berta", *options)
    assert (done.code, done.err) == (0, "")
    assert done.out == "Anna has 2 template(s) now\nBerta has 1 template(s) now\n"
    shown = run("people", "show", "Berta", "--json", *options).json
    assert [face["id"] for face in shown["templates"]] == [two]
    # Into somebody who is there: only if that is meant.
    said = one_line(run("people", "split", "Anna", three, "--into", "Bob", *options))
    assert "Bob is enrolled already; confirm it with --yes" in said
    done = run("people", "split", "Anna", three, "--into", "Bob", "--yes", "--json", *options)
    assert done.json["from"]["faces"] == {"a" * 64: 1}
    assert (done.json["into"]["name"], done.json["into"]["faces"]) == ("Bob", {"a" * 64: 2})
    before = run("people", "list", "--json", *options).json
    for arguments, words in (
        (("Bob", one, "--into", "New"), f"has no template {one}"),
        (("Bob", three, bob, "--into", "New"), "all the templates"),
        (("Bobb", bob, "--into", "New"), "did you mean 'Bob'"),
        (("Bob", bob, "--into", " "), "begins or ends with white space"),
        (("Bob", bob, "--into", "Bob", "--yes"), "into the same person"),
        (("Bob", bob), "--into NAME"),
        (("Bob", "--into", "New"), "--into NAME"),
        (("Bob", bob, "--into", "New", "--suggest"), "--suggest"),
    ):
        assert words in one_line(run("people", "split", *arguments, *options))
    assert run("people", "list", "--json", *options).json == before
    assert run("gallery", "check", *options).code == 0
    assert run("people", "merge", "Anna", "Berta", "--yes", *options).code == 0


def test_a_name_with_a_slash(run, place: Path, photo: Path) -> None:
    name = "../a/b"
    assert run("enroll", photo, "--name", name).code == 0
    assert run("people", "show", name).code == 0
    assert run("people", "remove", name, "-y").code == 0


def test_poor_faces_and_the_bar(run, place: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(portrait).resize((110, 110)).resize((512, 512)).save(path)
    refused = run("enroll", path, "--name", NAME, "--min-quality", "0.95")
    assert refused.code == 2
    assert "quality score" in refused.err
    assert run("enroll", path, "--name", NAME, "--any-quality").code == 0


def test_several_faces(run, place: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(path)
    refused = run("enroll", path, "--name", NAME)
    assert refused.code == 2
    assert "2 faces" in refused.err
    assert run("enroll", path, "--name", NAME, "--faces", "largest").code == 0
    both = run("identify", path, "--json").json["photos"][0]
    assert len(both["faces"]) == 2
    assert (
        len(run("identify", path, "--faces", "largest", "--json").json["photos"][0]["faces"]) == 1
    )


def test_keys(run, place: Path, photo: Path, darker: Path, tmp_path, monkeypatch) -> None:  # noqa: PLR0917
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    private(first).write_text("11" * 32)
    assert run("enroll", photo, "--name", NAME, "--key-file", first).code == 0
    assert run("gallery", "info", "--key-file", first, "--json").json["encrypted"] is True
    assert "key" in one_line(run("identify", darker))
    monkeypatch.setenv("VISAVIS_GALLERY_KEY", "22" * 32)
    assert "key" in one_line(run("identify", darker))
    monkeypatch.setenv("VISAVIS_GALLERY_KEY", "11" * 32)
    assert run("identify", darker).code == 0
    assert run("gallery", "rekey", "--generate", second).code == 0
    one_line(run("identify", darker))
    monkeypatch.delenv("VISAVIS_GALLERY_KEY")
    assert run("identify", darker, "--key-file", second).code == 0
    assert "cannot be made" in one_line(
        run("gallery", "rekey", "--generate", second, "--key-file", second)
    )
    assert "give one of" in one_line(run("gallery", "rekey", "--key-file", second))
    assert run("gallery", "rekey", "--decrypt", "--key-file", second).code == 0
    assert run("identify", darker).code == 0


@pytest.mark.parametrize(
    ("mode", "who"), [(0o600, ""), (0o400, ""), (0o640, "its group"), (0o644, "everybody")]
)
def test_a_key_that_others_can_read(run, place: Path, tmp_path: Path, mode: int, who: str) -> None:
    key, new, file = tmp_path / "the.key", tmp_path / "new.key", tmp_path / "people.visavis"
    key.write_text("11" * 32)
    new.write_text("22" * 32)
    for path in (key, new):
        path.chmod(mode)
    SqliteGallery(place, create=True, key=Key.from_file(key)).close()
    wanted = f"warning: {who} can read the key file {{}}: `chmod 600` it\n" if who else ""
    other = ("--gallery", tmp_path / "other")
    for command in (
        ("gallery", "info"), ("gallery", "export", file), ("gallery", "import", file, *other),
    ):  # fmt: skip
        outcome = run(*command, "--key-file", key)
        assert (outcome.code, outcome.err) == (0, wanted.format(key))
    outcome = run("gallery", "rekey", "--new-key-file", new, "--key-file", key)
    assert outcome.code == 0
    assert outcome.err == wanted.format(key) + wanted.format(new)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("mode", "who"), [(0o440, ""), (0o444, "everybody")])
def test_a_key_that_somebody_else_gave(tmp_path: Path, mode: int, who: str) -> None:
    key = tmp_path / "secret"
    key.write_text("11" * 32)
    key.chmod(mode)
    os.chown(key, 12345, 0)
    assert readers(key) == who


def test_rekeying_on_a_full_disk(run, place: Path, tmp_path: Path, monkeypatch) -> None:
    """The key that was generated is kept, and the one line says which key is in force."""
    SqliteGallery(place, create=True).close()
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fail(*_: object) -> None:
        raise full

    first, second = tmp_path / "first.key", tmp_path / "second.key"
    with monkeypatch.context() as patch:
        patch.setattr("visavis.gallery.sqlite.upkeep.encrypt_everything", fail)
        said = one_line(run("gallery", "rekey", "--generate", first))
    assert "disk is full" in said
    assert f"the key in {first} with --new-key-file" in said
    assert run("gallery", "info", "--json").json["encrypted"] is False
    assert run("gallery", "rekey", "--new-key-file", first).code == 0
    with monkeypatch.context() as patch:
        patch.setattr("visavis.gallery.sqlite.database.Database._patiently", fail_at_vacuum(fail))
        said = one_line(run("gallery", "rekey", "--generate", second, "--key-file", first))
    assert "has its new key" in said
    assert "nothing" not in said
    one_line(run("gallery", "info", "--key-file", first))
    assert run("gallery", "compact", "--key-file", second).code == 0
    assert run("gallery", "check", "--key-file", second).code == 0


def fail_at_vacuum(fail):
    patiently = Database._patiently

    def attempt(self, call):
        return patiently(self, fail if "VACUUM" in call.__code__.co_consts else call)

    return attempt


def test_a_new_key_is_no_old_file_and_no_half_one(tmp_path: Path, monkeypatch) -> None:
    path, key = tmp_path / "new.key", Key.generate()
    path.touch()
    with pytest.raises(OptionError, match=str(path)):
        key.to_file(path)
    path.unlink()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OptionError, match="No space left"):
            key.to_file(path)
    assert not path.exists()
    key.to_file(path)
    assert Key.from_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_copies(run, place: Path, photo: Path, darker: Path, tmp_path: Path) -> None:
    run("enroll", photo, "--name", NAME, "--keep-crops")
    copy, file, other = tmp_path / "copy", tmp_path / "people.visavis", tmp_path / "other"
    assert run("gallery", "backup", copy).code == 0
    assert run("identify", darker, "--gallery", copy).code == 0
    exported = run("gallery", "export", file)
    assert exported.code == 0
    assert "not encrypted" in exported.err
    assert "1 person, 1 templates, 1 crops" in exported.out
    assert run("gallery", "import", file, "--gallery", other).code == 0
    assert run("identify", darker, "--gallery", other).code == 0
    again = run("gallery", "import", file, "--gallery", other)  # nothing is added twice
    assert "0 templates of 0 people taken in, 1 were there already" in again.out
    assert run("enroll", darker, "--name", NAME, "--gallery", other).code == 0
    assert NAME in one_line(run("gallery", "import", file, "--gallery", other))
    assert run("gallery", "import", file, "--gallery", other, "--existing", "merge").code == 0
    one_line(run("gallery", "import", tmp_path / "none", "--gallery", other))
    assert run("gallery", "compact").code == 0


def test_sealed_exports(run, place: Path, photo: Path, tmp_path: Path) -> None:
    key, file = tmp_path / "the.key", tmp_path / "people.visavis"
    private(key).write_bytes(bytes(range(32)))
    run("enroll", photo, "--name", NAME, "--key-file", key)
    assert run("gallery", "export", file, "--key-file", key).err == ""
    assert NAME.encode() not in file.read_bytes()
    wrong, bad = tmp_path / "wrong.key", tmp_path / "bad"
    private(wrong).write_text("33" * 32)
    bad.write_bytes(file.read_bytes()[:-100])
    for source, keys in ((file, ()), (file, ("--key-file", wrong)), (bad, ("--key-file", key))):
        said = one_line(run("gallery", "import", source, "--gallery", tmp_path / "new", *keys))
        assert str(source) in said
        assert not keys or source == bad or "the key of the export" in said
        assert not (tmp_path / "new").exists()
    there = run("gallery", "import", file, "--gallery", tmp_path / "new2", "--key-file", key)
    assert there.code == 0
    out = run("gallery", "import", file, "--gallery", tmp_path / "new3", "--file-key", key)
    assert out.code == 0
    assert "new3 is not" in out.err
    assert "not encrypted" not in there.err
    plain = run("gallery", "export", file, "--key-file", key, "--plain", "--overwrite")
    assert "not encrypted" in plain.err


def test_retention(run, place: Path, photo: Path, monkeypatch) -> None:
    assert run("enroll", photo, "--name", NAME, "--expire", "1h").code == 0
    assert "expires" in run("people", "show", NAME).out
    assert run("gallery", "expire").out == "erased 0 template(s)\n"
    # A variable of a script that is not set must not mean "for ever".
    assert "an expiry of ''" in one_line(run("enroll", photo, "--name", "Bo", "--expire", ""))
    from datetime import UTC, datetime, timedelta

    import visavis.api.gallery as command

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(hours=2)

    monkeypatch.setattr(command, "datetime", Later)
    assert run("gallery", "expire").out == "erased 1 template(s)\n"
    assert run("people", "list").out == ""


def test_no_photo_is_kept(run, place: Path, photo: Path, home: Path, tmp_path: Path) -> None:
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    run("enroll", photo, "--name", NAME)
    run("identify", photo)
    made = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert made
    for path in made:
        assert place in path.parents or "models" in path.parts or home in path.parents
        if place in path.parents:
            assert path.stat().st_size < photo.stat().st_size
            assert b"\x89PNG" not in path.read_bytes()
    assert not (home / "cache" / "embeddings.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("enroll", "{photo}"), "--name"),
        (("enroll", "{tmp}/nowhere"), "is not there"),
        (("enroll", "{tmp}/nowhere.csv"), "nowhere.csv"),
        (("enroll", "{tmp}/empty"), "no folder in it holds photos"),
        (("enroll", "{tmp}/empty", "--name", "A"), "without photos"),
        (("enroll", "{photo}", "--name", "A", "--faces", "best-match"), "face rule"),
        (("enroll", "{photo}", "--name", "A", "--expire", "soon"), "90d"),
        (("enroll", "{photo}", "--name", "A", "--min-quality", "7"), "from 0 to 1"),
        (("enroll", "{photo}", "--name", "A", "--fpir", "0"), "FPIR"),
        (("enroll", "{photo}", "--name", "A", "--model", "nonesuch"), "nonesuch"),
        (("enroll", "{photo}", "--name", "A", "--report", "{tmp}/no/r.csv"), "cannot be written"),
        (("enroll", "{photo}", "--name", "A", "--key-file", "{tmp}/none"), "key file"),
        (("enroll", "{photo}", "--name", "A", "--gallery", "{photo}"), "gallery"),
        (("enroll", "{photo}", "--name", "A", "--gallery", "{tmp}"), "holds other files"),
        (("identify", "{photo}"), "no gallery at"),
        (("identify", "{photo}", "--gallery", "{tmp}/empty"), "no gallery at"),
        (("identify", "{photo}", "--fpir", "2"), "FPIR"),
        (("identify", "{photo}", "--top", "0"), "candidates"),
        (("identify", "{photo}", "--fusion", "sum"), "fusion"),
        (("identify", "{photo}", "--faces", "nicest"), "face rule"),
        (("people", "list"), "no gallery at"),
        (("gallery", "info"), "no gallery at"),
        (("gallery", "migrate", "--model", "sface"), "no gallery at"),
        (("gallery", "backup", "{tmp}/copy"), "no gallery at"),
    ],
    ids=lambda value: " ".join(value[:2] + value[-2:]) if isinstance(value, tuple) else "",
)
def test_bad_input_ends_in_one_line(  # noqa: PLR0917
    run, place: Path, photo: Path, tmp_path: Path, arguments, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [a.format(photo=photo, tmp=tmp_path) for a in arguments]
    assert words in one_line(run(*filled))


def test_unknown_names_get_suggestions(run, place: Path, photo: Path) -> None:
    run("enroll", photo, "--name", NAME)
    for command in (("show",), ("remove", "--yes"), ("set", "a=1")):
        outcome = run("people", command[0], "Ana Ivanova", *command[1:])
        assert f"did you mean '{NAME}'?" in one_line(outcome)


def test_without_any_gallery(run, photo: Path, monkeypatch) -> None:
    monkeypatch.delenv("VISAVIS_GALLERY", raising=False)
    for command in (("identify", photo), ("people", "list"), ("gallery", "check")):
        assert "VISAVIS_GALLERY" in one_line(run(*command))


def test_damage_is_exit_code_1(run, place: Path, photo: Path) -> None:
    run("enroll", photo, "--name", NAME)

    with sqlite3.connect(place / "gallery.sqlite") as db:
        (body,) = db.execute("SELECT body FROM face").fetchone()
        db.execute("UPDATE face SET body = ?", (body[:30] + bytes([body[30] ^ 1]) + body[31:],))
    db.close()
    outcome = run("gallery", "check")
    assert outcome.code == 1
    assert outcome.out.startswith("problem: ")


def test_the_head_of_the_audit_is_shown(run, place: Path, photo: Path) -> None:
    run("enroll", photo, "--name", NAME)
    head = run("gallery", "audit", "--json").json[-1]["hash"]
    for command in ("info", "check"):
        assert f"audit's head: {head}\n" in run("gallery", command).out
        assert run("gallery", command, "--json").json["audit_head"] == head


def test_a_rate_that_nothing_here_confirms_is_told_once(run, place: Path, photo: Path) -> None:
    run("enroll", photo, "--name", NAME)
    outcome = run("identify", photo, photo)
    assert outcome.err.count("calibration 'sface-lfw' was measured on other photos") == 1
    assert "not checked on this gallery's photos" in outcome.out
    told = run("identify", photo, "--json").json
    assert "sface-lfw" in told["warnings"][0]


def test_no_photo_could_be_read(run, place: Path, photo: Path, tmp_path: Path) -> None:
    run("enroll", photo, "--name", NAME)
    (tmp_path / "no.jpg").write_text("not a photo")
    assert run("identify", tmp_path / "no.jpg").code == 2
    assert run("identify", tmp_path / "no.jpg", tmp_path / "none.jpg").code == 2
    assert run("identify", tmp_path / "no.jpg", photo).code == 1


def test_many_new_templates_leave_an_index_behind(tmp_path: Path) -> None:
    from visavis.api.gallery import keep_index
    from visavis.gallery.records import NewFace
    from visavis.gallery.sqlite.opening import GalleryOptions
    from visavis.gallery.sqlite.store import SqliteGallery

    eye = np.eye(40, dtype=np.float32)
    for added, kept in ((10, 0), (5000, 1)):
        options = GalleryOptions(snapshot_from=20)
        with SqliteGallery(tmp_path / str(added), create=True, options=options) as store:
            store.add([NewFace(f"P{k}", eye[k], "m", "a" * 64) for k in range(40)])
            keep_index(store, added)
            assert len(list((tmp_path / str(added) / "index").iterdir())) == kept


def test_interrupted(run, place: Path, photo: Path, darker: Path, monkeypatch) -> None:
    """What was reported before Ctrl-C is kept, and a second run does the rest."""
    from visavis.identification import Enroller, EnrollOptions
    from visavis.identification import enroller as module

    monkeypatch.setattr(module, "batches", lambda photos, size: ([p] for p in photos))
    commit, calls = Enroller._commit, []

    def interrupted(self, rows, accepted):
        calls.append(len(accepted))
        if len(calls) == 2:
            raise KeyboardInterrupt
        commit(self, rows, accepted)

    with monkeypatch.context() as patch:
        patch.setattr(Enroller, "_commit", interrupted)
        outcome = run("enroll", photo, darker, "--name", NAME, "--json")
    assert outcome.code == 130
    assert "1 of 2 photos" in outcome.err
    assert outcome.json["interrupted"] is True
    assert [row["status"] for row in outcome.json["rows"]] == ["enrolled"]
    assert len(run("people", "show", NAME, "--json").json["templates"]) == 1
    rest = run("enroll", photo, darker, "--name", NAME, "--json").json
    assert rest["counts"] == {"already-enrolled": 1, "enrolled": 1}
    assert EnrollOptions().batch > 1


def test_a_change_of_model(run, place: Path, photo: Path, darker: Path, tmp_path: Path) -> None:
    """With a second model made for the test: kept crops move, other people wait."""
    from tests.identification.conftest import add_model

    add_model(tmp_path / "home", "tiny", size=16, seed=1)
    run("enroll", photo, "--name", NAME, "--keep-crops")
    run("enroll", darker, "--name", "Bob", "--faces", "largest")
    assert "gallery migrate --model tiny" in one_line(
        run("enroll", darker, "--name", "Bob", "--model", "tiny")
    )
    assert "new model" in one_line(run("gallery", "migrate"))
    moved = run("gallery", "migrate", "--model", "tiny")
    assert moved.code == 1
    assert "1 face(s) embedded anew; 1 of 2 people" in moved.out
    assert "Bob" in moved.err
    assert "1 of 2 people; still to come: Bob" in run("gallery", "info").out
    assert "1 of 2 people" in one_line(run("gallery", "migrate", "--finish", "--yes"))
    # The new model has no calibration, and the old one still answers.
    answer = run("identify", photo)
    assert answer.code == 0
    assert "templates of tiny" in answer.err
    assert "tiny" in one_line(run("identify", photo, "--model", "tiny"))
    again = run("enroll", darker, "--name", "Bob", "--model", "tiny", "--faces", "largest")
    assert again.code == 0
    assert "no calibration" in again.err
    assert run("gallery", "migrate").code == 0
    done = run("gallery", "migrate", "--finish", "--yes", "--model", "tiny")
    assert (done.code, done.out) == (0, "erased 2 old template(s): tiny is the only model now\n")
    assert list(run("gallery", "info", "--json").json["models"].values()) == ["tiny"]


@pytest.mark.orl
@pytest.mark.slow
def test_orl(run, place: Path, orl: Path, tmp_path: Path) -> None:
    """Thirty people with three photos, two others of each, and ten strangers."""
    staff, inside, outside = tmp_path / "staff", tmp_path / "inside", tmp_path / "outside"
    for k in range(1, 41):
        for n in range(1, 6):
            source = orl / f"s{k}" / f"{n}.pgm"
            target = staff / f"s{k}" if k <= 30 and n <= 3 else inside if k <= 30 else outside
            target.mkdir(parents=True, exist_ok=True)
            (target / f"s{k}-{n}.pgm").symlink_to(source)
    assert run("enroll", staff, "--json").json["counts"].get("enrolled", 0) > 80
    # The calibration is of LFW's photos; these are of another camera, so its own people speak.
    answers = {}
    for name, folder in (("inside", inside), ("outside", outside)):
        rows = run("identify", folder, "--json", "--fpir", "0.01").json["photos"]
        answers[name] = [
            (Path(row["photo"]).name.split("-")[0], face["person"])
            for row in rows
            for face in row["faces"]
        ]
    right = sum(who == said for who, said in answers["inside"])
    wrong = sum(said not in {None, who} for who, said in answers["inside"])
    assert right / len(answers["inside"]) > 0.9
    assert wrong == 0
    non_mated = [said for _, said in answers["outside"] if said is not None]
    assert len(non_mated) <= 0.1 * len(answers["outside"])
