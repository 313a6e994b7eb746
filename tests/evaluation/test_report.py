"""The report is one file that holds all it promises and asks for nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import DataError
from visavis.evaluation.scores.table import About, Projection, ScoreFile, texts
from visavis.evaluation.verification import report
from visavis.evaluation.verification.summary import summarize
from visavis.types import OperatingPoint

VOID = {"meta", "img", "br", "link", "input", "hr", "wbr", "path", "use", "rect"}


class Checker(HTMLParser):
    """Collects what a page holds, and whether its elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def table(*, hostile: bool = False) -> ScoreFile:
    """All that a report can show, with names that would like to be HTML."""
    rng = np.random.default_rng(0)
    n = 300
    same = np.arange(n) % 2 == 0
    score = np.clip(rng.normal(0.1, 0.15, n) + 0.5 * same, -1, 1)
    score[:5] = np.nan
    name = "<script>alert('x')</script>&{{ 7 * 7 }}" if hostile else "photo"
    people = [name, "Ann", "Bob"]
    return ScoreFile(
        a=texts(f"{name}/{k}.jpg" for k in range(n)),
        b=texts(f"{name}/{k}_b.jpg" for k in range(n)),
        same=same,
        score=score,
        failure=texts([f"no-face (a){name}"] * 5 + [""] * (n - 5)),
        group=texts([name, "tea"][k % 2] for k in range(n)),
        llr=(score - 0.35) * 25,
        model=f"m{name}",
        model_sha256="abcdef0123456789" * 4,
        pipeline_id=name,
        about=About(
            protocol=name,
            command=f"visavis evaluate pairs {name}",
            created="2026-01-02T03:04:05+00:00",
            version="0.1.0",
            notes=(name,),
            photos=9,
            calibration=name,
            operating_points=(
                OperatingPoint("m", "ab", 0.3, 0.01, (0.008, 0.012), 0.01, name, 10, 0.01),
                OperatingPoint("m", "ab", 0.5, 1e-3, (0.0, 0.002), float("nan"), name, 10, 1e-3),
            ),
            projection=Projection(
                texts([name] * 9).tolist(),
                tuple(people * 3),
                tuple(range(9)),
                tuple(range(9)),
                name,
            ),
        ),
    )


@pytest.fixture(scope="module")
def page() -> str:
    scores = table()
    return report.render(scores, summarize(scores, replicates=30))


def parse(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def test_the_page_has_all_sections(page: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "FNMR at a given FMR",
        "Do the shipped thresholds hold here?",
        "Curves",
        "Likelihood ratios",
        "Group by group",
        "The worst false matches",
        "The worst false non-matches",
        "Who lies near whom",
        "What was counted",
        "Terms",
    ]
    plots = [a for tag, a in parse(page).tags if tag == "svg"]
    assert [p["aria-labelledby"] for p in plots] == [
        f"{name}-t {name}-d"
        for name in ("roc", "det", "histogram", "rates", "reliability", "projection")
    ]


def test_every_picture_says_what_it_shows(page: str) -> None:
    checker = parse(page)
    for tag, attributes in checker.tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            for name in (attributes["aria-labelledby"] or "").split():
                assert name in checker.ids
        if tag == "img":
            assert attributes["alt"]
    assert len(re.findall(r"<desc id=[^>]*>[^<]{20,}</desc>", page)) == 6


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert not re.findall(r"(?:https?:)?//[a-z0-9]", page.lower())
    checker = parse(page)
    assert not {tag for tag, _ in checker.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in checker.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert (value or "").startswith(("#", "data:"))
    assert not re.search(r"@import|url\((?!#)", page)


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    checker = parse(page)
    assert len(set(checker.ids)) == len(checker.ids)
    wanted = {*re.findall(r'href="#([^"]+)"', page), *re.findall(r"url\(#([^)]+)\)", page)}
    assert wanted
    assert wanted <= set(checker.ids)


def test_every_color_follows_the_theme(page: str) -> None:
    assert not re.search(r"#0[13]0[0-9a-f]{3}", page[page.index("<body>") :])
    used = set(re.findall(r"var\(--([\w-]+)\)", page))
    light, dark = re.findall(r":root \{(.*?)\}", page, flags=re.S)[:2]
    for name in used:
        assert f"--{name}:" in light
        assert f"--{name}:" in dark


def test_the_page_says_what_it_measured(page: str) -> None:
    text = " ".join("".join(parse(page).text).split())
    scores = table()
    summary = summarize(scores, replicates=30)
    assert f"{100 * summary.accuracy:.2f} %" in text
    assert f"{summary.auc:.5f}" in text
    assert "abcdef0123456789" in text
    assert "visavis evaluate pairs photo" in text
    assert "no-face (a)photo: 5" in text
    assert f"{100 * summary.accuracy_failures_different:.2f} %" in text
    assert "2026-01-02, 03:04" in text
    assert "draw pairs" in text
    assert "It holds no face" in text


def test_names_cannot_become_markup() -> None:
    scores = table(hostile=True)
    page = report.render(scores, summarize(scores, replicates=20))
    checker = parse(page)
    assert "script" not in {tag for tag, _ in checker.tags}
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in page
    assert "alert('x')" in "".join(checker.text)


def test_faces_only_where_asked_for() -> None:
    scores = table()
    summary = summarize(scores, replicates=0)
    without = report.render(scores, summary)
    assert "data:image" not in without
    assert "--pictures" in without
    worst = int(np.nanargmax(np.where(scores.same, np.nan, scores.score)))
    uri = "data:image/jpeg;base64,AAAA"
    with_faces = report.render(scores, summary, pictures={worst: (uri, uri)})
    images = [a for tag, a in parse(with_faces).tags if tag == "img"]
    assert [a["src"] for a in images] == [uri, uri]
    assert images[0]["alt"] == f"Face in {scores.a[worst]}"
    assert "It holds faces of people" in with_faces


def test_the_least_that_can_be_reported() -> None:
    bare = ScoreFile(
        a=texts(["1", "1"]),
        b=texts(["2", "3"]),
        same=np.array([True, False]),
        score=np.array([0.5, 0.5]),
        failure=texts(["", ""]),
    )
    page = report.render(bare, summarize(bare, replicates=0))
    parse(page)
    assert "nan" not in page.lower().replace("nancy", "")
    assert "Group by group" not in page


@pytest.mark.parametrize("change", ["perfect", "inverted", "one fold", "infinite llr"])
def test_odd_scores_are_drawn(change: str) -> None:
    scores = table()
    score, llr = scores.score.copy(), scores.llr
    fold = None
    assert llr is not None
    if change == "perfect":
        score = np.where(scores.scored, np.where(scores.same, 1.0, -1.0), np.nan)
    elif change == "inverted":
        score = -score
    elif change == "one fold":
        fold = np.zeros(len(scores), dtype=np.int64)
    else:
        llr = np.where(scores.scored, np.where(scores.same, np.inf, -np.inf), np.nan)
    changed = dataclasses.replace(scores, score=score, llr=llr, fold=fold)
    page = report.render(changed, summarize(changed, replicates=20))
    text = " ".join(parse(page).text)
    mated, other = score[scores.scored & scores.same], score[scores.scored & ~scores.same]
    wins = np.mean(mated[:, None] > other) + 0.5 * np.mean(mated[:, None] == other)
    assert f"{wins:.5f}" in text  # the AUC
    drawn = re.findall(r'<(?:path|use)[^>]* (?:d|x|y)="([^"]+)"', page)
    assert len(drawn) > 50
    assert not [one for one in drawn if re.search("nan|inf", one, re.IGNORECASE)]


def test_writing_makes_folders_and_names_what_fails(tmp_path: Path) -> None:
    scores = table()
    summary = summarize(scores, replicates=0)
    path = tmp_path / "new" / "report.html"
    report.write(path, scores, summary)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(DataError, match=r"a file\.html"):
        report.write(path / "below" / "a file.html", scores, summary)


def test_the_same_scores_make_the_same_page() -> None:
    scores = table()
    pages = [report.render(scores, summarize(scores, replicates=20)) for _ in range(2)]
    assert pages[0] == pages[1]
