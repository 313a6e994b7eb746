"""A recipe: everything a training run depends on besides the photos."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta

from visavis.errors import DataError, OptionError
from visavis.training.augment.options import AugmentOptions
from visavis.training.fields import (
    Count,
    NonNegative,
    NonZeroShare,
    PartialShare,
    Positive,
    ProperShare,
    Whole,
    check,
    kinds_of,
    parse,
)
from visavis.training.losses.options import LossOptions
from visavis.types import Record

_Several = Annotated[int, Meta(ge=2)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Record):
    """All options of a training run.

    Every field can be overridden: ``with_overrides(recipe, {"loss.margin": "0.3"})``.

    Attributes:
        name: what it is called on the command line.
        source: the paper or text that the system comes from.
        expected: the figures to expect, and on which data.
        backbone: a name from ``visavis.embedding.backbones``.
        dimension: length of the embedding.
        input_size: side of the network's square crop, in pixels.
        crop_scale: size of the face in that crop relative to the 112x112 template; below 1 shows
            more around it.
        dropout: share of the units before the embedding that are dropped, in [0, 1).
        width: multiplies the network's channels, for networks that have the choice.
        head: how the last map becomes an embedding, for networks that have the choice; ``None``
            for their own way.
        init: the weights to start from: a registered model (``sface``) or a model directory;
            empty for random ones. Of ``sface``, the backbone ``edge_mobilenet`` inherits what
            fits it (``visavis.training.inheriting``).
        frozen: number of the network's first convolutions that are not trained, which saves
            time and forgets less.
        freeze_norm: batch normalization keeps the statistics that ``init`` came with.
        distil: weight of the distillation loss, 1 - cosine between the embedding of each
            augmented crop and the embedding that ``init`` gives for the plain crop. For a
            narrower network than ``init``'s, ``init`` embeds the same augmented crop.
        repeat: epochs after which batches and augmentation come again, so that a wider teacher
            has embedded them all; ``None`` for never.
        head_from_init: each person's center in the loss's classifier starts at the mean of what
            ``init`` makes of their photos, instead of at random.
        blend: share of the change from ``init`` in the final weights, in (0, 1]
            (``visavis.training.building``). Validations during training use the whole change.
        loss: the loss and its miner.
        sampler: how batches are drawn: ``pairs``, ``people``, ``shuffled`` or ``triplets``.
        batch_size: crops in a batch (all processes together).
        photos_per_person: photos of each person in a batch of the ``people`` sampler, which so
            holds ``batch_size // photos_per_person`` people.
        most_photos: of one person in an epoch of the ``people`` sampler; ``None`` for all.
        augment: random changes of the training crops.
        epochs: number of passes over the training photos.
        max_steps: end after this many steps, if the epochs have not ended before.
        optimizer: ``adamw``, ``sgd`` or ``muon``.
        lr: highest learning rate of the network.
        head_lr: that of the loss's own parameters (the classifier); as ``lr`` where ``None``.
        head_first: epochs at the start in which only the loss's own parameters learn.
        weight_decay: per step, times the learning rate.
        momentum: of ``sgd`` and ``muon``; ``adamw`` keeps its usual betas.
        warmup: share of all steps in which the learning rate rises, in [0, 1).
        schedule: how it falls after that: ``cosine``, ``constant`` or ``onecycle``.
        clip: highest norm of the gradient; ``None`` for any.
        ema: decay per step of the running mean of the weights, which is what is validated and
            saved; ``None`` for the weights themselves.
        offline_every: for the ``triplets`` sampler: steps after which hard triplets are drawn
            again with the current network; ``None`` for random triplets.
        remine_epochs: epochs after which the hardest photos are mined again and then drawn
            more often; ``None`` for never.
        precision: ``32``, or ``bf16`` for mixed precision where the device has arithmetic for it.
        channels_last: keep images in channels-last memory order, which is faster for convolutions.
        compile: compile the network with ``torch.compile``.
        validation_share: share of the people kept apart for validation, in (0, 1).
        validate_every: epochs between validations.
        patience: validations in a row without a better AUC after which training ends; ``None``
            for never.
        flip_embedding: the exported model averages each crop with its mirror image.
        seed: of weights, people's split, batches and augmentation.
        threads: CPU threads; all where ``None``.
        workers: processes that read crops; 0 reads in the training process.
    """

    name: str
    source: str
    expected: str
    backbone: str
    dimension: Annotated[int, Meta(ge=2)]
    input_size: Annotated[int, Meta(ge=16)]
    crop_scale: Positive
    dropout: PartialShare = 0.0
    width: float = 1.0
    head: str | None = None
    init: str = ""
    frozen: Whole = 0
    freeze_norm: bool = False
    distil: NonNegative = 0.0
    repeat: Count | None = None
    head_from_init: bool = False
    blend: NonZeroShare = 1.0
    loss: LossOptions
    sampler: Literal["pairs", "people", "shuffled", "triplets"]
    batch_size: _Several
    photos_per_person: _Several = 4
    most_photos: _Several | None = None
    augment: AugmentOptions
    epochs: Count
    max_steps: Count | None = None
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    lr: Positive
    head_lr: Positive | None = None
    head_first: Whole = 0
    weight_decay: NonNegative = 0.05
    momentum: PartialShare = 0.9
    warmup: PartialShare = 0.05
    schedule: Literal["cosine", "constant", "onecycle"] = "cosine"
    clip: Positive | None = None
    ema: ProperShare | None = None
    offline_every: Count | None = None
    remine_epochs: Count | None = None
    precision: Literal["32", "bf16"] = "32"
    channels_last: bool = False
    compile: bool = False
    validation_share: ProperShare = 0.1
    validate_every: Count = 1
    patience: Count | None = None
    flip_embedding: bool = False
    seed: Whole = 0
    threads: Count | None = None
    workers: Whole = 0

    def __post_init__(self) -> None:
        check(self)
        self._check_init()
        self._check_batch()

    def _check_init(self) -> None:
        for field in ("distil", "freeze_norm", "head_from_init"):
            if getattr(self, field) and not self.init:
                raise _refusal(field, getattr(self, field), "it with weights to start from (init)")
        if self.blend < 1 and not self.init:
            raise _refusal("blend", self.blend, "it with weights to start from (init)")
        if self.loss.kind == "none" and not self.distil:
            raise _refusal("loss.kind", "none", "it with something else to learn from (distil)")
        if self.augment.mix and self.loss.kind != "none":
            raise _refusal("augment.mix", self.augment.mix, "it with loss.kind none")

    def _check_batch(self) -> None:
        if self.sampler == "pairs" and self.batch_size % 2:
            raise _refusal("batch_size", self.batch_size, "an even number: a batch is of pairs")
        if self.sampler == "triplets" and self.batch_size % 3:
            raise _refusal("batch_size", self.batch_size, "a multiple of 3: a batch is of triplets")
        if self.sampler == "people" and self.batch_size < 2 * self.photos_per_person:
            raise _refusal(
                "batch_size",
                self.batch_size,
                f"{2 * self.photos_per_person} or more: two people of photos_per_person="
                f"{self.photos_per_person} each",
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, source: str = "recipe") -> Self:
        """Reads a recipe from ``to_dict``.

        Raises:
            DataError: a field is missing or unknown.
            OptionError: a value is outside what the field accepts.
        """
        try:
            values = with_current_names(values)
            recipe = msgspec.convert(values, cls)
        except (AttributeError, msgspec.ValidationError) as error:
            raise DataError(f"{source} is not a recipe ({error})", _REMEDY) from error
        unknown = set(flat_settings(values)) - set(flat_settings(recipe.to_dict()))
        if unknown:
            raise DataError(f"{source}: no field is called {min(unknown)!r}", _REMEDY)
        return recipe


_REMEDY: Final = "give a recipe.json of this version of visavis"


def _refusal(field: str, value: object, accepted: str) -> OptionError:
    return OptionError(f"{field} {value!r}", f"give {accepted}")


_FORMER_NAMES: Final = {
    "optimiser": "optimizer",
    "loss.normalise": "loss.normalize",
    "augment.colour": "augment.color",
}
"""Fields' names of former versions; files and command lines may still have them."""


def with_current_names(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a ``recipe.json`` or ``run.json`` with current names."""
    return _nested(
        {_FORMER_NAMES.get(name, name): value for name, value in flat_settings(recipe).items()}
    )


FIXED: Final = frozenset({"name", "source", "expected"})
"""Fields that say which recipe it is; they are not overridden."""


def with_overrides(recipe: Recipe, changes: Mapping[str, str]) -> Recipe:
    """The recipe with some fields changed.

    Args:
        recipe: what to start from; it stays as it is.
        changes: value by field name, such as ``{"lr": "0.1", "loss.margin": "0.3"}``. Dashes in
            names count as underscores. ``none`` clears a field that may be empty.

    Raises:
        OptionError: a name is no field (the nearest ones are named), or a value does not fit.
    """
    kinds = field_kinds(recipe)
    flat: dict[str, Any] = {}
    for given, text in changes.items():
        name = given.replace("-", "_")
        name = _FORMER_NAMES.get(name, name)
        if name not in kinds:
            raise _unknown(given, name, list(kinds))
        flat[name] = parse(given, text, kinds[name])
    own = {
        name: dataclasses.replace(getattr(recipe, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in _nested(flat).items()
    }
    return dataclasses.replace(recipe, **own)


def field_kinds(recipe: Recipe) -> dict[str, Any]:
    """Type by name of every field that can be overridden, nested ones as ``loss.margin``."""
    kinds: dict[str, Any] = {}
    for name, kind in kinds_of(type(recipe)).items():
        if dataclasses.is_dataclass(kind):
            kinds |= {f"{name}.{inner}": own for inner, own in kinds_of(kind).items()}
        elif name not in FIXED:
            kinds[name] = kind
    return kinds


def flat_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, nested ones as ``loss.margin``."""
    rows: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            rows |= {f"{name}.{inner}": own for inner, own in value.items()}
        else:
            rows[name] = value
    return rows


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``flat_settings``."""
    rows: dict[str, Any] = {}
    for name, value in flat.items():
        part, dot, field = name.partition(".")
        if dot:
            rows.setdefault(part, {})[field] = value
        else:
            rows[part] = value
    return rows


def _unknown(given: str, name: str, known: list[str]) -> OptionError:
    same_leaf = [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2]]
    close = same_leaf or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not close:
        leaves = {k.rpartition(".")[2]: k for k in known}
        found = difflib.get_close_matches(name, list(leaves), n=3, cutoff=0.5)
        close = [leaves[leaf] for leaf in found]
    hint = f"did you mean {' or '.join(f'--{c}' for c in close)}? " if close else ""
    return OptionError(
        f"no field of the recipe is called --{given}",
        f"{hint}all fields: visavis train recipes NAME",
    )
