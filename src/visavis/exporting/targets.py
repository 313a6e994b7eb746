"""The targets, and what writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from visavis.errors import require_extra
from visavis.exporting import onnx_files, openvino_files, torch_files
from visavis.exporting.source import Source
from visavis.types import Crops, Record


@dataclass(frozen=True, slots=True)
class Target(Record):
    """A format that a model can be exported to.

    Attributes:
        name: as in ``--to``.
        files: names of the files: the model, then its weights if they are apart.
        format: as in ``ModelEntry.format``.
        bits: of a weight: 32, 16 or 8.
        needs: extras and a module of each.
        tools: distributions that write it, for the record.
        largest: ``1 - cosine`` to the source that no crop may exceed; ``None`` for 8 bits.
        mean: mean of the same that may not be exceeded.
        note: a sentence for the user, or "".
    """

    name: str
    files: tuple[str, ...]
    format: str
    bits: int
    tools: tuple[str, ...]
    needs: tuple[tuple[str, str], ...] = ()
    largest: float | None = 1e-4
    mean: float = 1e-5
    note: str = ""

    @property
    def quantized(self) -> bool:
        """Whether it needs crops for calibration."""
        return self.bits == 8

    def require(self) -> None:
        """Checks that the packages it needs are installed.

        Raises:
            MissingExtraError: one is not.
        """
        for extra, module in self.needs:
            require_extra(extra, f"the target {self.name!r}", module=module)

    def versions(self) -> dict[str, str]:
        """Versions of the tools that write it."""
        return {tool: version(tool) for tool in self.tools}


_TORCH: Final = (("train", "torch"), ("train", "safetensors"))
_DEPRECATED: Final = "TorchScript is deprecated by PyTorch: prefer torch-export for new work"

_ALL: Final = (
    Target("onnx", ("model.onnx",), "onnx", 32, ("onnx", "onnxruntime")),
    Target(
        "onnx-fp16", ("model.onnx",), "onnx", 16, ("onnx", "onnxruntime"), largest=1e-3, mean=1e-4
    ),
    Target(
        "onnx-int8", ("model.onnx",), "onnx", 8, ("onnx", "onnxruntime"), largest=None, mean=0.03
    ),
    Target(
        "openvino",
        ("model.xml", "model.bin"),
        "openvino",
        32,
        ("openvino",),
        (("openvino", "openvino"),),
    ),
    Target(
        "openvino-int8",
        ("model.xml", "model.bin"),
        "openvino",
        8,
        ("openvino", "nncf"),
        (("export", "nncf"), ("openvino", "openvino")),
        largest=None,
        mean=0.03,
    ),
    Target("torch-export", ("model.pt2",), "torch-export", 32, ("torch",), _TORCH),
    Target("torchscript", ("model.pt",), "torchscript", 32, ("torch",), _TORCH, note=_DEPRECATED),
    Target(
        "torchscript-fp16",
        ("model.pt",),
        "torchscript",
        16,
        ("torch",),
        _TORCH,
        largest=1e-3,
        mean=1e-4,
        note=_DEPRECATED,
    ),
)

TARGETS: Final = {target.name: target for target in _ALL}
"""All targets by name."""

_WRITERS: Final[dict[str, Callable[[Source, Path, Crops], None]]] = {
    "onnx": onnx_files.write_float,
    "onnx-fp16": onnx_files.write_fp16,
    "onnx-int8": onnx_files.write_int8,
    "openvino": openvino_files.write_float,
    "openvino-int8": openvino_files.write_int8,
    "torch-export": torch_files.write_exported,
    "torchscript": torch_files.write_script,
    "torchscript-fp16": torch_files.write_half_script,
}


def write(source: Source, target: Target, folder: Path, crops: Crops) -> None:
    """Writes the files of a target.

    Args:
        source: the model.
        target: the format.
        folder: must exist.
        crops: ``(K, S, S, 3)`` RGB uint8 for calibration; ignored by float targets.

    Raises:
        ExportError: the model cannot be written in this format; the message says why.
        MissingExtraError: a package is not installed.
    """
    target.require()
    _WRITERS[target.name](source, folder, crops)
