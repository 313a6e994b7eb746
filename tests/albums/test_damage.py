"""What was damaged, left behind or put in the way: refused in a line, nothing of others removed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from tests.albums import collection as toy

from visavis.albums import folders, outputs
from visavis.albums.fixing import LONGEST_NAME, Fixer
from visavis.albums.references import References
from visavis.albums.store import AlbumStore, erase
from visavis.albums.view import album_of
from visavis.errors import DataError, OptionError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A collection of six photos of two people, sorted and written."""
    folder = tmp_path / "out"
    folder.mkdir()
    with toy.new_store(folder) as store:
        toy.run(store, toy.photos_of([[0], [0], [0], [1], [1], [1]]))
        outputs.write(folder, album_of(store, {}), store)
    return folder


def rewrite(out: Path) -> list[str]:
    with AlbumStore(out / outputs.STATE) as store:
        return outputs.write(out, album_of(store, {}), store)


def test_a_damaged_memory_is_refused_and_can_be_erased(out: Path) -> None:
    state = out / outputs.STATE
    whole = state.read_bytes()
    page = 4096
    state.write_bytes(whole[: 2 * page] + b"\xa5" * (len(whole) - 2 * page))
    with pytest.raises(DataError, match=str(state)):
        AlbumStore(state)
    erase(state)
    assert not state.exists()


def test_a_memory_without_its_tables_is_refused(out: Path) -> None:
    with sqlite3.connect(out / outputs.STATE) as database:
        database.execute("DROP TABLE correction")
    with pytest.raises(DataError, match="tables"):
        AlbumStore(out / outputs.STATE)
    (out / "empty.sqlite").touch()
    with pytest.raises(DataError, match="tables"):
        AlbumStore(out / "empty.sqlite")


def test_another_file_is_not_erased(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary", encoding="utf-8")
    with pytest.raises(DataError):
        erase(tmp_path / "diary.txt")
    assert (tmp_path / "diary.txt").read_text(encoding="utf-8") == "dear diary"


def test_a_failure_in_a_change_is_told_and_undone(out: Path) -> None:
    with AlbumStore(out / outputs.STATE) as store:
        before = store.files()

        def fail() -> None:
            with store.changing():
                store.replace_files([])
                store.add_pictures([(1, object())])  # type: ignore[list-item]

        with pytest.raises(DataError, match=str(out)):
            fail()
        assert store.files() == before


@pytest.mark.parametrize("text", ["{", "[1, {}]", "7", "\xff"])
def test_a_damaged_list_of_folders_removes_nothing(out: Path, text: str) -> None:
    people = out / outputs.PEOPLE
    (people / ".visavis-folders.json").write_text(text, encoding="latin-1")
    (people / "mine.txt").write_text("mine", encoding="utf-8")
    assert "people-kept-1 keeps files" in rewrite(out)[0]
    assert (out / "people-kept-1" / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert not (people / "mine.txt").exists()


def test_what_a_killed_run_left_is_cleared_away(out: Path) -> None:
    people = out / outputs.PEOPLE
    names = json.loads((people / ".visavis-folders.json").read_text(encoding="utf-8"))
    assert names
    people.rename(out / ".people-old.abc")  # killed between the two renames
    (out / ".people-old.abc" / "mine.txt").write_text("mine", encoding="utf-8")
    half = out / ".people-new.abc"
    half.mkdir()
    (half / ".visavis-folders.json").write_text("[]", encoding="utf-8")
    (half / "cluster 0001").mkdir()
    rewrite(out)
    assert sorted(p.name for p in out.iterdir() if p.name.startswith((".people", "people"))) == [
        "people",
        "people-kept-1",
    ]
    assert (out / "people-kept-1" / "mine.txt").exists()


def test_forgetting_leaves_what_others_put_there(out: Path) -> None:
    people = out / outputs.PEOPLE
    (people / "cluster 0001" / "note.txt").write_text("mine", encoding="utf-8")
    (out / ".clusters.csv.abcd1234").write_text("left by a killed run", encoding="utf-8")
    gone = outputs.erase(out)
    assert f"{outputs.PEOPLE}/" not in gone
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir()) == [
        outputs.STATE,
        "people/cluster 0001/note.txt",
    ]


def test_a_folder_in_the_way_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / outputs.PEOPLE).mkdir()
    with pytest.raises(DataError, match=str(tmp_path)):
        outputs.check(tmp_path)
    (tmp_path / outputs.PEOPLE).rmdir()
    outputs.check(tmp_path)
    outputs.check(tmp_path / "missing")


def test_a_list_does_not_reach_outside_its_folder(tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.mkdir()
    (tmp_path / "photo.jpg").touch()
    (people / "mine.txt").touch()
    bad = ["../photo.jpg", str(tmp_path / "photo.jpg")]
    (people / ".visavis-folders.json").write_text(json.dumps(bad), encoding="utf-8")
    folders.erase(people)
    assert (tmp_path / "photo.jpg").exists()


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    import csv

    from visavis.albums import outputs
    from visavis.albums.records import PhotoFile
    from visavis.albums.sorting import DetectedPhotos, remember_faces, sort_faces

    names = ("=cmd|calc.jpg", "+1.jpg", "-rf.jpg", "@x.jpg", "\t=1.jpg", "plain.jpg", "=none.jpg")
    photos = toy.photos_of([[k] for k in range(6)])
    files = [PhotoFile(name, str(k)) for k, name in enumerate(names[:6])]
    files.append(PhotoFile(names[6], "", "image-truncated", "cut off"))
    with toy.new_store(tmp_path) as store:
        with store.changing():
            seen = remember_faces(store, DetectedPhotos(tuple(files), photos))
            sort_faces(
                store, seen, toy.at_score(0.5), settings=toy.SETTINGS,
                threshold=lambda clusters: 0.5,
            )  # fmt: skip
        with store.changing():
            Fixer(store).name(1, '=HYPERLINK("x")')
        outputs.write_csv(tmp_path / "t.csv", album_of(store, {}))
        references = References(store)
        with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            for cell in row.values():
                number = cell.replace(".", "", 1).lstrip("-").isdigit()
                assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        # The table's paths are paths still, and commands take them.
        assert {Path(row["photo"]) for row in rows} == {Path(name) for name in names}
        assert [references.face(row["photo"]) for row in rows if row["face"]] == [
            int(row["face"][1:]) for row in rows if row["face"]
        ]


@pytest.mark.parametrize("name", ["7", "007", "x" * (LONGEST_NAME + 1), "a\x1b[31m"])
def test_names_that_would_be_mistaken_are_refused(out: Path, name: str) -> None:
    with (
        AlbumStore(out / outputs.STATE) as store,
        store.changing(),
        pytest.raises(OptionError),
    ):
        Fixer(store).name(1, name)


def test_lists_of_links_are_csv_in_full(tmp_path: Path) -> None:
    from visavis.albums.records import PhotoFile
    from visavis.albums.sorting import DetectedPhotos, remember_faces

    names = ("new\nline.jpg", "a, b.jpg", "#1.jpg", 'quo"te.jpg')
    photos = toy.photos_of([[k] for k in range(4)])
    files = tuple(PhotoFile(name, str(k)) for k, name in enumerate(names))
    path = tmp_path / "links.csv"
    with toy.new_store(tmp_path) as store:
        with store.changing():
            remember_faces(store, DetectedPhotos(files, photos))
        references = References(store)
        path.write_text(
            'a,b\n# two, not one\n"new\nline.jpg","a, b.jpg"\n\n#1.jpg,"quo""te.jpg"\n',
            encoding="utf-8",
        )
        links = references.read_links(path, must=True)
        assert [(one.a, one.b, one.source) for one in links] == [
            (1, 2, "links.csv, line 4"),
            (3, 4, "links.csv, line 6"),
        ]
        for text in ("x" * 200_000 + ",f1\n", '"f1,f2\n'):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(DataError, match=r"links\.csv"):
                references.read_links(path, must=False)


def test_a_photo_is_found_by_the_path_that_a_shell_takes(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AlbumStore(out / outputs.STATE) as store:
        root = out.parent / "photos"
        settings = {**(store.last_run() or (0, "", {}, {}))[2], "root": str(root)}
        with store.changing():
            store.add_run(settings, {"new_faces": 0, "merged": []})
        monkeypatch.chdir(out.parent)
        references = References(store)
        assert references.face("photos/3.jpg") == references.face("3.jpg")
        assert references.face(str(root / "3.jpg")) == references.face("3.jpg")
        with pytest.raises(OptionError):
            references.face("elsewhere/3.jpg")
