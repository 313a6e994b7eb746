"""Writes ONNX files: float32, FP16, and 8 bits (QDQ)."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from visavis.exporting.graph import INPUT, whole_graph, without_prelu
from visavis.exporting.source import Source
from visavis.types import Crops

if TYPE_CHECKING:
    from onnx import ModelProto

_FILE: Final = "model.onnx"
_FLOAT: Final = ("ReduceL2", "Div", "Max", "Clip")
"""Operators of the division by the vector's length, which stays in float."""


def write_float(source: Source, folder: Path, crops: Crops) -> None:
    """Writes float32 weights; ``crops`` is ignored."""
    _save(whole_graph(source, prelu=False), folder)


def write_fp16(source: Source, folder: Path, crops: Crops) -> None:
    """Writes FP16 weights, with float32 input and output; ``crops`` is ignored."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    graph = whole_graph(source, prelu=True)
    _save(convert_float_to_float16(graph, keep_io_types=True), folder)


def write_int8(source: Source, folder: Path, crops: Crops) -> None:
    """Quantizes with ONNX Runtime: static QDQ, 8-bit weights per channel and activations, ranges by
    minimum and maximum.

    Weights use seven of their eight bits: on processors without VNNI, ONNX Runtime's sums of
    products saturate with eight. PReLU is rewritten, since ONNX Runtime has none for 8 bits.

    Args:
        source: the model.
        folder: must exist.
        crops: ``(K, S, S, 3)`` RGB uint8 for calibration.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    graph = without_prelu(whole_graph(source, prelu=True))
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        plain, prepared = Path(scratch) / "plain.onnx", Path(scratch) / "prepared.onnx"
        onnx.save(graph, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        quantize_static(
            prepared,
            folder / _FILE,
            _Crops(crops),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[node.name for node in nodes if node.op_type in _FLOAT],
        )


class _Crops:
    """A ``CalibrationDataReader`` of ONNX Runtime, one crop at a time."""

    def __init__(self, crops: Crops) -> None:
        self._feeds = self._all(crops)

    def _all(self, crops: Crops) -> Iterator[dict[str, Any]]:
        for crop in crops.transpose(0, 3, 1, 2):
            yield {INPUT: np.ascontiguousarray(crop[None], dtype=np.float32)}

    def get_next(self) -> dict[str, Any] | None:
        """Returns the next input."""
        return next(self._feeds, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what the tools print and log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _save(model: ModelProto, folder: Path) -> None:
    (folder / _FILE).write_bytes(model.SerializeToString(deterministic=True))
