"""Who uses the page: a session for a key, and a guard before everything that Gradio serves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from html import escape
from http.cookies import SimpleCookie
from time import monotonic
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.service.state import Caller

if TYPE_CHECKING:
    from visavis.service.state import Service

COOKIE: Final = "visavis_session"
_SESSIONS: Final = 1000
_SECONDS: Final = 12 * 3600.0

_SERVED: Final = (
    "/assets/", "/static/", "/svelte/", "/theme.css", "/config", "/gradio_api/queue/",
    "/gradio_api/upload", "/gradio_api/heartbeat/", "/gradio_api/startup-events",
    "/gradio_api/app_id", "/gradio_api/reset", "/gradio_api/cancel",
)  # fmt: skip
"""What the page needs of Gradio's routes; the others are not served."""

_OTHERS: Final = re.compile(
    r'<meta\s+(?:property="og|name="twitter):[^>]*>|<link rel="manifest"[^>]*>'
)
"""What Gradio's page says about itself to other sites."""

_OPEN: Final = "/gradio_api/heartbeat/"
_POLL_SECONDS: Final = 0.5

_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio compiles its templates
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'self'",
    )
)


class Sessions:
    """Keys of those who signed in. Thread-safe; lost when the service ends.

    Args:
        service: its keys decide.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def open(self, token: str) -> str | None:
        """Returns the name of a new session, or ``None`` for a key that is not valid."""
        if self._service.keys.check(token) is None:
            return None
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[name] = (token, monotonic() + _SECONDS)
            while len(self._tokens) > _SESSIONS:
                self._tokens.popitem(last=False)
        return name

    def end(self, cookies: Mapping[str, str]) -> None:
        """Forgets a session."""
        with self._lock:
            self._tokens.pop(cookies.get(COOKIE, ""), None)

    def caller(self, cookies: Mapping[str, str]) -> Caller | None:
        """Returns who asks, or ``None`` if a key is needed; revoked keys end at once."""
        if not self._service.keys:
            return Caller()
        with self._lock:
            token, until = self._tokens.get(cookies.get(COOKIE, ""), ("", 0.0))
        if monotonic() > until:
            return None
        key = self._service.keys.check(token)
        return None if key is None else Caller(key.id, key)


class PageGuard:
    """Serves those who may only, and only what the page needs.

    Args:
        app: Gradio's application.
        service: says when it ends.
        sessions: who may.
        sign_in: address of the form that asks for a key.
        head: HTML for the beginning of the page's head.
        language: language of the page.
    """

    def __init__(
        self, app: ASGIApp, service: Service, sessions: Sessions, *, sign_in: str, head: str,
        language: str,
    ) -> None:  # fmt: skip
        self._app, self._service = app, service
        self._sessions, self._sign_in = sessions, sign_in
        self._head, self._language = head, language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        main = path in {"", "/"}
        if not main and not path.startswith(_SERVED):
            await PlainTextResponse("not found", 404)(scope, receive, send)
        elif self._sessions.caller(cookies_of(scope)) is None:
            refused = (
                RedirectResponse(self._sign_in, 303) if main else PlainTextResponse("sign in", 401)
            )
            await refused(scope, receive, send)
        elif path.startswith(_OPEN):
            await self._stream(scope, receive, send)
        else:
            await self._serve(scope, receive, send, main=main)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves what stays open as long as the page does; ends it when the service ends."""
        stream = asyncio.ensure_future(self._app(scope, receive, send))
        while not stream.done() and self._service.ready:  # one of both ends
            await asyncio.wait({stream}, timeout=_POLL_SECONDS)
        if not stream.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            stream.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stream

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, main: bool) -> None:
        if main:  # rewritten below, so it must not be compressed
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": kept}
        start: Message = {}
        body = b""

        async def answer(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                if main:
                    start = message
                    return
            elif main:
                body += message.get("body", b"")
                if message.get("more_body", False):
                    return
                body = self._own(body.decode()).encode()
                MutableHeaders(scope=start)["Content-Length"] = str(len(body))
                await send(start)
                message = {**message, "body": body}
            await send(message)

        await self._app(scope, receive, answer)

    def _own(self, html: str) -> str:
        """Sets the language, and leaves out what names Gradio's site."""
        html = _OTHERS.sub("", html).replace('lang="en"', f'lang="{escape(self._language)}"', 1)
        return html.replace("<head>", f"<head><title>visavis</title>{self._head}", 1)


def cookies_of(scope: Scope) -> dict[str, str]:
    """Returns the cookies of a request."""
    parsed = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    return {name: morsel.value for name, morsel in parsed.items()}
