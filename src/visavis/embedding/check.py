"""Is this ONNX file a face embedder that we can serve? Looked at, then run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from visavis.embedding.graph_facts import read_facts
from visavis.embedding.graph_trial import reference_vectors, serving
from visavis.errors import ModelRefusedError, ModelUnavailableError, OptionError
from visavis.reading import read_bytes
from visavis.types import Crops, Record

_LARGEST_FILE: Final = 2**31 - 1  # what protobuf can parse

_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class CheckedGraph(Record):
    """What the check found.

    Attributes:
        sha256: hash of the file that was checked.
        dimension: length of the vector.
        input_size: side of the square crop in pixels.
        layout: ``NCHW`` or ``NHWC``.
        batch: crops the graph can take at once; ``None`` when any number, even if it declares one.
        runtimes: those that load the graph and agree with it to 1e-3 in cosine, by name.
        opset: version of the standard operators.
    """

    sha256: str
    dimension: int
    input_size: int
    layout: str
    batch: int | None
    runtimes: tuple[str, ...]
    opset: int


def check_graph(
    path: Path,
    *,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    input_size: int | None = None,
    layout: str | None = None,
) -> CheckedGraph:
    """Check that a file is a face embedder: one image in, one ``(N, D)`` vector out.

    The file is run on two unlike synthetic crops, each twice, by ONNX Runtime as it is; then, with
    folded weights and a free batch dimension, by each runtime that embedders use.

    Args:
        path: the ONNX file.
        mean: as it will be registered, see ``ModelEntry``.
        std: likewise.
        input_size: side of the crop in pixels; needed where the graph leaves it open.
        layout: ``NCHW`` or ``NHWC``; needed where the shape does not tell.

    Raises:
        ModelUnavailableError: the file cannot be read.
        ModelRefusedError: it is not such a graph; the message says why.
        OptionError: an option contradicts the graph, or is needed and missing.
    """
    source = Path(path)
    data = _read(source)
    facts = read_facts(data, source=str(source))
    size = _agree("input size", input_size, facts.input_size, source, option="--input-size")
    axes = _agree("layout", layout, facts.layout, source, option="--layout")
    crops = _unlike_crops(size)
    tensor = _tensor(crops, np.asarray(mean), np.asarray(std), axes)
    reference = reference_vectors(facts, tensor, source=str(source))
    batch, runtimes = serving(facts, tensor, reference)
    if not runtimes:
        raise ModelRefusedError(
            f"{source} runs, but not with its weights folded and its input shape set",
            "export it with a free batch dimension",
        )
    return CheckedGraph(
        sha256=hashlib.sha256(data).hexdigest(),
        dimension=reference.shape[1],
        input_size=size,
        layout=axes,
        batch=batch,
        runtimes=runtimes,
        opset=facts.opset,
    )


def _read(source: Path) -> bytes:
    try:
        if source.stat().st_size > _LARGEST_FILE:
            raise ModelRefusedError(
                f"{source} is larger than 2 GiB", "give a network whose weights fit one ONNX file"
            )
        return read_bytes(source)
    except OSError as error:
        raise ModelUnavailableError(
            f"{source} cannot be read ({error.strerror})", "give the path of an .onnx file"
        ) from error


def _agree(
    what: str, asked: _Value | None, declared: _Value | None, source: Path, *, option: str
) -> _Value:
    """The one value of the two, if they do not contradict each other."""
    value = declared if asked is None else asked
    if value is None:
        raise OptionError(f"{source} leaves its {what} open", f"give {option}")
    if declared is not None and value != declared:
        raise OptionError(
            f"{source} has {what} {declared}, not {value}", f"give {option} {declared}"
        )
    return value


def _unlike_crops(size: int) -> Crops:
    """Two crops ``(2, S, S, 3)`` with coarse and fine structure and nothing in common."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (2, 8, 8, 3))
    side = -(-size // 8)
    smooth = coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
    return np.asarray(smooth + rng.integers(0, 56, (2, size, size, 3)), dtype=np.uint8)


def _tensor(
    crops: Crops, mean: NDArray[np.float64], std: NDArray[np.float64], layout: str
) -> NDArray[np.float32]:
    tensor = ((crops - mean) / std).astype(np.float32)
    return np.ascontiguousarray(tensor if layout == "NHWC" else tensor.transpose(0, 3, 1, 2))
