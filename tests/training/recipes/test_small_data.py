"""Recipes fitted to a few dozen people."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.training.data.split import split_people
from visavis.training.recipes import RECIPES, Recipe, by_name
from visavis.training.recipes.small_data import FEWEST_PHOTOS, VALIDATION_PEOPLE, fit_to


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_many_people_leave_a_recipe_as_it_is(recipe: Recipe) -> None:
    labels = np.repeat(np.arange(4000), 4)
    assert fit_to(recipe, labels) == (recipe, ())


@pytest.mark.parametrize("people", [24, 40, 80])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_few_people_can_be_validated_on(recipe: Recipe, people: int) -> None:
    labels = np.repeat(np.arange(people), 10)
    changed, _ = fit_to(recipe, labels)
    split = split_people(labels, share=changed.validation_share, seed=0)
    apart = len(np.unique(labels[split.validation_rows]))
    assert apart >= min(VALIDATION_PEOPLE, int(0.39 * people))
    assert len(split.train_rows) >= changed.batch_size
    if changed.sampler == "people":
        trained = len(np.unique(labels[split.train_rows]))
        assert changed.batch_size // changed.photos_per_person <= trained


def test_a_fine_tuned_network_sees_enough_photos() -> None:
    recipe = by_name("finetune-sface")
    labels = np.repeat(np.arange(30), 8)
    changed, notes = fit_to(recipe, labels)
    split = split_people(labels, share=changed.validation_share, seed=0)
    assert changed.epochs * len(split.train_rows) >= 0.95 * FEWEST_PHOTOS
    assert any(f"{changed.epochs} epochs" in note for note in notes)


@pytest.mark.parametrize(("people", "factor"), [(30, 0.3), (270, 0.648), (800, 1.0)])
def test_few_faces_pull_a_fine_tuned_network_less_far(people: int, factor: float) -> None:
    recipe = by_name("finetune-sface")
    changed, notes = fit_to(recipe, np.repeat(np.arange(people), 8))
    assert changed.lr == pytest.approx(recipe.lr * factor)
    assert any("learning rate" in note for note in notes) == (factor < 1)
    from_scratch = by_name("margin-small")
    assert fit_to(from_scratch, np.repeat(np.arange(people), 8))[0].lr == from_scratch.lr


def test_what_the_user_set_stays() -> None:
    labels = np.repeat(np.arange(24), 5)
    recipe = by_name("finetune-sface")
    fixed = frozenset({"validation_share", "batch_size", "epochs", "lr"})
    assert fit_to(recipe, labels, fixed=fixed) == (recipe, ())


@pytest.mark.parametrize(("sampler", "unit"), [("pairs", 2), ("triplets", 3), ("people", 4)])
def test_batches_stay_whole(sampler: str, unit: int) -> None:
    from dataclasses import replace

    recipe = replace(
        by_name("siamese-triplet"), sampler=sampler, batch_size=240, photos_per_person=4
    )
    for people in (6, 7, 13, 31):
        changed, _ = fit_to(recipe, np.repeat(np.arange(people), 3))
        assert changed.batch_size % unit == 0
        assert 2 * unit <= changed.batch_size < 240
