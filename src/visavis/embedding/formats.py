"""Sessions of embedders that are no ONNX files, as ``visavis export`` writes them."""

from __future__ import annotations

from visavis.errors import ModelRefusedError, VisavisError, require_extra
from visavis.inference import Session
from visavis.weights.exported import unpacked

_NEEDS = {
    "openvino": ("openvino", "openvino"),
    "torch-export": ("train", "torch"),
    "torchscript": ("train", "torch"),
}
FORMATS = ("onnx", *_NEEDS)
"""Formats of embedders, as in ``ModelEntry.format``."""


def require(form: str, model: str) -> None:
    """Checks that a model's format can be loaded.

    Raises:
        ModelRefusedError: it is of another format.
        MissingExtraError: its runtime is not installed.
    """
    if form not in FORMATS:
        raise ModelRefusedError(
            f"model {model!r}, a file in {form} form", f"choose one of {', '.join(FORMATS)}"
        )
    if form in _NEEDS:
        extra, module = _NEEDS[form]
        require_extra(extra, f"the format {form} of model {model!r}", module=module)


def open_session(
    form: str, data: bytes, *, threads: int | None, name: str, bf16: bool = False
) -> Session:
    """Loads a model whose format is not ONNX.

    Args:
        form: its format.
        data: the file's bytes.
        threads: CPU threads per call; ``None``: one per core. PyTorch has one number for the whole
            process.
        name: what to call it in errors.
        bf16: compute in bfloat16; in OpenVINO only.

    Raises:
        ModelDamagedError, ModelRefusedError: it does not load.
    """
    require(form, name)
    try:
        if form == "openvino":
            from visavis.inference.openvino import OpenVinoSession

            return OpenVinoSession(unpacked(data), threads=threads, bf16=bf16)
        from visavis.embedding.torch_session import TorchSession

        return TorchSession(data, exported=form == "torch-export", threads=threads)
    except VisavisError:
        raise
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelRefusedError(
            f"model {name!r} does not load as {form} ({first[:200]})", "export the model anew"
        ) from error
