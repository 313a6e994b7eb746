"""What is written: tables, folders of links, the contact sheet; and that it can be erased."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.albums import collection as toy

from visavis.albums import folders, outputs, sheet
from visavis.albums.fixing import Fixer
from visavis.albums.records import Album, AlbumCluster, PhotoFile
from visavis.albums.sorting import DetectedPhotos, remember_faces, sort_faces
from visavis.albums.store import AlbumStore, erase
from visavis.albums.view import album_of
from visavis.errors import DataError

HOSTILE = "<script>alert('x')</script> {{ 7 * 7 }}"
NAMES = ("Été/Zoë & Åsa.png", "写真/x y.png", "写真/copy.png", f"{HOSTILE.replace('/', '_')}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photos 1 and 3 show two people, 2 shows one; ``copy.png`` is photo 2 again."""
    folder = tmp_path / "Fotos"
    for k, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((120, 220, 3), 40 * min(k, 2), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "bad.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlbumStore]:
    (tmp_path / "out").mkdir()
    with AlbumStore(tmp_path / "out" / "album.sqlite", create=True) as opened:
        yield opened


@pytest.fixture
def album(root: Path, store: AlbumStore) -> Album:
    people = {"a": [1, 2], "b": [1], "c": [2, 3]}
    hashes = ("a", "b", "b", "c")
    files = [PhotoFile(name, sha) for name, sha in zip(NAMES, hashes, strict=True)]
    files.append(PhotoFile("bad.jpg", "", "not-an-image", "bad.jpg is no image"))
    files.append(PhotoFile("sky.jpg", "d", "no-face", "sky.jpg: no face found"))
    shown = {
        sha: [toy.found_face(toy.template(who, ord(sha)), k) for k, who in enumerate(some)]
        for sha, some in people.items()
    }
    with store.changing():
        seen = remember_faces(store, DetectedPhotos(tuple(files), shown))
        sort_faces(
            store, seen, toy.at_score(0.5), threshold=lambda clusters: 0.5,
            settings=replace(toy.SETTINGS, root=str(root)),
        )  # fmt: skip
    vectors = {face: one.vector for face, one in seen.faces.items()}
    return album_of(store, vectors)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with what it holds."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_an_album_knows_its_clusters(album: Album) -> None:
    assert [(c.id, c.faces, c.photos) for c in album.clusters] == [
        (1, (1, 3), 2),
        (2, (2, 4), 2),
        (3, (5,), 1),
    ]
    faces = {k: toy.template(*who) for k, who in {1: (1, 97), 2: (2, 97), 3: (1, 98)}.items()}
    assert album.faces[1].score == pytest.approx(float(faces[1] @ faces[3]), abs=1e-5)
    assert album.clusters[0].cohesion == pytest.approx(album.faces[1].score)
    assert np.isnan(album.faces[5].score)
    assert album.counts() == {
        "photos": 6, "failed": 1, "without_faces": 1, "faces": 5, "not_faces": 0, "new_faces": 5,
        "clusters": 3, "alone": 1, "doubtful": 0, "corrections": 0,
    }  # fmt: skip


def test_the_table_has_a_line_a_face_and_file(album: Album, tmp_path: Path) -> None:
    path = tmp_path / "clusters.csv"
    outputs.write_csv(path, album)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (NAMES[0], "1", "f1", "1"),
        (NAMES[0], "2", "f2", "2"),
        (NAMES[1], "1", "f3", "1"),
        (NAMES[2], "1", "f3", "1"),
        (NAMES[3], "1", "f4", "2"),
        (NAMES[3], "2", "f5", "3"),
        ("bad.jpg", "", "", ""),
        ("sky.jpg", "", "", ""),
    ]
    found = [(r["photo"], r["number"], r["face"], r["cluster"]) for r in rows]
    assert found == sorted(expected, key=lambda row: (row[0].encode(), row[1]))
    reasons = {r["photo"]: r["reason"] for r in rows if r["reason"]}
    assert reasons == {"bad.jpg": "not-an-image", "sky.jpg": "no-face"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_json_is_the_album(album: Album, tmp_path: Path) -> None:
    outputs.write_json(tmp_path / "clusters.json", album)
    kept = json.loads((tmp_path / "clusters.json").read_text(encoding="utf-8"))
    assert kept == album.to_dict()
    assert kept["clusters"][0]["faces"] == ["f1", "f3"]
    assert kept["faces"][4]["score"] is None


@pytest.mark.parametrize("copy", [False, True])
def test_folders_hold_the_photos_of_each_person(
    album: Album, root: Path, tmp_path: Path, copy: bool
) -> None:
    before = tree(root)
    people = tmp_path / "out" / "people"
    album = replace(album, settings=replace(album.settings, copy=copy))
    assert folders.write(people, album) is None
    found = {p.relative_to(people).as_posix() for p in people.rglob("*.png")}
    last = Path(NAMES[3]).name
    assert found == {
        "cluster 0001/Zoë & Åsa.png", "cluster 0001/x y.png", "cluster 0001/copy.png",
        "cluster 0002/Zoë & Åsa.png", f"cluster 0002/{last}", f"alone/{last}",
    }  # fmt: skip
    for path in people.rglob("*.png"):
        assert path.is_symlink() != copy
        assert path.read_bytes() in before.values()
    assert tree(root) == before
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "out")
    # The second time takes the place of the first, and of nothing else.
    assert folders.write(people, replace(album, clusters=album.clusters[:1])) is None
    assert len(list(people.rglob("*.png"))) == 3
    assert [p.name for p in people.parent.iterdir() if p.name.startswith(".people")] == []
    assert tree(root) == before


def test_what_somebody_put_into_the_folders_is_kept(album: Album, tmp_path: Path) -> None:
    people = tmp_path / "out" / "people"
    folders.write(people, album)
    (people / "cluster 0001" / "notes.txt").write_text("mine")
    said = folders.write(people, album)
    assert said is not None
    assert (tmp_path / "out" / "people-kept-1" / "cluster 0001" / "notes.txt").read_text() == "mine"
    assert not (people / "cluster 0001" / "notes.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("x")
    with pytest.raises(DataError, match="mine"):
        folders.write(tmp_path / "mine", album)
    assert (tmp_path / "mine" / "photo.txt").exists()


def test_folder_names_fit_every_disk() -> None:
    names = ["", "A/B", "a-b", "..", "Zoë\n", "Ü" * 300, "alone", "cluster 0009", "con: ?"]
    clusters = [
        AlbumCluster(k, name, "you", 0.0, (k, -k), 1, 0.5, 0) for k, name in enumerate(names)
    ]
    found = folders.folder_names(clusters)
    assert len({name.casefold() for name in found.values()}) == len(names)
    for name in found.values():
        assert name
        assert len(name.encode()) <= 255
        assert not set(name) & set('/\\:*?"<>|\n')
        assert name.strip(" .") == name


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_sheet_asks_for_nothing_from_elsewhere(
    album: Album, store: AlbumStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outputs.write(out, album, store)
    text = (out / "contact-sheet.html").read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert not value or value.startswith("#")
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy
    assert (policy[0] or "").startswith("default-src 'none'")
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "alert" not in "".join(text.split("<script>")[:1]).replace("&lt;script&gt;alert", "")
    faces = [a for t, a in page.tags if t == "button" and a.get("data-f")]
    assert [(a["data-f"], a["data-c"]) for a in faces] == [
        ("f1", "1"), ("f3", "1"), ("f2", "2"), ("f4", "2"), ("f5", "3"),
    ]  # fmt: skip
    images = [a for t, a in page.tags if t == "img"]
    assert len(images) >= 5
    assert all(a["alt"] for a in images)
    assert "visavis cluster fix" in text


def test_a_sheet_without_pictures_holds_none(
    album: Album, store: AlbumStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outputs.write(out, album, store)
    assert len(store.pictures()) == 5
    outputs.write(out, replace(album, settings=replace(album.settings, pictures=False)), store)
    assert store.pictures() == {}
    page = Page((out / "contact-sheet.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags if tag == "img"] == []


def test_a_page_shows_no_more_faces_than_it_can(
    monkeypatch: pytest.MonkeyPatch, album: Album
) -> None:
    monkeypatch.setattr(sheet, "MOST_FACES", 100)
    many = tuple(
        AlbumCluster(k, "", "", 0.0, tuple(range(1000 * k, 1000 * k + size)), 1, 0.5, doubtful)
        for k, (size, doubtful) in enumerate([(500, 5), (60, 0), (30, 30), (1, 0)])
    )
    found = sheet.shown(replace(album, clusters=many))
    assert sum(map(len, found.values())) <= 100
    assert set(found) == {0, 1, 2, 3}
    assert set(range(495, 500)) & set(found[0]), "doubtful ones are among those shown"
    assert all(len(set(faces)) == len(faces) for faces in found.values())


def test_smaller_clusters_can_be_left_out(album: Album) -> None:
    few = replace(album, settings=replace(album.settings, min_size=2))
    assert set(sheet.shown(few)) == {1, 2}


def test_the_state_is_the_owners_alone_and_is_erased(
    album: Album, store: AlbumStore, tmp_path: Path
) -> None:
    path = store.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with store.changing():
        Fixer(store).name(1, "Annabella Quux")
        store.add_pictures([(1, b"PICTURE OF A FACE")])
    assert b"Annabella Quux" in path.read_bytes()
    with store.changing():
        store.drop_pictures()
    assert b"PICTURE OF A FACE" not in path.read_bytes()
    store.wipe()
    raw = path.read_bytes()
    assert b"Annabella" not in raw
    assert NAMES[0].encode() not in raw
    store.close()
    with AlbumStore(path, create=True) as again:
        assert list(again.faces()) == []
    erase(path)
    assert not path.exists()


def test_no_template_is_in_the_state(store: AlbumStore, album: Album) -> None:
    raw = store.path.read_bytes()
    for who, draw in ((1, ord("a")), (2, ord("a")), (3, ord("c"))):
        vector = toy.template(who, draw)
        assert vector.tobytes() not in raw
        assert vector.astype(">f4").tobytes() not in raw


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(DataError, match=r"x\.sqlite"):
        AlbumStore(tmp_path / "x.sqlite")
    with pytest.raises(DataError, match=r"missing\.sqlite"):
        AlbumStore(tmp_path / "missing.sqlite")
    with AlbumStore(tmp_path / "later.sqlite", create=True) as store, store.changing():
        store._set("schema", 99)
    with pytest.raises(DataError, match="99"):
        AlbumStore(tmp_path / "later.sqlite")


def test_a_file_name_that_is_no_text_survives(store: AlbumStore) -> None:
    name = os.fsdecode(b"bad-\xff\xfe.jpg")
    with store.changing():
        store.replace_files([PhotoFile(name, "a")])
    assert store.files() == [PhotoFile(name, "a")]
