"""Input and output of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from visavis.errors import OptionError
from visavis.types import Record


@dataclass(frozen=True, slots=True)
class Spec(Record):
    """Input and output of a network.

    Attributes:
        name: one of ``NAMES``.
        input_size: side of the square crop in pixels.
        channels: 3 for RGB, 1 for gray.
        crop_scale: size of the face in the crop, see ``visavis.faces.align.crop``.
        dimension: length of an embedding.
        mean: subtracted from pixels of 0..255.
        std: divisor after subtracting the mean.
        source: paper or text that describes the network.
    """

    name: str
    input_size: int
    channels: int
    crop_scale: float
    dimension: int
    mean: float
    std: float
    source: str


class Backbone(nn.Module):
    """A network with a ``spec``; ``FaceNetwork`` adds pre- and postprocessing.

    ``forward`` takes ``(N, channels, S, S)`` float, normalized as the spec says, with S =
    ``spec.input_size``, and returns ``(N, dimension)``, not of unit length.
    """

    spec: Spec

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings, not normalized."""
        raise NotImplementedError


def check_options(spec: Spec, *, dropout: float, smallest: int) -> None:
    """Checks the options of a network.

    Raises:
        OptionError: a dimension below 2, a dropout outside [0, 1), a crop too small.
    """
    if spec.dimension < 2:
        raise OptionError(f"{spec.name} with dimension {spec.dimension}", "choose 2 or more")
    if not 0 <= dropout < 1:
        raise OptionError(f"{spec.name} with dropout {dropout}", "choose from [0, 1)")
    if spec.input_size < smallest:
        raise OptionError(
            f"{spec.name} with input size {spec.input_size}", f"choose {smallest} pixels or more"
        )


def convolution(
    before: int,
    after: int,
    activation: nn.Module,
    *,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Returns a padded convolution without bias, batch normalization, and the activation."""
    return nn.Sequential(
        nn.Conv2d(
            before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(after),
        activation,
    )


def halved(side: int, times: int) -> int:
    """Returns the side of the feature map after ``times`` 3x3 convolutions of stride 2 and padding
    1.

    >>> halved(112, 4), halved(56, 4), halved(100, 1)
    (7, 4, 50)
    """
    for _ in range(times):
        side = (side + 1) // 2
    return side


def widened(channels: Sequence[int], width: float) -> tuple[int, ...]:
    """Multiplies channel counts by ``width``, rounded to a multiple of 8, at least 8.

    Raises:
        OptionError: a width outside 0.1 to 4.

    >>> widened((32, 64), 0.75), widened((32, 64), 0.1)
    ((24, 48), (8, 8))
    """
    if not 0.1 <= width <= 4:
        raise OptionError(f"width {width:g}", "choose from 0.1 to 4")
    return tuple(max(8, round(count * width / 8) * 8) for count in channels)
