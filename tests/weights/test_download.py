"""Downloads from a server that can misbehave."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from visavis.errors import ModelDamagedError, ModelUnavailableError
from visavis.weights import ModelEntry, WeightStore
from visavis.weights.download import download

Register = Callable[..., ModelEntry]


def left_in(home: Path) -> list[str]:
    """Files in the home folder, but for locks."""
    files = (p for p in home.rglob("*") if p.is_file() and p.suffix != ".lock")
    return sorted(p.name for p in files)


def test_good_file(store: WeightStore, register: Register, server, content: bytes) -> None:
    entry = register(urls=(server.url("good"),))
    seen: list[tuple[int, int]] = []
    path = store.fetch("toy", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert store.path("toy") == path
    assert left_in(store.home) == [f"{entry.sha256}.onnx"]
    store.fetch("toy")
    assert server.requests == ["/good"]


@pytest.mark.parametrize("place", ["redirect", "unannounced"])
def test_other_ways_to_deliver(
    store: WeightStore, register: Register, server, content: bytes, place: str
) -> None:
    register(urls=(server.url(place),))
    assert store.fetch("toy").read_bytes() == content


@pytest.mark.parametrize(
    "case",
    [
        ("wrong", ModelDamagedError, "has sha256"),
        ("truncated", ModelUnavailableError, "error|ended after"),
        ("short", ModelUnavailableError, "ended after 100 of"),
        ("endless", ModelDamagedError, "more than the registered"),
        ("missing", ModelUnavailableError, "the server answered 404"),
        ("loop", ModelUnavailableError, "redirects"),
    ],
)
def test_bad_deliveries_leave_nothing(
    home: Path, register: Register, server, case: tuple[str, type, str]
) -> None:
    place, error, reason = case
    store = WeightStore(home)
    register(urls=(server.url(place),))
    with pytest.raises(error, match=reason) as raised:
        store.fetch("toy")
    assert server.url(place) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert left_in(store.home) == []
    with pytest.raises(ModelUnavailableError):
        store.path("toy")


def test_the_next_address_is_tried(
    store: WeightStore, register: Register, server, content: bytes
) -> None:
    places = ("missing", "wrong", "truncated", "good", "endless")
    register(urls=tuple(server.url(place) for place in places))
    assert store.fetch("toy").read_bytes() == content
    assert server.requests == ["/missing", "/wrong", "/truncated", "/good"]


def test_every_failed_address_is_named(store: WeightStore, register: Register, server) -> None:
    urls = (server.url("missing"), "http://127.0.0.1:1/closed", "not a url")
    register(urls=urls)
    with pytest.raises(ModelUnavailableError) as raised:
        store.fetch("toy")
    for url in urls:
        assert url in str(raised.value)
    assert "visavis models fetch toy" in raised.value.remedy


def test_silence_ends_in_a_time_out(server, content: bytes) -> None:
    with pytest.raises(ModelUnavailableError):
        download(
            server.url("silent"), io.BytesIO(), size=len(content), sha256="", timeout=(5.0, 0.3)
        )
    with pytest.raises(ModelUnavailableError):
        download(
            server.url("stuck"), io.BytesIO(), size=len(content), sha256="", timeout=(5.0, 0.3)
        )


def test_a_damaged_copy_is_replaced(
    store: WeightStore, register: Register, server, content: bytes
) -> None:
    register(urls=(server.url("good"),))
    path = store.fetch("toy")
    path.write_bytes(b"?" * len(content))
    with pytest.raises(ModelDamagedError):
        store.path("toy")
    assert store.fetch("toy") == path
    assert path.read_bytes() == content


def test_a_damaged_copy_stays_until_there_is_a_good_one(
    store: WeightStore, register: Register, server, content: bytes
) -> None:
    entry = register(urls=(server.url("wrong"),))
    cached = store.home / "models" / f"{entry.sha256}.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"?")
    with pytest.raises(ModelDamagedError):
        store.fetch("toy")
    assert cached.read_bytes() == b"?"


def test_path_downloads_only_when_allowed(
    home: Path, register: Register, server, content: bytes, carrier
) -> None:
    register(urls=(server.url("good"),), carriers=(carrier(b"something else"),))
    with pytest.raises(ModelDamagedError):
        WeightStore(home).path("toy")
    assert server.requests == []
    assert WeightStore(home, download=True).path("toy").read_bytes() == content
    assert server.requests == ["/good"]
    assert WeightStore(home).path("toy").read_bytes() == content


def test_damage_in_the_cache_is_reported_even_when_a_download_is_allowed(
    home: Path, register: Register, server
) -> None:
    entry = register(urls=(server.url("good"),))
    cached = home / "models" / f"{entry.sha256}.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"?")
    with pytest.raises(ModelDamagedError):
        WeightStore(home, download=True).path("toy")
    assert server.requests == []
