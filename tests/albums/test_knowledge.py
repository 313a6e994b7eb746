"""Corrections as facts: the later wins, whatever the order."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from tests.albums.oracle import Oracle

from visavis.albums.knowledge import Correction, replay

FACES = st.integers(0, 11)


@st.composite
def corrections(draw: st.DrawFn) -> list[Correction]:
    """Corrections as ``Fixer`` makes them, about a dozen faces."""
    made = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        kind = draw(st.sampled_from(["merge", "split", "move", "not-a-face", "name"]))
        some = draw(st.lists(FACES, min_size=1, max_size=5, unique=True))
        others = [f for f in draw(st.lists(FACES, max_size=5, unique=True)) if f not in some]
        facts: dict[str, object] = {}
        if kind == "merge":
            facts = {"together": tuple(some + others)}
        elif kind == "split":
            facts = {"leave": tuple(some), "together": tuple(some), "apart": tuple(others)}
        elif kind == "move":
            target = [f for f in draw(st.lists(FACES, max_size=4, unique=True)) if f not in some]
            rest = tuple(f for f in others if f not in target)
            facts = {"leave": tuple(some), "together": (*target, *some), "apart": rest}
        elif kind == "not-a-face":
            facts = {"not_faces": tuple(some)}
        else:
            facts = {"together": tuple(some), "name": draw(st.sampled_from(["", "Anna", "Zoë"]))}
        made.append(Correction(number, "", kind, kind, **facts))  # type: ignore[arg-type]
    return made


@given(corrections())
def test_what_holds_is_what_a_table_of_pairs_says(made: list[Correction]) -> None:
    oracle = Oracle()
    for one in made:
        oracle.apply(one)
    knowledge = replay(made)
    same = {
        frozenset(pair)
        for members in knowledge.groups.values()
        for pair in combinations(sorted(members), 2)
    }
    apart = {frozenset((a, b)) for fact in knowledge.apart for a in fact.one for b in fact.other}
    assert same == oracle.same
    assert apart == oracle.apart
    assert not same & apart
    assert set(knowledge.not_faces) == oracle.not_faces
    named = {frozenset(knowledge.groups[g]): name for g, name in knowledge.names.items()}
    assert named == oracle.names


@given(corrections(), st.data())
def test_what_is_undone_never_was(made: list[Correction], data: st.DataObject) -> None:
    from dataclasses import replace

    gone = data.draw(st.sets(st.sampled_from(range(len(made)))))
    left = [one for k, one in enumerate(made) if k not in gone]
    marked = [replace(one, undone=k in gone) for k, one in enumerate(made)]
    kept, again = replay(left), replay(marked)
    assert kept.groups == again.groups
    assert kept.apart == again.apart
    assert kept.names == again.names


def test_the_later_wins_and_says_what_it_replaces() -> None:
    split = Correction(1, "", "split", "", leave=(1, 2), together=(1, 2), apart=(3, 4))
    name = Correction(2, "", "name", "", together=(3, 4), name="Anna")
    merge = Correction(3, "", "merge", "", together=(3, 4, 1, 2))
    rename = Correction(4, "", "name", "", together=(1, 2, 3, 4), name="Zoë")
    out = Correction(5, "", "not-a-face", "", not_faces=(2,))
    knowledge = replay([split, name, merge, rename, out])
    assert knowledge.replaced == {3: {1}, 4: {2}, 5: {1, 3, 4}}
    assert list(knowledge.groups.values()) == [{1, 3, 4}]
    assert list(knowledge.names.values()) == ["Zoë"]
    assert knowledge.apart == []


def test_a_chain_of_must_links_gives_way_as_a_whole() -> None:
    """Faces 1-2-3-4 are one person; that 1 and 4 are two takes 1 out and leaves the rest."""
    chain = [Correction(k, "", "merge", "", together=(k, k + 1)) for k in (1, 2, 3)]
    out = Correction(4, "", "move", "", leave=(1,), together=(9, 1), apart=(2, 3, 4))
    knowledge = replay([*chain, out])
    assert sorted(map(sorted, knowledge.groups.values())) == [[1, 9], [2, 3, 4]]
    assert knowledge.replaced == {4: {1}}
