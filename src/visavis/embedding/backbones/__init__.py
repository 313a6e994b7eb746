"""Embedding networks for training. One network per file."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from visavis.embedding.backbones.edge_mobilenet import EdgeMobileNet
from visavis.embedding.backbones.inception_resnet_v1 import InceptionResNetV1
from visavis.embedding.backbones.iresnet import iresnet18, iresnet50
from visavis.embedding.backbones.mobilefacenet import MobileFaceNet
from visavis.embedding.backbones.mobilenet_v1 import HEADS as _MOBILENET_HEADS
from visavis.embedding.backbones.mobilenet_v1 import MobileNetV1
from visavis.embedding.backbones.prelu_net import PreluNet
from visavis.embedding.backbones.sface import SFace
from visavis.embedding.backbones.siamese_cnn import SiameseCnn
from visavis.embedding.backbones.small_resnet import HEADS as _SMALL_RESNET_HEADS
from visavis.embedding.backbones.small_resnet import SmallResNet
from visavis.embedding.backbones.spec import Backbone, Spec
from visavis.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAKERS: Final[dict[str, Callable[..., Backbone]]] = {
    "siamese_cnn": SiameseCnn,
    "prelu_net": PreluNet,
    "mobilenet_v1": MobileNetV1,
    "sface": SFace,
    "edge_mobilenet": EdgeMobileNet,
    "inception_resnet_v1": InceptionResNetV1,
    "mobilefacenet": MobileFaceNet,
    "iresnet18": iresnet18,
    "iresnet50": iresnet50,
    "small_resnet": SmallResNet,
}

NAMES: Final = tuple(_MAKERS)
"""Names for ``build``."""

WIDTHS: Final = ("edge_mobilenet", "mobilenet_v1", "prelu_net", "small_resnet")
"""Networks with a width multiplier."""

HEADS: Final = {"mobilenet_v1": _MOBILENET_HEADS, "small_resnet": _SMALL_RESNET_HEADS}
"""Networks with several heads; the first is the default."""


def build(
    name: str,
    *,
    dimension: int | None = None,
    input_size: int | None = None,
    dropout: float | None = None,
    crop_scale: float | None = None,
    width: float | None = None,
    head: str | None = None,
) -> Backbone:
    """Creates a network with random weights (torch's generator); ``None``: the network's default.

    Args:
        name: one of ``NAMES``; ``-`` may stand for ``_``.
        dimension: length of an embedding.
        input_size: side of the crop in pixels.
        dropout: share of features dropped in training, in [0, 1).
        crop_scale: size of the face in the crop, see ``visavis.faces.align.crop``.
        width: channel multiplier of the networks in ``WIDTHS``; 1 or ``None`` for the others.
        head: how the last feature map becomes an embedding, for the networks in ``HEADS``.

    Raises:
        OptionError: no such network, or an option outside its range.

    >>> build("siamese-cnn").spec.dimension
    32
    """
    name = name.replace("-", "_")
    if name not in _MAKERS:
        near = get_close_matches(name, NAMES, n=3) or NAMES
        raise OptionError(f"network {name!r}", f"choose {', '.join(near)}")
    if name not in WIDTHS:
        if width not in {None, 1}:
            raise OptionError(
                f"width {width:g} for network {name}", f"choose 1, or one of {', '.join(WIDTHS)}"
            )
        width = None
    if head is not None and head not in HEADS.get(name, ()):
        choice = ", ".join(HEADS[name]) if name in HEADS else f"none, or {' or '.join(HEADS)}"
        raise OptionError(f"head {head!r} for network {name}", f"choose {choice}")
    options = {
        "dimension": dimension,
        "width": width,
        "head": head,
        "input_size": input_size,
        "dropout": dropout,
        "crop_scale": crop_scale,
    }
    return _MAKERS[name](**{k: v for k, v in options.items() if v is not None})


__all__ = ["HEADS", "NAMES", "WIDTHS", "Backbone", "Spec", "build"]
