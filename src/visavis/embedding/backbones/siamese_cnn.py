"""The Siamese CNN of a well-known tutorial on face verification: the classic starting point.

Source: S. Thomine, "Cours de deep learning", chapter 9, "Face verification", which follows Chopra,
Hadsell, LeCun, "Learning a Similarity Metric Discriminatively, with Application to Face
Verification", CVPR 2005. Taken from the lesson, layer by layer: four convolutions of stride 2 with
ReLU (7x7 to 16 channels, 5x5 to 32, 5x5 to 64, 3x3 to 128), a 2x2 max pooling, a linear layer to
256 with ReLU, a linear layer to 32; 128x128 RGB pixels divided by 255; PyTorch's own
initialization; no batch normalization. The lesson reports an AUC of 0.616 on LFW View 1. Ours
differs in that dropout before the last layer can be switched on, and in what it is fed: aligned
crops instead of whole photos.

Parameters: 673,088. Input: 128x128 RGB.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from visavis.embedding.backbones.spec import Backbone, Spec, check_options, halved

_SOURCE: Final = (
    "S. Thomine, Cours de deep learning, 9: Face verification, after Chopra, Hadsell, LeCun, "
    "CVPR 2005"
)


class SiameseCnn(Backbone):
    """Four strided convolutions and two linear layers.

    Args:
        dimension: length of an embedding.
        input_size: side of the crop, 32 pixels or more.
        crop_scale: size of the face in the crop.
        dropout: share of the 256 hidden values dropped in training; the lesson has none.

    Raises:
        OptionError: an option outside its range.
    """

    def __init__(
        self,
        *,
        dimension: int = 32,
        input_size: int = 128,
        crop_scale: float = 0.9,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec = Spec(
            name="siamese_cnn",
            input_size=input_size,
            channels=3,
            crop_scale=crop_scale,
            dimension=dimension,
            mean=0.0,
            std=255.0,
            source=_SOURCE,
        )
        check_options(self.spec, dropout=dropout, smallest=32)
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        side = halved(input_size, 4) // 2
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * side * side, 256),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(256, dimension),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, S, S)`` normalized to ``(N, dimension)``, not of unit length."""
        embeddings: Tensor = self.head(self.features(x))
        return embeddings
