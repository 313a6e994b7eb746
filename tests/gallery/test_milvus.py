"""What is particular to a gallery on Milvus: tenants, crashes, indexes, other processes."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

from visavis.errors import (
    GalleryBusyError,
    GalleryError,
    MissingExtraError,
    OptionError,
)
from visavis.gallery.milvus.connection import Connection
from visavis.gallery.milvus.options import MilvusOptions, index_parameters, search_parameters
from visavis.gallery.milvus.store import MilvusGallery
from visavis.gallery.records import NewFace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.contracts.gallery_common import HALF, NAMES, A, B, E, face, found, names, other, state

pytestmark = pytest.mark.milvus

_WRITES = {"insert", "upsert", "delete", "create_collection", "drop_collection", "alter_alias",
           "create_alias", "create_index"}  # fmt: skip


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gallery.db")


@pytest.fixture
def store(path: str) -> Iterator[MilvusGallery]:
    with MilvusGallery(path, create=True) as store:
        yield store


def held(store: MilvusGallery) -> Any:
    """What readers see, without what differs from run to run."""
    return (
        {p.name: (p.faces, p.attributes) for p in store.people()},
        [(f.person, f.vector.tobytes(), store.crop(f.id)) for f in store.faces()],
        [(m.person, m.score, m.faces) for m in
         store.search(HALF[None], model_sha256=A, k=9, fusion="mean")[0]],
    )  # fmt: skip


def crashing(patch: pytest.MonkeyPatch, at: int) -> list[int]:
    """From now on the ``at``-th write to Milvus ends the process; returns a counter."""
    call, count = Connection.call, [0]

    def counted(self: Connection, method: str, /, *args: Any, **options: Any) -> Any:
        if method in _WRITES:
            count[0] += 1
            if count[0] >= at:
                raise Crash
        return call(self, method, *args, **options)

    patch.setattr(Connection, "call", counted)
    return count


def prepare(store: MilvusGallery) -> None:
    store.add([face("Anne", E[0], crop=b"png", expires="2030-01-01T00:00:00Z"), face("Bob", E[1])])
    store.add([face("Carl", E[2]), other("Bob"), face("Bob", HALF)])
    store.set_attributes("Bob", {"b": 1})


def add_batch(store: MilvusGallery) -> None:
    store.add([face("Dora", E[3], crop=b"x"), face("Anne", E[1]), other("Emil")])


OPERATIONS: dict[str, Callable[[MilvusGallery], Any]] = {
    "add": add_batch,
    "merge": lambda store: store.merge("Carl", "Bob", "Anne"),
    "split": lambda store: store.split(
        "Bob", [f.id for f in store.faces(person="Bob")][1:], into="Emil"
    ),
    "split to another": lambda store: store.split(
        "Bob", [f.id for f in store.faces(person="Bob")][:2], into="Anne"
    ),
    "remove": lambda store: store.remove("Bob"),
    "remove_faces": lambda store: store.remove_faces([f.id for f in store.faces()][1:4]),
    "expire": lambda store: store.expire("2031-01-01T00:00:00Z"),
    "rename": lambda store: store.rename("Bob", "Bert"),
    "attributes": lambda store: store.set_attributes("Bob", {"b": 2}),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_crash_at_any_write_is_mended(name: str, tmp_path: Path) -> None:
    """Enrolling: what is left is whole faces, and the same batch again gives what was wanted.
    Everything else was not begun, or is finished by whoever opens the gallery next."""
    operate = OPERATIONS[name]
    with MilvusGallery(str(tmp_path / "clean.db"), create=True) as store:
        prepare(store)
        before = held(store)
        with pytest.MonkeyPatch.context() as patch:
            writes = crashing(patch, 10**6)
            operate(store)
        after, entries = held(store), [e.action for e in store.audit()]
    # A sample of the writes, for time's sake.
    sample = np.linspace(1, writes[0], 6 if name == "add" else 3)
    points = sorted(set(sample.round().astype(int).tolist()))
    path = str(tmp_path / "crash.db")
    for at in points:
        tenant = f"t{at}"
        store = MilvusGallery(path, create=True, tenant=tenant)
        prepare(store)
        with pytest.MonkeyPatch.context() as patch:
            crashing(patch, at)
            with pytest.raises(Crash):
                operate(store)
        store.close()
        with MilvusGallery(path, tenant=tenant) as again:
            got = held(again)
            report = again.check()
            assert report.ok, report.problems
            if name == "add":
                assert all(one in after[1] for one in got[1])
                assert [one for one in got[1] if one in before[1]] == before[1]
            elif name in {"rename", "attributes"}:  # the last write is the only one
                assert got == before
            elif got[1] != before[1]:
                assert got == after
            if got != after or name == "add":
                operate(again)
            assert held(again) == after
            assert again.check().ok
            noted = [e.action for e in again.audit() if not e.details.get("interrupted")]
            assert noted == entries or name in {"rename", "attributes"}


def test_the_same_batch_twice_is_there_twice_and_interrupted_once(store: MilvusGallery) -> None:
    batch = [face("Anne", E[1], photo="a.jpg"), face("Bob")]
    first = store.add(batch)
    with pytest.MonkeyPatch.context() as patch:
        crashing(patch, 2)  # the faces are there, their means are not
        with pytest.raises(Crash):
            store.add(batch)
    store.add([face("Carl")])  # another batch in between
    second = store.add(batch)
    assert [f.id for f in store.faces() if f.person != "Carl"] == first + second
    third = store.add(batch)
    assert set(third).isdisjoint(first + second)
    assert store.check().ok


def test_an_interrupted_batch_follows_its_people(store: MilvusGallery) -> None:
    batch = [face("Anne", E[i % 4], photo=f"{i}.jpg") for i in range(3)]
    prepare(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._faces, "put_means", _crash)
        patch.setattr(store._faces, "refresh_means", _crash)
        with pytest.raises(Crash):
            store.add(batch)
    store.merge("Bob", "Anne")
    assert store.check().ok
    assert store.person("Bob").faces[A] == 6
    store.add(batch)  # now it is acknowledged: three faces of Anne, as it says
    assert store.person("Anne").faces == {A: 3}
    assert store.person("Bob").faces[A] == 3
    assert store.check().ok, store.check().problems


def _crash(*_: Any, **__: Any) -> None:
    raise Crash


def test_a_refused_write_is_taken_back_at_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with MilvusGallery(path, create=True) as store:
        prepare(store)
        before = state(store)
        put = store._tables.put

        def failing(table: str, rows: Any, **options: Any) -> None:
            put(table, rows[:1], **options)
            if table.startswith(f"faces_{B[:24]}"):
                raise GalleryError("Milvus refused upsert (disk full)", "see its log")
            put(table, rows[1:], **options)

        monkeypatch.setattr(store._tables, "put", failing)
        with pytest.raises(GalleryError, match="disk full"):
            add_batch(store)
        monkeypatch.undo()
        assert state(store) == before
        assert store._ledger.unfinished() == []
        assert store.check().ok


def test_tenants_see_nothing_of_each_other(path: str) -> None:
    with (
        MilvusGallery(path, create=True, tenant="one") as one,
        MilvusGallery(path, tenant="two") as two,
    ):
        numbers = one.add([face("Anne", crop=b"png", photo_sha256="a" * 64), face("Bob", E[1])])
        empty = state(two)
        assert (empty[:2], empty[3]) == ([[], []], [0, {}, {}, 1])
        assert [entry["action"] for entry in empty[2]] == ["create"]
        two.add([face("Anne", E[2])])
        assert found(one, E[2]) == [("Anne", 0.0), ("Bob", 0.0)]
        assert found(two, E[2], fusion="mean") == [("Anne", 1.0)]
        assert one.person("Anne").id != two.person("Anne").id
        assert not two.has_source("a" * 64, person="Anne", model_sha256=A)
        with pytest.raises(GalleryError):
            two.crop(numbers[0])
        assert two.remove_faces(numbers) == 0
        assert two.expire("2999-01-01T00:00:00Z") == 0
        before = state(one)
        assert two.remove("Anne") == 1
        two.compact()
        assert state(one) == before
        assert one.check().ok
        assert two.non_mated(model_sha256=A).shape == (0,)
    for tenant in ("", "a b", 'x" or 1==1', "ü", "x" * 65):
        with pytest.raises(OptionError, match="tenant"):
            MilvusGallery(path, tenant=tenant)


def test_nothing_that_a_user_typed_is_ever_part_of_a_filter(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, filters = Connection.call, []

    def noting(self: Connection, method: str, /, *args: Any, **options: Any) -> Any:
        filters.append(options.get("filter", ""))
        return call(self, method, *args, **options)

    monkeypatch.setattr(Connection, "call", noting)
    with MilvusGallery(path, create=True) as store:
        store.add([face(n, photo="s'\"\\", photo_sha256="' or 1==1 --") for n in NAMES])
        for name in NAMES[:6]:
            store.person(name)
            list(store.faces(person=name))
            assert store.has_source("' or 1==1 --", person=name, model_sha256=A)
        store.merge(NAMES[2], NAMES[3], NAMES[4])
        store.rename(NAMES[2], NAMES[3])
        store.remove(NAMES[3])
        list(store.people())
    allowed = re.compile(
        r'(?:tenant == "\w+"|(?:name_key|person|id|source_key) '
        r'(?:==|in) (?:"[0-9a-f]*"|\[(?:(?:"[0-9a-f]+"|\d+)(?:, )?)*\])'
        r'|(?:id|face|levelled|expires) (?:==|<|>|in) (?:-?\d+|"[^" ]*"|\[[\d, ]+\])'
        r"| and )*"
    )
    assert len(filters) > 50
    for text in filters:
        assert allowed.fullmatch(text), text


def test_a_folder_serves_one_process(path: str, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from visavis.gallery.milvus.store import MilvusGallery
        store = MilvusGallery({path!r}, create=True)
        print("open", flush=True)
        input()
        store.close()
        print("closed", flush=True)
        input()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(GalleryBusyError):
            MilvusGallery(path, options=MilvusOptions(wait=0.1))
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "closed\n"
        with MilvusGallery(path) as store:  # closing lets go, before the process ends
            assert names(store) == []
        holder.stdin.write("\n")


def test_killed_while_enrolling(path: str) -> None:
    script = textwrap.dedent(f"""
        import numpy as np
        from visavis.gallery.milvus.store import MilvusGallery
        from visavis.gallery.records import NewFace
        store = MilvusGallery({path!r}, create=True)
        print("open", flush=True)
        for batch in range(10**6):
            name = f"P{{batch % 7}}"
            faces = [NewFace(name if i else f"{{name}}x", np.eye(4, dtype=np.float32)[i % 4], "m",
                             "a" * 64, photo=str(batch)) for i in range(30)]
            store.add(faces)
            print(batch, flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout
        lines = [p.stdout.readline() for _ in range(5)]
        os.kill(p.pid, signal.SIGKILL)
        lines += p.stdout.readlines()
    acknowledged = [int(line) for line in lines if line.strip().isdigit()]
    with MilvusGallery(path) as store:
        sources = [f.photo for f in store.faces()]
        counts = {source: sources.count(source) for source in sources}
        for batch in acknowledged:
            assert counts.pop(str(batch)) == 30
        assert len(counts) <= 1  # the batch that was on its way, or a part of it
        assert all(count <= 30 for count in counts.values())
        assert store.check().ok, store.check().problems


@pytest.mark.parametrize("index", ["hnsw", "ivf_sq8"])
def test_approximate_indexes_reach_the_recall(path: str, index: Any) -> None:
    rng = np.random.default_rng(2)
    people = rng.normal(size=(700, 32))
    vectors = (people[np.arange(2100) % 700] + 0.5 * rng.normal(size=(2100, 32))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    options = MilvusOptions(index=index, recall=0.99)
    with MilvusGallery(path, create=True, options=options) as store:
        store.add([face(f"P{i % 700}", v) for i, v in enumerate(vectors)])
        table = store._faces.models()[A].faces
        store._connection.call("flush", store._tables._name(table))  # builds the index
        probes = vectors[:100] + 0.3 * rng.normal(size=(100, 32)).astype(np.float32)
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        answers = store.search(probes.astype(np.float32), model_sha256=A, k=5, fusion="max")
        hits = 0
        for probe, matches in zip(probes, answers, strict=True):
            best = np.max((vectors @ probe).reshape(3, 700), axis=0)
            hits += len({f"P{p}" for p in np.argsort(-best)[:5]} & {m.person for m in matches})
        assert hits >= 0.99 * 500
        assert index in next(iter(store.info().index.values()))


def test_partitions_by_tenant(path: str) -> None:
    options = MilvusOptions(partitions=4)
    with MilvusGallery(path, create=True, options=options, tenant="a") as store:
        store.add([face("Anne"), face("Bob", E[1])])
        table = store._tables._name(store._faces.models()[A].faces)
        fields = store._connection.call("describe_collection", table)["fields"]
        assert [f["name"] for f in fields if f.get("is_partition_key")] == ["tenant"]
        with MilvusGallery(path, options=options, tenant="b") as two:
            two.add([face("Anne", E[2])])
            assert found(two, E[2]) == [("Anne", 1.0)]
        assert store.remove("Bob") == 1
        assert found(store, E[2]) == [("Anne", 0.0)]


def test_check_finds_what_was_changed_behind_its_back(store: MilvusGallery) -> None:
    prepare(store)
    tables, model = store._tables, store._faces.models()[A]

    def rows(table: str) -> list[Any]:
        return [row for page in tables.pages(table, "", ["*"]) for row in page]

    first = rows(model.faces)[0]
    tables.put(model.faces, [first | {"vector": HALF * np.float32(0.999)}])
    assert any("not what was written" in p for p in store.check().problems)
    tables.put(model.faces, [first])
    assert store.check().ok

    for table in model.means:
        mean = rows(table)[0]
        tables.put(table, [mean | {"vector": -HALF}])
        assert any("out of date" in p for p in store.check().problems)
        tables.put(table, [mean])
        assert store.check().ok

    tables.put("people", [rows("people")[0] | {"id": "f" * 32}])
    assert any("one name" in p for p in store.check().problems)
    tables.delete("people", "id", ["f" * 32])
    assert store.check().ok

    with sqlite3.connect(store._ledger.folder / "gallery.sqlite") as db:
        db.execute("DROP TRIGGER audit_is_never_changed")
        db.execute("UPDATE audit SET details = '{}' WHERE seq = 2")
    db.close()
    assert any("changed" in p for p in store.check().problems)


def test_the_audit_is_beside_the_gallery_and_private(path: str, tmp_path: Path) -> None:
    with MilvusGallery(path, create=True, tenant="berlin") as store:
        store.add([face("Unmistakable")])
        with pytest.MonkeyPatch.context() as patch:
            crashing(patch, 4)
            with pytest.raises(Crash):
                store.add([face("Unmistakable too")])
    folder = Path(f"{path}.audit")
    assert [p.name for p in folder.iterdir()] == ["visavis.berlin"]
    for file in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file
        assert file.is_dir() or b"Unmistakable" not in file.read_bytes()


def test_a_gallery_of_a_former_version_is_named(store: MilvusGallery, path: str) -> None:
    store.add([face("Anne")])
    collection = store._connection.call("describe_alias", "visavis_people")["collection_name"]
    store._connection.call("create_alias", collection, "visavis_audit")
    with pytest.raises(GalleryError, match="earlier visavis"):
        MilvusGallery(path)


def test_erasing_later(path: str, tmp_path: Path) -> None:
    vector = np.random.default_rng(0).normal(size=64).astype(np.float32)
    vector /= np.linalg.norm(vector)
    options = MilvusOptions(erase="later")
    with MilvusGallery(path, create=True, options=options) as store:
        store.add([face("Unmistakable", vector), face("Other", np.eye(64, dtype=np.float32)[0])])
        store.rename("Unmistakable", "Renamed")
        store.remove("Renamed")
        store.compact()
        assert names(store) == ["Other"]
        for file in tmp_path.rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert vector[:8].tobytes() not in content
            assert b"Unmistakable" not in content
            assert b"Renamed" not in content


def test_only_the_loopback_is_spoken_to(store: MilvusGallery) -> None:
    if not Path("/proc/self/net/tcp").exists():
        pytest.skip("no /proc on this system")
    prepare(store)
    mine = {_target(fd) for fd in Path("/proc/self/fd").iterdir()}
    remote = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if f"socket:[{parts[9]}]" in mine:
                remote.add(parts[2].rpartition(":")[0])
    nobody = {"0" * 8, "0" * 32}
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert remote - nobody <= loopback


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:
        return ""


def test_a_closed_gallery_leaves_no_connection(tmp_path: Path) -> None:
    from pymilvus.client.connection_manager import ConnectionManager

    before = ConnectionManager.get_instance().get_stats()["total_connections"]
    for name in ("a.db", "b.db"):
        path = str(tmp_path / name)
        with MilvusGallery(path, create=True) as one, MilvusGallery(path) as two:
            assert ConnectionManager.get_instance().get_stats()["total_connections"] > before
            one.add([face("Anne")])
            one.close()
            assert names(two) == ["Anne"]
    assert ConnectionManager.get_instance().get_stats()["total_connections"] == before


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GalleryError, match=r"none\.db"):
        MilvusGallery(str(tmp_path / "none.db"))
    with pytest.raises(GalleryError, match="none"):
        MilvusGallery(str(tmp_path / "none" / "x.db"), create=True)
    with pytest.raises(OptionError, match=r"\.db"):
        MilvusGallery(str(tmp_path / "gallery"), create=True)
    (tmp_path / "old.db").write_bytes(b"SQLite format 3")
    with pytest.raises(GalleryError, match="Milvus Lite"):
        MilvusGallery(str(tmp_path / "old.db"))
    with pytest.raises(GalleryError, match=r"127\.0\.0\.1:1"):
        MilvusGallery("http://127.0.0.1:1", options=MilvusOptions(timeout=1))
    with MilvusGallery(str(tmp_path / "new.db"), create=True):
        assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o700
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"visavis\[milvus\]"):
        MilvusGallery(str(tmp_path / "new.db"))


def test_what_milvus_cannot_keep_is_refused_without_a_trace(store: MilvusGallery) -> None:
    prepare(store)
    before = state(store)
    with pytest.raises(OptionError, match="photo"):
        store.add([face("New"), face("New", photo="x" * 9000)])
    with pytest.raises(OptionError, match="attributes"):
        store.set_attributes("Bob", {"x": "ü" * 40_000})
    assert state(store) == before


@pytest.mark.parametrize(
    "wrong",
    [{"index": "pq"}, {"recall": 0.1}, {"writer": 1024}, {"partitions": -1}, {"prefix": "a-b"},
     {"erase": "never"}, {"shards": 0}],
    ids=str,
)  # fmt: skip
def test_options_are_checked(wrong: Any) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        MilvusOptions(**wrong)


def test_index_parameters_grow_with_the_recall() -> None:
    efforts = [search_parameters("hnsw", r, limit=10)["ef"] for r in (0.5, 0.9, 0.95, 0.99, 1)]
    assert efforts == sorted(efforts)
    assert search_parameters("hnsw", 0.9, limit=5000) == {"ef": 5000}
    assert search_parameters("flat", 0.9, limit=5) == {}
    assert index_parameters("ivf_sq8", expected=10**6)[1]["nlist"] == 4096
    assert index_parameters("diskann")[0] == "DISKANN"


def test_several_writers_number_apart(path: str) -> None:
    stores = [MilvusGallery(path, create=True, options=MilvusOptions(writer=w)) for w in (0, 7)]
    numbers = [n for _ in range(3) for s in stores for n in s.add([face("Anne"), face("Bob")])]
    assert len(set(numbers)) == len(numbers) == 12
    assert {n % 1024 for n in numbers} == {0, 7}
    assert numbers == sorted(numbers)
    assert stores[0].check().ok, stores[0].check().problems
    assert [e.seq for e in stores[1].audit(action="enrol")] == [*range(2, 8)]
    for one in stores:
        one.close()


def test_a_new_face_of_a_forgotten_model_may_have_another_length(store: MilvusGallery) -> None:
    store.add([face("Anne")])
    store.remove("Anne")
    six = np.eye(6, dtype=np.float32)[0]
    store.add([NewFace("Anne", six, "model-a", A)])
    assert [f.vector.tobytes() for f in store.faces()] == [six.tobytes()]
    assert store.check().ok
