"""Mixed precision, where it is a gain."""

from __future__ import annotations

from typing import Final

import torch

from visavis.training.recipes.recipe import Recipe

_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has arithmetic for bfloat16.

    A processor without it (AVX2, and AVX-512 before its BF16 instructions) is given bfloat16 by
    conversion to float32 and back, which takes many times as long as float32 itself and loses
    digits for nothing. Accelerators other than CUDA's are taken at the recipe's word.
    """
    if device.type == "cpu":
        return _cpu_computes_in_bf16()
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type in {"mps", "xpu"}


def _cpu_computes_in_bf16() -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch before 2.11
        return True
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in _INSTRUCTIONS)


def name(recipe: Recipe, device: torch.device) -> str:
    """What a run of the recipe on the device computes in: ``32`` or ``bf16``."""
    return "bf16" if half(recipe, device) else "32"


def half(recipe: Recipe, device: torch.device) -> bool:
    """Whether a run of the recipe on the device computes in bfloat16."""
    return recipe.precision == "bf16" and computes_in_bf16(device)


def expected_device(accelerator: str = "auto") -> torch.device:
    """Where a run with Lightning's ``accelerator`` will compute."""
    if accelerator == "cpu":
        return torch.device("cpu")
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
