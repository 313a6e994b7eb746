"""Writes OpenVINO's format: an XML file and its weights."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.errors import ExportError
from visavis.exporting.graph import whole_graph
from visavis.exporting.source import Source
from visavis.types import Crops

_FLOAT: Final = ("ReduceL2", "Divide", "Maximum", "NormalizeL2", "Power", "Sqrt")
"""Operations of the division by the vector's length, which stays in float."""


def write_float(source: Source, folder: Path, crops: Crops) -> None:
    """Writes float32 weights; ``crops`` is ignored."""
    _save(_converted(source), folder)


def write_int8(source: Source, folder: Path, crops: Crops) -> None:
    """Quantizes with NNCF: 8-bit weights (per channel) and activations, MIXED preset (asymmetric
    activations, as PReLU needs).

    Args:
        source: the model.
        folder: must exist.
        crops: ``(K, S, S, 3)`` RGB uint8 for calibration.
    """
    nncf = load_nncf()
    tensors = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        quantized = nncf.quantize(
            _converted(source),
            nncf.Dataset([tensor[None] for tensor in tensors]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(tensors),
            ignored_scope=nncf.IgnoredScope(types=list(_FLOAT), validate=False),
        )
    _save(quantized, folder)


def load_nncf() -> Any:
    """Imports NNCF without its telemetry, which reports each use over the network unasked."""
    telemetry = "openvino_telemetry"
    before = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import nncf
    finally:
        del sys.modules[telemetry]
        if before is not None:
            sys.modules[telemetry] = before
    nncf.set_log_level(logging.ERROR)
    return nncf


def _converted(source: Source) -> Any:
    from visavis.inference.openvino import core

    graph = whole_graph(source, prelu=True).SerializeToString()
    try:
        model = core().read_model(graph)
    except RuntimeError as error:
        raise ExportError(
            f"model {source.entry.name!r} cannot be converted by OpenVINO "
            f"({str(error).splitlines()[0]})",
            "choose another target",
        ) from error
    from openvino.passes import ConstantFolding, Manager

    # Batch normalization becomes part of the convolutions before NNCF sees it.
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    return model


def _save(model: Any, folder: Path) -> None:
    import openvino

    path = folder / "model.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    # A fifth of a small model's 8-bit file would be indentation. Without the last line break, the
    # two files one after the other have the model's hash.
    path.write_bytes(re.sub(rb">\s+<", b"><", path.read_bytes()).strip())
