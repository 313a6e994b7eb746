"""Reads the weight files that the ``mtcnn`` wheel carries, without running anything in them.

Each file is one LZ4 frame around a joblib dump: a pickle of a list of array headers, with the raw
numbers of each array written into the stream right after its header. A pickle can name any function
to call, so this reader admits three names and nothing else; and it is given only bytes whose hash
was verified.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from visavis.errors import MissingExtraError, ModelDamagedError

_LARGEST: Final = 64 * 2**20


def read_arrays(path: Path) -> list[NDArray[np.float32]]:
    """The float32 arrays of one weight file, in the order of the Keras layers.

    Raises:
        MissingExtraError: the ``lz4`` package is not installed.
        ModelDamagedError: the file is not a plain list of float32 arrays.
    """
    try:
        import lz4.frame
    except ImportError as error:
        raise MissingExtraError(
            "the lz4 package, which unpacks MTCNN's weights, is not installed",
            "run pip install 'visavis[mtcnn]'",
        ) from error
    try:
        with lz4.frame.open(path) as file:
            data = file.read(_LARGEST)
        arrays = _Reader(data).load()
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        raise _damaged(path) from error
    if not isinstance(arrays, list) or not all(isinstance(a, np.ndarray) for a in arrays):
        raise _damaged(path)
    return arrays


def _damaged(path: Path) -> ModelDamagedError:
    return ModelDamagedError(
        f"{path} is not a list of float32 arrays in joblib's format",
        "install the wheel again: pip install --force-reinstall --no-deps mtcnn==1.0.0",
    )


class _Header:
    """Stands for ``joblib.numpy_pickle.NumpyArrayWrapper``: what is known before the numbers."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None


class _Reader(pickle._Unpickler):
    """A pickle reader that can make array headers and nothing else.

    The reader written in Python, not the one in C: raw numbers follow each header, and only here
    can they be taken from the stream when the header is complete.
    """

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        super().__init__(self._stream)

    def find_class(self, module: str, name: str, /) -> Any:
        match f"{module}.{name}":
            case "joblib.numpy_pickle.NumpyArrayWrapper":
                return _Header
            case "numpy.ndarray":
                return np.ndarray
            case "numpy.dtype":
                return np.dtype
        raise pickle.UnpicklingError(f"{module}.{name} has no place among weights")

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        if isinstance(stack[-1], _Header):
            stack[-1] = self._array(stack[-1])

    def _array(self, header: _Header) -> NDArray[np.float32]:
        if header.dtype != np.dtype("<f4") or header.order != "C":
            raise ValueError("not a float32 array in C order")
        if getattr(header, "numpy_array_alignment_bytes", None) is not None:
            self._stream.seek(self._stream.read(1)[0], io.SEEK_CUR)
        count = math.prod(header.shape)
        data = self._stream.read(4 * count)
        return np.frombuffer(data, dtype="<f4", count=count).reshape(header.shape)

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
    }
