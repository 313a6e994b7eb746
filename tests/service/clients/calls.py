"""Calls of a real client, which runs in a process and an environment of its own."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.service.clients.environments import python

HERE = Path(__file__).parent


class ClientError(Exception):
    """What the client raised.

    Attributes:
        kind: name of its exception.
        response: its ``response``, if it has one.
    """

    def __init__(self, kind: str, message: str, response: Any) -> None:
        super().__init__(message)
        self.kind, self.response = kind, response


class Client:
    """A client's process: ``client("faces", "add", image_path=..., subject=...)``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, of: str, method: str, /, **arguments: Any) -> Any:
        call = {"of": of, "method": method, "arguments": arguments}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call, default=_plain) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise ClientError(told["error"], told["message"], told["response"])
        return told["answer"]


def _plain(value: Any) -> Any:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


@contextmanager
def client(name: str, *arguments: Any, worker: str | None = None) -> Iterator[Client]:
    """Runs ``NAME_worker.py`` in the environment ``NAME``."""
    script = HERE / f"{worker or name}_worker.py"
    command = [python(name), str(script), *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def cases(peers: Path) -> list[tuple[Path, Path]]:
    """Returns 12 labelled pairs of real photos; the first 6 are mated, the first 5 of 5 people."""
    folder = peers / "deepface"
    rows = list(csv.DictReader((folder / "master.csv").open(encoding="utf-8")))
    chosen = [row for row in rows if row["Decision"] == "Yes"][:6]
    chosen += [row for row in rows if row["Decision"] == "No"][:6]
    return [(folder / row["file_x"], folder / row["file_y"]) for row in chosen]
