"""Feeds random changes of small files to every reader: each returns, or refuses in one line, soon.

``python -m tests.faults.fuzz --seconds 600 --seed 1`` changes bits, bytes, numbers and lengths,
copies and drops pieces, and joins two files. It prints a table; exits with 1 if something else was
raised, or took longer than ten seconds; after two minutes it ends with a traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from visavis import images
from visavis.decision import calibration_file
from visavis.embedding.check import check_graph
from visavis.errors import VisavisError
from visavis.evaluation import scores
from visavis.evaluation.protocols import bin as sets
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.gallery.transfer import export, import_, needs_key
from visavis.training.data import rec
from visavis.training.data.pack import open_pack, write_pack

_SLOW: Final = 10.0
_HUNG: Final = 120.0
_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1)


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Returns a random change of ``data``; pieces may come from ``other``."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not out:
            break
        at = int(rng.integers(0, len(out)))
        how = int(rng.integers(0, 7))
        if how == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif how == 1:
            out[at] = int(rng.integers(0, 256))
        elif how == 2:
            number = _NUMBERS[int(rng.integers(0, len(_NUMBERS)))]
            order = "little" if rng.integers(0, 2) else "big"
            width = (1, 2, 4, 8)[int(rng.integers(0, 4))]
            piece = (number % 256**width).to_bytes(width, order)  # type: ignore[arg-type]
            out[at : at + width] = piece
        elif how == 3:
            del out[at : at + int(rng.integers(1, 64))]
        elif how == 4:
            out[at:at] = out[at : at + int(rng.integers(1, 64))]
        elif how == 5:
            del out[at:]
        else:
            start = int(rng.integers(0, len(other)))
            out[at : at + 32] = other[start : start + 32]
    return bytes(out)


@dataclass(slots=True)
class Reader:
    """A reader of files.

    Attributes:
        seeds: whole files.
        read: reads bytes as that file; may use the folder.
        runs: how often it read.
        refused: how often it refused.
        findings: what went wrong, with the bytes, by the last line of the traceback.
    """

    seeds: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    runs: int = 0
    refused: int = 0
    findings: dict[str, bytes] = field(default_factory=dict)

    def once(self, data: bytes, folder: Path) -> None:
        """Reads once."""
        self.runs += 1
        before = time.monotonic()
        try:
            self.read(data, folder)
        except VisavisError as error:
            self.refused += 1
            if "\n" in str(error):
                self.findings.setdefault(f"lines: {error!r}"[:300], data)
        except Exception:
            lines = traceback.format_exc().splitlines()
            self.findings.setdefault(" | ".join(lines[-4:])[:500], data)
        if time.monotonic() - before > _SLOW:
            self.findings.setdefault(f"slow: {time.monotonic() - before:.0f} s", data)


def _image_seeds() -> tuple[bytes, ...]:
    from tests.images import mutation

    return tuple(data for family in mutation.FAMILIES for data in mutation.seeds(family))


def _bin_seed(folder: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3)).astype(np.uint8)
    sets.write(folder / "s.bin", list(pixels), [True, False, True, False])
    return (folder / "s.bin").read_bytes()


def _read_as(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def act(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return act


def _rec_seed() -> bytes:
    from tests.training.data import test_rec

    content = images_of_one()
    return b"".join(
        test_rec.record(test_rec.header(label, key) + content)
        for key, label in enumerate([0.0, 0.0, 1.0, [1.0, 2.0]])
    )


def images_of_one() -> bytes:
    """Returns a small PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _read_rec(path: Path) -> object:
    return [photo.read() for photo in rec.read(path)[:20]]


def _pack_seed(folder: Path) -> bytes:
    crops = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    names = [f"{k}.jpg" for k in range(6)]
    write_pack(
        folder / "p.pack", crops, [0, 0, 1, 1, 2, 2], ["A", "B", "C"], names, size=8, scale=0.85,
        origin="here",
    )  # fmt: skip
    return (folder / "p.pack").read_bytes()


def _read_pack(path: Path) -> object:
    pack = open_pack(path)
    pack.verify()
    return pack.crops.sum()


def _export_seed(folder: Path) -> bytes:
    from tests.faults.damage import _face

    with SqliteGallery(folder / "seed", create=True) as store:
        store.add([_face(f"P{k}", k, crop=k == 0) for k in range(6)])
        export(store, folder / "e.visavis")
    return (folder / "e.visavis").read_bytes()


def _import(path: Path) -> object:
    needs_key(path)
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        SqliteGallery(Path(folder) / "g", create=True) as store,
    ):
        return import_(store, path)


def _onnx_seed() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def _unsigned(calibration: Path) -> bytes:
    """Returns a calibration without its checksum, as former versions wrote it."""
    plain = json.loads(calibration.read_bytes())
    del plain["sha256"]
    return json.dumps(plain).encode()


def readers(folder: Path) -> dict[str, Reader]:
    """Returns all readers; ``folder`` is an empty folder for their seeds."""
    shipped = Path(calibration_file.__file__).parent / "data" / "sface-lfw.json"
    table = b"a,b,same,score,llr\nx,y,1,0.5,2\nx,z,0,0.1,-3\nq,z,0,-0.1,-4\n"
    return {
        "images": Reader(_image_seeds(), lambda data, _: images.decode(data)),
        ".bin": Reader((_bin_seed(folder),), _read_as("f.bin", sets.read)),
        ".rec": Reader((_rec_seed(),), _read_as("f.rec", _read_rec)),
        "packs": Reader((_pack_seed(folder),), _read_as("f.pack", _read_pack)),
        "exports": Reader((_export_seed(folder),), _read_as("f.visavis", _import)),
        "calibrations": Reader(
            (shipped.read_bytes(), _unsigned(shipped)),
            lambda data, _: calibration_file.loads(data.decode("utf-8", "replace"), source="c"),
        ),
        "score files": Reader((table,), _read_as("f.csv", scores.read)),
        "ONNX": Reader((_onnx_seed(),), _read_as("f.onnx", check_graph)),
    }


def fuzz(
    seconds: float, seed: int, *, only: str = "", most: int = 10**9, hung: float | None = None
) -> dict[str, Reader]:
    """Reads changed files for some seconds, or ``most`` times a reader; an equal time for each.

    A reader that takes ``hung`` seconds ends the process, with a traceback.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        every = {name: one for name, one in readers(folder).items() if name.startswith(only)}
        for reader in every.values():
            end = time.monotonic() + seconds / len(every)
            for _ in range(most):
                if time.monotonic() > end:
                    break
                if hung is not None:
                    faulthandler.dump_traceback_later(hung, exit=True)
                one, two = rng.integers(0, len(reader.seeds), 2).tolist()
                reader.once(mutated(reader.seeds[one], reader.seeds[two], rng), folder)
                if hung is not None:
                    faulthandler.cancel_dump_traceback_later()
    return every


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only readers whose name starts so")
    options = parser.parse_args(arguments)
    found = fuzz(options.seconds, options.seed, only=options.only, hung=_HUNG)
    print(f"{'':14}    read  refused findings")
    for name, reader in found.items():
        print(f"{name:14} {reader.runs:7} {reader.refused:8} {len(reader.findings):8}")
    for name, reader in found.items():
        for what, data in reader.findings.items():
            print(f"{name}: {what}\n    {data[:64].hex()} ({len(data)} bytes)")
    return 1 if any(reader.findings for reader in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
