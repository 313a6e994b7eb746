"""A gallery in five lines of Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import OptionError


@pytest.fixture
def staff(peers: Path, tmp_path: Path) -> Path:
    """Two people with two photos each, of deepface's test photos."""
    photos = peers / "deepface"
    for person, numbers in {"Angelina": (1, 2), "Jennifer": (3, 12)}.items():
        for number in numbers:
            to = tmp_path / "staff" / person / f"{number}.jpg"
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes((photos / f"img{number}.jpg").read_bytes())
    return tmp_path / "staff"


def test_enroll_and_identify(staff: Path, peers: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with vv.Gallery(tmp_path / "door.gallery", create=True, home=tmp_path / "home") as people:
        report = people.enroll(staff, progress=lambda *now: told.append(now))
        assert report.counts == {"enrolled": 4}, [row.message for row in report.rows]
        assert told[-1] == ("enroll", 4, 4)
        again = people.enroll([("Angelina", staff / "Angelina" / "1.jpg")])
        assert again.counts == {"already-enrolled": 1}
        answer = people.identify(peers / "deepface" / "img4.jpg", fpir=1e-2, faces="largest")
        assert answer.faces[0].person == "Angelina"
        for own, probes in ((True, 2), (False, 0)):
            found = people.identify(peers / "deepface" / "img4.jpg", own_scores=own)
            assert found.faces[0].threshold is not None
            assert found.faces[0].threshold.probes == probes
        assert people.identifier() is people.identifier()
        people.rename("Jennifer", "Jen")
        assert sorted(one.name for one in people.people()) == ["Angelina", "Jen"]
        moved = people.faces("Jen")[0].id
        people.split("Jen", [moved], into="Ann")
        people.merge("Jen", "Ann")
        assert people.check().ok
        people.backup(tmp_path / "copy")
        assert people.remove("Jen") == 2
        assert [one.name for one in people.people()] == ["Angelina"]
    with vv.Gallery(tmp_path / "copy") as copied:
        assert len(copied.people()) == 2


def test_a_stranger_is_nobody(staff: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    with vv.Gallery(tmp_path / "g", create=True) as people:
        people.enroll(staff)
        assert people.identify(portrait).faces[0].person is None
        rows = list(people.identify_many([portrait, np.zeros((90, 90, 3), np.uint8)]))
        assert [row.reason for row in rows] == [None, "no-face"]


def test_an_encrypted_gallery_is_exported_encrypted(portrait: np.ndarray, tmp_path: Path) -> None:
    from visavis.gallery.crypto.key import Key

    Image.fromarray(portrait).save(tmp_path / "a.png")
    key = Key.generate()
    with vv.Gallery(tmp_path / "g", create=True, key=key.to_text()) as people:
        people.enroll(tmp_path / "a.png", name="Eileen")
        assert people.export(tmp_path / "people.visavis").encrypted
        with pytest.raises(OptionError):
            people.export(tmp_path / "other", key=key, plain=True)
    with vv.Gallery(tmp_path / "h", create=True, key=key) as other:
        assert other.import_(tmp_path / "people.visavis").faces == 1
        with pytest.raises(OptionError):
            other.import_(tmp_path / "people.visavis", existing="sometimes")


def test_a_source_of_nobody_is_refused(portrait: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(portrait).save(tmp_path / "a.png")
    with vv.Gallery(tmp_path / "g", create=True) as people:
        with pytest.raises(OptionError, match=r"a\.png"):
            people.enroll(tmp_path / "a.png")
        with pytest.raises(OptionError, match=r"b\.png"):
            people.enroll(tmp_path / "b.png")
