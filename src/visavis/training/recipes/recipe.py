"""A recipe: everything a training run depends on besides the photos."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from visavis.errors import DataError, OptionError
from visavis.training.augment.options import AugmentOptions
from visavis.training.losses.options import LossOptions
from visavis.types import Record

SAMPLERS: Final = ("pairs", "people", "shuffled", "triplets")
OPTIMISERS: Final = ("adamw", "sgd", "muon")
SCHEDULES: Final = ("cosine", "constant", "onecycle")
PRECISIONS: Final = ("32", "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Record):
    """What is trained, on which batches, with which loss and for how long.

    Every field can be overridden: ``overrides.with_overrides(recipe, {"loss.margin": "0.3"})``.

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
            empty for random ones.
        frozen: so many of the network's first convolutions stay as they are, which saves time
            and forgets less.
        freeze_norm: batch normalization keeps the statistics that ``init`` came with.
        distil: weight of the disagreement with the untouched network in the loss: the embedding
            of each augmented crop with what ``init`` makes of the plain one, as 1 - cosine.
        head_from_init: each person's centre in the loss's classifier starts at the mean of what
            ``init`` makes of their photos, instead of at random.
        blend: how far the finished model goes from ``init`` to what was learnt, in (0, 1]; 1 for
            all the way (``visavis.training.building``). Validations while training is on are
            of all that was learned.
        loss: the loss and its miner.
        sampler: how batches are drawn: ``pairs``, ``people``, ``shuffled`` or ``triplets``.
        batch_size: crops in a batch (all processes together).
        photos_per_person: photos of each person in a batch of the ``people`` sampler, which so
            holds ``batch_size // photos_per_person`` people.
        most_photos: of one person in an epoch of the ``people`` sampler; ``None`` for all.
        augment: random changes of the training crops.
        epochs: times that the training photos are gone through.
        max_steps: end after so many steps, if the epochs have not ended before.
        optimiser: ``adamw``, ``sgd`` or ``muon``.
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
            anew with the network of that moment; ``None`` for random triplets.
        remine_epochs: epochs after which the hardest photos of all are looked for and then
            drawn more often; ``None`` for never.
        precision: ``32``, or ``bf16`` for mixed precision where the device has arithmetic for it.
        channels_last: keep images in the memory order that convolution units like.
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
    dimension: int
    input_size: int
    crop_scale: float
    dropout: float = 0.0
    width: float = 1.0
    head: str | None = None
    init: str = ""
    frozen: int = 0
    freeze_norm: bool = False
    distil: float = 0.0
    head_from_init: bool = False
    blend: float = 1.0
    loss: LossOptions
    sampler: str
    batch_size: int
    photos_per_person: int = 4
    most_photos: int | None = None
    augment: AugmentOptions
    epochs: int
    max_steps: int | None = None
    optimiser: str = "adamw"
    lr: float
    head_lr: float | None = None
    head_first: int = 0
    weight_decay: float = 0.05
    momentum: float = 0.9
    warmup: float = 0.05
    schedule: str = "cosine"
    clip: float | None = None
    ema: float | None = None
    offline_every: int | None = None
    remine_epochs: int | None = None
    precision: str = "32"
    channels_last: bool = False
    compile: bool = False
    validation_share: float = 0.1
    validate_every: int = 1
    patience: int | None = None
    flip_embedding: bool = False
    seed: int = 0
    threads: int | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for field, accepted in (
            ("sampler", SAMPLERS),
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
        ):
            if getattr(self, field) not in accepted:
                raise _refusal(field, getattr(self, field), f"one of {', '.join(accepted)}")
        for field, least in _LEAST.items():
            value = getattr(self, field)
            if value is not None and value < least:
                raise _refusal(field, value, f"{least} or more")
        for field in ("crop_scale", "lr", "head_lr", "clip"):
            value = getattr(self, field)
            if value is not None and not 0 < value < float("inf"):
                raise _refusal(field, value, "a number above 0")
        for field in ("dropout", "warmup", "momentum"):
            if not 0 <= getattr(self, field) < 1:
                raise _refusal(field, getattr(self, field), "a number in [0, 1)")
        for field in ("validation_share", "ema"):
            value = getattr(self, field)
            if value is not None and not 0 < value < 1:
                raise _refusal(field, value, "a number in (0, 1)")
        self._check_init()
        self._check_batch()

    def _check_init(self) -> None:
        for field in ("distil", "freeze_norm", "head_from_init"):
            if getattr(self, field) and not self.init:
                raise _refusal(field, getattr(self, field), "it with weights to start from (init)")
        if not 0 < self.blend <= 1:
            raise _refusal("blend", self.blend, "a number above 0 and up to 1")
        if self.blend < 1 and not self.init:
            raise _refusal("blend", self.blend, "it with weights to start from (init)")

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
        """What ``to_dict`` gave, as a recipe again.

        Raises:
            DataError: a field is missing or unknown.
            OptionError: a value is outside what the field accepts.
        """
        try:
            plain = dict(values)
            plain["loss"] = LossOptions(**plain["loss"])
            plain["augment"] = AugmentOptions(**plain["augment"])
            unknown = plain.keys() - {field.name for field in fields(cls)}
            if unknown:
                raise DataError(f"{source}: no field is called {min(unknown)!r}", _REMEDY)
            return cls(**plain)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{source} is not a recipe ({error!r})", _REMEDY) from error


_REMEDY: Final = "give a recipe.json of this version of visavis"

_LEAST: Final = {
    "dimension": 2,
    "input_size": 16,
    "batch_size": 2,
    "photos_per_person": 2,
    "most_photos": 2,
    "epochs": 1,
    "max_steps": 1,
    "frozen": 0,
    "distil": 0,
    "head_first": 0,
    "weight_decay": 0,
    "offline_every": 1,
    "remine_epochs": 1,
    "validate_every": 1,
    "patience": 1,
    "seed": 0,
    "threads": 1,
    "workers": 0,
}


def _refusal(field: str, value: object, accepted: str) -> OptionError:
    return OptionError(f"{field} {value!r}", f"give {accepted}")


FIXED: Final = frozenset({"name", "source", "expected"})
"""Fields that say which recipe it is; they are not overridden."""

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_NONE: Final = frozenset({"none", "null", ""})


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
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for given, text in changes.items():
        name = given.replace("-", "_")
        if name not in kinds:
            raise _unknown(given, name, list(kinds))
        value = _parse(given, text, kinds[name])
        part, dot, field = name.partition(".")
        if dot:
            nested.setdefault(part, {})[field] = value
        else:
            own[name] = value
    for part, values in nested.items():
        own[part] = dataclasses.replace(getattr(recipe, part), **values)
    return dataclasses.replace(recipe, **own)


def field_kinds(recipe: Recipe) -> dict[str, Any]:
    """Type by name of every field that can be overridden, nested ones as ``loss.margin``."""
    kinds: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(type(recipe)).items():
        if name.startswith("_") or name in FIXED:
            continue
        if dataclasses.is_dataclass(kind):
            inner = typing.get_type_hints(kind)
            kinds |= {f"{name}.{f.name}": inner[f.name] for f in dataclasses.fields(kind)}
        else:
            kinds[name] = kind
    return kinds


def _parse(name: str, text: str, kind: Any) -> Any:
    options = _alternatives(kind)
    if type(None) in options and text.strip().lower() in _NONE:
        return None
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(text, option)
        except ValueError:
            continue
    raise OptionError(f"--{name} {text!r}", f"give {_in_words(options)}")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        return typing.get_args(kind)
    return (kind,)


def _convert(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        accepted = typing.get_args(kind)
        if text not in accepted:
            raise ValueError
        return text
    if kind is bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError
        return word in _TRUE
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_convert(part, inner) for part in text.replace(",", " ").split())
    return text


def _in_words(options: tuple[Any, ...]) -> str:
    words: list[str] = []
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            words.append("one of " + ", ".join(typing.get_args(option)))
        elif typing.get_origin(option) is tuple:
            words.append("numbers separated by commas")
        else:
            words.append(_WORDS.get(option, "text"))
    return " or ".join(words)


_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "none",
    str: "text",
}


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
