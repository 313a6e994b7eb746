"""Events on a real broker: mosquitto, which Debian has; skipped where it is not installed."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.video.events import event

from visavis.errors import OptionError
from visavis.video.mqtt import Mqtt, camera_name, confidence

pytest.importorskip("paho.mqtt")
LOG = logging.getLogger("visavis")
PASSWORD = "s€cret/@:"


def _program(name: str) -> str | None:
    return shutil.which(
        name, path="/usr/bin:/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin"
    )


@dataclass
class Broker:
    """A broker that only ``me`` may use."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://me:s%E2%82%ACcret%2F%40%3A@127.0.0.1:{self.port}"

    def start(self) -> None:
        program = _program("mosquitto")
        assert program
        self.process = subprocess.Popen(
            [program, "-c", str(self.folder / "broker.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: _listens(self.port))

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def _broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if _program("mosquitto") is None or _program("mosquitto_passwd") is None:
        pytest.skip("no MQTT broker: install mosquitto")
    folder = tmp_path_factory.mktemp("mosquitto")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    command = [_program("mosquitto_passwd"), "-b", str(passwords), "me", PASSWORD]
    subprocess.run(command, check=True, capture_output=True)  # type: ignore[arg-type]
    lines = (f"listener {port} 127.0.0.1", f"password_file {passwords}", "allow_anonymous false",
             "persistence false", "user root")  # fmt: skip
    (folder / "broker.conf").write_text("\n".join(lines) + "\n")
    broker = Broker(folder, port)
    broker.start()
    yield broker
    broker.end()


@dataclass
class Heard:
    """What a subscriber to everything hears."""

    client: Any
    messages: list[tuple[str, str, bool]] = field(default_factory=list)

    def texts(self, topic: str) -> list[str]:
        return [text for name, text, _ in list(self.messages) if name == topic]

    def json(self, topic: str) -> Any:
        wait_for(lambda: self.texts(topic))
        return json.loads(self.texts(topic)[-1])


def subscribe(broker: Broker) -> Heard:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    heard = Heard(client)
    ready: list[int] = []
    client.username_pw_set("me", PASSWORD)
    client.on_message = lambda _c, _u, m: heard.messages.append(
        (m.topic, m.payload.decode(), bool(m.retain))
    )
    client.on_subscribe = lambda *_: ready.append(1)
    client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(lambda: ready)
    return heard


@pytest.fixture
def broker(_broker: Broker) -> Broker:
    return _broker


@pytest.fixture
def heard(broker: Broker) -> Iterator[Heard]:
    one = subscribe(broker)
    yield one
    one.client.disconnect()
    one.client.loop_stop()


# Home Assistant's documentation: integrations/mqtt (MQTT discovery) and integrations/sensor.mqtt.
SENSOR_KEYS = {
    "availability", "device", "icon", "json_attributes_topic", "name", "origin", "state_topic",
    "unique_id", "value_template",
}  # fmt: skip
DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version"}


def check_discovery(topic: str, text: str) -> dict[str, Any]:
    message = json.loads(text)
    prefix, component, object_id, end = topic.split("/")
    assert (prefix, component, end) == ("homeassistant", "sensor", "config")
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", object_id)
    assert object_id == message["unique_id"]
    assert message.keys() == SENSOR_KEYS
    assert message["device"].keys() == DEVICE_KEYS
    assert message["device"]["identifiers"]
    (available,) = message["availability"]
    assert available.keys() == {"topic", "payload_available", "payload_not_available"}
    return message


def test_home_assistant_finds_a_sensor_for_the_camera_and_for_each_person(
    broker: Broker, heard: Heard
) -> None:
    mqtt = Mqtt(broker.url, camera="Door", log=LOG)
    mqtt.event(event())
    mqtt.event(event())
    mqtt.event(event(None))
    wait_for(lambda: len(heard.texts("visavis/Door/event")) == 3)
    found = {t: text for t, text, _ in heard.messages if t.startswith("homeassistant/")}
    sensors = {t: check_discovery(t, text) for t, text in found.items()}
    assert {one["name"] for one in sensors.values()} == {"visitor", "Anna B."}
    assert len({one["unique_id"] for one in sensors.values()}) == 2
    assert len({str(one["device"]) for one in sensors.values()}) == 1
    for one in sensors.values():
        # What the templates read is in the state.
        state = heard.json(one["state_topic"])
        names = re.findall(r"value_json\.(\w+)", one["value_template"])
        assert names
        assert set(names) <= state.keys()
        assert heard.texts(one["availability"][0]["topic"])[-1] == "online"
    visitor = next(one for one in sensors.values() if one["name"] == "visitor")
    assert heard.json(visitor["state_topic"])["outcome"] == "unknown"
    mqtt.close()
    topic = visitor["availability"][0]["topic"]
    wait_for(lambda: heard.texts(topic)[-1:] == ["offline"])
    # Home Assistant that starts later gets sensors, states and availability, but no old event.
    later = subscribe(broker)
    wait_for(lambda: later.texts(topic))
    kept = {t for t, _, retained in later.messages if retained}
    later.client.disconnect()
    later.client.loop_stop()
    assert kept >= {*found, visitor["state_topic"], topic}
    assert "visavis/Door/event" not in kept


def test_events_are_what_is_printed(broker: Broker, heard: Heard) -> None:
    mqtt = Mqtt(broker.url, camera="Gate", log=LOG)
    mqtt.event(event("李明", camera="Gate"))
    assert heard.json("visavis/Gate/event") == event("李明", camera="Gate").to_dict()
    # A name that double-take's topics cannot hold: the person's id.
    assert heard.json("double-take/matches/id-7")["match"]["name"] == "李明"
    mqtt.event(event("Unknown", person_id="id-8"))  # a person, not a stranger
    assert heard.json("double-take/matches/id-8")["match"]["name"] == "Unknown"
    assert heard.texts("double-take/matches/Unknown") == []
    mqtt.close()


def test_double_takes_topics(broker: Broker, heard: Heard) -> None:
    mqtt = Mqtt(broker.url, camera="Door", log=LOG)
    mqtt.present(0)
    mqtt.present(1)
    mqtt.present(1)
    mqtt.event(event())
    mqtt.event(event(None))
    mqtt.event(event(None, outcome="no-usable-face", score=None, threshold=None))
    wait_for(lambda: len(heard.texts("visavis/Door/event")) >= 3)
    match = heard.json("double-take/matches/Anna-B")
    assert match.keys() == {"id", "duration", "timestamp", "attempts", "camera", "zones", "match"}
    assert match["match"].keys() == {
        "name", "confidence", "match", "box", "type", "duration", "detector", "filename", "base64",
    }  # fmt: skip
    assert match["match"]["name"] == "Anna B."
    assert match["match"]["box"] == {"left": 10.0, "top": 20.0, "width": 30.0, "height": 40.0}
    assert match["match"]["confidence"] > 60
    assert match["camera"] == "door"
    unknown = heard.json("double-take/matches/unknown")["unknown"]
    assert unknown["match"] is False
    assert unknown["confidence"] < 60
    wait_for(lambda: len(heard.texts("double-take/cameras/door")) == 2)
    first, second = map(json.loads, heard.texts("double-take/cameras/door"))
    assert (first["counts"], len(first["matches"])) == (
        {"person": 1, "match": 1, "miss": 0, "unknown": 0}, 1,
    )  # fmt: skip
    assert (len(second["matches"]), len(second["unknowns"])) == (0, 1)
    assert heard.texts("double-take/cameras/door/person") == ["0", "1"]
    mqtt.close()


def test_a_broker_that_comes_back_hears_everything_again(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    mqtt = Mqtt(broker.url, camera="Door", log=LOG)
    mqtt.event(event())
    wait_for(mqtt._client.is_connected)
    broker.end()
    wait_for(lambda: not mqtt._client.is_connected())
    mqtt.event(event("Ben", person_id="id-8"))  # waits
    broker.start()
    heard = subscribe(broker)
    configs = {f"homeassistant/sensor/visavis_Door{k}/config" for k in ("", "_id-7", "_id-8")}
    wait_for(lambda: configs <= {topic for topic, *_ in heard.messages})
    wait_for(lambda: heard.texts("visavis/Door/event"))
    assert heard.json("visavis/Door/event")["person"] == "Ben"
    wait_for(lambda: heard.texts("visavis/Door/availability")[-1:] == ["online"])
    mqtt.close()
    heard.client.disconnect()
    heard.client.loop_stop()
    assert "connection lost" in caplog.text
    assert "cret" not in caplog.text


def test_a_process_that_dies_is_unavailable(broker: Broker, heard: Heard) -> None:
    mqtt = Mqtt(broker.url, camera="Dies", log=LOG)
    wait_for(lambda: heard.texts("visavis/Dies/availability") == ["online"])
    mqtt._client.loop_stop()  # no farewell
    mqtt._client._sock_close()
    wait_for(lambda: heard.texts("visavis/Dies/availability") == ["online", "offline"])


@pytest.mark.parametrize("user", ["me:wrong", "nobody:x"])
def test_a_wrong_password_is_said_and_not_shown(
    broker: Broker, caplog: pytest.LogCaptureFixture, user: str
) -> None:
    with caplog.at_level(logging.INFO, "visavis"):
        mqtt = Mqtt(f"mqtt://{user}@127.0.0.1:{broker.port}", camera="Door", log=LOG)
        wait_for(lambda: "refused" in caplog.text)
        mqtt.close()
    assert "uthor" in caplog.text  # Not authorized
    assert user.partition(":")[0] not in caplog.text.replace("message", "").replace("name", "")


def test_no_broker_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    mqtt = Mqtt(f"mqtt://127.0.0.1:{port}", camera="Door", log=LOG)
    for _ in range(2000):
        mqtt.event(event())
    wait_for(lambda: "cannot be reached" in caplog.text)
    mqtt.close()
    assert time.monotonic() - begun < 10
    assert len(mqtt._client._out_messages) <= 1000


@pytest.mark.parametrize(
    "wrong", ["http://host", "mqtt://", "mqtt://host:x", "host", "mqtt://host/topic"]
)
def test_other_addresses_are_refused(wrong: str) -> None:
    with pytest.raises(OptionError):
        Mqtt(wrong, camera="door", log=LOG)


@pytest.mark.parametrize("wrong", ["", "a/b", "a+", "#", "Tür", "a b", "x" * 65])
def test_names_of_cameras_fit_into_topics(wrong: str) -> None:
    with pytest.raises(OptionError):
        camera_name(wrong)


def test_confidence_is_monotone_and_60_at_the_threshold() -> None:
    scores = [k / 100 for k in range(-100, 101)]
    for threshold in (0.3, 0.45, 0.6):
        found = [confidence(score, threshold) for score in scores]
        assert found == sorted(found)
        assert confidence(threshold, threshold) == 60
        assert [f >= 60 for f in found] == [s >= threshold for s in scores]
        assert 0 <= found[0] < found[-1] < 100
