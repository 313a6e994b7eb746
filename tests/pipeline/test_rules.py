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
SIZE = (200, 200)


@pytest.mark.parametrize(
    ("rule", "kept", "reasons"),
    [
        ("largest", (0,), ["smaller", "smaller"]),
        ("central", (1,), ["off-center", "smaller"]),
        ("best-match", (0, 1, 2), []),
        ("all", (0, 1, 2), []),
    ],
)
def test_each_rule_keeps_what_it_says(rule: str, kept: tuple[int, ...], reasons: list[str]) -> None:
    choice = rules.choose(ALL, rule, size=SIZE, photo="a.jpg")
    assert choice.indices == kept
    assert [one.reason for one in choice.passed_over] == reasons
    assert [one.face for one in choice.passed_over] == [
        face for k, face in enumerate(ALL) if k not in kept
    ]
    assert rules.choose([BIG], rule, size=SIZE, photo="a.jpg") == rules.Choice((0,))


def test_a_large_face_of_little_weight_gives_way() -> None:
    """Half a face at the border, blurred, is not the subject."""
    choice = rules.choose(ALL, "largest", size=SIZE, photo="a.jpg", weights=[0.3, 0.9, 0.9])
    assert choice.indices == (1,)
    assert [one.reason for one in choice.passed_over] == ["unclear", "smaller"]


def test_something_tiny_in_the_middle_is_not_the_central_face() -> None:
    ring = face(98, 98, 6, 6)
    assert rules.choose([BIG, ring], "central", size=SIZE, photo="a.jpg").indices == (0,)
    person = face(90, 90, 20, 30)
    assert rules.choose([BIG, person], "central", size=SIZE, photo="a.jpg").indices == (1,)


def test_refuse_names_the_photo_and_the_number_of_clear_faces() -> None:
    with pytest.raises(SeveralFacesError, match=r"a\.jpg.*3 faces.*largest"):
        rules.choose(ALL, "refuse", size=SIZE, photo="a.jpg")
    with pytest.raises(SeveralFacesError, match="2 faces"):
        rules.choose(ALL, "refuse", size=SIZE, photo="a.jpg", weights=[0.9, 0.3, 0.8])
    one = rules.choose(ALL, "refuse", size=SIZE, photo="a.jpg", weights=[0.3, 0.9, 0.2])
    assert one.indices == (1,)
    assert [other.reason for other in one.passed_over] == ["unclear", "unclear"]


def test_clear_wants_one_far_larger_than_the_others() -> None:
    with pytest.raises(SeveralFacesError):
        rules.choose(ALL, "clear", size=SIZE, photo="a.jpg")
    assert rules.choose([SMALL, BIG], "clear", size=SIZE, photo="a.jpg").indices == (1,)
    weights = [0.2, 0.9, 0.9]  # 600 against 1440: blurred, the large one is no longer far larger
    with pytest.raises(SeveralFacesError):
        rules.choose(ALL, "clear", size=SIZE, photo="a.jpg", weights=weights)
    assert rules.choose(
        ALL, "clear", size=SIZE, photo="a.jpg", weights=[0.1, 0.9, 0.9]
    ).indices == (1,)


@pytest.mark.parametrize("rule", rules.RULES)
def test_no_face_is_an_error_under_every_rule(rule: str) -> None:
    with pytest.raises(NoFaceError, match=r"a\.jpg.*20x30"):
        rules.choose([], rule, size=(20, 30), photo="a.jpg")


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(OptionError, match=r"biggest.*largest"):
        rules.check("biggest")
