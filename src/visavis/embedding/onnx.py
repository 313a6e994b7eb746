"""The embedder for registered files: ONNX on all runtimes, other formats each on its own."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.embedding import formats
from visavis.errors import ModelRefusedError, OptionError
from visavis.inference import Session, check_file, check_options, load
from visavis.types import Crops, Vectors
from visavis.weights import ModelEntry, WeightStore

_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """Options of the embedder.

    Attributes:
        runtime: ``openvino`` or ``onnxruntime``; equal to 1e-3 in cosine.
        threads: CPU threads per call; ``None``: one per core.
        flip: average the embeddings of each crop and its mirror image: twice the time. Part of the
            pipeline id, because it changes every score.
        precision: ``auto``: what the model's file was made for; ``float32``; ``bf16``: bfloat16,
            always in OpenVINO, on processors that have it; ``int8``: for files made for 8 bits.
            ``bf16`` is part of the pipeline id, because it changes scores by more than 0.002.
    """

    runtime: str = "onnxruntime"
    threads: int | None = None
    flip: bool = False
    precision: str = "auto"


class OnnxEmbedder:
    """A registered embedder, loaded on first use. Thread-safe.

    Files of other formats than ONNX (of ``visavis export``) have one runtime each, which is taken
    whatever ``options.runtime`` is.

    Args:
        model: registered name, see ``visavis models list``.
        store: source of model files; ``None``: the default store.
        options: runtime, threads, flip averaging, precision.

    Raises:
        OptionError: an option out of its range, or a precision that this processor does not have.
        UnknownModelError: no such model.
        ModelRefusedError: not an embedder, or not supported by this version or runtime.
        ModelUnavailableError, ModelDamagedError: from the store.

    Example:
        >>> embedder = OnnxEmbedder("sface")  # doctest: +SKIP
        >>> embedder.embed(crops).shape  # doctest: +SKIP
        (N, 128)
    """

    def __init__(
        self,
        model: str = "sface",
        *,
        store: WeightStore | None = None,
        options: EmbedderOptions = EmbedderOptions(),
    ) -> None:
        check_options(options.runtime, options.threads, options.precision)
        if options.precision == "bf16":
            options = replace(options, runtime="openvino")
        store = store or WeightStore()
        entry = store.entry(model)
        if entry.kind != "embedder":
            raise ModelRefusedError(
                f"model {model!r}, a {entry.kind}",
                "choose an embedder from `visavis models list`",
            )
        formats.require(entry.format, model)
        if entry.format == "onnx" and options.runtime not in entry.runtimes:
            raise ModelRefusedError(
                f"model {model!r} in runtime {options.runtime!r}, which was not found to run it",
                f"choose --runtime {' or '.join(entry.runtimes)}, or check again: "
                f"visavis models add {model} FILE",
            )
        self._entry: ModelEntry = entry
        self._size = int(entry.input_size or 0)
        self._options = options
        self._graph = _Graph(store, model)
        check_file(options.precision, model=model, data=self._graph.content)
        if self.bf16 and entry.format not in {"onnx", "openvino"}:
            raise ModelRefusedError(
                f"precision 'bf16' for model {model!r}, a file in {entry.format} form",
                "choose auto or float32, or an ONNX or OpenVINO file",
            )
        self._lock = threading.Lock()
        self._loaded: Session | None = None
        self._clones: dict[int, OnnxEmbedder] = {}
        self._mean = np.asarray(entry.mean, dtype=np.float32)
        self._scale = 1 / np.asarray(entry.std, dtype=np.float32)
        self._plain = not self._mean.any() and bool((self._scale == 1).all())
        self._dimension = int(entry.dimension or self.embed(self._blank(1)).shape[1])

    def load(self) -> None:
        """Loads the network now instead of at the first call.

        Raises:
            ModelDamagedError: the model's file has changed.
        """
        _ = self._session

    def clone(self, *, threads: int) -> OnnxEmbedder:
        """Returns this embedder with another number of threads, for parallel calls.

        Parallel calls that each use all cores slow each other down.
        """
        if threads == self._options.threads:
            return self
        with self._lock:
            if threads not in self._clones:
                clone = copy.copy(self)
                clone._options = replace(self._options, threads=threads)
                clone._lock, clone._loaded, clone._clones = threading.Lock(), None, {}
                self._clones[threads] = clone
            return self._clones[threads]

    @property
    def _session(self) -> Session:
        with self._lock:
            if self._loaded is None and self._entry.format != "onnx":
                self._loaded = formats.open_session(
                    self._entry.format,
                    self._graph.take(),
                    threads=self._options.threads,
                    name=self.name,
                    bf16=self.bf16,
                )
            if self._loaded is None:
                size, channels_last = self._size, self._entry.layout == "NHWC"
                batch = self._entry.batch or "n"
                shape = (batch, size, size, 3) if channels_last else (batch, 3, size, size)
                self._loaded = load(
                    self._graph.take(),
                    runtime=self._options.runtime,
                    threads=self._options.threads,
                    input_shape=shape,
                    cache=self._graph.derived,
                    sha256=self._entry.sha256,
                    bf16=self.bf16,
                )
            return self._loaded

    @property
    def name(self) -> str:
        """Registered model name."""
        return self._entry.name

    @property
    def sha256(self) -> str:
        """Hash of the model file."""
        return self._entry.sha256

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self._dimension

    @property
    def input_size(self) -> int:
        """Side of the square crop in pixels."""
        return self._size

    @property
    def flip(self) -> bool:
        """Whether each crop is averaged with its mirror image."""
        return self._options.flip

    @property
    def bf16(self) -> bool:
        """Whether the network computes in bfloat16."""
        return self._options.precision == "bf16"

    def embed(self, crops: Crops, /) -> Vectors:
        """Returns unit vectors of aligned faces, ``(N, D)`` float32; see
        ``embed_with_magnitudes``."""
        return self.embed_with_magnitudes(crops)[0]

    def embed_with_magnitudes(self, crops: Crops, /) -> tuple[Vectors, NDArray[np.float32]]:
        """Returns unit vectors of aligned faces, and their lengths before normalization.

        Args:
            crops: ``(N, S, S, 3)`` RGB uint8 with S = ``input_size``; N may be 0.

        Returns:
            ``(N, D)`` float32, rows of unit length, and ``(N,)`` float32 lengths of the network's
            output for the crops (not for their mirror images).

        Raises:
            OptionError: another shape or dtype.
            ModelRefusedError: the network returned a zero or non-finite vector.
        """
        crops = np.asarray(crops)
        size = self._size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise OptionError(
                f"crops of shape {crops.shape} and type {crops.dtype}",
                f"{self.name} takes (N, {size}, {size}, 3) RGB uint8",
            )
        if len(crops) == 0:
            none = np.zeros((0, int(self._entry.dimension or 0)), dtype=np.float32)
            return none, np.zeros(0, dtype=np.float32)
        parts = [self._embed(crops[k : k + _BATCH]) for k in range(0, len(crops), _BATCH)]
        return np.concatenate([v for v, _ in parts]), np.concatenate([m for _, m in parts])

    def _run(self, crops: Crops) -> tuple[Vectors, NDArray[np.float32]]:
        """Runs any number of crops in batches of the graph's size; returns unit vectors and
        lengths."""
        step = self._entry.batch
        if step is None:
            return _unit(self._session.run(self._tensor(crops))[0], self.name)
        parts = []
        for k in range(0, len(crops), step):
            part = crops[k : k + step]
            filled = np.concatenate([part, self._blank(step - len(part))])
            parts.append(self._session.run(self._tensor(filled))[0][: len(part)])
        return _unit(np.concatenate(parts), self.name)

    def _embed(self, crops: Crops) -> tuple[Vectors, NDArray[np.float32]]:
        count = len(crops)
        if self._options.flip:
            crops = np.concatenate([crops, crops[:, :, ::-1]])
        vectors, lengths = self._run(crops)
        if self._options.flip:
            vectors, _ = _unit(vectors[:count] + vectors[count:], self.name)
        return vectors, lengths[:count]

    def _tensor(self, crops: Crops) -> NDArray[np.float32]:
        if self._entry.color == "bgr":
            crops = crops[..., ::-1]
        if self._entry.layout != "NHWC":
            crops = crops.transpose(0, 3, 1, 2)
        tensor = np.ascontiguousarray(crops, dtype=np.float32)
        if self._plain:
            return tensor
        shape = (1, 1, 1, -1) if self._entry.layout == "NHWC" else (1, -1, 1, 1)
        tensor -= self._mean.reshape(shape)
        tensor *= self._scale.reshape(shape)
        return tensor

    def _blank(self, count: int) -> Crops:
        return np.full((count, self._size, self._size, 3), 127, dtype=np.uint8)


class _Graph:
    """A model's bytes: read and verified at once, kept until loading, then read again if needed."""

    def __init__(self, store: WeightStore, model: str) -> None:
        self._store, self._model = store, model
        self._data: bytes | None = store.read(model)
        self.derived = store.derived(model)

    def content(self) -> bytes:
        """Returns the bytes."""
        return self._data if self._data is not None else self._store.read(self._model)

    def take(self) -> bytes:
        """Returns the bytes and releases them."""
        data = self.content()
        self._data = None
        return data


def _unit(vectors: NDArray[np.float32], name: str) -> tuple[Vectors, NDArray[np.float32]]:
    vectors = vectors.reshape(len(vectors), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < 1e-6).any():
        raise ModelRefusedError(
            f"model {name!r} returned a zero or non-finite vector",
            "check the model's --mean and --std",
        )
    return np.asarray(vectors / lengths, dtype=np.float32), lengths[:, 0].astype(np.float32)
