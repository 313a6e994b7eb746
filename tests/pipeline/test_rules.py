"""Which face counts."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.errors import NoFaceError, OptionError, SeveralFacesError
from visavis.pipeline import rules
from visavis.types import Face


def face(x: float, y: float, width: float, height: float) -> Face:
    return Face((x, y, width, height), np.zeros((5, 2), np.float32), 0.9)


BIG, MIDDLE, SMALL = face(0, 0, 50, 60), face(80, 80, 40, 40), face(150, 0, 10, 10)
ALL = [BIG, MIDDLE, SMALL]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [("largest", [BIG]), ("central", [MIDDLE]), ("best-match", ALL), ("all", ALL)],
)
def test_each_rule_keeps_what_it_says(rule: str, kept: list[Face]) -> None:
    assert rules.choose(ALL, rule, size=(200, 200), source="a.jpg") == kept
    assert rules.choose([BIG], rule, size=(200, 200), source="a.jpg") == [BIG]


def test_refuse_names_the_photo_and_the_number() -> None:
    with pytest.raises(SeveralFacesError, match=r"a\.jpg: 3 faces found; .*largest"):
        rules.choose(ALL, "refuse", size=(200, 200), source="a.jpg")
    assert rules.choose([BIG], "refuse", size=(200, 200), source="a.jpg") == [BIG]


@pytest.mark.parametrize("rule", rules.RULES)
def test_no_face_is_an_error_under_every_rule(rule: str) -> None:
    with pytest.raises(NoFaceError, match=r"a\.jpg: no face found in 20x30 pixels"):
        rules.choose([], rule, size=(20, 30), source="a.jpg")


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(OptionError, match="largest, central"):
        rules.check("biggest")
