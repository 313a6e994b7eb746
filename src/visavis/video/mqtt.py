"""Publishes events to an MQTT broker: for Home Assistant, and under double-take's topics.

Home Assistant finds the sensors by itself (MQTT discovery): one for each camera, whose state is the
last visitor, and one for each person who was identified, whose state is the camera. double-take's
topics carry what its subscribers read, so automations written for it go on working.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from math import exp, sqrt
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from visavis.errors import OptionError, require_extra
from visavis.version import __version__
from visavis.video.source import redacted

if TYPE_CHECKING:
    import logging

    from visavis.video.records import VisitEvent

MOST_WAITING: Final = 1000
"""Most messages that wait for the broker; further ones are dropped."""

_HABIT: Final = 60.0
"""Confidence from which double-take takes a result as a match, by default."""

_STEEP: Final = 12.0
_KEEPALIVE: Final = 30
_PAUSES: Final = (1, 60)


def camera_name(text: str) -> str:
    """Checks the name of a camera, which is part of topics and ids.

    Raises:
        OptionError: other characters than letters, digits, ``_`` and ``-``, or over 64.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise OptionError(
            f"camera {text!r}", "give a name of up to 64 letters, digits, _ and -, such as door"
        )
    return text


def confidence(score: float, threshold: float) -> float:
    """Confidence in percent, as double-take's subscribers expect it: 60 at the threshold.

    A monotone map of the score, by the distance of unit vectors.

    >>> confidence(0.45, 0.45), confidence(0.7, 0.45) > 95, confidence(0.2, 0.45) < 20
    (60.0, True, True)
    """
    near = [sqrt(max(2 - 2 * value, 0.0)) for value in (threshold, score)]
    odds = _HABIT / (100 - _HABIT) * exp(_STEEP * (near[0] - near[1]))
    return min(round(100 * odds / (1 + odds), 2), 99.99)


class Mqtt:
    """A connection to a broker. Never blocks: it connects, waits and connects again by itself.

    Args:
        url: ``mqtt://USER:PASSWORD@HOST:PORT``, or ``mqtts://`` for TLS.
        camera: name of the camera, see ``camera_name``.
        log: told about the connection; addresses without user names and passwords.
        discovery: first level of Home Assistant's discovery topics.

    Raises:
        OptionError: another address, or a name that cannot be part of a topic.
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        camera: str,
        log: logging.Logger,
        discovery: str = "homeassistant",
    ) -> None:
        parts, port = _parts(url)
        self._camera, self._discovery = camera_name(camera), discovery
        self._log, self._name = log, f"MQTT broker {redacted(url)}"
        self._announced: dict[str, str] = {}
        self._failed = False
        self._present = -1
        require_extra("watch", "publishing to MQTT", module="paho.mqtt")
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._available = f"visavis/{camera}/availability"
        client: Any
        client = self._client = Client(CallbackAPIVersion.VERSION2, client_id="")
        client.on_connect = self._connected
        client.on_connect_fail = self._unreachable
        client.on_disconnect = self._disconnected
        client.will_set(self._available, "offline", qos=1, retain=True)
        client.max_queued_messages_set(MOST_WAITING)
        client.reconnect_delay_set(*_PAUSES)
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context())
        self._announce(
            "",
            {
                "name": "visitor",
                "icon": "mdi:cctv",
                "value_template": "{{ value_json.person or value_json.outcome }}",
            },
            f"visavis/{camera}/visitor",
        )
        client.connect_async(str(parts.hostname), port, keepalive=_KEEPALIVE)
        client.loop_start()

    def event(self, event: VisitEvent) -> None:
        """Publishes an event."""
        text = json.dumps(event.to_dict(), ensure_ascii=False)
        self._publish(f"visavis/{self._camera}/event", text, retain=False)
        self._publish(f"visavis/{self._camera}/visitor", text)
        if event.person_id is not None:
            self._announce(
                event.person_id,
                {
                    "name": event.person,
                    "icon": "mdi:account",
                    "value_template": "{{ value_json.camera }}",
                },
                f"visavis/{self._camera}/person/{event.person_id}",
            )
            self._publish(f"visavis/{self._camera}/person/{event.person_id}", text)
        self._as_double_take(event)

    def present(self, count: int) -> None:
        """Publishes the number of people in front of the camera, if it has changed."""
        if count != self._present:
            self._present = count
            self._publish(f"double-take/cameras/{self._camera.lower()}/person", str(count))

    def close(self) -> None:
        """Says that the camera is no longer watched, and ends the connection."""
        if not self._client.is_connected():
            self._log.warning("%s is not connected: events may be lost", self._name)
        else:
            with contextlib.suppress(RuntimeError, ValueError):  # lost, or the queue is full
                self._publish(self._available, "offline").wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _as_double_take(self, event: VisitEvent) -> None:
        face = {
            "name": event.person or "unknown",
            "confidence": 0.0
            if event.score is None or event.threshold is None
            else confidence(event.score, event.threshold),
            "match": event.person is not None,
            "box": dict(zip(("left", "top", "width", "height"), event.box, strict=True)),
            "type": "video",
            "duration": round(event.end_s - event.start_s, 3),
            "detector": "visavis",
            "filename": None,
            "base64": None,
        }
        if event.outcome == "no-usable-face":
            return
        base = {
            "id": f"{self._camera}-{event.visit}",
            "duration": face["duration"],
            "timestamp": event.end,
            "attempts": event.frames,
            "camera": self._camera.lower(),
            "zones": [],
        }
        known = event.person is not None
        topic = "unknown"
        if known:
            topic = _topic_name(event.person or "")
            if topic.lower() in {"", "unknown"}:  # of nobody else
                topic = str(event.person_id)
        self._publish(
            f"double-take/matches/{topic}",
            json.dumps({**base, "match" if known else "unknown": face}, ensure_ascii=False),
            retain=False,
        )
        counts = {"person": 1, "match": int(known), "miss": 0, "unknown": int(not known)}
        lists = {"matches": [face] * known, "misses": [], "unknowns": [face] * (not known)}
        self._publish(
            f"double-take/cameras/{self._camera.lower()}",
            json.dumps({**base, **lists, "counts": counts}, ensure_ascii=False),
            retain=False,
        )

    def _announce(self, key: str, facts: dict[str, Any], state: str) -> None:
        """Publishes the discovery message of a sensor, the first time."""
        unique = f"visavis_{self._camera}" + (f"_{key}" if key else "")
        topic = f"{self._discovery}/sensor/{unique}/config"
        if topic in self._announced:
            return
        message = {
            **facts,
            "unique_id": unique,
            "state_topic": state,
            "json_attributes_topic": state,
            "availability": [
                {
                    "topic": self._available,
                    "payload_available": "online",
                    "payload_not_available": "offline",
                }
            ],
            "device": {
                "identifiers": [f"visavis_{self._camera}"],
                "name": f"visavis {self._camera}",
                "manufacturer": "visavis",
                "model": "watch",
                "sw_version": __version__,
            },
            "origin": {"name": "visavis", "sw_version": __version__},
        }
        self._announced[topic] = json.dumps(message, ensure_ascii=False)
        self._publish(topic, self._announced[topic])

    def _publish(self, topic: str, text: str, *, retain: bool = True) -> Any:
        return self._client.publish(topic, text, qos=1, retain=retain)

    def _connected(self, *answer: Any) -> None:
        code = answer[3]
        if code.is_failure:
            self._log.warning("%s refused the connection (%s)", self._name, code)
            return
        self._log.info("%s: connected", self._name)
        self._failed = False
        for topic, text in list(self._announced.items()):
            self._publish(topic, text)  # a broker that was started again may have lost it
        self._publish(self._available, "online")

    def _unreachable(self, *_: Any) -> None:
        if not self._failed:
            self._failed = True
            self._log.warning("%s cannot be reached; trying on", self._name)

    def _disconnected(self, *answer: Any) -> None:
        code = answer[3]
        if code.is_failure:
            self._log.warning("%s: connection lost (%s); connecting again", self._name, code)


def _topic_name(person: str) -> str:
    """A name as double-take writes it into a topic.

    >>> _topic_name("Anna B."), _topic_name("李明")
    ('Anna-B', '')
    """
    return re.sub(r"[^A-Za-z0-9-]", "", re.sub(r"\s+", "-", person.strip()))


def _parts(url: str) -> tuple[Any, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        good = bool(parts.hostname) and parts.scheme in {"mqtt", "mqtts"}
    except ValueError:
        good = False
    if not good or parts.path not in {"", "/"}:
        raise OptionError(
            f"MQTT broker {redacted(url)}", "give its address as mqtt://USER:PASSWORD@HOST:PORT"
        )
    return parts, port
