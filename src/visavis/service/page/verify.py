"""The tab that compares two photos."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.api import views
from visavis.service.page import draw
from visavis.service.page.parts import (
    RATES,
    Page,
    address,
    authorization,
    card,
    curl,
    opening,
    paragraph,
    picture,
)

if TYPE_CHECKING:
    from visavis.api.records import Verification

_ICONS: Final = {
    True: "M6 13l4 4 8-9",
    False: "M7 7l10 10M17 7L7 17",
    None: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 17.5v.1",
}
_KINDS: Final = {True: "same", False: "different", None: "unsure"}


def tab(page: Page) -> gr.Dropdown:
    """Builds the tab; returns its choice of calibrations."""
    words = page.words
    with gr.Tab(words("verify"), id="verify"):
        gr.HTML(opening(words("verify"), words("verify_words")), js_on_load=None)
        with page.form("verify"):
            with gr.Row(elem_classes="vv-row"):
                a = page.photo_input("first_photo", name="a")
                b = page.photo_input("second_photo", name="b")
            with gr.Row(elem_classes="vv-row"):
                rate = gr.Radio(
                    [(words.rate(r), r) for r in supported(page, None)],
                    value=1e-3,
                    label=words("rate"),
                    info=words("rate_words"),
                )
                calibration = gr.Dropdown(
                    [(words("own_calibration"), "")],
                    value="",
                    label=words("calibration"),
                    visible=False,
                    filterable=False,
                )
            faces = _faces_input(page)
            go = gr.Button(words("compare"), variant="primary")
            out = gr.HTML(js_on_load=None, elem_classes="vv-out")

    def compare(
        first: Any,
        second: Any,
        fmr: float,
        name: str,
        rule: str,
        request: gr.Request,
    ) -> tuple[Markup, Any]:
        several = False

        def ask() -> Markup:
            nonlocal several
            html, several = _answer(page, first, second, fmr, name or None, rule, request)
            return html

        answer = page.answer(ask)
        return answer, gr.update(visible=True) if several else gr.skip()

    given = [a, b, rate, calibration, faces]
    page.on_press(go, compare, given, [out, faces], changed=given)
    return calibration


def _faces_input(page: Page) -> gr.Radio:
    """Which face of a photo with several; seen once there was such a photo."""
    words = page.words
    return gr.Radio(
        [(words(rule), rule) for rule in ("largest", "central")],
        value="largest", label=words("which_face"), visible=False,
    )  # fmt: skip


def supported(page: Page, calibration: str | None) -> list[float]:
    """Returns the false match rates that a calibration supports."""
    known = page.service.engine.recognizer(calibration=calibration).calibration
    lowest = min(point.target_fmr for point in known.points)
    return [rate for rate in RATES if rate >= lowest * (1 - 1e-9)]


def _answer(
    page: Page,
    first: Any,
    second: Any,
    fmr: float,
    name: str | None,
    rule: str,
    request: gr.Request,
) -> tuple[Markup, bool]:
    """Returns the answer, and whether a photo has several faces."""
    caller = page.caller(request, "verify")
    words = page.words
    first, second = page.photos(first), page.photos(second)
    if not first or not second:
        return page.alert(words("need_two")), False
    page.service.require_calibration(name, caller)
    a, b = first[0], second[0]
    found = page.service.engine.verify(a, b, fmr=fmr, calibration=name, faces=rule)
    page.service.metrics.verified(found)
    query = f"fmr={fmr:g}" + (f"&calibration={name}" if name else "")
    query += "" if rule == "largest" else f"&faces={rule}"
    command = (
        f"curl{authorization(caller)} -F a=@first.jpg -F b=@second.jpg "
        f"'{address(request, '/v1/verify')}?{query}'"
    )
    known = page.service.engine.recognizer(calibration=name).calibration
    hist = views.score_histogram(known)
    middle = [
        card(
            words("evidence"),
            paragraph(words.full(found.evidence)),
            paragraph(words("lr_help"), "vv-note"),
            paragraph(_rates(page, found), "vv-note"),
        )
    ]
    if hist is not None:
        middle.append(
            card(
                words("where"),
                draw.histogram(words, hist, threshold=found.threshold, score=found.score),
                paragraph(words("where_words", name=known.name), "vv-note"),
            )
        )
    limits = page.service.engine.limits
    sides = [
        _side(
            page,
            title,
            used,
            picture(views.crop(photo.getvalue(), used.face, limits=limits), words("crop_alt")),
        )
        for title, used, photo in (
            (words("first_photo"), found.a, a),
            (words("second_photo"), found.b, b),
        )
    ]
    pair = Markup('<div class="vv-pair">{}</div>').format(Markup("").join(sides))
    crowds = [
        paragraph(words("several", photo=title, n=used.faces_found, rule=words(rule)), "vv-caution")
        for title, used in ((words("first_photo"), found.a), (words("second_photo"), found.b))
        if used.faces_found > 1
    ]
    html = Markup('<div class="vv-result" role="status">{}{}<div class="vv-two">{}</div>{}{}</div>').format(
        _verdict(page, found), Markup("").join(crowds), Markup("").join(middle),
        card(words("seen"), pair), curl(words, command),
    )  # fmt: skip
    return html, bool(crowds)


def _verdict(page: Page, found: Verification) -> Markup:
    words, kind = page.words, _KINDS[found.same]
    lines = [
        words("score_words", score=words.score(found.score), threshold=words.score(found.threshold))
    ]
    if found.same is None:
        lines.append(words("unsure_words"))
    return Markup(
        '<div class="vv-verdict vv-{kind}"><svg viewBox="0 0 24 24" aria-hidden="true">'
        '<circle cx="12" cy="12" r="11"/><path d="{icon}"/></svg><div><h2>{word}</h2>{lines}</div>'
        "</div>"
    ).format(
        kind=kind, icon=_ICONS[found.same], word=words(kind),
        lines=Markup("").join(paragraph(line) for line in lines),
    )  # fmt: skip


def _rates(page: Page, found: Verification) -> str:
    point, words = found.operating_point, page.words
    if math.isnan(point.fnmr):
        return words(
            "fmr_words", fmr=words.rate(point.fmr), dataset=words.translated(point.dataset)
        )
    return words(
        "fnmr_words",
        fmr=words.rate(point.fmr),
        fnmr=words.rate(point.fnmr),
        dataset=words.translated(point.dataset),
    )


def _side(page: Page, title: str, used: Any, crop: Markup) -> Markup:
    words = page.words
    advice = [words.say(sentence) for sentence in used.quality.warnings]
    said = advice or [words("good_quality")]
    return Markup(
        '<div class="vv-side">{}<div><h4>{}</h4><ul class="vv-advice{}">{}</ul></div></div>'
    ).format(
        crop, title, "" if advice else " vv-fine",
        Markup("").join(Markup("<li>{}</li>").format(one) for one in said),
    )  # fmt: skip
