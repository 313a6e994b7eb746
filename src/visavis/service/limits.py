"""ASGI middleware around all routes: limits on bodies, request ids, logs, security headers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.errors import KeyFileError, VisavisError
from visavis.service.problems import ProblemError, Respond, as_problem
from visavis.service.state import LOOPBACK, Service

log: Final = logging.getLogger("visavis.service")

_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_DRAIN_SECONDS: Final = 1.0


class Guard:
    """Refuses what is too large, too slow, or from another site; notes every request.

    A request's log line has no name, no photo and no score: the route is the pattern of its path.

    Args:
        app: the application.
        service: gives limits, keys and metrics.
        respond: makes the response to a refused request.
    """

    def __init__(self, app: ASGIApp, service: Service, respond: Respond) -> None:
        self._app, self._service, self._respond = app, service, respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        exchange = _Exchange(
            self._service, self._respond, scope, receive, send,
            given if _ID.fullmatch(given) else _new_id(),
        )  # fmt: skip
        scope.setdefault("state", {})["request_id"] = exchange.id
        try:
            self._admit(headers)
            await self._app(scope, exchange.receive, exchange.send)
        except ProblemError as error:
            await exchange.refuse(error)
        except VisavisError as error:
            await exchange.refuse(as_problem(error))
        except ClientDisconnect:
            exchange.gone()
        except Exception as error:  # noqa: BLE001  # answered with 500; the service goes on
            log.error("unexpected", extra={"request": exchange.id, **_frames(error)})
            bug = f"a bug in visavis: {type(error).__name__}"
            remedy = "please report it with the log line of this request"
            await exchange.refuse(ProblemError(500, "unexpected", bug, remedy))
        finally:
            exchange.end()

    def _admit(self, headers: Headers) -> None:
        length, options = headers.get("content-length", "0"), self._service.options
        if length.isdecimal() and int(length) > options.body_bytes:
            raise _too_large(options.body_bytes)
        if self._open():  # a web page must not reach it through the browser
            host = _host(headers.get("host", ""))
            if host not in LOOPBACK:
                raise ProblemError(
                    403, "forbidden-host", f"the request is for host {host[:80]!a}",
                    "an open service answers as localhost only; make a key: `visavis keys create`",
                )  # fmt: skip
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2] != headers.get("host"):
                raise ProblemError(
                    403, "forbidden-origin", f"the request comes from {origin[:80]!a}",
                    "an open service answers its own pages only",
                )  # fmt: skip

    def _open(self) -> bool:
        try:
            return not self._service.keys
        except KeyFileError:  # what needs a key is refused where it is checked
            return False


class _Exchange:
    """One request and its response."""

    def __init__(  # noqa: PLR0917
        self, service: Service, respond: Respond, scope: Scope, receive: Receive, send: Send,
        request_id: str,
    ) -> None:  # fmt: skip
        self.id = request_id
        self._service, self._respond, self._scope = service, respond, scope
        self._receive, self._send = receive, send
        self._start = perf_counter()
        self._received = 0
        self._complete = False
        self._status = 0
        self._sent = 0

    async def receive(self) -> Message:
        """Receives a part of the body, within time and size."""
        if self._complete:
            return await self._receive()
        options = self._service.options
        left = options.seconds - (perf_counter() - self._start)
        try:
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError as error:
            raise ProblemError(
                408, "request-timeout", f"the body took longer than {options.seconds:g} s",
                "send it faster, or in smaller requests",
            ) from error  # fmt: skip
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._received += size
        self._service.receiving += size
        if self._received > options.body_bytes:
            raise _too_large(options.body_bytes)
        if self._service.receiving > options.memory_bytes:
            raise ProblemError(
                429, "busy", "too many bytes are being received", "ask again in a moment",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the response, with the headers of all responses."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("application/"):
                headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
            headers["X-Request-Id"] = self.id
            if (rates := self._state.get("fpir")) is not None:
                headers["X-Visavis-Fpir"], headers["X-Visavis-Fpir-Upper"] = map(_rate, rates)
            if not self._complete and self._expects_body():
                await self._drain()
                headers["Connection"] = "close"
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, problem: ProblemError) -> None:
        """Answers with a problem, unless an answer has begun."""
        if not self._status:
            self._state["reason"] = problem.reason
            response = self._respond(self._scope, problem, self.id)
            await response(self._scope, self.receive, self.send)

    def gone(self) -> None:
        """Notes that the client left before its body was complete."""
        self._status = self._status or 499  # as nginx logs it

    def end(self) -> None:
        """Writes the log line and counts the request."""
        self._service.receiving -= self._received
        seconds = perf_counter() - self._start
        route, rates = getattr(self._scope.get("route"), "path", ""), self._state.get("fpir")
        self._service.metrics.request(self._scope["method"], route, self._status, seconds)
        log.info(
            "request",
            extra={
                "request": self.id,
                "method": self._scope["method"],
                "route": route,
                "status": self._status,
                "reason": self._state.get("reason"),
                "ms": round(seconds * 1000, 1),
                "received": self._received,
                "sent": self._sent,
                "key": self._state.get("key"),
                **({"fpir": float(_rate(rates[0]))} if rates is not None else {}),
            },
        )

    @property
    def _state(self) -> MutableMapping[str, Any]:
        state: MutableMapping[str, Any] = self._scope["state"]
        return state

    def _expects_body(self) -> bool:
        headers = Headers(scope=self._scope)
        return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

    async def _drain(self) -> None:
        """Discards what is still coming, for a moment: a client that sends may not yet read."""
        left = self._service.options.body_bytes
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while left > 0:  # every message takes of it
                    message = await self._receive()
                    left -= len(message.get("body", b"")) or 1
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return


class JsonFormatter(logging.Formatter):
    """Formats log records as one JSON object a line."""

    _FIELDS: Final = (
        "request", "method", "route", "status", "reason", "ms", "received", "sent", "key", "fpir",
        "error", "frames",
    )  # fmt: skip

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        plain: dict[str, Any] = {
            "time": when, "level": record.levelname.lower(), "message": record.getMessage()
        }  # fmt: skip
        plain |= {name: getattr(record, name) for name in self._FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            plain |= _frames(record.exc_info[1])
        return json.dumps(plain, ensure_ascii=True)


def log_as_json() -> None:
    """Sends the logs of the service, of the API (warnings) and of uvicorn to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, level in (("visavis", logging.WARNING), ("visavis.service", logging.INFO),
                        ("uvicorn", logging.INFO)):  # fmt: skip
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "visavis.service" else []
        logger.setLevel(level)
        logger.propagate = name == "visavis.service"


def _frames(error: BaseException) -> dict[str, Any]:
    """Returns type and places of an error; not its text, which may name a person."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
    }


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        413,
        "body-too-large",
        f"the body has more than {most:,} bytes",
        "send fewer or smaller photos",
    )


def _host(header: str) -> str:
    """Returns the name in a Host header.

    >>> _host("localhost:8000"), _host("[::1]:8000"), _host("evil.example")
    ('localhost', '::1', 'evil.example')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _rate(rate: float) -> str:
    return f"{rate:.3g}"


def _new_id() -> str:
    return secrets.token_hex(8)
