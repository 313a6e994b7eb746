"""The number formats in which a network computes, and which of them this machine has."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Final

from visavis.errors import ModelRefusedError, OptionError, require_extra

PRECISIONS: Final = ("auto", "float32", "bf16", "int8")

_EIGHT_BITS: Final = (b"QuantizeLinear", b"QLinear", b"ConvInteger", b"FakeQuantize")
"""Operators of a graph that computes with 8-bit integers. ``DequantizeLinear`` alone, spelled with
a small q, only unpacks stored weights."""


def check_precision(precision: str) -> None:
    """Checks a precision before anything is read.

    Raises:
        OptionError: unknown, or the processor cannot compute in it.
        MissingExtraError: it needs OpenVINO, which is not installed.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r}", f"choose one of {', '.join(PRECISIONS)}")
    if precision != "bf16":
        return
    require_extra("openvino", "precision 'bf16'")
    if not has_bf16():
        raise OptionError(
            f"precision 'bf16' on a processor without bfloat16 instructions ({_processor()})",
            "choose auto or float32",
        )


def has_bf16() -> bool:
    """Returns whether OpenVINO computes in bfloat16 natively here. Needs OpenVINO."""
    from visavis.inference.openvino import capabilities

    return "BF16" in capabilities()


def check_file(precision: str, *, model: str, data: Callable[[], bytes]) -> None:
    """Checks that a model's file was made for a precision.

    ``auto`` is the precision that the model's file was made for, on every processor. It never takes
    bfloat16 for a float model: the largest change of a score is above 0.002, which the thresholds
    do not cover (docs/concepts/runtimes.md).

    Args:
        precision: one of ``PRECISIONS``, checked already.
        model: name of the model in messages.
        data: returns the model file's bytes; called unless ``precision`` is ``auto``.

    Raises:
        ModelRefusedError: the file was made for another precision.
    """
    if precision == "auto":
        return
    eight_bits = computes_in_8_bits(data())
    if precision == "int8" and not eight_bits:
        raise ModelRefusedError(
            f"precision 'int8' for model {model!r}, a file of float numbers",
            f"make one for 8 bits, a model of its own: visavis export {model} --to openvino-int8 "
            "--calibrate DIR",
        )
    if precision != "int8" and eight_bits:
        raise ModelRefusedError(
            f"precision {precision!r} for model {model!r}, a file made for 8 bits",
            "choose auto or int8, or the model that it was made from",
        )


def computes_in_8_bits(data: bytes) -> bool:
    """Returns whether a graph, in ONNX or OpenVINO form, quantizes its activations.

    >>> computes_in_8_bits(b"...DequantizeLinear..."), computes_in_8_bits(b"...QuantizeLinear...")
    (False, True)
    """
    return any(name in data for name in _EIGHT_BITS)


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as file:
            names = (line.partition(":")[2].strip() for line in file if "model name" in line)
            return next(names, "") or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()
