"""Runs files of torch.export and TorchScript.

Loading one can run code that it brings: load only files from sources you trust.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray


class TorchSession:
    """A network loaded by PyTorch, on the CPU.

    Args:
        data: bytes of a ``.pt2`` or ``.pt`` file.
        exported: it is of ``torch.export``, not TorchScript.
        threads: CPU threads per call; ``None``: as many as the process has.
    """

    runtime = "torch"
    output_names = ("embeddings",)

    def __init__(self, data: bytes, *, exported: bool, threads: int | None = None) -> None:
        self._threads = threads or torch.get_num_threads()
        file = io.BytesIO(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            self._network = (
                torch.export.load(file).module()
                if exported
                else torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
            )

    def run(self, tensor: NDArray[np.float32], /) -> list[NDArray[np.float32]]:
        """Returns the outputs for one input tensor, as arrays owned by the caller."""
        torch.set_num_threads(self._threads)  # one number for the process
        with torch.inference_mode():
            output = self._network(torch.from_numpy(tensor))
        if not isinstance(output, torch.Tensor):
            msg = f"{type(output).__name__} as output, not one tensor"
            raise ValueError(msg)
        return [output.numpy()]
