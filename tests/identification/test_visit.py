"""One face seen several times is one probe."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.decision.domain import Domain
from visavis.errors import OptionError
from visavis.faces.quality import quality_score
from visavis.gallery.fusion import fused_probe
from visavis.gallery.sqlite.store import SqliteGallery
from visavis.identification import Enroller, Identifier, IdentifyOptions, PersonPhoto
from visavis.pipeline import Recognizer
from visavis.types import Template

from .conftest import tile

FPIR = 0.05


@pytest.fixture
def enrolled(gallery: SqliteGallery, old: Recognizer, save) -> SqliteGallery:
    photos = [
        PersonPhoto(f"p{k:02}", save(f"{k}-{n}.png", tile(k, n)))
        for k in range(30)
        for n in range(2)
    ]
    assert all(row.there for row in Enroller(gallery, old).enroll(photos))
    return gallery


def looks(recognizer: Recognizer, person: int, count: int) -> list[Template]:
    return [recognizer.embed_photo(tile(person, 50 + k), "largest")[0] for k in range(count)]


def test_the_score_is_the_mean_of_the_scores(enrolled: SqliteGallery, old: Recognizer) -> None:
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=FPIR))
    seen = looks(old, 7, 4)
    found = identifier.identify_visit([seen])
    alone = [identifier.identify_visit([[one]]) for one in seen]
    expected = np.average(
        [o.score for o in alone], weights=[quality_score(s.quality) for s in seen]
    )
    assert found.person == "p07"
    assert found.score == pytest.approx(expected, abs=1e-5)
    # One search, at the threshold of one photo.
    assert found.threshold is not None
    assert found.threshold == alone[0].threshold
    assert found.threshold.fpir == FPIR


def test_of_one_look_it_is_the_photos_answer(
    enrolled: SqliteGallery, old: Recognizer, save
) -> None:
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=FPIR))
    photo = identifier.identify(save("x.png", tile(3, 9))).faces[0]
    visit = identifier.identify_visit([[old.embed_photo(tile(3, 9), "largest")[0]]])
    assert visit.person == photo.person == "p03"
    assert visit.score == pytest.approx(photo.score, abs=1e-6)


def test_a_stranger_stays_unknown_and_an_empty_gallery_too(
    enrolled: SqliteGallery, gallery: SqliteGallery, old: Recognizer, tmp_path
) -> None:
    options = IdentifyOptions(fpir=FPIR)
    assert (
        Identifier(enrolled, [old], options=options).identify_visit([looks(old, 500, 5)]).person
        is None
    )
    with SqliteGallery(tmp_path / "empty", create=True) as empty:
        found = Identifier(empty, [old], options=options).identify_visit([looks(old, 1, 2)])
    assert found.person is None
    assert found.threshold is None


def test_the_audit_log_has_one_entry_a_visit(enrolled: SqliteGallery, old: Recognizer) -> None:
    identifier = Identifier(enrolled, [old], options=IdentifyOptions(fpir=FPIR, audit=True))
    identifier.identify_visit([looks(old, 7, 3)], digest="ab")
    (entry,) = enrolled.audit(action="identify")
    assert entry.details["photo_sha256"] == "ab"
    assert entry.subject == enrolled.person("p07").id
    assert len(entry.details["faces"]) == 1


@pytest.mark.parametrize("none", [[], [[]]])
def test_a_visit_without_a_look_is_refused(
    enrolled: SqliteGallery, old: Recognizer, none: list
) -> None:
    with pytest.raises(OptionError):
        Identifier(enrolled, [old]).identify_visit(none)


@pytest.mark.parametrize("whitened", [False, True])
def test_in_a_domain_the_mean_is_of_the_projected_templates(whitened: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 16)).astype(np.float32) + 1
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    person, *seen = x
    turn = np.diag(rng.uniform(0.5, 2, 16)).astype(np.float32) if whitened else None
    domain = Domain(
        (x.mean(0) * 0.9).astype(np.float32), photos=10, people=10,
        mean_b=(x.mean(0) * 0.8).astype(np.float32), photos_b=5, people_b=5, whitening=turn,
    )  # fmt: skip
    weights = [1.0, 0.2, 0.7, 0.0, 0.4]
    probe, factor = fused_probe(np.stack(seen), weights=weights, domain=domain)
    assert np.linalg.norm(probe) == pytest.approx(1, abs=1e-5)
    reference = domain.apply(person[None])[0]
    scores = domain.apply(np.stack(seen), side="b") @ reference
    found = factor * float((domain.apply(probe, side="b") @ reference)[0])
    assert found == pytest.approx(np.average(scores, weights=weights), abs=1e-4)


def test_templates_that_cancel_out_match_nobody() -> None:
    x = np.array([[1, 0], [-1, 0]], np.float32)
    probe, factor = fused_probe(x, weights=[0.0, 0.0])
    assert probe.shape == (1, 2)
    assert factor == 0.0
