"""Mixed precision, where it is a gain."""

from __future__ import annotations

import torch

from visavis.training.recipes.recipe import Recipe


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has arithmetic for bfloat16.

    Others are given it by conversion to float32 and back at every step, which takes many times as
    long as float32 itself (SFace's training step on an AVX2 processor: ten times) and loses digits
    for nothing.
    """
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def half(recipe: Recipe, device: torch.device) -> bool:
    """Whether a run of the recipe on the device computes in bfloat16."""
    return recipe.precision == "bf16" and computes_in_bf16(device)


def expected_device(accelerator: str = "auto") -> torch.device:
    """Where a run with Lightning's ``accelerator`` will compute."""
    if accelerator == "cpu":
        return torch.device("cpu")
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
