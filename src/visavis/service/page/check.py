"""The tab that checks a calibration on photos, and makes one of them."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.api import calibrations, views
from visavis.errors import OptionError
from visavis.service.jobs import ENDED, Job
from visavis.service.page import draw
from visavis.service.page.collection import collect, erase_photos, forget
from visavis.service.page.parts import Page, card, opening, paragraph
from visavis.service.page.sort import progress
from visavis.service.page.verify import supported

if TYPE_CHECKING:
    from collections.abc import Callable

_POLLS: Final = 20_000
_SECONDS: Final = 0.4


def tab(page: Page, other: gr.Dropdown) -> gr.Dropdown:
    """Builds the tab; returns its choice of calibrations.

    Args:
        page: the page.
        other: another tab's choice, which follows when one is made.
    """
    words = page.words
    with gr.Tab(words("check"), id="check"):
        gr.HTML(opening(words("check"), words("check_words")), js_on_load=None)
        with page.form("verify"):
            files = page.files_input(name="check")
            with gr.Row(elem_classes="vv-row"):
                rate = gr.Radio(
                    [(words.rate(r), r) for r in supported(page, None)],
                    value=1e-3, label=words("rate"), info=words("rate_words"),
                )  # fmt: skip
                calibration = gr.Dropdown(
                    [(words("own_calibration"), "")], value="", label=words("calibration"),
                    visible=False, filterable=False,
                )  # fmt: skip
            go = gr.Button(words("start_check"), variant="primary")
            out = gr.HTML(js_on_load=None, elem_classes="vv-out")
            state: Any = gr.State(None)
            more, made = _make(page, state, calibration, other)

    def check(
        given: Any, fmr: float, named: str, known: str | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        def work(job: Job) -> views.Examination:
            return views.examine(
                job.folder / "photos", fmr=fmr, workers=1, threads=1, progress=job.update,
                calibration=named or None, home=page.service.options.home,
            )  # fmt: skip

        def begin() -> Job | None:
            caller = page.caller(request, "verify")
            page.service.require_calibration(named or None, caller)
            sent = page.files(given)
            if not sent:
                return None
            if known is not None:
                forget(page, caller, known)
            job = collect(page, caller, "check", sent)
            page.service.jobs.start(job, work)
            return job

        for html, job in _running(page, begin):
            enough = job is not None and job.state == "done" and job.result.check is not None
            yield (
                _report(page, job.result) if job is not None and job.state == "done" else html,
                known if job is None else job.id,
                gr.update(visible=enough),
                None if enough else gr.skip(),
                "",
            )

    page.on_press(
        go, check, [files, rate, calibration, state], [out, state, more, files, made], arrived=files
    )
    files.change(  # what can be made is of the photos before
        None, files, more, js="(files) => ({ __type__: 'update', ...(files?.length && { visible: false }) })",
        api_visibility="private", show_progress="hidden",
    )  # fmt: skip
    return calibration


def _make(
    page: Page, state: gr.State, calibration: gr.Dropdown, other: gr.Dropdown
) -> tuple[gr.Column, gr.HTML]:
    """Builds what makes a calibration; returns its box and its answer."""
    words = page.words
    with gr.Column(visible=False, elem_classes="vv-card vv-make") as more:
        gr.HTML(
            Markup("<h3>{}</h3>").format(words("make")) + paragraph(words("make_words"), "vv-note"),
            js_on_load=None,
        )
        with page.form("admin"):
            name = gr.Textbox(label=words("make_name"), max_lines=1, max_length=64)
            make = gr.Button(words("make_do"))
            made = gr.HTML(js_on_load=None, elem_classes="vv-out")

    def keep(
        known: str | None, called: str, request: gr.Request
    ) -> Iterator[tuple[Markup, Any, Any]]:
        home = page.service.options.home

        def work(job: Job) -> Any:
            owner = page.caller(request, "admin")
            owners = None if owner.key is None else owner.key.galleries
            page.service.keys.own_calibration(called, owners)
            try:
                return calibrations.calibrate(
                    unlabelled=job.folder / "photos", name=called, dataset=called, cache=False,
                    workers=1, threads=1, progress=job.update, command="page", home=home,
                )  # fmt: skip
            finally:
                if called not in calibrations.names(home=home):
                    page.service.keys.own_calibration(called, None)
                erase_photos(job)

        def begin() -> Job | None:
            caller = page.caller(request, "admin")
            if known is None or not called:
                return None
            if called in calibrations.names(home=home):
                raise OptionError(f"the name {called!r}, which is taken", "choose another")
            job = page.service.jobs.get(known, caller.id)
            page.service.jobs.start(job, work)
            return job

        for html, job in _running(page, begin):
            done = job is not None and job.state == "done"
            choice = gr.update(choices=choices(page, request), visible=True) if done else gr.skip()
            yield (page.note(words("made", name=called)) if done else html), choice, choice

    page.on_press(make, keep, [state, name], [made, calibration, other])
    return more, made


def choices(page: Page, request: gr.Request) -> list[tuple[str, str]]:
    """Returns the calibrations that a visitor may choose."""
    caller = page.sessions.caller(request.cookies)
    own = [] if caller is None else page.service.calibrations(caller)
    model = page.service.engine.recognizer().calibration.name
    return [(page.words("own_calibration"), ""), *((one, one) for one in own if one != model)]


def _running(page: Page, begin: Callable[[], Job | None]) -> Iterator[tuple[Markup, Job | None]]:
    """Yields progress until a job ends, then what went wrong, if anything did."""
    started: list[Job | None] = []

    def first() -> Markup:
        job = begin()
        started.append(job)
        return page.alert(page.words("need_photos")) if job is None else progress(page, job)

    yield page.answer(first), None
    if not started or (job := started[0]) is None:
        return
    for _ in range(_POLLS):
        if job.state in ENDED:
            break
        sleep(_SECONDS)
        yield progress(page, job), job
    problem = job.problem
    yield (Markup() if problem is None else page.error(problem)), job


def _report(page: Page, found: views.Examination) -> Markup:
    words, check = page.words, found.check
    kind = "unsure" if check is None else "same" if check.trusted else "different"
    title = words({"same": "trusted", "different": "not_trusted", "unsure": "no_check"}[kind])
    if check is None:
        said = words.say(found.reason or "")
    else:
        row = next(one for one in check.rates if one.claimed_fmr == check.decisive_fmr)
        low, high = (f"{value:.2g}" for value in row.factor_interval)
        said = words(
            "verdict", factor=f"{row.factor:.2g}", low=low, high=high,
            rate=words.rate(row.claimed_fmr),
        )  # fmt: skip
    cards = [
        card(
            words("histogram"),
            draw.histogram(
                words, found.scores, labels=("non_mated" if found.roc else "all_pairs", "mated")
            ),
        )
    ]
    if found.roc:
        cards.append(
            card(words("roc"), draw.roc(words, found.roc), paragraph(words("roc_words"), "vv-note"))
        )
    if found.plane:
        cards.append(
            card(
                words("plane"),
                draw.plane(words, found.plane, found.people),
                paragraph(words("plane_words"), "vv-note"),
            )
        )
    return Markup(
        '<div class="vv-result" role="status"><div class="vv-verdict vv-{}"><div><h2>{}</h2>{}{}</div></div>{}'
        '<div class="vv-two">{}</div></div>'
    ).format(
        kind, title, paragraph(said),
        paragraph(words("check_used", photos=found.photos, failures=found.failures), "vv-note"),
        _table(page, check) if check is not None else "", Markup("").join(cards),
    )  # fmt: skip


def _table(page: Page, check: Any) -> Markup:
    words = page.words
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td><td>{} – {}</td><td>{}</td></tr>").format(
            words.rate(row.claimed_fmr), words.rate(row.estimated_fmr),
            words.rate(row.interval[0]), words.rate(row.interval[1]),
            words("yes" if row.holds else "no"),
        )
        for row in check.rates
    )  # fmt: skip
    heads = Markup("").join(
        Markup('<th scope="col">{}</th>').format(words(key))
        for key in ("claimed", "found", "interval", "holds")
    )
    return Markup(
        '<div class="vv-scroll" tabindex="0" role="region" aria-label="{}"><table class="vv-table"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(words("rate"), heads, rows)
