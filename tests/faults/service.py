"""Damages what an HTTP service reads, or fills its disk, and asks everything over HTTP.

``python -m tests.faults.service --count 1000 --seed 1`` damages galleries (plain, encrypted), their
search indexes, a calibration and the keys, before the service opens them or beneath the running
service, and sends requests. An answer must be the one of the undamaged files, or a problem
(RFC 9457) whose reason is damage; a start may be refused in one line. The log must have no
traceback. Galleries and keys are opened anew for each damage, as at a start, in one service
(uvicorn, in this process). ``--processes 20`` also starts ``visavis serve`` that often, each time
with one damaged file; ``--disk 60`` (as root) enrolls, erases and identifies that often with a
random number of bytes free. Exits with 1 if something was wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from PIL import Image
from tests.faults.damage import KINDS, Finding, Tally, damage
from tests.faults.full_disk import fill, small_disk
from tests.service.running import running

from visavis.errors import VisavisError
from visavis.gallery.crypto.key import Key
from visavis.gallery.index.template_index import IndexOptions
from visavis.gallery.records import NewFace
from visavis.gallery.sqlite.opening import GalleryOptions
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.service.keys import KeyStore
from visavis.service.state import GalleryPlace, Service, ServiceOptions

_PEOPLE: Final = 90
_KEY: Final = Key(bytes(range(32)))
_PLENTY: Final = 10**6
"""Requests a minute of each key."""

OPTIONS: Final = GalleryOptions(index=IndexOptions(), snapshot_from=1, timeout=5)
"""Saves search indexes of small galleries, too."""

TARGETS: Final = {
    "gallery, plain": ("door", "door/gallery.sqlite"),
    "gallery, encrypted": ("vault", "vault/gallery.sqlite"),
    "search index, plain": ("door", "door/index/*"),
    "search index, encrypted": ("vault", "vault/index/*"),
    "calibration": ("door", "home/calibrations/mine.json"),
    "keys": ("door", "home/keys.sqlite"),
}
"""Gallery that is asked, and the files that are damaged."""

WHEN: Final = ("at start", "beneath")
_TRUE_REASONS: Final = {
    "gallery": {"gallery-damaged", "gallery", "gallery-key"},
    "search": {"gallery-damaged", "gallery", "gallery-key"},
    "calibration": {"calibration"},
    "keys": {"key-file"},
}


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def _photos() -> dict[str, bytes]:
    import skimage.data

    face = skimage.data.astronaut()[20:260, 120:340]
    return {"Ann": _jpeg(face), "mirrored": _jpeg(np.ascontiguousarray(face[:, ::-1]))}


class World:
    """Files of a service: two galleries with the same people, a calibration, keys.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = _photos()
        import visavis.decision

        shipped = Path(visavis.decision.__file__).parent / "data" / "sface-lfw.json"
        (folder / "home" / "calibrations").mkdir(parents=True)
        shutil.copy(shipped, folder / "home" / "calibrations" / "mine.json")
        self.tokens = self._make_keys()
        self.ids = {name: self._make_gallery(name) for name in ("door", "vault")}

    def _make_keys(self) -> dict[str, str]:
        store = KeyStore(self.folder / "home" / "keys.sqlite")
        wanted: dict[str, tuple[list[str], list[str], str | None]] = {
            "all": (["admin"], ["*"], None),
            "verifier": (["verify"], [], None),
            "front desk": (["verify", "identify", "enroll"], ["door", "vault"], None),
            "elsewhere": (["verify", "identify", "enroll"], ["other"], None),
            "expired": (["admin"], ["*"], "2020-01-01T00:00:00+00:00"),
            "revoked": (["admin"], ["*"], None),
        }
        made = {
            name: store.create(
                scopes=scopes, galleries=seen, expires=expires, rate=_PLENTY, label=name
            )
            for name, (scopes, seen, expires) in wanted.items()
        }
        store.revoke(made["revoked"][0].id)
        store.own_calibration("mine", ["door", "vault"])
        store.close()
        return {name: token for name, (_, token) in made.items()}

    def _make_gallery(self, name: str) -> dict[str, str]:
        import visavis as vv

        place, key = self.folder / name, _KEY if name == "vault" else None
        with vv.Gallery(place, create=True, key=key) as gallery:
            gallery.enroll([("Ann", self.photos["Ann"], "a.jpg")])
            face = gallery.faces("Ann")[0]
            length = len(face.vector)
        rows = np.random.default_rng(1).normal(size=(2 * _PEOPLE, length)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        with SqliteGallery(place, key=key, options=OPTIONS) as store:
            store.add([
                NewFace(
                    f"Person {at % _PEOPLE:03}", row, face.model, face.model_sha256,
                    face.pipeline_id, 0.9, f"photos/{at}.jpg", f"{at:064x}", None,
                    "2999-01-01T00:00:00Z" if at % 7 == 0 else None,
                )
                for at, row in enumerate(rows)
            ])  # fmt: skip
            store.set_attributes("Person 004", {"door": 4})
            store.remove("Person 010")
            store.load_index()
            return {person.name: person.id for person in store.people()}

    def places(self, folder: Path) -> dict[str, GalleryPlace]:
        """Returns the galleries of a copy."""
        return {
            "door": GalleryPlace(str(folder / "door")),
            "vault": GalleryPlace(str(folder / "vault"), access={"key": _KEY}),
        }


Answers = dict[str, tuple[int, Any]]


LATE: Final = ("erased", "identify again")
"""Searches whose scores depend on what the gallery's mean was estimated from: the mean that the
first answered search found is kept until a twentieth of the gallery has changed."""


def ask(client: httpx.Client, world: World, gallery: str, *, early: bool = True) -> Answers:
    """Sends every request; returns status and what matters of the answer, by question.

    Args:
        client: of the running service.
        world: its files.
        gallery: the gallery that is asked.
        early: search before somebody is erased, too.
    """
    found: Answers = {}

    def send(question: str, method: str, path: str, token: str | None = "all", **more: Any) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {world.tokens[token]}"}
        params = {"gallery": gallery, **more.pop("params", {})}
        if more.pop("open", False):
            params = more.pop("query", {})
        answer = client.request(method, path, params=params, headers=headers, **more)
        kind = answer.headers.get("content-type", "")
        body = answer.json() if answer.content and "json" in kind else answer.text
        found[question] = (answer.status_code, _plain(body))
        return body

    def photo(name: str) -> dict[str, Any]:
        return {"photo": ("p.jpg", world.photos[name], "image/jpeg")}

    ids = world.ids[gallery]
    send("ready", "GET", "/readyz", None, open=True)
    for token in (None, *world.tokens):
        send(f"people for {token}", "GET", "/v1/people", token, params={"limit": 1000})
    send("Person 004", "GET", f"/v1/people/{ids['Person 004']}", "front desk")
    send("faces", "GET", f"/v1/people/{ids['Person 014']}/photos")
    send("nobody", "GET", "/v1/people", params={"name": "Nobody"})
    if early:
        send("identify", "POST", "/v1/identify", "front desk", files=photo("mirrored"))
    send("calibrations", "GET", "/v1/calibrations", "front desk", open=True)
    send("of others", "GET", "/v1/calibrations", "elsewhere", open=True)
    send("calibration", "GET", "/v1/calibrations/mine", open=True)
    pair = {"a": photo("Ann")["photo"], "b": photo("mirrored")["photo"]}
    send("verify", "POST", "/v1/verify", open=True, query={"calibration": "mine"}, files=pair)
    send("erase", "DELETE", f"/v1/people/{ids['Ann']}")
    send("erased", "POST", "/v1/identify", files=photo("mirrored"))
    send("enroll", "POST", "/v1/people", data={"name": "Bea"}, files=photo("Ann"))
    send("enrolled", "GET", "/v1/people", params={"name": "Bea"})
    send("identify again", "POST", "/v1/identify", files=photo("mirrored"))
    return found


def true_answers(asked: Answers, late: Answers) -> Answers:
    """Returns the answers of undamaged files, those of ``LATE`` without an early search as well."""
    return asked | {f"{question}, no search before": late[question] for question in LATE}


_ESTIMATED: Final = ("threshold", "fpir", "llr", "evidence", "posterior")


def _plain(value: Any) -> Any:
    """Returns an answer without ids and times of this request; numbers rounded.

    What is estimated from the gallery's own people is left out: it is estimated anew in time.
    """
    if isinstance(value, dict):
        if {"fpir", "score"} <= value.keys():  # a face or a candidate
            value = {k: v for k, v in value.items() if k not in _ESTIMATED}
        if value.get("name") == "Bea" or value.get("person") == "Bea":
            value = {k: v for k, v in value.items() if k not in {"id", "person_id"}}
        return {
            k: _plain(v) for k, v in value.items()
            if k not in {"instance", "created", "seconds", "timings"}
        }  # fmt: skip
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def judged(
    answers: Answers, truth: Answers, *, target: str, kind: str, done: str
) -> tuple[bool, list[Finding]]:
    """Compares answers with the truth; returns whether damage was noticed, and what was wrong."""
    noticed, findings = False, []
    reasons = _TRUE_REASONS[target.partition(",")[0].partition(" ")[0]]
    for question, (status, body) in answers.items():
        if (status, body) == truth[question]:
            continue
        noticed = True
        no_search = question in LATE and answers["identify"][0] >= 400
        if no_search and (status, body) == truth[f"{question}, no search before"]:
            continue
        reason = body.get("reason") if isinstance(body, dict) else None
        if status < 400 or reason not in reasons:
            what = f"wrong: {status} {str(body)[:250]} instead of {str(truth[question])[:150]}"
            if status >= 500 and reason not in reasons:
                what = f"raised: {status} {str(body)[:300]}"
            # What follows from a refused change is not wrong: nobody was erased or enrolled.
            first = {"erased": "erase", "enrolled": "enroll", "identify again": "enroll"}
            changed = first.get(question)
            if changed is None or answers[changed] == truth[changed]:
                findings.append(Finding(target, kind, done, question, what))
    return noticed, findings


class _Tracebacks(logging.Handler):
    """Collects tracebacks that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(f"{record.name}: {record.exc_info[1]!r}")


class Attack:
    """One running service, whose files are copied anew and damaged.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "whole").mkdir()
        self.world = World(folder / "whole")
        self._copy = folder / "copy"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        self.refusals: Counter[str] = Counter()

    @contextmanager
    def serving(self) -> Iterator[Attack]:
        """Starts the service, and finds what is true."""
        self._fresh()
        options = ServiceOptions(
            workers=1, home=self._copy / "home", temporary=self._temporary, seconds=60
        )
        log = _Tracebacks()
        logging.getLogger().addHandler(log)
        saved = SqliteGallery.__init__.__kwdefaults__["options"]
        SqliteGallery.__init__.__kwdefaults__["options"] = OPTIONS
        self._service = Service(options=options)
        self._log = log.found
        try:
            with running(self._service) as found:
                self._client = found.client
                self.truth = {
                    name: true_answers(
                        self._asked(name, lambda: None)[0],
                        self._asked(name, lambda: None, early=False)[0],
                    )
                    for name in ("door", "vault")
                }
                yield self
        finally:
            SqliteGallery.__init__.__kwdefaults__["options"] = saved
            logging.getLogger().removeHandler(log)

    def _fresh(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.world.folder, self._copy)

    def _asked(
        self, gallery: str, hurt: Any, *, beneath: bool = False, early: bool = True
    ) -> tuple[Answers, str]:
        """Opens copies of all files and asks; ``hurt`` damages them before, or after a request."""
        service = self._service
        service.keys.close()
        self._fresh()
        if not beneath:
            hurt()
        service.keys = KeyStore(self._copy / "home" / "keys.sqlite")
        service.engine._calibrated.clear()
        service.galleries = {}
        del self._log[:]
        try:
            place = self.world.places(self._copy)[gallery]
            try:
                service.galleries = {gallery: service._opened(place)}
            except VisavisError as error:
                return {}, str(error)
            if beneath:
                self._client.post(
                    "/v1/identify", files={"photo": self.world.photos["mirrored"]},
                    headers={"X-API-Key": self.world.tokens["all"]},
                ).raise_for_status()  # fmt: skip
                hurt()
            return ask(self._client, self.world, gallery, early=early), ""
        finally:
            for opened in service.galleries.values():
                opened.close()

    def once(
        self, target: str, kind: str, when: str, rng: np.random.Generator
    ) -> tuple[bool, list[Finding]]:
        """Damages once; returns whether it was noticed, and what was wrong."""
        gallery, pattern = TARGETS[target]
        done = ""

        def hurt() -> None:
            nonlocal done
            files = sorted(self._copy.glob(pattern))
            done = f"{when}, {damage(files[int(rng.integers(0, len(files)))], kind, rng)}"

        answers, refused = self._asked(gallery, hurt, beneath=when == "beneath")
        if refused:
            self.refusals[f"start: {refused.replace(str(self._copy), '')[:90]}"] += 1
            what = [f"raised: {refused}"] if "\n" in refused else []
            return True, [Finding(target, kind, done, "start", one) for one in what]
        noticed, findings = judged(
            answers, self.truth[gallery], target=target, kind=kind, done=done
        )
        for status, body in answers.values():
            if status >= 400:
                said = str(body["detail"]).replace(str(self._copy), "")[:70]
                self.refusals[f"{status} {body['reason']}: {said}"] += 1
        findings += [Finding(target, kind, done, "log", f"raised: {one}") for one in self._log]
        return noticed, findings


Tallies = dict[tuple[str, str], Tally]


def attack(
    count: int, seed: int, *, targets: Sequence[str] = tuple(TARGETS), refusals: Any = None
) -> tuple[Tallies, list[Finding]]:
    """Makes ``count`` damages in one running service, spread over targets, kinds and times."""
    tallies: Tallies = {}
    findings: list[Finding] = []
    rng = np.random.default_rng(seed)
    cases = [(target, kind, when) for kind in KINDS for when in WHEN for target in targets]
    with tempfile.TemporaryDirectory() as folder, Attack(Path(folder)).serving() as attacked:
        for at in range(count):
            target, kind, when = cases[at % len(cases)]
            noticed, found = attacked.once(target, kind, when, rng)
            tallies.setdefault((target, when), Tally()).add(noticed, found)
            findings += found
        if refusals is not None:
            refusals.update(attacked.refusals)
    return tallies, findings


# --- processes ---------------------------------------------------------------------------------


class Serving:
    """``visavis serve`` in a process of its own.

    Args:
        home: folder of keys and calibrations.
        galleries: folders by name; ``vault`` is encrypted.
        log: file for what it prints.
    """

    def __init__(self, home: Path, galleries: Mapping[str, Path], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = log
        command = [sys.executable, "-c", "from visavis.cli import main; main()", "serve"]
        for name, folder in galleries.items():
            command += ["--gallery", f"{name}={folder}"]
        command += ["--port", str(port), "--workers", "1"]
        environment = {
            **os.environ, "VISAVIS_HOME": str(home), "VISAVIS_KEY_VAULT": _KEY.to_text(),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }  # fmt: skip
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.started = self._begun()

    def _begun(self) -> bool:
        for _ in range(1200):
            if self._process.poll() is not None:
                return False
            try:
                self.client.get("/healthz").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return True
        raise AssertionError(f"no answer in a minute: {self._log.read_text()[-2000:]}")

    def end(self) -> list[str]:
        """Ends it; returns what was wrong in its log and with its exit."""
        self.client.close()
        if self.started:
            self._process.terminate()
        code = self._process.wait(60)
        lines = self._log.read_text().splitlines()
        wrong = []
        if self.started:
            found = [json.loads(line) for line in lines if line.startswith("{")]
            wrong += [f"log: {one}" for one in found if "frames" in one]
        else:
            lines = [line for line in lines if not line.startswith("galleries: ")]
            if code != 2 or len(lines) != 1:
                wrong.append(f"start: exit {code}, {lines[-5:]}")
        wrong += [f"log: {line}" for line in lines if "Traceback" in line]
        return wrong

    def said(self) -> str:
        """Returns the last line that it printed."""
        return self._log.read_text().strip().rpartition("\n")[2]


def processes(count: int, seed: int, *, refusals: Any = None) -> tuple[Tallies, list[Finding]]:
    """Starts ``visavis serve`` ``count`` times, each time with one damaged file."""
    tallies: Tallies = {}
    findings: list[Finding] = []
    rng = np.random.default_rng([seed, 1])
    cases = [(target, when) for when in WHEN for target in TARGETS]
    truth: dict[str, Answers] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "whole").mkdir()
        world = World(folder / "whole")
        copy = folder / "copy"
        for at in range(-4, count):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(world.folder, copy)
            target, when = cases[at % len(cases)]
            kind = KINDS[int(rng.integers(0, len(KINDS)))]
            gallery, pattern = TARGETS[target]
            done = ""
            if at < 0:
                gallery, when = ("door", "vault")[at % 2], ""
            files = sorted(copy.glob(pattern))
            file = files[int(rng.integers(0, len(files)))]
            if when == "at start":
                done = f"process, {when}, {damage(file, kind, rng)}"
            served = Serving(
                copy / "home", {name: copy / name for name in ("door", "vault")}, folder / "log"
            )
            answers: Answers = {}
            if served.started:
                if when == "beneath":
                    done = f"process, {when}, {damage(file, kind, rng)}"
                answers = ask(served.client, world, gallery, early=at >= -2)
            wrong = served.end()
            if at < 0:
                truth[gallery] = true_answers(answers, truth[gallery]) if at >= -2 else answers
                if wrong or not answers:
                    raise AssertionError(f"undamaged, yet {wrong} {served.said()}")
                continue
            found = [Finding(target, kind, done, "process", f"raised: {one}") for one in wrong]
            noticed = not answers
            if answers:
                noticed, more = judged(answers, truth[gallery], target=target, kind=kind, done=done)
                found += more
            elif refusals is not None:
                refusals[f"process: {served.said().replace(str(copy), '')[:100]}"] += 1
            tallies.setdefault((target, when), Tally()).add(noticed, found)
            findings += found
    return tallies, findings


# --- a full disk ---------------------------------------------------------------------------------

_ON_DISK: Final = 10
CHANGES: Final = ("enroll", "identify", "rename", "attributes", "erase", "erase face")


def full_disks(count: int, seed: int) -> dict[str, tuple[int, int, list[str]]] | None:
    """Changes galleries through ``visavis serve`` on disks that fill up; ``None`` if not permitted.

    Returns requests, refusals and what was wrong, by change.
    """
    rng = np.random.default_rng([seed, 2])
    found = {change: (0, 0, list[str]()) for change in CHANGES}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "whole").mkdir()
        world = World(folder / "whole")
        for start in range(0, count, _ON_DISK):
            with small_disk(folder / "disk", size=12 << 20) as disk:
                if disk is None:
                    return None
                names = [f"g{at}" for at in range(min(_ON_DISK, count - start))]
                for name in names:
                    shutil.copytree(world.folder / "door", disk / name)
                served = Serving(
                    world.folder / "home", {name: disk / name for name in names}, folder / "log"
                )
                if not served.started:
                    raise AssertionError(served.said())
                expected = {}
                for name in names:
                    free = int(rng.integers(0, 200_000)) // 4096 * 4096
                    order = rng.permutation(len(CHANGES)).tolist()
                    round_ = _Round(served.client, world, name, disk)
                    round_.run([CHANGES[at] for at in order], free)
                    expected[name] = round_
                wrong = served.end()
                for name in names:
                    expected[name].look(disk / name)
                    for change, (asked, refused, what) in expected[name].found.items():
                        a, b, c = found[change]
                        found[change] = (a + asked, b + refused, c + what)
                found["enroll"][2].extend(wrong)
            (folder / "disk").rmdir()
    return found


class _Round:
    """Changes of one gallery while its disk is full, and again when there is room."""

    def __init__(self, client: httpx.Client, world: World, gallery: str, disk: Path) -> None:
        self._client, self._world, self._gallery, self._disk = client, world, gallery, disk
        self.found = {change: (0, 0, list[str]()) for change in CHANGES}
        self._ids = world.ids["door"]
        self._names = dict.fromkeys(self._ids, 2) | {"Ann": 1}
        self._attributes: dict[str, Any] = {"Person 004": {"door": 4}}
        self._identified = 0
        self._made: set[str] = set()

    def run(self, changes: Sequence[str], free: int) -> None:
        """Sends every change once on a full disk, and again if it was refused."""
        filler = self._disk / "filler"
        face = self._send("GET", f"people/{self._ids['Person 014']}/photos").json()["faces"][0][
            "id"
        ]
        fill(filler, free)
        for change in changes:
            self._change(change, face, f"{free:,} free")
        filler.unlink()
        for change in changes:
            if change not in self._made:
                self._change(change, face, "room")
        if missing := set(changes) - self._made:
            self.found["enroll"][2].append(f"refused although there is room: {sorted(missing)}")

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._client.request(
            method, f"/v1/{path}", params={"gallery": self._gallery}, **more,
            headers={"Authorization": f"Bearer {self._world.tokens['all']}"},
        )  # fmt: skip

    def _change(self, change: str, face: int, where: str) -> None:
        ids, photos = self._ids, self._world.photos
        requests: dict[str, tuple[str, str, dict[str, Any]]] = {
            "enroll": ("POST", "people", {
                "data": {"name": "Bea"}, "files": {"photo": photos["mirrored"]},
            }),
            "identify": ("POST", "identify", {"files": {"photo": photos["Ann"]}}),
            "rename": ("PATCH", f"people/{ids['Person 021']}", {"json": {"name": "Renamed"}}),
            "attributes": ("PATCH", f"people/{ids['Person 022']}", {
                "json": {"attributes": {"x": 1}},
            }),
            "erase": ("DELETE", f"people/{ids['Person 023']}", {}),
            "erase face": ("DELETE", f"people/{ids['Person 014']}/photos/{face}", {}),
        }  # fmt: skip
        answer = self._send(*requests[change][:2], **requests[change][2])
        asked, refused, wrong = self.found[change]
        body = answer.json() if answer.content else {}
        done = answer.is_success or body.get("reason") == "erasure-incomplete"
        self.found[change] = (asked + 1, refused + (not answer.is_success), wrong)
        if not answer.is_success:
            said = f"{body.get('detail')}; {body.get('remedy')}"
            if (
                "disk is full" not in said
                or where == "room"
                or (not done and "nothing of this write was kept" not in said)
            ):
                wrong.append(f"{where}: {answer.status_code} {body.get('reason')}: {said}")
        if done:
            self._made = self._made | {change}
            self._expect(change)
            if change == "identify" and body["faces"][0]["person"] not in {"Ann", "Bea"}:
                wrong.append(f"{where}: identified {body['faces'][0]['person']}")

    def _expect(self, change: str) -> None:
        if change == "enroll":
            self._names["Bea"] = 1
        elif change == "identify":
            self._identified += 1
        elif change == "rename":
            self._names["Renamed"] = self._names.pop("Person 021")
        elif change == "attributes":
            self._attributes["Person 022"] = {"x": 1}
        elif change == "erase":
            del self._names["Person 023"]
        else:
            self._names["Person 014"] -= 1

    def look(self, folder: Path) -> None:
        """Compares the gallery with what was acknowledged."""
        with SqliteGallery(folder) as store:
            people = list(store.people())
            wrong = list(store.check().problems)
            if {one.name: sum(one.faces.values()) for one in people} != self._names:
                wrong.append("the people are not those that were acknowledged")
            if {one.name: one.attributes for one in people if one.attributes} != self._attributes:
                wrong.append("the attributes are not those that were acknowledged")
            entries = sum(1 for _ in store.audit(action="identify"))
            if entries != self._identified:
                wrong.append(f"{self._identified} searches answered, {entries} in the audit log")
        self.found["enroll"][2].extend(f"{folder.name}: {what}" for what in wrong)


def _print(tallies: Tallies, findings: Sequence[Finding], show: int) -> None:
    for one in findings[:show]:
        print(f"{one.target} | {one.kind} | {one.done} | {one.question}\n    {one.what}")
    print(f"{'':24} {'':9} noticed harmless wrong raised")
    for (target, when), t in tallies.items():
        print(f"{target:24} {when:9} {t.noticed:7} {t.harmless:8} {t.wrong:5} {t.raised:6}")
    names = ("noticed", "harmless", "wrong", "raised")
    sums = [sum(getattr(t, name) for t in tallies.values()) for name in names]
    print(f"{'all':24} {'':9} {sums[0]:7} {sums[1]:8} {sums[2]:5} {sums[3]:6}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the attacks; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.service", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damages in one running service")
    parser.add_argument("--processes", type=int, default=0, help="starts of visavis serve")
    parser.add_argument("--disk", type=int, default=0, help="full disks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only targets whose name starts so")
    parser.add_argument("--show", type=int, default=10, help="findings to print")
    parser.add_argument("--reasons", action="store_true", help="print the refusals")
    options = parser.parse_args(arguments)
    chosen = [name for name in TARGETS if name.startswith(options.only)]
    refusals: Counter[str] = Counter()
    tallies, findings = attack(options.count, options.seed, targets=chosen, refusals=refusals)
    _print(tallies, findings, options.show)
    if options.processes:
        print(f"{options.processes} starts of visavis serve")
        tallies, more = processes(options.processes, options.seed, refusals=refusals)
        _print(tallies, more, options.show)
        findings += more
    disks = full_disks(options.disk, options.seed) if options.disk else {}
    if disks is None:
        print("full disk skipped: mounting a small file system is not permitted")
    for change, (asked, refused, wrong) in (disks or {}).items():
        print(f"full disk: {change:12} {asked:4} requests, {refused:4} refused, {len(wrong)} wrong")
        for what in wrong[: options.show]:
            print(f"    {what}")
    if options.reasons:
        for said, times in refusals.most_common(60):
            print(f"{times:6} {said}")
    return 1 if findings or any(wrong for _, _, wrong in (disks or {}).values()) else 0


if __name__ == "__main__":
    sys.exit(main())
