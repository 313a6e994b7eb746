"""Another service on the network, which gets what this one does not answer itself."""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Mapping
from time import monotonic
from typing import Final
from urllib.parse import SplitResult, urlsplit

from visavis.errors import OptionError
from visavis.service.problems import ProblemError

_PART: Final = 1 << 16
_HTTP_OK: Final = 200


def upstream_url(text: str) -> SplitResult:
    """Returns the parts of a URL of another service.

    Raises:
        OptionError: it is no plain ``http://`` or ``https://`` URL.
    """
    remedy = "give a URL such as http://immich-ml:3003"
    try:
        found = urlsplit(text)
        port = found.port
    except ValueError as error:
        raise OptionError(f"upstream {text!a}", remedy) from error
    plain = found.scheme in {"http", "https"} and found.hostname and port != 0
    if not plain or found.query or found.fragment or "@" in found.netloc or not text.isprintable():
        raise OptionError(f"upstream {text!a}", remedy)
    return found


def forward(
    url: SplitResult,
    path: str,
    *,
    texts: Mapping[str, str],
    files: Mapping[str, bytes],
    seconds: float,
    most: int,
) -> bytes:
    """Sends a multipart form to another service; returns the body of its answer.

    Redirects are not followed, and no proxy is asked.

    Args:
        url: of ``upstream_url``.
        path: below it, with a slash.
        texts: texts by name.
        files: files by name.
        seconds: time in which it must have answered.
        most: most bytes of the answer.

    Raises:
        ProblemError: 502: no answer, another status than 200, or too many bytes; 504: too slow.
    """
    boundary = secrets.token_hex(16)
    body = b"".join(
        [
            *(_part(boundary, name, text.encode()) for name, text in texts.items()),
            *(_part(boundary, name, data, file=True) for name, data in files.items()),
            f"--{boundary}--\r\n".encode(),
        ]
    )
    kind = f"multipart/form-data; boundary={boundary}"
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    deadline = monotonic() + seconds
    connection = connect(url.hostname or "", url.port, timeout=seconds)
    try:
        connection.request("POST", url.path.rstrip("/") + path, body, {"Content-Type": kind})
        socket = connection.sock  # which the connection forgets where the answer ends it
        answer = connection.getresponse()
        if answer.status != _HTTP_OK:
            raise _failed(f"it answered with status {answer.status}")
        data = bytearray()
        for _ in range(most + 1):  # every part has a byte at least
            if answer.isclosed():
                break
            socket.settimeout(max(deadline - monotonic(), 0.001))
            part = answer.read1(_PART)
            data += part
            if len(data) > most:
                raise _failed(f"an answer of more than {most:,} bytes")
            if not part:
                break
    except TimeoutError as error:
        raise ProblemError(
            504, "upstream-timeout", f"no answer of the upstream within {seconds:g} s",
            "ask again later",
        ) from error  # fmt: skip
    except (OSError, http.client.HTTPException) as error:
        raise _failed(type(error).__name__) from error
    finally:
        connection.close()
    return bytes(data)


def _part(boundary: str, name: str, content: bytes, *, file: bool = False) -> bytes:
    more = f'; filename="{name}"\r\nContent-Type: application/octet-stream' if file else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def _failed(why: str) -> ProblemError:
    return ProblemError(
        502, "upstream", f"the upstream failed: {why}", "check the service behind --upstream"
    )
