"""A bounded part of the attack; ``python -m tests.faults.damage`` is the large one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.faults.damage import KINDS, TARGETS, Attack, Target

from visavis.gallery.sqlite.database import Database

BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS, ids=list(BY_NAME))
def test_damage_is_noticed_or_changes_no_answer(target: Target, tmp_path: Path) -> None:
    attack = Attack(target, tmp_path)
    for kind in KINDS:
        rng = np.random.default_rng([22, KINDS.index(kind)])
        for _ in range(2):
            _, findings = attack.once(kind, rng)
            assert not findings


def test_the_attack_would_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "_require_sound", lambda self: None)
    attack = Attack(BY_NAME["gallery, plain"], tmp_path)
    rng = np.random.default_rng(1)
    assert any(attack.once("swapped sectors", rng)[1] for _ in range(20))
