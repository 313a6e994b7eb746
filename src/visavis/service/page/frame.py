"""The frame of the page: heading, tabs, theme."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.service.page import check, identify, people, sort, verify
from visavis.service.page.parts import Page
from visavis.service.page.texts import LANGUAGES
from visavis.version import __version__

_FONTS: Final = (
    "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC",
    "PingFang SC", "Microsoft YaHei", "sans-serif",
)  # fmt: skip
_MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
_CLEANING: Final = (60, 3600)


def theme() -> gr.themes.Base:
    """Returns the theme: fonts of the system only, nothing from the network."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=_FONTS,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        body_background_fill="#f7f8f9",
        body_background_fill_dark="#12161c",
        body_text_color="#1c232b",
        body_text_color_dark="#e8ecf0",
        body_text_color_subdued="#4b5763",
        body_text_color_subdued_dark="#aab5c0",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1b2129",
        block_label_text_color="#37424d",
        block_label_text_color_dark="#c6ced6",
        block_info_text_color="#4b5763",
        block_info_text_color_dark="#aab5c0",
        border_color_primary="#d5dade",
        border_color_primary_dark="#37414c",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1b2129",
        input_border_color="#8b96a1",
        input_border_color_dark="#74808c",
        input_border_width="1px",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#ffffff",
        button_secondary_background_fill_dark="#1b2129",
        button_secondary_background_fill_hover_dark="#1b2129",
        button_primary_background_fill="#0b6b5d",
        button_primary_background_fill_hover="#08574c",
        button_primary_background_fill_dark="#0b6b5d",
        button_primary_background_fill_hover_dark="#0e7d6d",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


def build(page: Page, path: str) -> gr.Blocks:
    """Builds the page.

    Args:
        page: service and language.
        path: where the pages of all languages are.
    """
    with gr.Blocks(
        title="visavis", analytics_enabled=False, delete_cache=_CLEANING, fill_width=False
    ) as blocks:
        gr.HTML(_head(page, path), js_on_load=None, elem_classes="vv-head")
        with gr.Tabs():
            calibration = verify.tab(page)
            first = identify.tab(page)
            second, board, show = people.tab(page)
            sort.tab(page)
            other = check.tab(page, calibration)
        gr.HTML(
            Markup('<p class="vv-note">visavis {} · {}</p>').format(__version__, _model(page)),
            js_on_load=None,
            elem_classes="vv-foot",
        )

        def enter(request: gr.Request) -> tuple[Any, ...]:
            caller = page.sessions.caller(request.cookies)
            names = [] if caller is None else page.galleries(caller)
            choice = gr.update(
                choices=names, value=names[0] if names else None, visible=len(names) > 1
            )
            known = check.choices(page, request)
            calibrated = gr.update(choices=known, visible=len(known) > 1)
            grid = show(names[0] if names else None, request)
            may = [
                caller is not None and (caller.key is None or caller.key.allows(scope))
                for scope, _, _ in page.forms
            ]
            refusals = [gr.update(visible=not one) for one in may]
            forms = [gr.update(visible=one) for one in may]
            return choice, choice, calibrated, calibrated, grid, *refusals, *forms

        blocks.load(
            enter, None,
            [first, second, calibration, other, board, *(one for _, one, _ in page.forms),
             *(form for _, _, form in page.forms)],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip
    blocks.queue(api_open=False, default_concurrency_limit=8)
    return blocks


def _model(page: Page) -> str:
    known = page.service.engine.recognizer().calibration
    return page.words(
        "model",
        model=known.model,
        calibration=f"{known.name} ({page.words.translated(known.dataset)})",
    )


def _head(page: Page, path: str) -> Markup:
    words = page.words
    links = Markup("").join(
        Markup('<a href="{}/{}/" lang="{}" hreflang="{}">{}</a>').format(
            path, code, code, code, name
        )
        for code, name in LANGUAGES.items()
        if code != words.language
    )
    leave = (
        Markup(
            '<form method="post" action="{}/sign-out"><button class="vv-link">{}</button></form>'
        ).format(path, words("sign_out"))
        if page.service.keys
        else ""
    )
    return Markup(
        '<header class="vv-banner"><div><h1>visavis</h1><p>{}</p></div><nav>{}{}</nav></header>'
        '<p class="vv-private"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 11V8a6 6 0 0 1 12 0v3M5 11h14v10H5z"/></svg>{}</p>'
    ).format(words("title"), links, leave, words("privacy"))
