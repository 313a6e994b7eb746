"""Added models: rules, round trips, a damaged registry, erasure."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import (
    ModelDamagedError,
    ModelError,
    ModelUnavailableError,
    OptionError,
    UnknownModelError,
)
from visavis.weights import ModelEntry, WeightStore
from visavis.weights.registry import UserModels, check_name, triple

pytestmark = pytest.mark.usefixtures("no_network")

SETTINGS: dict[str, Any] = {
    "input_size": 112,
    "mean": 127.5,
    "std": (127.5, 128.0, 128.5),
    "color": "bgr",
    "license": "LicenseRef-Internal",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "großes Netz.ONNX"
    path.write_bytes(b"weights" * 100)
    return path


def test_added_models_are_served_like_others(home: Path, file: Path) -> None:
    added = WeightStore(home).add("mine", file, **SETTINGS, layout="NHWC", dimension=512, batch=1)
    store = WeightStore(home)
    assert store.entry("mine") == added
    assert store.entries()[-1] == added
    assert (added.mean, added.std) == ((127.5, 127.5, 127.5), (127.5, 128.0, 128.5))
    assert (added.color, added.layout, added.dimension, added.batch) == ("bgr", "NHWC", 512, 1)
    assert added.filename == "großes Netz.ONNX"
    assert not added.builtin
    content = file.read_bytes()
    file.unlink()
    assert store.path("mine").read_bytes() == content
    assert store.path("mine").parent == home / "models"
    assert store.fetch("mine") == store.path("mine")


def test_adding_the_same_again_changes_nothing(store: WeightStore, file: Path) -> None:
    first = store.add("mine", file, **SETTINGS)
    written = (store.home / "models.json").stat().st_mtime_ns
    assert store.add("mine", file, **SETTINGS) == first
    assert (store.home / "models.json").stat().st_mtime_ns == written


def test_adding_again_after_a_runtime_was_installed(store: WeightStore, file: Path) -> None:
    first = store.add("mine", file, **SETTINGS, runtimes=("onnxruntime",))
    store.add("mine", file, **SETTINGS, runtimes=("onnxruntime", "openvino"))
    kept = store.entry("mine")
    assert kept.runtimes == ("onnxruntime", "openvino")
    assert kept.added == first.added


def test_adding_the_same_again_mends_a_damaged_copy(store: WeightStore, file: Path) -> None:
    store.add("mine", file, **SETTINGS)
    store.path("mine").write_bytes(b"?")
    with pytest.raises(ModelDamagedError, match="visavis models add mine FILE"):
        store.path("mine")
    with pytest.raises(ModelDamagedError):
        store.fetch("mine")
    store.add("mine", file, **SETTINGS)
    assert store.path("mine").read_bytes() == file.read_bytes()


def test_a_missing_copy_asks_for_the_file_again(store: WeightStore, file: Path) -> None:
    store.add("mine", file, **SETTINGS)
    store.path("mine").unlink()
    with pytest.raises(ModelUnavailableError, match="visavis models add mine FILE"):
        store.path("mine")


def test_a_name_keeps_its_meaning(store: WeightStore, file: Path, tmp_path: Path) -> None:
    store.add("mine", file, **SETTINGS)
    with pytest.raises(OptionError, match=r"127\.5.*0\.0"):
        store.add("mine", file, **{**SETTINGS, "mean": 0})
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    with pytest.raises(OptionError, match="visavis models remove mine"):
        store.add("mine", other, **SETTINGS)
    with pytest.raises(OptionError, match="built in"):
        store.add("sface", file, **SETTINGS)
    assert len(list((store.home / "models").glob("*.onnx"))) == 1


def test_one_file_has_one_way_to_be_fed(store: WeightStore, file: Path) -> None:
    store.add("mine", file, **SETTINGS)
    store.add("alias", file, **SETTINGS)
    for change in ({"mean": 0}, {"std": 1}, {"color": "rgb"}, {"input_size": 128}):
        with pytest.raises(OptionError, match="input settings"):
            store.add("twin", file, **{**SETTINGS, **change})
    with pytest.raises(OptionError, match="input settings"):
        store.add("twin", file, **SETTINGS, layout="NHWC")


def test_a_built_in_file_cannot_be_fed_otherwise(store: WeightStore, tmp_path: Path) -> None:
    copy = tmp_path / "s.onnx"
    copy.write_bytes(store.read("sface"))
    with pytest.raises(OptionError, match="'sface'"):
        store.add("mine", copy, **SETTINGS)
    plain = {**SETTINGS, "mean": 0, "std": 1, "color": "rgb", "crop_scale": 0.97}
    store.add("mine", copy, **plain)
    store.remove("mine")
    assert store.path("sface")


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": 0},
        {"input_size": -112},
        {"input_size": 5000},
        {"input_size": 112.0},
        {"input_size": True},
        {"mean": float("nan")},
        {"mean": (1, 2)},
        {"mean": "127.5"},
        {"std": 0},
        {"std": (1, 1, -1)},
        {"std": float("inf")},
        {"color": "RGB"},
        {"color": "gray"},
        {"license": " "},
        {"license": "MIT\nor not"},
        {"layout": "NCWH"},
        {"dimension": 0},
        {"use": "a\x1b[31mred"},
        {"paper": "\ud800"},
    ],
)
def test_settings_outside_their_range_are_refused(
    store: WeightStore, file: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(OptionError):
        store.add("mine", file, **{**SETTINGS, **change})
    assert not store.home.exists()


def test_files_that_are_none(store: WeightStore, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(ModelUnavailableError):
            store.add("mine", path, **SETTINGS)


def test_a_file_that_changed_since_its_check(store: WeightStore, file: Path) -> None:
    with pytest.raises(ModelDamagedError):
        store.add("mine", file, **SETTINGS, sha256="0" * 64)


def test_removal_erases_the_file_and_what_came_of_it(store: WeightStore, file: Path) -> None:
    store.add("mine", file, **SETTINGS)
    path, derived = store.path("mine"), store.derived("mine")
    derived.mkdir(parents=True)
    (derived / "folded.onnx").write_bytes(b"weights")
    assert set(store.remove("mine")) == {path, derived}
    assert not path.exists()
    assert not derived.exists()
    for method in (store.entry, store.remove, store.path):
        with pytest.raises(UnknownModelError):
            method("mine")
    assert b"weights" not in b"".join(p.read_bytes() for p in store.home.rglob("*") if p.is_file())
    store.add("mine", file, **SETTINGS)


def test_removal_keeps_a_file_that_another_name_uses(store: WeightStore, file: Path) -> None:
    store.add("one", file, **SETTINGS)
    store.add("two", file, **SETTINGS)
    assert store.remove("one") == ()
    assert store.path("two").exists()
    assert len(store.remove("two")) == 1


def test_removal_of_a_built_in_model_erases_the_cached_copy_only(
    store: WeightStore, register, carrier, content: bytes
) -> None:
    entry = register(carriers=(carrier(),))
    assert store.remove("toy") == ()
    cached = store.home / "models" / f"{entry.sha256}.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    assert store.remove("toy") == (cached,)
    assert store.read("toy") == content


def test_a_new_built_in_name_hides_an_added_one(store: WeightStore, file: Path, register) -> None:
    store.add("toy", file, **SETTINGS)
    entry = register()
    assert store.entry("toy") == entry
    assert store.entries() == (entry,)


VALID = ModelEntry(
    name="mine",
    kind="embedder",
    filename="m.onnx",
    sha256="a" * 64,
    size=1,
    license="MIT",
    added="2026-01-01T00:00:00+00:00",
).to_dict()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("[]", "got `array`"),
        ('{"version": 1}', "models"),
        ('{"version": 2, "models": []}', "of version 2"),
        ('{"version": 1, "models": [7]}', r"models\[0\]"),
        (json.dumps({"version": 1, "models": [{}]}), "model 1"),
        (json.dumps({"version": 1, "models": [{**VALID, "sha256": "z"}]}), "sha256"),
        (json.dumps({"version": 1, "models": [{**VALID, "size": "1"}]}), "size"),
        (json.dumps({"version": 1, "models": [{**VALID, "name": "../x"}]}), "name"),
        (json.dumps({"version": 1, "models": [{**VALID, "mean": None}]}), "mean"),
        (json.dumps({"version": 1, "models": [{**VALID, "carriers": [{"a": 1}]}]}), "carriers"),
        (json.dumps({"version": 1, "models": [{**VALID, "urls": "x"}]}), "urls"),
        (json.dumps({"version": 1, "models": [{**VALID, "surprise": 1}]}), "surprise"),
        (json.dumps({"version": 1, "models": [VALID, VALID]}), "two models"),
        ("[" * 100_000, "got `array`"),
    ],
)
def test_a_damaged_registry_is_named_and_blocks_no_built_in_model(
    store: WeightStore, file: Path, text: str, reason: str
) -> None:
    store.home.mkdir()
    registry = store.home / "models.json"
    registry.write_text(text)
    for call in (
        store.entries,
        lambda: store.entry("mine"),
        lambda: store.add("mine", file, **SETTINGS),
        lambda: store.remove("mine"),
    ):
        with pytest.raises(ModelError, match=reason) as raised:
            call()
        assert str(registry) in str(raised.value)
    assert registry.read_text() == text
    assert store.path("sface").exists()


@pytest.mark.parametrize("levelling", ["", "sface", "of-later"])
def test_a_registry_of_a_former_version_is_read(store: WeightStore, levelling: str) -> None:
    store.home.mkdir()
    former = {**VALID, "levelling": levelling, "colour": "bgr"}
    former["licence"] = former.pop("license")
    (store.home / "models.json").write_text(json.dumps({"version": 1, "models": [former]}))
    entry = store.entry(VALID["name"])
    assert entry == ModelEntry.from_dict({**VALID, "color": "bgr"})
    assert "levelling" not in entry.to_dict()


def test_a_registry_that_is_no_text(store: WeightStore) -> None:
    store.home.mkdir()
    (store.home / "models.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="not UTF-8"):
        store.entries()


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
lines = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@settings(max_examples=40, deadline=None)  # each writes through to the disk
@given(
    entries=st.lists(
        st.builds(
            ModelEntry,
            name=names,
            kind=st.sampled_from(["detector", "embedder", "landmarks"]),
            filename=lines.filter(bool),
            sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
            size=st.integers(1, 2**40),
            license=lines.filter(bool),
            use=lines,
            input_size=st.none() | st.integers(1, 4096),
            dimension=st.none() | st.integers(1, 10_000),
            mean=st.tuples(numbers, numbers, numbers),
            std=st.tuples(positive, positive, positive),
            color=st.sampled_from(["rgb", "bgr"]),
            layout=st.sampled_from(["NCHW", "NHWC"]),
            added=lines,
        ),
        unique_by=lambda entry: entry.name,
        max_size=5,
    )
)
def test_registries_round_trip(entries: list[ModelEntry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        registry = UserModels(Path(folder) / "models.json", lock_timeout=5)
        with registry.changing() as kept:
            kept.update({entry.name: entry for entry in entries})
        assert registry.load() == {entry.name: entry for entry in entries}


@given(names)
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@given(st.text(max_size=80))
def test_accepted_names_are_plain_and_lead_nowhere(name: str) -> None:
    try:
        check_name(name)
    except OptionError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert Path(name).name == name
    assert 1 <= len(name) <= 64
    assert not name.startswith((".", "-"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc",
        "A",
        "é",
        "a b",
        "-x",
        "a" * 65,
        "a\n",
        "a\0",
        7,
    ],
)
def test_bad_names(name: object, store: WeightStore, file: Path) -> None:
    with pytest.raises(OptionError, match="model name"):
        check_name(name)
    with pytest.raises(OptionError):
        store.add(name, file, **SETTINGS)  # type: ignore[arg-type]
    assert not store.home.exists()


def test_triple() -> None:
    assert triple([1, 2, 3]) == (1.0, 2.0, 3.0)
    for wrong in ((), (1, 2), (1, 2, 3, 4), (1, 2, float("nan"))):
        with pytest.raises(OptionError):
            triple(wrong)
