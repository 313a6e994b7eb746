"""Whatever goes wrong, no command ends with an exit status that is an answer."""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visavis.cli import output
from visavis.cli.output import json_rows

_MAIN = "from visavis.cli import main; main()"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("two\nlines"), ("bug in visavis", "RuntimeError: two lines")),
        (KeyError("name"), ("bug in visavis", "KeyError")),
        (AssertionError(), ("bug in visavis", "AssertionError")),
        (RecursionError("deep"), ("bug in visavis", "RecursionError")),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ("bug in visavis", "0xff")),
        (EOFError("ended"), ("bug in visavis", "EOFError")),
        (MemoryError(), ("out of memory",)),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y.bin"), ("/x/y.bin", "No space")),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), ("/x: Permission denied",)),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ("Broken pipe",)),  # of a worker, say
        (OSError("odd"), ("odd",)),
    ],
)
def test_every_error_is_one_line_and_status_2(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, words: tuple[str, ...]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("visavis.pipeline.Recognizer.__init__", fail)
    ended = run("verify", "a.jpg", "b.jpg")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("visavis: ")
    assert ended.err.count("\n") == 1
    assert all(word in ended.err for word in words)
    assert "Traceback" not in ended.err
    if "bug in visavis" in words:
        assert "VISAVIS_TRACEBACK=1" in ended.err
    monkeypatch.setenv("VISAVIS_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in run("verify", "a.jpg", "b.jpg").err


def test_ctrl_c_keeps_its_status(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("visavis.pipeline.Recognizer.__init__", stop)
    assert run("verify", "a.jpg", "b.jpg").code == 130


def _ended(line: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $V is the command."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f'V() {{ "$PYTHON" -c "from visavis.cli import main; main()" "$@"; }}\n{line}',
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHON": sys.executable, "VISAVIS_HOME": str(home)} | variables,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("V calibrate --list > /dev/full", 2, "standard output cannot be written (No space"),
        ("V calibrate --list --json > /dev/full", 2, "standard output cannot be written"),
        ("V calibrate --list >&-", 2, "standard output cannot be written"),
        ("V verify nowhere.jpg a.jpg >&- 2>&- <&-", 2, ""),
        ("V verify nowhere.jpg a.jpg 2> /dev/full", 2, ""),
        ("set -o pipefail; V calibrate --list | true", 141, ""),
    ],
)
def test_output_that_cannot_be_written(line: str, code: int, words: str, home: Path) -> None:
    ended = _ended(line, home)
    assert ended.returncode == code
    assert words in ended.stderr
    assert ended.stderr.count("\n") == bool(words)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_same_is_never_read_as_different(photo: Path, home: Path) -> None:
    """A script with pipefail, and one whose disk is full: the answer is lost, not turned."""
    line = """
        set -o pipefail
        V verify "$A" "$A" | true; echo "nobody reads: $?"
        V verify "$A" "$A" | head -1; echo "one line: $?"
        V verify "$A" "$A" > /dev/full; echo "full: $?"
    """
    ended = _ended(line, home, A=str(photo))
    answer, rest = ended.stdout.split("\n", 2)[1], ended.stdout.splitlines()
    assert answer.startswith("SAME")
    assert [rest[0], *rest[2:]] == ["nobody reads: 141", "one line: 0", "full: 2"]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["detect", "embed", "identify"])
def test_rows_come_as_they_are_ready(
    *,
    command: str,
    as_json: bool,
    portrait: np.ndarray,
    tmp_path: Path,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    from visavis.cli.app import run as run_command

    photos = [str(tmp_path / f"{k}.png") for k in range(3)]
    for k, path in enumerate(photos):
        Image.fromarray((portrait * (1 - 0.1 * k)).astype(np.uint8)).save(path)
    extra = ["--gallery", str(tmp_path / "g"), "--fpir", "0.1"] if command == "identify" else []
    if command == "identify":
        assert run("enroll", photos[0], "--name", "Ann", *extra).code == 0
    printed: list[bytes] = []

    @contextmanager
    def watched(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: printed.append(capfdbinary.readouterr().out)

    group = "gallery." if command == "identify" else ""
    room = importlib.import_module(f"visavis.cli.{group}{command}")
    monkeypatch.setattr(room if hasattr(room, "progress") else output, "progress", watched)
    with pytest.raises(SystemExit):
        run_command([command, *photos, *extra, *(["--json"] if as_json else [])])
    whole = [*printed, capfdbinary.readouterr().out]
    # Photos are counted before or after their row is printed.
    assert photos[0].encode() in b"".join(whole[:2])
    assert photos[2].encode() not in b"".join(whole[:2])
    if as_json:
        document = json.loads(b"".join(whole))
        rows = document["photos"] if command == "identify" else document
        assert [row["photo"] for row in rows] == photos


def test_json_of_no_rows_and_of_some() -> None:
    """The document is the one that is written at once."""
    for head, key, tail in (({}, "", {}), ({"a": [1]}, "rows", {}), ({"a": 1}, "rows", {"z": {}})):
        for rows in ([], [{"b": "x\ny"}], [1, [], {"c": [2, {}]}]):
            out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
            with redirect_stdout(out), json_rows(head, key=key, tail=tail) as put:
                for row in rows:
                    put(row)
            text = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
            whole = {**head, key: rows, **tail} if key else rows
            assert text == json.dumps(whole, indent=2) + "\n"


def test_a_long_text_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = "photos of the door, " * 20
    monkeypatch.setattr("sys.argv", ["visavis", "calibrate", str(tmp_path), "--dataset", long])
    assert output.command_line() == f"visavis calibrate {tmp_path.name} --dataset '{long}'"
