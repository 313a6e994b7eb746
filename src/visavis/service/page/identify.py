"""The tab that says who is in a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from visavis.api import views
from visavis.service.page.parts import (
    Page,
    address,
    authorization,
    card,
    curl,
    data_url,
    opening,
    paragraph,
    picture,
)

if TYPE_CHECKING:
    from visavis.service.state import Caller


def tab(page: Page) -> gr.Dropdown:
    """Builds the tab; returns its choice of galleries."""
    words = page.words
    with gr.Tab(words("identify"), id="identify"):
        gr.HTML(opening(words("identify"), words("identify_words")), js_on_load=None)
        with page.form("identify"):
            photo = page.photo_input("photo", name="who")
            with gr.Row(elem_classes="vv-row"):
                rate = gr.Radio(
                    [(words("auto"), 0.0), *((words.rate(r), r) for r in (1e-1, 1e-2, 1e-3))],
                    value=0.0,
                    label=words("fpir"),
                    info=words("fpir_words"),
                )
                gallery = gr.Dropdown([], label=words("gallery"), visible=False, filterable=False)
            go = gr.Button(words("who"), variant="primary")
            out = gr.HTML(js_on_load=None, elem_classes="vv-out")

    def ask(given: Any, fpir: float, name: str | None, request: gr.Request) -> Markup:
        return page.answer(lambda: _answer(page, given, fpir or None, name, request))

    given = [photo, rate, gallery]
    page.on_press(go, ask, given, [out], changed=given)
    return gallery


def _answer(
    page: Page, given: Any, fpir: float | None, name: str | None, request: gr.Request
) -> Markup:
    caller = page.caller(request, "identify")
    words = page.words
    if not page.galleries(caller):
        return page.alert(words("no_gallery"))
    photos = page.photos(given)
    if not photos:
        return page.alert(words("need_photo"))
    name, gallery = page.service.gallery(name or None, caller)
    found = gallery.identify(photos[0], fpir=fpir, top=3, audit=page.service.options.audit)
    page.service.metrics.identified(found)
    photo, limits = photos[0].getvalue(), page.service.engine.limits
    small, size = views.preview(photo, limits=limits)
    faces = [
        _face(page, k, one, picture(views.crop(photo, one.face, limits=limits), words("crop_alt")))
        for k, one in enumerate(found.faces, 1)
    ]
    return Markup('<div class="vv-result" role="status"><div class="vv-two">{}<div>{}</div></div>{}</div>').format(
        _boxes(page, data_url(small), size, found.faces),
        Markup("").join(faces),
        curl(words, _command(request, caller, name, fpir)),
    )  # fmt: skip


def _command(request: gr.Request, caller: Caller, name: str, fpir: float | None) -> str:
    query = f"gallery={quote(name)}" + (f"&fpir={fpir:g}" if fpir else "")
    return f"curl{authorization(caller)} -F photo=@photo.jpg '{address(request, '/v1/identify')}?{query}'"


def _boxes(page: Page, source: str, size: tuple[int, int], faces: Any) -> Markup:
    width, height = size
    label = max(size) / 24
    marks = []
    for k, one in enumerate(faces, 1):
        x, y, w, h = one.face.box
        marks.append(
            Markup(
                '<rect class="vv-box{kind}" x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}"/>'
                '<rect class="vv-tag{kind}" x="{x:.0f}" y="{y:.0f}" width="{s:.0f}" height="{s:.0f}"/>'
                '<text class="vv-num" x="{tx:.0f}" y="{ty:.0f}" font-size="{f:.0f}" text-anchor="middle">{k}</text>'
            ).format(
                kind="" if one.person else " vv-none",
                x=x,
                y=y,
                w=w,
                h=h,
                s=label,
                tx=x + label / 2,
                ty=y + label * 0.76,
                f=label * 0.72,
                k=k,
            )
        )
    return Markup(
        '<figure class="vv-photo-out"><svg viewBox="0 0 {w} {h}" role="img" aria-label="{alt}">'
        '<image href="{source}" width="{w}" height="{h}"/>{marks}</svg></figure>'
    ).format(
        w=width, h=height, alt=page.words("photo_alt"), source=source,
        marks=Markup("").join(marks),
    )  # fmt: skip


def _face(page: Page, k: int, one: Any, crop: Markup) -> Markup:
    words = page.words
    if one.person is None:
        said = paragraph(words("unknown_words") if one.candidates else words("nobody"))
    else:
        said = paragraph(words.full(one.evidence))
    rows = []
    threshold = one.threshold.threshold if one.threshold is not None else 1.0
    for other in one.candidates:
        rows.append(
            Markup(
                '<li><span>{}</span><span class="vv-bar" aria-hidden="true"><i class="{}" style="width:{:.0f}%"></i>'
                '<b style="left:{:.0f}%"></b></span><span>{}</span></li>'
            ).format(
                other.person,
                "" if other.score >= threshold else "vv-below",
                100 * min(max(other.score, 0.0), 1.0),
                100 * min(max(threshold, 0.0), 1.0),
                words.score(other.score),
            )
        )
    listed = Markup()
    if rows:
        listed = Markup('<h4>{}</h4><ol class="vv-bars">{}</ol><p class="vv-note">{}</p>').format(
            words("closest"), Markup("").join(rows),
            f"{words('threshold')} {words.score(threshold)} ({words.rate(one.threshold.fpir)})",
        )  # fmt: skip
    warnings = [Markup("<li>{}</li>").format(words.say(w)) for w in one.warnings]
    kind = "vv-face" if one.person else "vv-face vv-stranger"
    return card(
        words("face_n", n=k),
        Markup('<div class="vv-side">{}<div><p class="vv-name">{}</p>{}</div></div>').format(
            crop, one.person or words("unknown"), said
        ),
        listed,
        Markup('<ul class="vv-advice">{}</ul>').format(Markup("").join(warnings))
        if warnings
        else "",
        kind=kind,
    )
