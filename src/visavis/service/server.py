"""Runs the service with uvicorn: time limit for headers, graceful end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from types import FrameType
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from visavis.errors import OptionError
from visavis.service.app import create_app
from visavis.service.limits import log_as_json
from visavis.service.state import LOOPBACK, Service

log: Final = logging.getLogger("visavis.service")
_HEADER_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 15


class Protocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request line and headers take too long."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Starts the time for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Reads; the time for a later request starts with its first byte."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._waiting is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the time."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server(uvicorn.Server):
    """Finishes what was accepted on the first SIGTERM or SIGINT; the second ends it at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.should_exit:
            self._service.jobs.erase()
            os._exit(128 + sig)  # threads that still work would keep the interpreter
        self._service.ready = False
        super().handle_exit(sig, frame)


def configured(
    service: Service, *, host: str = "127.0.0.1", port: int = 8000, grace: float = 30.0,
    app: Any = None,
) -> Server:  # fmt: skip
    """Returns a server; its ``run`` returns after a signal.

    Args:
        service: what to serve.
        host: address to listen on; without keys a loopback address.
        port: TCP port; 0: any that is free.
        grace: seconds in which accepted requests are finished after SIGTERM.
        app: the application; ``None``: ``create_app(service)``.

    Raises:
        OptionError: another host, and there is no key.
    """
    require_keys(service, host)
    config = uvicorn.Config(
        create_app(service) if app is None else app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    return Server(config, service)


def require_keys(service: Service, host: str) -> None:
    """Refuses to listen on other addresses than loopback without any key.

    Raises:
        OptionError: there is no key.
    """
    if host not in LOOPBACK and not service.keys:
        raise OptionError(
            f"--host {host} without any key: everybody who reaches it could use it",
            "make a key first: `visavis keys create --scope verify`, or leave --host out",
        )


def require_aws_key(service: Service) -> None:
    """Refuses the dialect rekognition with keys whose secret access keys cannot be derived.

    Raises:
        OptionError: there is no key file.
    """
    if "rekognition" in service.options.dialects and service.keys and service.aws_key is None:
        raise OptionError(
            "--dialect rekognition without a key file: no signature can be checked",
            "say --aws-key-file FILE, the one of `visavis keys create --aws`",
        )


def serve(service: Service, *, host: str, port: int, grace: float, app: Any = None) -> None:
    """Serves until a signal comes; logs to standard error, one JSON object a line.

    Raises:
        OptionError: the address cannot be listened on, or needs a key.
        KeyFileError: the keys cannot be read.
    """
    server = configured(service, host=host, port=port, grace=grace, app=app)
    is_open = not service.keys
    log_as_json()
    if is_open:
        log.warning("no key: the service is open to everybody on this machine, on %s only", host)
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.getsignal(one) for one in signals}
    try:
        # uvicorn raises the signal again when it has ended: its work is done by then.
        for one in signals:
            signal.signal(one, lambda _sig, _frame: None)
        server.run()
    except SystemExit as error:  # uvicorn has logged why
        raise OptionError(
            f"--host {host} --port {port} cannot be listened on", "choose another address or port"
        ) from error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
