"""Whose a row is, against a plain list."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.gallery.index import person_index as module
from visavis.gallery.index.person_index import PersonIndex

PERSON = st.integers(0, 6)
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(PERSON, max_size=6)),
    st.tuples(st.just("assign"), st.tuples(st.integers(0, 99), PERSON)),
    st.tuples(st.just("remove"), st.integers(0, 99)),
    st.tuples(st.just("sort"), st.none()),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(STEP, max_size=30), st.sampled_from([0, 3, 8192]))
def test_rows_of_a_person_are_those_of_a_plain_list(steps: list, loose: int) -> None:
    owners, plain = PersonIndex(), []
    module._LOOSE = loose
    try:
        for kind, value in steps:
            if kind == "append":
                usability = np.arange(len(value)) / 10
                owners.append(np.array(value, np.int64), usability)
                plain += [list(pair) for pair in zip(value, usability, strict=True)]
            elif kind == "assign" and plain:
                row, person = value[0] % len(plain), value[1]
                owners.assign(np.array([row]), np.array([person]))
                plain[row][0] = person
            elif kind == "remove" and plain:
                row, last = value % len(plain), len(plain) - 1
                moves = (
                    (np.array([row]), np.array([last])) if row < last else (np.empty(0, int),) * 2
                )
                owners.fill(*moves, last)
                plain[row] = plain[last]
                plain.pop()
            elif kind == "sort":
                owners.rows(np.array([0]))
            for wanted in ([0], [5, 1, 1], list(range(7)), []):
                found = owners.rows(np.array(wanted, np.int64)).tolist()
                assert found == [row for row, (person, _) in enumerate(plain) if person in wanted]
        assert owners.people.tolist() == [person for person, _ in plain]
        assert owners.usability.tolist() == [usable for _, usable in plain]
        assert len(owners) == len(plain)
    finally:
        module._LOOSE = 8192
