"""Posts events as JSON to an address that the user gave."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from visavis.errors import OptionError
from visavis.video.outbox import PAUSES, Outbox
from visavis.video.source import redacted

if TYPE_CHECKING:
    import logging

    from visavis.video.records import VisitEvent


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Events go to the given address only."""
        return


class Webhook:
    """Posts each event as one JSON object. Never blocks; see ``visavis.video.outbox``.

    Args:
        url: ``http://`` or ``https://``; a user name and password in it are sent as basic
            authentication.
        log: told about failures; addresses without user names, passwords and queries.
        timeout: seconds for one try.
        pauses: seconds before each further try.

    Raises:
        OptionError: another address.
    """

    def __init__(
        self,
        url: str,
        *,
        log: logging.Logger,
        timeout: float = 5.0,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._url, self._headers = _request(url)
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect(), urllib.request.ProxyHandler({}))
        self._outbox = Outbox(self._post, name=f"webhook {redacted(url)}", log=log, pauses=pauses)

    def event(self, event: VisitEvent) -> None:
        """Takes an event."""
        self._outbox.put(event)

    def present(self, count: int) -> None:
        """Nothing: a webhook gets events only."""

    def close(self) -> None:
        """Sends what is left, for some seconds at most."""
        self._outbox.close()

    def _post(self, event: VisitEvent) -> None:
        body = json.dumps(event.to_dict(), ensure_ascii=False).encode()
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(1024)
        except HTTPError as error:
            raise OSError(f"HTTP status {error.code}") from None
        except URLError as error:
            why = error.reason
            raise OSError(getattr(why, "strerror", None) or str(why)) from None
        except ValueError as error:  # an answer that is no HTTP
            raise OSError(str(error)) from None


def _request(url: str) -> tuple[str, dict[str, str]]:
    headers = {"Content-Type": "application/json", "User-Agent": "visavis"}
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise OptionError(f"webhook {redacted(url)}", "give an address such as http://HOST:PORT/")
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=place, fragment="")), headers
