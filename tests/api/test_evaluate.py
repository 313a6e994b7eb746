"""``visavis.evaluate.identify`` and ``.cluster``: what the commands print, as records that draw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import DataError, MissingExtraError, OptionError


@pytest.fixture(scope="module")
def staff(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people with three photos each."""
    root = tmp_path_factory.mktemp("staff")
    for k in range(1, 9):
        (root / f"s{k}").mkdir()
        for photo in sorted((orl / f"s{k}").glob("*.pgm"))[:3]:
            shutil.copy(photo, root / f"s{k}")
    return root


@pytest.mark.orl
def test_identification_and_clustering_of_real_people(
    staff: Path, tmp_path: Path, home: Path
) -> None:
    told: list[str] = []
    found = vv.evaluate.identify(
        staff, enroll=4, rounds=2, fpir=[0.25], bootstrap=20, home=home, out=tmp_path / "out",
        progress=lambda stage, *_: told.append(stage),
    )  # fmt: skip
    assert dict.fromkeys(told) == {"photos": None, "enrollments": None}
    assert (found.enrolled, found.non_mated, found.people) == (4, 4, 8)
    assert found.rank1 > 0.9
    written = json.loads((tmp_path / "out" / "identification.json").read_text(encoding="utf-8"))
    assert written == found.to_dict()
    assert len(found.plot().axes) == 2

    sorted_out = vv.evaluate.cluster(staff, home=home, sweep=False)
    assert (sorted_out.summary.faces, sorted_out.summary.people) == (24, 8)
    scores = sorted_out.summary.asked.scores
    assert scores is not None
    assert scores.bcubed.f1 > 0.9
    assert len(sorted_out.plot().axes) == 1, "no curves over settings without a sweep"


def test_clusters_of_any_system_are_measured_and_drawn(tmp_path: Path) -> None:
    table = tmp_path / "found.csv"
    table.write_text("photo,cluster,person\na,1,Anna\nb,1,Anna\nc,1,Bo\nd,2,Bo\n")
    found = vv.evaluate.cluster(found=table)
    scores = found.summary.asked.scores
    assert scores is not None
    # Pairs put together: ab, ac, bc. Of them one is right; of two true pairs one is found.
    assert scores.pairwise.precision == pytest.approx(1 / 3)
    assert scores.pairwise.recall == pytest.approx(1 / 2)
    assert found._repr_png_().startswith(b"\x89PNG")  # type: ignore[union-attr]


def test_jupyter_shows_text_where_matplotlib_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "found.csv"
    table.write_text("photo,cluster,person\na,1,Anna\nb,1,Anna\n")
    found = vv.evaluate.cluster(found=table)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert found._repr_png_() is None
    with pytest.raises(MissingExtraError, match=r"visavis\[report\]"):
        found.plot()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"fusion": "sum"}, OptionError),
        ({"faces": "clear"}, OptionError),
        ({"fpir": [2]}, OptionError),
        ({}, DataError),
    ],
)
def test_identify_is_refused_before_the_work(
    options: dict[str, object], error: type[Exception], tmp_path: Path, portrait: np.ndarray
) -> None:
    (tmp_path / "Anna").mkdir()
    Image.fromarray(portrait).save(tmp_path / "Anna" / "1.png")
    with pytest.raises(error):
        vv.evaluate.identify(tmp_path, home=tmp_path / "home", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{}, {"labels": "x"}, {"false_merge": 2}, {"out": "a.html"}],
)
def test_cluster_is_refused_before_the_work(options: dict[str, object], tmp_path: Path) -> None:
    given = (tmp_path,) if options else ()
    with pytest.raises(OptionError):
        vv.evaluate.cluster(*given, home=tmp_path / "home", **options)  # type: ignore[arg-type]
