"""Runtimes: their common interface, the choice between them, and ONNX Runtime, the default."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError, require_extra
from visavis.inference.folding import VERSION as FOLDED
from visavis.inference.folding import Shape, folded
from visavis.inference.precision import check_precision


class OnnxRuntimeSession:
    """A graph loaded by ONNX Runtime with all graph optimizations.

    Args:
        graph: the bytes of a graph, or the file of an optimized one.
        threads: CPU threads per call; ``None``: one per core.
    """

    runtime = "onnxruntime"

    def __init__(self, graph: bytes | Path, *, threads: int | None = None) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # where it was imported before visavis
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors raise; output would corrupt --json
        if threads is not None:
            options.intra_op_num_threads = threads
        # Prepacking the last layer's weights for large batches costs 25 MB and 40 ms at the start,
        # and does not help for the few faces of a photo.
        options.add_session_config_entry("session.disable_prepacking", "1")
        if isinstance(graph, Path):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )
        self._input = self._session.get_inputs()[0].name
        self._output_names = tuple(o.name for o in self._session.get_outputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._output_names

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        return list(self._session.run(None, {self._input: tensor}))


# Caches graphs as optimized by ONNX Runtime for this processor. Optimizing SFace takes most of the
# start-up time: 120 of 150 ms. With the weights in a separate memory-mapped file, the cached graph
# loads in 15 ms and uses half the memory. It is valid for one processor type and one version of
# ONNX Runtime, so both are part of the key.

_VERSION = 1  # part of the key: increase it whenever the cached format changes
_GRAPH, _WEIGHTS, _STAMP = "graph.onnx", "weights.bin", "stamp"


def optimized(
    model: bytes, *, input_shape: Shape | None, cache: Path, sha256: str | None = None
) -> Path | None:
    """Returns the graph optimized for this processor; ``None`` if it cannot be cached.

    Args:
        model: an ONNX file's bytes.
        input_shape: see ``folded``.
        cache: folder of the cache.
        sha256: hash of ``model`` if known, to save time.

    Raises:
        ModelRefusedError: see ``folded``.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    what = (_VERSION, FOLDED, input_shape, onnxruntime.__version__, _processor())
    digest = sha256 or hashlib.sha256(model).hexdigest()
    key = hashlib.sha256((digest + repr(what)).encode()).hexdigest()
    kept = cache / f"{key}.ort"
    if _intact(kept):
        return kept / _GRAPH
    from filelock import FileLock

    try:
        cache.mkdir(parents=True, exist_ok=True)
        # One process writes it, the others wait; intact files are never replaced under a reader.
        with FileLock(cache / f"{key}.lock"):
            if not _intact(kept):
                _keep(kept, folded(model, input_shape=input_shape))
    except (OSError, state.Fail, state.InvalidProtobuf, state.RuntimeException):
        return None  # ONNX Runtime's error for a full disk
    return kept / _GRAPH if _intact(kept) else None


def _intact(kept: Path) -> bool:
    """Whether both cached files are unchanged: by file status, or by hash."""
    try:
        touched, digests = (kept / _STAMP).read_text().splitlines()
        if touched == _touched(kept):
            return True
        if digests != _digests(kept):
            return False
        (kept / _STAMP).write_text(f"{_touched(kept)}\n{digests}")  # copied here, perhaps
    except (OSError, ValueError):
        return False
    return True


def _touched(kept: Path) -> str:
    """Size, modification time and inode of each file: avoids hashing 38 MB at each start."""
    stats = [(kept / name).stat() for name in (_GRAPH, _WEIGHTS)]
    return " ".join(f"{s.st_size}:{s.st_mtime_ns}:{s.st_ino}" for s in stats)


def _digests(kept: Path) -> str:
    digests = []
    for name in (_GRAPH, _WEIGHTS):
        with (kept / name).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(digests)


def _keep(kept: Path, graph: bytes) -> None:
    """Optimizes into temporary files, then renames them. The caller holds the lock."""
    import shutil
    import tempfile

    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=kept.name) as scratch:
        aside = Path(scratch) / "kept"
        aside.mkdir()
        whole = Path(scratch) / "whole.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(whole)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        onnx.save(
            onnx.load(whole),
            aside / _GRAPH,
            save_as_external_data=True,
            location=_WEIGHTS,
            size_threshold=1024,
        )
        (aside / _WEIGHTS).touch()  # a graph with small weights has no separate file
        (aside / _STAMP).write_text(f"{_touched(aside)}\n{_digests(aside)}")
        if kept.exists():  # damaged
            shutil.rmtree(kept)
        aside.replace(kept)


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as file:
            lines = (line for line in file if line.startswith(("flags", "Features")))
            flags = next(lines, "")
    except OSError:
        flags = platform.processor()
    return f"{platform.system()} {platform.machine()} {' '.join(flags.split())}"


RUNTIMES = ("onnxruntime", "openvino")


class Session(Protocol):
    """A loaded graph with one input. Thread-safe."""

    @property
    def runtime(self) -> str:
        """Name of the runtime, one of ``RUNTIMES``."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of ``run``."""
        ...

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        """Returns the outputs for one input tensor, as arrays owned by the caller."""
        ...


def check_options(runtime: str, threads: int | None, precision: str = "auto") -> None:
    """Checks the options of ``load`` before anything is read.

    Raises:
        OptionError: unknown runtime or precision, a precision that the processor does not have, or
            a thread count below 1.
        MissingExtraError: the runtime, or that of the precision, is not installed.
    """
    if runtime not in RUNTIMES:
        raise OptionError(f"runtime {runtime!r}", f"choose one of {', '.join(RUNTIMES)}")
    if threads is not None and threads < 1:
        raise OptionError(f"{threads} threads", "ask for 1 or more")
    if runtime == "openvino":
        require_extra("openvino", "the runtime 'openvino'")
    check_precision(precision)


def load(
    model: Path | bytes,
    *,
    runtime: str = "onnxruntime",
    threads: int | None = None,
    input_shape: Shape | None = None,
    cache: Path | None = None,
    sha256: str | None = None,
    bf16: bool = False,
) -> Session:
    """Loads a graph, folded (see ``folding``), into a runtime.

    Args:
        model: an ONNX file or its bytes.
        runtime: ``onnxruntime`` (the default; docs/concepts/runtimes.md says why) or ``openvino``.
        threads: CPU threads per call; ``None``: one per core.
        input_shape: new shape of the input, names for free dimensions: ``("n", 3, 112, 112)``.
        cache: folder for folded graphs, by hash; ``None``: fold in memory each time.
        sha256: hash of the model if known.
        bf16: compute in bfloat16, in OpenVINO only.

    Raises:
        OptionError: unknown runtime, a thread count below 1, or bfloat16 in another runtime or on
            a processor without it.
        MissingExtraError: the runtime is not installed.
    """
    check_options(runtime, threads, "bf16" if bf16 else "auto")
    if runtime == "openvino":
        from visavis.inference.openvino import OpenVinoSession

        graph = folded(model, input_shape=input_shape, cache=cache)
        return OpenVinoSession(graph, threads=threads, bf16=bf16)
    if bf16:
        raise OptionError(f"bfloat16 in runtime {runtime!r}", "choose openvino")

    data = model if isinstance(model, bytes) else model.read_bytes()
    kept = None
    if cache is not None:
        kept = optimized(data, input_shape=input_shape, cache=cache, sha256=sha256)
    return OnnxRuntimeSession(kept or folded(data, input_shape=input_shape), threads=threads)
