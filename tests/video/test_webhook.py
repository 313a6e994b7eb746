"""Events posted to a server."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest
from pytest_httpserver import HTTPServer
from tests.video.events import event
from werkzeug import Request, Response

from visavis.errors import OptionError
from visavis.video import outbox
from visavis.video.webhook import Webhook

LOG = logging.getLogger("visavis")


def test_an_event_is_posted_as_json(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("", 204)
    url = httpserver.url_for("/hook?token=abc").replace("//", "//me:p%40ss@")
    hook = Webhook(url, log=LOG)
    hook.event(event())
    hook.present(1)
    hook.close()
    ((request, _),) = httpserver.log
    assert request.get_json() == event().to_dict()
    assert request.args["token"] == "abc"
    assert request.authorization is not None
    assert (request.authorization.username, request.authorization.password) == ("me", "p@ss")


def test_it_is_tried_three_times(httpserver: HTTPServer, caplog: pytest.LogCaptureFixture) -> None:
    answers = [500, 503, 200, 500, 500, 500]
    httpserver.expect_request("/hook").respond_with_handler(
        lambda _request: Response("", answers.pop(0))
    )
    url = httpserver.url_for("/hook").replace("//", "//me:secret@")
    hook = Webhook(f"{url}?key=secret", log=LOG, pauses=(0.01, 0.01))
    hook.event(event())
    hook.event(event("Ben"))
    hook.close()
    assert answers == []
    assert caplog.text.count("was not sent") == 1
    own = [record.getMessage() for record in caplog.records if record.name == "visavis"]
    assert own
    assert "secret" not in str(own)


def test_a_slow_server_holds_nothing_up(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 5)
    go = threading.Event()
    httpserver.expect_request("/hook").respond_with_handler(
        lambda _request: (go.wait(10), Response(""))[1]
    )
    hook = Webhook(httpserver.url_for("/hook"), log=LOG)
    begun = time.monotonic()
    for k in range(20):
        hook.event(event(visit=k))
    assert time.monotonic() - begun < 1
    assert "dropped" in caplog.text
    go.set()
    hook.close()
    seen = [request.get_json()["visit"] for request, _ in httpserver.log]
    # The newest stay.
    assert seen[-5:] == [15, 16, 17, 18, 19]
    assert len(seen) <= 6


def test_a_server_that_does_not_answer_ends_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        hook = Webhook(url, log=LOG, timeout=0.1, pauses=())
        hook.event(event())
        begun = time.monotonic()
        hook.close()
    assert time.monotonic() - begun < 5
    assert "was not sent" in caplog.text


def test_a_failure_is_told_at_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """While it is still being tried, and when the time to close is over; once an outage."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hook = Webhook(f"http://127.0.0.1:{port}/", log=LOG, timeout=0.1, pauses=(60.0, 60.0))
        hook.event(event())
        assert told(caplog, "timed out") == 1
    hook._outbox._grace = 0.0
    hook.event(event("Ben"))
    hook.close()
    assert "timed out" in caplog.records[-1].getMessage()
    caplog.clear()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        other = gone.getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{other}/", log=LOG, pauses=(0.01, 0.01))
    for _ in range(10):
        hook.event(event())
    assert told(caplog, "refused") >= 1
    hook.close()
    lines = [one.getMessage() for one in caplog.records if f":{other}/" in one.getMessage()]
    assert [line.rpartition("; ")[2] for line in lines] == [
        "trying on", "1 so far", "2 so far", "4 so far", "8 so far",
    ]  # fmt: skip


def told(caplog: pytest.LogCaptureFixture, reason: str) -> int:
    """Messages with a reason, as soon as there is one."""
    for _ in range(300):
        if found := sum(reason in one.getMessage() for one in caplog.records):
            return found
        time.sleep(0.01)
    return 0


def test_no_other_server_is_asked(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(_request: Request) -> Response:
        return Response("", 307, {"Location": httpserver.url_for("/elsewhere")})

    httpserver.expect_request("/hook").respond_with_handler(elsewhere)
    httpserver.expect_request("/elsewhere").respond_with_data("")
    monkeypatch.setenv("http_proxy", httpserver.url_for("/elsewhere"))
    hook = Webhook(httpserver.url_for("/hook"), log=LOG, pauses=())
    hook.event(event())
    hook.close()
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


@pytest.mark.parametrize(
    "wrong", ["ftp://host/", "host:80", "http://", "http://host:port/", "file:///etc/passwd", ""]
)
def test_other_addresses_are_refused(wrong: str) -> None:
    with pytest.raises(OptionError):
        Webhook(wrong, log=LOG)
