"""What people write for faces and clusters, and lists of links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.albums import collection as toy

from visavis.albums.planning import Link
from visavis.albums.recognizing import left_to_right, overlaps, same_faces
from visavis.albums.records import PhotoFile
from visavis.albums.references import References
from visavis.albums.sorting import DetectedPhotos, remember_faces
from visavis.albums.store import AlbumStore
from visavis.errors import DataError, OptionError


@pytest.fixture
def references(tmp_path: Path) -> Iterator[References]:
    files = [("a/été #1.jpg", "p"), ("b/x.jpg", "q"), ("c/x.jpg", "r"), ("d/copy.jpg", "q")]
    shown = {"p": [3, 1, 2], "q": [4], "r": [5, 6]}
    faces = {
        sha: [toy.found_face(toy.template(who, 0), who) for who in people]
        for sha, people in shown.items()
    }
    photos = tuple(PhotoFile(name, sha) for name, sha in files)
    with AlbumStore(tmp_path / "album.sqlite", create=True) as store:
        with store.changing():
            remember_faces(store, DetectedPhotos(photos, faces))
        yield References(store, {7: "Anna", 8: "12"})


def test_faces_are_numbers_or_places_from_left_to_right(references: References) -> None:
    assert references.face("f2") == 2
    assert references.faces(["été #1.jpg#1", "été #1.jpg#3", "a/été #1.jpg#2"]) == [1, 3, 2]
    assert references.face("b/x.jpg") == references.face("copy.jpg#1") == 4
    assert references.face("c/x.jpg#2") == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f99", "there is none"),
        ("x.jpg", "2 photos are called"),
        ("c/x.jpg", "of a photo with 2 faces; write c/x.jpg#1 for the leftmost, up to #2"),
        ("c/x.jpg#3", "2 faces"),
        ("b/x.jpg#0", "1 face;"),
        ("nowhere.jpg", "write f12 or photo.jpg#2"),
        ("", "write f12"),
        ("#1", "write f12"),
    ],
)
def test_other_faces_are_refused(references: References, text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said.replace("#", r"\#")):
        references.face(text)


def test_clusters_are_names_or_numbers(references: References) -> None:
    assert references.cluster("Anna") == 7
    assert references.cluster("5") == 5
    assert references.cluster("12") == 8
    with pytest.raises(OptionError, match="Bob"):
        references.cluster("Bob")


def test_lists_are_read(references: References, tmp_path: Path) -> None:
    path = tmp_path / "must.csv"
    path.write_text(
        '\ufeffa,b\n# a note, with a comma\n\nf1,f2\n"c/x.jpg#1", copy.jpg\n', encoding="utf-8"
    )
    assert references.read_links(path, must=True) == [
        Link(1, 2, True, "must.csv, line 4"),
        Link(5, 4, True, "must.csv, line 5"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"f1,f2,f3\n", "line 1: 3 cells"),
        (b"f1,f2\nf1,f99\n", "line 2: face f99"),
        (b"f1,\xff\n", "cannot be read"),
    ],
)
def test_bad_lists_are_refused_by_line(
    references: References, tmp_path: Path, text: bytes, said: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=said):
        references.read_links(path, must=False)
    with pytest.raises(DataError, match=r"missing\.csv"):
        references.read_links(tmp_path / "missing.csv", must=False)


def test_boxes_pair_up_one_to_one_the_greatest_overlap_first() -> None:
    known = [(0.0, 0.0, 10.0, 10.0), (8.0, 0.0, 10.0, 10.0)]
    found = [(4.0, 0.0, 10.0, 10.0), (1.0, 0.0, 10.0, 10.0), (100.0, 0.0, 10.0, 10.0)]
    assert overlaps(found, known)[0].tolist() == pytest.approx([60 / 140, 60 / 140])
    assert same_faces(found, known) == [1, 0, None]
    assert same_faces([], known) == []
    assert same_faces(found, []) == [None, None, None]
    assert left_to_right(found) == [2, 1, 3]
