"""The page in the browser: five tabs over the same service, in English and Chinese."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from visavis.errors import require_extra
from visavis.service.page.texts import LANGUAGES, TAGS, Words

if TYPE_CHECKING:
    from visavis.service.page.access import Sessions
    from visavis.service.page.parts import Page
    from visavis.service.state import Service

PATH: Final = "/ui"
_SCRIPT_TEXTS: Final = (
    "choose", "choose_more", "drop", "drop_more", "drop_files", "camera", "shoot", "cancel", "remove",
    "no_camera", "no_preview", "samples", "copy", "copied", "sending", "not_sent", "folder", "files",
)  # fmt: skip


def mount_page(
    app: FastAPI, service: Service, *, path: str = PATH, samples: Mapping[str, bytes] | None = None
) -> None:
    """Adds the page to a service's application, one address a language below ``path``.

    Photos that are looked at alone stay in memory. A collection is sent to the private folder of
    the service's jobs.

    Args:
        app: the application.
        service: the service behind it.
        path: where the page is.
        samples: JPEG or PNG photos by name that visitors may try.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    folder = service.jobs.folder / "page"  # which the service erases, or the next one
    folder.mkdir(mode=0o700, exist_ok=True)
    # Gradio reads these, some when it is imported.
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1",
        GRADIO_RUN_HISTORY="False", GRADIO_SSR_MODE="False",
    )  # fmt: skip
    require_extra("ui", "the page")
    from visavis.service.page.access import Sessions
    from visavis.service.page.parts import Page

    sessions = Sessions(service)
    _add_routes(app, service, sessions, path)
    for language in LANGUAGES:
        _mount(app, Page(service, sessions, Words(language), folder), path, samples or {})


def _mount(app: FastAPI, page: Page, path: str, samples: Mapping[str, bytes]) -> None:
    import gradio as gr
    from gradio.route_utils import CustomCORSMiddleware

    from visavis.service.page.access import PageGuard
    from visavis.service.page.frame import build, theme
    from visavis.service.page.parts import data_url

    words, options = page.words, page.service.options
    place = f"{path}/{words.language}"
    blocks = build(page, path)
    gr.mount_gradio_app(
        app, blocks, place, footer_links=[], run_history=False, ssr_mode=False,
        show_error=False, max_file_size=options.body_bytes, enable_monitoring=False,
        mcp_server=False, pwa=False, theme=theme(), css=_static("page.css"),
    )  # fmt: skip
    mounted: Any = app.router.routes[-1]
    inside = mounted.app
    inside.user_middleware = [
        m for m in inside.user_middleware if m.cls is not CustomCORSMiddleware
    ]
    texts = {key: words(key) for key in _SCRIPT_TEXTS} | {
        "lang": TAGS[words.language],
        "chosen": words("chosen", n="{n}"),
        "too_big": words("too_big", most=round(options.photo_bytes / 1e6)),
    }
    shown = [{"name": name, "data": data_url(photo)} for name, photo in samples.items()]
    head = Markup('<link rel="icon" href="data:,">') + Markup(
        "<script data-words='{}' data-samples='{}'>{}</script>"
    ).format(json.dumps(texts), json.dumps(shown), Markup(_static("page.js")))
    mounted.app = PageGuard(
        inside, page.service, page.sessions, sign_in=f"{path}/sign-in?{urlencode({'lang': words.language})}",
        head=str(head), language=TAGS[words.language],
    )  # fmt: skip


def _add_routes(app: FastAPI, service: Service, sessions: Sessions, path: str) -> None:
    from visavis.service.page.access import COOKIE, cookies_of

    def chosen(request: Request) -> Words:
        asked = request.query_params.get("lang") or _preferred(
            request.headers.get("accept-language", "")
        )
        return Words(asked if asked in LANGUAGES else next(iter(LANGUAGES)))

    async def enter(request: Request) -> Response:
        return RedirectResponse(f"{path}/{chosen(request).language}/", 303)

    async def form(request: Request) -> Response:
        return HTMLResponse(_sign_in(chosen(request), path, failed=False), headers=_STRICT)

    async def sign_in(request: Request) -> Response:
        words = chosen(request)
        given = (await request.form(max_files=0, max_fields=2)).get("key")
        name = sessions.open(given.strip()) if isinstance(given, str) else None
        if name is None:
            return HTMLResponse(_sign_in(words, path, failed=True), 401, headers=_STRICT)
        answer = RedirectResponse(f"{path}/{words.language}/", 303)
        answer.set_cookie(
            COOKIE, name, httponly=True, samesite="strict", path=path,
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    async def sign_out(request: Request) -> Response:
        sessions.end(cookies_of(request.scope))
        answer = RedirectResponse(f"{path}/sign-in", 303)
        answer.delete_cookie(COOKIE, path=path)
        return answer

    for place in ("/", path, f"{path}/"):
        app.add_route(place, enter, methods=["GET"], include_in_schema=False)
    app.add_route(f"{path}/sign-in", form, methods=["GET"], include_in_schema=False)
    app.add_route(f"{path}/sign-in", sign_in, methods=["POST"], include_in_schema=False)
    app.add_route(f"{path}/sign-out", sign_out, methods=["POST"], include_in_schema=False)


_STRICT: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}


def _sign_in(words: Words, path: str, *, failed: bool) -> str:
    return Markup(
        '<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>visavis</title><style>{css}</style></head><body class=\"vv-door\"><main>"
        "<h1>visavis</h1><p>{words}</p>{failed}"
        '<form method="post" action="{path}/sign-in?lang={lang}"><label for="key">{key}</label>'
        '<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>'
        "<button>{go}</button></form></main></body></html>"
    ).format(
        lang=words.language, css=Markup(_static("door.css")), words=words("sign_in_words"),
        failed=Markup('<p role="alert">{}</p>').format(words("bad_key")) if failed else "",
        path=path, key=words("key"), go=words("sign_in"),
    )  # fmt: skip


def _preferred(header: str) -> str:
    """Returns the first known language of an Accept-Language header.

    >>> _preferred("fr;q=0.9, zh-CN;q=0.8, en;q=0.5"), _preferred("")
    ('zh', '')
    """
    asked = []
    for part in header.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            asked.append((-float(quality or 1), tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((tag for _, tag in sorted(asked, key=lambda one: one[0]) if tag in LANGUAGES), "")


def _static(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text("utf-8")
