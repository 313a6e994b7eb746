"""Which loss, and its numbers. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from visavis.errors import OptionError
from visavis.training.fields import NonNegative, PartialShare, Positive, Whole, check
from visavis.types import Record

Kind = Literal[
    "contrastive", "triplet", "joint", "softmax", "arcface", "cosface", "adaface", "sface", "none"
]
Miner = Literal["auto", "semihard", "hard", "all", "given"]
"""Selection of pairs or triplets in a batch; see ``LossOptions.miner``."""
Classifier = Literal["softmax", "cosface", "arcface", "adaface"]
"""Classifiers that may stand beside the triplets of ``joint``."""

KINDS: Final[dict[Kind, float]] = {
    "contrastive": 1.0,
    "triplet": 0.2,
    "joint": 0.2,
    "softmax": 0.0,
    "arcface": 0.5,
    "cosface": 0.35,
    "adaface": 0.4,
    "sface": 0.0,
}
"""Every kind of loss that learns who is who, with its paper's margin."""

_CLASSIFIERS: Final = frozenset({"joint", "softmax", "arcface", "cosface", "adaface"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions(Record):
    """Options of ``build_loss``.

    Attributes:
        kind: ``contrastive``, ``triplet``, ``joint`` (triplet and classifier), ``softmax``,
            ``arcface``, ``cosface``, ``adaface``, ``sface``, or ``none``: zero, for recipes that
            only imitate a model (``distil``).
        margin: ``None``: the paper's. A distance (contrastive), a squared distance (triplet,
            joint), an angle in radians (arcface), a cosine (cosface), either (adaface); unused by
            softmax and sface.
        scale: factor of the cosines before the softmax; for ``softmax`` only with ``normalize``.
        miner: ``auto`` is ``given`` for contrastive and ``semihard`` for the others. Of triplets,
            ``semihard``, ``hard`` (batch-hard), ``all`` (batch-all) or ``given`` (rows 3k, 3k + 1,
            3k + 2 of a batch); of contrastive pairs, ``given`` (rows 2k and 2k + 1) or ``all``.
        classifier: of ``joint``: ``softmax`` (over the embeddings as they are) or a margin loss,
            ``cosface``, ``arcface`` or ``adaface``.
        classifier_margin: of that margin loss; ``None``: the paper's.
        classifier_weight: of the classifier's cross-entropy in ``joint``.
        memory: embeddings of earlier batches that contrastive (``all``), triplet and joint compare
            with too; 0 is none.
        normalize: bring embeddings to unit length first; triplet, joint, contrastive and softmax
            have the choice, the others always do.
        label_smoothing: of the classifiers' cross-entropy, in [0, 1).
        intra: angle in radians to its own center below which ``sface`` hardly moves a face.
        inter: angle in radians beyond which ``sface`` lets other centers be.
        seed: of the classifier's first weights and of what a miner draws.

    Raises:
        OptionError: a name or number that is none of these.

    Example:
        >>> LossOptions(kind="cosface").used_margin
        0.35
    """

    kind: Kind = "triplet"
    margin: NonNegative | None = None
    scale: Positive = 64.0
    miner: Miner = "auto"
    classifier: Classifier = "softmax"
    classifier_margin: NonNegative | None = None
    classifier_weight: NonNegative = 1.0
    memory: Whole = 0
    normalize: bool = True
    label_smoothing: PartialShare = 0.0
    intra: float = 0.87
    inter: float = 1.2
    seed: Whole = 0

    def __post_init__(self) -> None:
        check(self)
        if self.kind == "contrastive" and self.used_miner not in {"all", "given"}:
            raise OptionError(
                f"miner {self.miner!r} for the contrastive loss",
                "give `all`, or `given` for the pairs of the pairs sampler",
            )
        if self.label_smoothing and self.kind not in _CLASSIFIERS:
            raise OptionError(
                f"label smoothing for the {self.kind} loss",
                f"it is for {', '.join(sorted(_CLASSIFIERS))}",
            )
        if self.memory and (
            self.kind not in {"contrastive", "triplet", "joint"} or self.used_miner == "given"
        ):
            raise OptionError(
                f"a memory for the {self.kind} loss with miner {self.used_miner!r}",
                "it is for contrastive (`all`), triplet and joint losses that mine their batch",
            )

    @property
    def used_margin(self) -> float:
        """The margin, or the paper's where none is given."""
        return KINDS.get(self.kind, 0.0) if self.margin is None else self.margin

    @property
    def used_miner(self) -> str:
        """The miner, or the kind's own where it is ``auto``."""
        if self.miner != "auto":
            return self.miner
        return "given" if self.kind == "contrastive" else "semihard"
