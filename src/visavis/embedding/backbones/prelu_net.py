"""The PReLU embedding network of siamese and triplet tutorials, enlarged for faces.

Source: A. Bielski's siamese-triplet (github.com/adambielski/siamese-triplet, ``EmbeddingNet``), the
network that most lessons on pairs and triplets in PyTorch start from: 5x5 convolutions without
padding to 32 and 64 channels, each followed by PReLU (one slope a layer) and 2x2 max pooling, then
linear layers with PReLU. The source is for 28x28 digits and ends in 256, 256 and 2 numbers. Ours,
for 100x100 gray faces, adds two blocks of a 3x3 convolution with padding (128 and 256 channels),
batch normalization after every convolution, in place of its bias (``batch_norm=False`` goes back),
and has linear layers to 256 and to 128 numbers. PyTorch's own initialization, as in the source.

Parameters: 2,093,157 (2,092,677 without batch normalization). Input: 100x100 gray (any side from
64).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, widened
from visavis.errors import OptionError

_SOURCE: Final = "A. Bielski, siamese-triplet (EmbeddingNet), with two blocks more"
_FIVE: Final = 2  # blocks of the source, with 5x5 convolutions


class PreluNet(Backbone):
    """Blocks of convolution, PReLU and pooling, then two linear layers.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 64 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the flattened features dropped in training; the source has none.
        widths: channels of each block, 2 to 4 blocks.
        batch_norm: normalize after each convolution.
        width: multiplies the channels of every block.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 128,
        input_size: int = 100,
        crop_scale: float = 0.9,
        dropout: float = 0.0,
        widths: Sequence[int] = (32, 64, 128, 256),
        batch_norm: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if not 2 <= len(widths) <= 4 or min(widths) < 1:
            raise OptionError(f"prelu_net with widths {tuple(widths)}", "give 2 to 4, 1 or more")
        self.spec = Spec(
            name="prelu_net",
            input_size=input_size,
            channels=1,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=127.5,
            std=127.5,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=64)
        widths = widened(widths, width)
        layers: list[nn.Module] = []
        before, side = 1, input_size
        for k, after in enumerate(widths):
            five = k < _FIVE
            layers.append(
                nn.Conv2d(before, after, 5, bias=not batch_norm)
                if five
                else nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm)
            )
            if batch_norm:
                layers.append(nn.BatchNorm2d(after))
            layers += [nn.PReLU(), nn.MaxPool2d(2)]
            before, side = after, (side - 4 if five else side) // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(before * side * side, 256),
            nn.PReLU(),
            nn.Linear(256, dimension),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 1, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.features(x))
        return embeddings
