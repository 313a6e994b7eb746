"""Fields of recipes, changed by name from text."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.errors import DataError, OptionError
from visavis.training.recipes import RECIPES, Recipe, by_name, with_overrides
from visavis.training.recipes.recipe import FIXED, field_kinds

BASE = dataclasses.replace(
    by_name("siamese-triplet"), sampler="people", batch_size=112, photos_per_person=4
)


def test_values_are_read_by_the_type_of_their_field() -> None:
    changed = with_overrides(
        BASE,
        {
            "lr": "0.5",
            "epochs": "3",
            "ema": "none",
            "max-steps": "7",
            "compile": "Yes",
            "channels_last": "off",
            "schedule": "constant",
            "loss.margin": "0.3",
            "loss.miner": "hard",
            "augment.mask": "0.5",
        },
    )
    assert (changed.lr, changed.epochs, changed.ema, changed.max_steps) == (0.5, 3, None, 7)
    assert (changed.compile, changed.channels_last, changed.schedule) == (True, False, "constant")
    assert (changed.loss.margin, changed.loss.miner) == (0.3, "hard")
    assert changed.augment.mask == 0.5
    # What was not named stays, inside the nested options too.
    assert changed.augment == dataclasses.replace(BASE.augment, mask=0.5)
    assert with_overrides(BASE, {}) == BASE


@given(st.integers(1, 10_000), st.floats(1e-6, 10), st.one_of(st.none(), st.integers(1, 99)))
def test_what_is_printed_is_read_again(epochs: int, lr: float, steps: int | None) -> None:
    changed = with_overrides(BASE, {"epochs": str(epochs), "lr": repr(lr), "max_steps": str(steps)})
    assert (changed.epochs, changed.lr, changed.max_steps) == (epochs, lr, steps)


@pytest.mark.parametrize(
    ("given_name", "suggested"),
    [
        ("margn", "--loss.margin"),
        ("margin", "--loss.margin"),
        ("los.margin", "--loss.margin"),
        ("batchsize", "--batch_size"),
        ("augment.masks", "--augment.mask"),
        ("lr-head", "--head_lr"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest(given_name: str, suggested: str) -> None:
    with pytest.raises(OptionError) as refused:
        with_overrides(BASE, {given_name: "1"})
    assert f"--{given_name}" in str(refused.value)
    assert suggested in str(refused.value)


def test_what_says_which_recipe_it_is_cannot_be_overridden() -> None:
    for field in FIXED:
        with pytest.raises(OptionError, match=field):
            with_overrides(BASE, {field: "mine"})
    assert not FIXED & set(field_kinds(BASE))


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("epochs", "many", "a whole number"),
        ("epochs", "1.5", "a whole number"),
        ("epochs", "none", "a whole number"),
        ("lr", "fast", "a number"),
        ("compile", "maybe", "true or false"),
        ("max_steps", "0", "1 or more"),
        ("lr", "0", "above 0"),
        ("lr", "nan", "above 0"),
        ("ema", "1", r"\(0, 1\)"),
        ("validation_share", "0", r"\(0, 1\)"),
        ("dropout", "1", r"\[0, 1\)"),
        ("sampler", "pears", "pairs"),
        ("precision", "16", "bf16"),
        ("batch_size", "6", "photos_per_person=4"),
        ("loss.kind", "hinge", "contrastive"),
        ("augment.flip", "2", "between 0 and 1"),
    ],
)
def test_values_outside_a_field_are_refused(field: str, value: str, accepted: str) -> None:
    with pytest.raises(OptionError, match=accepted) as refused:
        with_overrides(BASE, {field: value})
    assert value in str(refused.value)


def test_batches_hold_whole_pairs_and_triplets() -> None:
    with pytest.raises(OptionError, match="even"):
        with_overrides(BASE, {"sampler": "pairs", "batch_size": "33"})
    with pytest.raises(OptionError, match=" 3"):
        with_overrides(BASE, {"sampler": "triplets", "batch_size": "32"})


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_survive_their_file(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.source
    assert recipe.expected


def test_files_that_are_no_recipes_are_refused() -> None:
    plain = BASE.to_dict()
    with pytest.raises(DataError, match="colour"):
        Recipe.from_dict({**plain, "colour": 1})
    with pytest.raises(DataError, match=r"recipe\.json"):
        Recipe.from_dict({k: v for k, v in plain.items() if k != "loss"})
    with pytest.raises(DataError, match="not a recipe"):
        Recipe.from_dict({k: v for k, v in plain.items() if k != "backbone"})


def test_names_of_recipes() -> None:
    assert by_name("Margin_Small").name == "margin-small"
    with pytest.raises(OptionError, match="siamese-triplet"):
        by_name("siamese-triplets")
    with pytest.raises(OptionError, match="margin-iresnet50"):
        by_name("x")


def test_former_names_of_fields_are_still_read() -> None:
    """Files and command lines of former versions say optimiser, normalise and colour."""
    changed = with_overrides(
        BASE, {"optimiser": "sgd", "loss.normalise": "false", "augment.colour": "0.5"}
    )
    assert (changed.optimizer, changed.loss.normalize, changed.augment.color) == ("sgd", False, 0.5)
    plain = BASE.to_dict()
    plain["optimiser"] = plain.pop("optimizer")
    plain["loss"]["normalise"] = plain["loss"].pop("normalize")
    plain["augment"]["colour"] = plain["augment"].pop("color")
    assert Recipe.from_dict(plain) == BASE
