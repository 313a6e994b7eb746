"""The tour of the API on real photos: what each line comes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.api_lines import PHOTOS, tour


@pytest.mark.lfw
@pytest.mark.slow
def test_every_line_does_what_it_says(
    lfw: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "tour"
    place.mkdir()
    found = list(tour(lfw, place, home, share=5))
    with capsys.disabled():
        for line, _, seconds in found:
            print(f"{seconds:8.3f} s  {line}")
    assert [line for line, _, _ in found] == PHOTOS
    verified = [answer for line, answer, _ in found if line.endswith(".same")]
    assert verified == [True, False]
    answers = {line.partition(" = ")[0]: answer for line, answer, _ in found}
    assert answers['sum(bool(row.templates) for row in vv.embed_many("photos/"))'] == 60
    assert sum(answers["report"].values()) == 6 * 4
    assert answers["report"]["enrolled"] >= 20, "a few are too poor to enroll"
    names = [answer for line, answer, _ in found if line.startswith("g.identify(")]
    assert names[0] == sorted(p.name for p in (place / "staff").iterdir())[0]
    assert names[1] is None
    assert answers["len(g.people())"] == 6
    assert answers['g.remove("Anna")'] >= 3, "split and merged again, all of them went"
    assert answers["g.check().ok"] is True
    # 4 people with 8 photos each; a few further faces are in the background.
    assert 4 <= answers["len(album.clusters)"] <= 20
    assert answers["album.save()"].name == "contact-sheet.html"
    (f1,) = (answer for line, answer, _ in found if line.endswith("bcubed.f1"))
    assert f1 > 0.9
    (rank1,) = (answer for line, answer, _ in found if line.endswith("rank1"))
    assert rank1 > 0.9
