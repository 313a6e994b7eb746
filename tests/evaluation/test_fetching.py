"""Fetching LFW from a mirror: verified, unpacked in one step, resumed."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from visavis.errors import DataError
from visavis.evaluation.fetching import RemoteFile, fetch_lfw


def archive(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"jpg"))
    return buffer.getvalue()


def served(server: HTTPServer, name: str, data: bytes, *, sha256: str | None = None) -> RemoteFile:
    server.expect_request(f"/{name}").respond_with_data(data)
    return RemoteFile(name, server.url_for(f"/{name}"), sha256 or hashlib.sha256(data).hexdigest())


def test_files_are_verified_and_archives_unpacked(httpserver: HTTPServer, tmp_path: Path) -> None:
    files = (
        served(httpserver, "pairs.txt", b"10\t300\n"),
        served(httpserver, "photos.tgz", archive(["lfw/Ann/Ann_0001.jpg", "lfw/Bo/Bo_0001.jpg"])),
    )
    seen: list[tuple[int, int]] = []
    folder = fetch_lfw(
        tmp_path / "lfw", files=files, progress=lambda done, total: seen.append((done, total))
    )
    assert (folder / "pairs.txt").read_bytes() == b"10\t300\n"
    assert (folder / "lfw" / "Bo" / "Bo_0001.jpg").read_bytes() == b"jpg"
    assert seen == [(1, 2), (2, 2)]
    for path in (folder, *folder.rglob("*")):  # but for the lists, all of it shows faces
        assert path.suffix == ".txt" or path.stat().st_mode & 0o077 == 0, path
    requests = len(httpserver.log)
    fetch_lfw(tmp_path / "lfw", files=files)
    assert len(httpserver.log) == requests  # nothing is fetched twice


def test_wrong_bytes_are_refused(httpserver: HTTPServer, tmp_path: Path) -> None:
    bad = served(httpserver, "pairs.txt", b"forged", sha256="0" * 64)
    with pytest.raises(DataError, match=r"pairs\.txt"):
        fetch_lfw(tmp_path, files=(bad,))
    assert not (tmp_path / "pairs.txt").exists()


def test_a_server_error_names_the_file_and_the_remedy(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/pairs.txt").respond_with_data(b"", status=503)
    missing = RemoteFile("pairs.txt", httpserver.url_for("/pairs.txt"), "0" * 64)
    with pytest.raises(DataError, match="--lfw"):
        fetch_lfw(tmp_path, files=(missing,))


def test_an_archive_that_leaves_its_folder_is_refused(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    evil = served(httpserver, "evil.tgz", archive(["../outside.txt"]))
    with pytest.raises(DataError, match="archive"):
        fetch_lfw(tmp_path / "lfw", files=(evil,))
    assert not (tmp_path / "outside.txt").exists()
