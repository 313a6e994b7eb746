"""Writes PyTorch's formats: torch.export (.pt2) and TorchScript (.pt)."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.errors import ExportError, ModelRefusedError, OptionError
from visavis.exporting.source import Source
from visavis.types import Crops
from visavis.weights.model_directory import WEIGHTS

if TYPE_CHECKING:
    from visavis.embedding.torch import FaceNetwork


def write_exported(source: Source, folder: Path, crops: Crops) -> None:
    """Writes ``model.pt2`` by ``torch.export``; ``crops`` is ignored."""
    import torch

    network = network_of(source)
    rows = torch.export.Dim("n")
    program = torch.export.export(
        network, (_example(network),), dynamic_shapes={"images": {0: rows}}
    )
    torch.export.save(program, folder / "model.pt2")


def write_script(source: Source, folder: Path, crops: Crops) -> None:
    """Writes ``model.pt`` by tracing; ``crops`` is ignored."""
    _trace(network_of(source), folder)


def write_half_script(source: Source, folder: Path, crops: Crops) -> None:
    """Writes ``model.pt`` with FP16 weights and arithmetic, float32 input and output; ``crops`` is
    ignored."""
    from visavis.embedding.torch import HalfNetwork

    _trace(HalfNetwork(network_of(source)).eval(), folder, size=int(source.entry.input_size or 0))


def _trace(network: Any, folder: Path, *, size: int | None = None) -> None:
    import torch

    example = _example(network) if size is None else torch.full((2, 3, size, size), 127.0)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of its deprecation, which the target's note states
        traced = torch.jit.freeze(
            torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        )
        torch.jit.save(traced, str(folder / "model.pt"))


def _example(network: FaceNetwork) -> Any:
    import torch

    size = network.spec.input_size
    return torch.full((2, 3, size, size), 127.0)


def network_of(source: Source) -> FaceNetwork:
    """Returns the model's torch network in evaluation mode.

    Raises:
        ExportError: its network is not known here.
    """
    from visavis.embedding.torch import FaceNetwork

    if source.directory is not None and source.network is not None:
        network = _trained(source.directory / WEIGHTS, source.network)
    else:
        from visavis.embedding.backbones.sface import SFace

        backbone = SFace(crop_scale=source.entry.crop_scale)
        try:
            backbone.load_onnx(source.data)
        except ModelRefusedError as error:
            raise ExportError(
                f"model {source.entry.name!r}, an ONNX file whose network is not known to PyTorch "
                "here",
                "give the folder of the training run in place of the name, or choose a target of "
                "ONNX or OpenVINO",
            ) from error
        network = FaceNetwork(backbone)
    return copy.deepcopy(network).eval().requires_grad_(False)


def _trained(weights: Path, fields: dict[str, Any]) -> FaceNetwork:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from visavis.embedding import backbones
    from visavis.embedding.torch import FaceNetwork

    names = ("dimension", "input_size", "crop_scale", "dropout", "width", "head")
    try:
        backbone = backbones.build(
            str(fields["backbone"]), **{name: fields[name] for name in names if name in fields}
        )
        network = FaceNetwork(backbone, flip=bool(fields.get("flip_embedding", False)))
        network.load_state_dict(load_file(weights))
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError, OptionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(
            f"{weights} cannot be loaded into its network ({first})",
            "copy the model directory again, or train it anew",
        ) from error
    return network
