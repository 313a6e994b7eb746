"""Reads the weight files of the ``mtcnn`` wheel: joblib dumps of lists of arrays."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis.errors import require_extra

if TYPE_CHECKING:
    from visavis.weights import WeightStore


def read_arrays(model: str, store: WeightStore) -> list[NDArray[np.float32]]:
    """Returns the float32 arrays of one weight file, in the order of the Keras layers.

    A joblib dump is a pickle, which can execute code; only bytes with the built-in hash are read.

    Raises:
        MissingExtraError: the ``lz4`` package is not installed.
        ModelUnavailableError, ModelDamagedError: from the store.
    """
    data = store.read(model)
    require_extra("mtcnn", "the detector 'mtcnn'")  # joblib unpacks with lz4
    import joblib

    arrays: list[NDArray[np.float32]] = joblib.load(io.BytesIO(data))
    return arrays
