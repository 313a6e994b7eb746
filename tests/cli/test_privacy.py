"""What is written: every file stands in docs/concepts/privacy.md, and what shows people is private.

All commands that write run once, under the usual umask, with the names that the page uses.
"""

from __future__ import annotations

import ast
import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.cli.test_train import FIELDS
from tests.training import tiny
from tests.training.data import test_rec
from tests.video.drawn import write_video
from typer.testing import CliRunner

from visavis.evaluation.protocols import bin as sets
from visavis.training import estimate, forgetting
from visavis.training.data import packing
from visavis.training.data.sources import Photo
from visavis.training.loop import fitting

ROOT = Path(__file__).resolve().parents[2]
SHORT = (*FIELDS, "--crop_scale", "1", "--max_steps", "2")
TRAIN = ("train", "--recipe", "siamese-triplet", "people.rec", *SHORT)
PAGE = (ROOT / "docs" / "concepts" / "privacy.md").read_text(encoding="utf-8")
ELSEWHERE = {
    "HOME/lfw/*": "tests/evaluation/test_fetching.py",
    "GALLERY/index/*.index": "tests/gallery/test_sqlite_index.py",
    "TEMPORARY/visavis-jobs-*/*": "tests/service/test_routes.py",
    "RUN/data.pack*": "below, of runs that were stopped",
    "RUN/data-1.pack": "below",
    "RUN/disjoint.pack": "below",
}
"""Files that do not lie there after these commands, and where their mode is tested."""


def table(title: str) -> dict[str, str]:
    """Patterns of the table under a heading, each with the last cell of its row."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| `")]
    assert rows
    return {name: row[-1] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


PRIVATE = table("Files with faces or templates")
OTHERS = table("Files without faces or templates")


def fits(path: str, patterns: Any) -> list[str]:
    return [one for one in patterns if fnmatch(path, one) or fnmatch(path, f"*/{one}")]


def files(work: Path, *, private: bool = False) -> list[str]:
    """Files below the folder, without the photos and lists that were there before."""
    found = [path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()]
    given = ("people", "others", "pairs.csv")
    found = [path for path in found if not path.startswith(given)]
    return [path for path in found if not private or fits(path, PRIVATE)]


def bits(path: Path) -> int:
    return path.stat().st_mode & 0o077


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Iterator[Path]:
    """A folder in which every command that writes has written."""
    from visavis.cli.app import app

    work = tmp_path_factory.mktemp("work")
    face = np.ascontiguousarray(portrait[:240, 100:340])
    shades = {
        "Eileen/1": 1.0,
        "Eileen/2": 0.8,
        "Other/1": 0.6,
        "Other/2": 0.5,
        "Third/1": 0.9,
        "Fourth/1": 0.7,
    }
    for name, shade in shades.items():
        (work / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((face * shade).astype(np.uint8)).save(work / "people" / f"{name}.png")
    write_video(work / "people" / "clip.mp4", [face] * 3)
    (work / "others" / "Fifth").mkdir(parents=True)
    Image.new("RGB", (60, 60), "white").save(work / "others" / "Fifth" / "x.png")
    with (work / "pairs.csv").open("w", newline="") as file:
        names = [f"people/{name}.png" for name in shades]
        rows = [(a, b, int(a[:9] == b[:9])) for k, a in enumerate(names) for b in names[k + 1 :]]
        csv.writer(file).writerows([("a", "b", "same"), *rows])
    write_rec(work)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("VISAVIS_HOME", "HOME")
        patch.delenv("VISAVIS_LFW", raising=False)
        before = os.umask(0o022)
        try:
            for codes, *words in COMMANDS:
                done = CliRunner().invoke(app, list(map(str, words)))
                assert done.exit_code in codes, (words, done.output, done.exception)
            sets.write(Path("SET.bin"), [face, face], [True])
        finally:
            os.umask(before)
        yield work


def write_rec(folder: Path) -> None:
    """``people.rec``: aligned crops of 42 people, four each, in insightface's format."""
    pack = tiny.make_pack(folder / "tiny.pack", people=42, photos=4)
    images = []
    for label, crop in zip(pack.labels.tolist(), pack.crops, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(crop)).resize((112, 112)).save(buffer, "PNG")
        images.append((label, buffer.getvalue()))
    test_rec.write(folder, images)
    (folder / "train.rec").rename(folder / "people.rec")
    (folder / "train.idx").rename(folder / "people.idx")
    (folder / "tiny.pack").unlink()
    tiny.register()


GALLERY = ("--gallery", "GALLERY", "--key-file", "KEY.key")
COMMANDS: tuple[tuple[Any, ...], ...] = (
    ((0,), "verify", "people/Eileen/1.png", "people/Eileen/2.png"),
    ((0,), "detect", "people"),
    ((0,), "embed", "people", "--out", "TEMPLATES.npz"),
    ((0,), "embed", "people", "--out", "SHARDS"),
    ((0,), "enroll", "people", "--gallery", "GALLERY", "--keep-crops", "--report", "REPORT.csv"),
    ((0,), "gallery", "rekey", "--gallery", "GALLERY", "--generate", "KEY.key"),
    ((0, 1), "identify", "people/Eileen/1.png", *GALLERY, "--fpir", "0.1", "--audit"),
    ((0,), "watch", "people/clip.mp4", *GALLERY, "--fpir", "0.5", "--save-crops", "CROPS"),
    ((0,), "gallery", "backup", "copies/GALLERY", *GALLERY),
    ((0,), "gallery", "export", "EXPORT.visavis", *GALLERY),
    ((0, 1), "calibrate", "people", "--name", "mine", "--fmr", "0.5"),
    ((0,), "evaluate", "pairs", "pairs.csv", "--pictures", "--out", "PAIRS", "--bootstrap", "0",
     "--scores", "SCORES.csv"),
    ((0,), "evaluate", "identify", "people", "--enroll", "1", "--rounds", "2", "--out", "IDENTIFY"),
    ((0,), "evaluate", "cluster", "people", "--no-sweep", "--out", "CLUSTERS"),
    ((0,), "cluster", "people", "--out", "SORTED", "--copy"),
    ((0,), "data", "pack", "people", "FACES.pack"),
    ((0,), "data", "check", "FACES.pack", "--against", "others", "--drop", "copies/FACES.pack"),
    ((0,), *TRAIN, "--out", "RUN"),
    ((0,), "train", "report", "RUN"),
    ((0,), *TRAIN, "--out", "DRY", "--dry-run"),
    ((0,), "demo", "--out", "DEMO", "--no-fetch"),
)  # fmt: skip


def test_what_commands_write(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, so that one process runs all of them once."""
    every_file_stands_in_one_table(work)
    faces_and_templates_are_for_their_owner_alone(work)
    what_the_table_calls_private_is(work)
    # Training leaves no crops.
    assert not list(work.rglob("data*.pack*"))
    assert not (work / "DRY").exists()
    assert not list(work.glob(".visavis*"))
    # A page without faces is an ordinary file.
    assert run("evaluate", "report", work / "SCORES.csv", "--out", work / "PLAIN").code == 0
    assert (work / "PLAIN" / "report.html").stat().st_mode & 0o777 == 0o644
    monkeypatch.setenv("VISAVIS_HOME", str(work / "HOME"))
    monkeypatch.chdir(work)
    one_command_a_kind_erases_it(run, work)


def every_file_stands_in_one_table(work: Path) -> None:
    met = {one: (fits(one, PRIVATE), fits(one, OTHERS)) for one in files(work)}
    unknown = [one for one, rows in met.items() if not any(rows)]
    assert not unknown, "docs/concepts/privacy.md lists all that is written"
    assert not [one for one, rows in met.items() if all(rows)]
    # No row is about nothing.
    assert set(PRIVATE) - {row for rows, _ in met.values() for row in rows} == set(ELSEWHERE)


def faces_and_templates_are_for_their_owner_alone(work: Path) -> None:
    private = files(work, private=True)
    assert not [one for one in private if bits(work / one)]
    folders = {work / parent for one in private for parent in Path(one).parents} - {work}
    open_to_others = {one.relative_to(work).as_posix() for one in folders if bits(one)}
    # Above the folders that hold such files: these are the user's, or hold models too.
    assert open_to_others <= {"HOME", "copies"}


def what_the_table_calls_private_is(work: Path) -> None:
    named = [one for one, what in OTHERS.items() if "0600" in what]
    met = [one for one in files(work) if fits(one, named)]
    assert {"scores.parquet", "clusters.csv"} <= {Path(one).name for one in met}
    assert not [one for one in met if bits(work / one)]


def one_command_a_kind_erases_it(run: Run, work: Path) -> None:
    for words in ("cache clear", "train forget RUN", "cluster forget SORTED"):
        kind = [one for one, how in PRIVATE.items() if f"`visavis {words}`" in how]
        assert [one for one in files(work) if fits(one, kind)]
        done = run(*words.split())
        assert done.code == 0, done.err
        assert not [one for one in files(work) if fits(one, kind)]
    assert (work / "RUN" / "model" / "model.onnx").is_file()
    # A finished run is not overwritten by mistake.
    again = run(*TRAIN, "--out", "RUN")
    assert again.code == 2
    assert "finished run" in again.err
    assert run("train", "forget", "copies").code == 2


@pytest.fixture
def rec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rec(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dry", [True, False])
def test_of_a_stopped_run_the_crops_stay_private_and_are_told(
    run: Run, rec: Path, monkeypatch: pytest.MonkeyPatch, dry: bool
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(estimate, "plan", stopped)
    monkeypatch.setattr(fitting, "fit", stopped)
    before = {path.name for path in rec.iterdir()}
    done = run(*TRAIN, "--out", "RUN", *["--dry-run"] * dry)
    assert done.code == 130
    if dry:
        assert {path.name for path in rec.iterdir()} - {"home"} == before
        return
    assert bits(rec / "RUN") == bits(rec / "RUN" / "data.pack") == 0
    assert "crops of faces stay in RUN (data.pack)" in done.err
    assert "visavis train forget RUN" in done.err
    assert run("train", "forget", "RUN").code == 0
    assert not (rec / "RUN" / "data.pack").exists()


def test_crops_are_kept_where_that_is_asked_for(run: Run, rec: Path) -> None:
    kept = run(*TRAIN, "--out", "RUN", "--dry-run", "--keep-pack")
    assert kept.code == 0, kept.err
    assert bits(rec / "RUN" / "data.pack") == 0
    assert "train forget" in kept.err
    # A pack that the user names is the user's.
    own = rec / "RUN" / "data.pack"
    done = run("train", "--recipe", "siamese-triplet", own, *SHORT, "--out", "RUN")
    assert done.code == 0, done.err
    assert own.exists()


def test_a_pack_in_the_making_is_private(tmp_path: Path) -> None:
    def find(_pixels: Any, _name: str) -> Any:
        raise KeyboardInterrupt

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    photos = (Photo("a", "a.png", tmp_path / "a.png"),)
    out = tmp_path / "new" / "x.pack"
    with pytest.raises(KeyboardInterrupt):
        packing.pack(
            photos, out, finder=lambda: find, how="x", origin="x", size=16, scale=1, workers=1
        )
    left = {path.name for path in out.parent.iterdir()}
    assert {"x.pack.partial", "x.pack.partial.jsonl"} <= left
    assert bits(out.parent) == 0
    assert all(bits(out.parent / name) == 0 for name in left if "partial" in name)


def test_what_is_kept_for_the_next_run_is_told(
    run: Run, home: Path, photo: Path, darker: Path, tmp_path: Path
) -> None:
    people = tmp_path / "p"
    for name, one in (("a", photo), ("b", darker)):
        (people / name).mkdir(parents=True)
        one.rename(people / name / one.name)
    words = ("calibrate", people, "--name", "mine")
    run(*words, "--no-cache")
    assert not (home / "cache").exists()
    first = run(*words)
    assert "2 more photo(s)" in first.err
    assert "visavis cache clear" in first.err
    assert "--no-cache" in first.err
    assert run("cache", "info", "--json").json["photos"] == 2
    assert "more photo(s)" not in run(*words).err
    (home / "cache" / "embeddings.sqlite").write_bytes(b"damaged")
    assert run("cache", "clear").code == 0
    assert not list((home / "cache").iterdir())


def test_forget_knows_all_that_a_run_keeps(tmp_path: Path) -> None:
    names = ("data.pack", "data-1.pack", "disjoint.pack", "data.pack.partial", "validation.npz")
    for name in (*names, "run.json", "history.csv", "database.pack"):
        (tmp_path / name).touch()
    assert set(forgetting.forget(tmp_path)) == set(names)
    assert {path.name for path in tmp_path.iterdir()} == {
        "run.json",
        "history.csv",
        "database.pack",
    }


WRITES = {
    "write_bytes", "write_text", "replacing", "private_text", "private_file", "mkstemp", "mkdtemp",
    "savez", "save_file", "save_checkpoint", "print_png", "write_table", "copy2", "extractall",
    "touch", "symlink_to", "retrieve",
}  # fmt: skip
WRITERS = """
albums/folders.py albums/outputs.py albums/sheet.py albums/store.py albums/writing.py
api/calibrations.py api/evaluate/identification.py api/evaluate/verification.py api/watch.py
api/export/exporting.py api/export/report.py api/models.py api/photos.py
api/pictures.py cli/gallery/enroll.py decision/profile.py embedding/cache.py
evaluation/clustering/report.py evaluation/clustering/tables.py evaluation/fetching.py
evaluation/pages.py evaluation/protocols/bin.py evaluation/protocols/pairs.py
evaluation/scores/csv.py evaluation/scores/parquet.py exporting/onnx_files.py
exporting/openvino_files.py gallery/crypto/key.py
gallery/index/snapshot.py gallery/sqlite/opening.py gallery/sqlite/upkeep.py gallery/transfer.py
inference/folding.py inference/session.py pipeline/shards.py service/jobs.py service/keys.py
service/page/collection.py service/page/sort.py service/routes/jobs.py training/data/pack.py
training/data/packing.py training/loop/checkpoints.py training/loop/fitting.py
training/loop/logs.py training/outcome/directory.py training/outcome/model_file.py
training/report/page.py training/report/pictures.py weights/download.py weights/files.py
weights/registry.py writing.py
"""
"""Files of the library that write files, each looked at with the page's tables."""


def opens_to_write(call: ast.Call) -> bool:
    modes = [one.value for one in call.args if isinstance(one, ast.Constant)]
    made = any(isinstance(one, ast.Attribute) and one.attr == "O_CREAT" for one in ast.walk(call))
    return made or any(re.fullmatch("[wax][bt+]*|r[bt]*[+][bt]*", str(mode)) for mode in modes)


def writers() -> set[str]:
    found = set()
    source = ROOT / "src" / "visavis"
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in WRITES or (name in {"open", "fdopen"} and opens_to_write(node)):
                found.add(file.relative_to(source).as_posix())
    return found


def test_whoever_writes_is_known() -> None:
    assert writers() == set(WRITERS.split()), (
        "does docs/concepts/privacy.md say what the new file writes?"
    )


@pytest.mark.parametrize("first", ["", "import onnxruntime; "], ids=["visavis", "onnxruntime"])
def test_no_part_reports_its_use(tmp_path: Path, portrait: np.ndarray, first: str) -> None:
    """ONNX Runtime queues events for its maker in the user's cache folder, and sends them."""
    Image.fromarray(portrait).save(tmp_path / "photo.png")
    home = tmp_path / "user"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_", "VISAVIS_"))}
    code = (
        f"import visavis; {first}visavis.verify('photo.png', 'photo.png')\n"
        "import onnxruntime; print(onnxruntime.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=kept | {"HOME": str(home)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip()
    written = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert written
    assert {name for name in written if "visavis" not in name} == set()
