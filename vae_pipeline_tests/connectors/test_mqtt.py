"""The MQTT connector against a Mosquitto of its own, with a password and a disk to remember sessions on."""

import json
import socket
import subprocess
import threading
import time

import pytest

from infra.services.program import Program, free_port
from vae_pipeline.connectors.connect import open_connector
from vae_pipeline.connectors.mqtt_topic import MqttTopic
from vae_pipeline.connectors.pull import pull
from vae_pipeline.errors import ConnectorError, SettingError
from vae_pipeline_tests.connectors.servers import installed
from vae_pipeline_tests.connectors.stand_ins import (
    batches,
    config_of,
    keys,
    pulled,
    reading,
    set_aside,
    storage_in,
    written,
)

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: the extra 'mqtt'")


@pytest.fixture
def broker(tmp_path_factory):
    program, folder, port = installed("mosquitto", "mosquitto"), tmp_path_factory.mktemp("mosquitto"), free_port()
    passwords = folder / "passwords"
    subprocess.run(
        [installed("mosquitto_passwd", "mosquitto"), "-b", "-c", str(passwords), "reader", "secret"], check=True
    )
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\npersistence true\n"
        f"persistence_location {folder}/\nmax_queued_messages 0\n"
        f"user root\n"
    )
    server = Program([program, "-c", str(config)], port, folder / "log")
    yield server
    server.stop()


@pytest.fixture
def source(broker, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "secret")
    return {
        "kind": "mqtt",
        "host": "127.0.0.1",
        "port": broker.port,
        "topic": "plant/+/readings",
        "client": "pipeline",
        "username": "reader",
        "password": {"env": "PLANT_PASSWORD"},
        "quiet": 0.5,
    }


def publish(broker, numbers, payload=None, topic="plant/p0/readings", *, retain=False):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.username_pw_set("reader", "secret")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for number in numbers:
        text = payload if payload is not None else json.dumps(reading(number))
        sent = client.publish(topic, text, qos=1, retain=retain)
    sent.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def subscribed(source, tmp_path, **other):
    """The configuration, after the session was begun: from then on the broker keeps messages."""
    config = config_of(source, **other)
    pulled(tmp_path, config)
    return config


def test_messages_sent_while_nobody_listens_are_read_once(broker, source, tmp_path):
    config = subscribed(source, tmp_path)
    publish(broker, range(200))
    assert pulled(tmp_path, config).rows == 200
    assert pulled(tmp_path, config).rows == 0
    assert keys(tmp_path) == [("p0", n) for n in range(200)]


def test_more_messages_than_a_batch_holds_flow_in_bounded_batches(broker, source, tmp_path):
    config = subscribed(source, tmp_path, batch={"rows": 64, "seconds": 3600})
    publish(broker, range(1000))
    pulled(tmp_path, config)
    assert keys(tmp_path) == [("p0", n) for n in range(1000)]
    assert max(len(batch) for batch in batches(tmp_path)) <= 64


def test_a_puller_that_dies_before_it_acknowledges_loses_and_repeats_nothing(broker, source, tmp_path, monkeypatch):
    def dies(_, position):
        if position["messages"]:
            raise KeyboardInterrupt

    config = subscribed(source, tmp_path)
    publish(broker, range(50))
    with monkeypatch.context() as patch:
        patch.setattr(MqttTopic, "acknowledge", dies)
        with pytest.raises(KeyboardInterrupt):
            pulled(tmp_path, config)
    found = pulled(tmp_path, config)
    assert found.repeated == 50  # the broker gave all of them again
    assert keys(tmp_path) == [("p0", n) for n in range(50)]


@pytest.mark.slow
def test_a_broker_stopped_half_way_and_started_again_loses_and_repeats_nothing(broker, source, tmp_path):
    config = subscribed(source, tmp_path, batch={"rows": 50, "seconds": 3600})
    publish(broker, range(400))
    connector, stopped = open_connector(config), []
    fetch = connector.rows

    def stopping(position):
        for fetched in fetch(position):
            yield fetched
            if len(keys(tmp_path)) >= 100 and not stopped:
                broker.stop()
                stopped.append(True)

    connector.rows = stopping
    with pytest.raises(ConnectorError, match=r"refuses \((the connection broke|\[Errno 111\])"):
        pull(connector, storage_in(tmp_path), config)
    assert 100 <= len(keys(tmp_path)) < 400
    with pytest.raises(ConnectorError, match="Connection refused"):
        pull(connector, storage_in(tmp_path), config)
    broker.start()
    sender = threading.Thread(target=publish, args=(broker, range(400, 500)))
    sender.start()
    pull(connector, storage_in(tmp_path), config)
    sender.join()
    pull(connector, storage_in(tmp_path), config)
    connector.close()
    assert keys(tmp_path) == [("p0", n) for n in range(500)]


def test_what_a_topic_says_of_unit_and_tag_can_be_used(broker, source, tmp_path):
    columns = {
        "unit": "topic[1]",
        "tag": "topic[2]",
        "time": "at",
        "value": "value",
        "sensors": ["flow"],
        "clock": "s",
    }
    config = config_of({**source, "topic": "plant/#"}, columns=columns)
    pulled(tmp_path, config)
    for number in range(4):
        publish(broker, [number], json.dumps({"at": number, "value": number / 2}), "plant/p7/flow")
    pulled(tmp_path, config)
    assert keys(tmp_path) == [("p7", n) for n in range(3)]  # the last one may still grow
    assert written(tmp_path)["flow"].tolist() == [0.0, 0.5, 1.0]


def test_a_message_that_is_no_json_is_set_aside_and_acknowledged(broker, source, tmp_path):
    config = subscribed(source, tmp_path)
    publish(broker, [1], "hello")
    publish(broker, [1])
    found = pulled(tmp_path, config)
    assert (found.rows, found.refused) == (1, 1)
    assert set_aside(tmp_path)[0]["row"]["message"] == "hello"
    assert pulled(tmp_path, config).received == 0


def test_a_topic_that_is_never_silent_does_not_make_one_pull_without_end(broker, source, tmp_path):
    config = subscribed(source, tmp_path, batch={"seconds": 0.2})
    count, stop = 0, threading.Event()

    def send():
        nonlocal count
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.username_pw_set("reader", "secret")
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        while not stop.wait(0.05) and count < 400:
            client.publish("plant/p0/readings", json.dumps(reading(count)), qos=1).wait_for_publish(10)
            count += 1
        client.disconnect()
        client.loop_stop()

    sender = threading.Thread(target=send)
    sender.start()
    pulled(tmp_path, config)
    assert sender.is_alive()
    stop.set()
    sender.join()
    pulled(tmp_path, config)
    assert keys(tmp_path) == [("p0", n) for n in range(count)]


def test_a_session_that_the_broker_forgot_is_told(broker, source, tmp_path):
    config = subscribed({**source, "kept_for": "1s"}, tmp_path)
    publish(broker, range(3))
    assert pulled(tmp_path, config).notes == ()
    time.sleep(4)
    publish(broker, range(3, 6))
    (note,) = pulled(tmp_path, config).notes
    assert note.startswith("topic plant/+/readings: the broker has forgotten the session 'pipeline': messages that")
    assert pulled(tmp_path, config).notes == ()


def test_a_retained_message_comes_with_the_first_connection_only(broker, source, tmp_path):
    publish(broker, [0], topic="plant/p0/readings", retain=True)
    config = config_of(source)
    assert [pulled(tmp_path, config).received for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(("topic", "told"), [("plant/#/readings", "Invalid subscription filter")])
def test_a_topic_that_cannot_be_subscribed_is_told(source, tmp_path, topic, told):
    with pytest.raises(ConnectorError, match=rf"refuses \({topic}: {told}"):
        pulled(tmp_path, config_of({**source, "topic": topic}))


def test_a_refused_subscription_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refusing, args=(server,), daemon=True).start()
        source = {"kind": "mqtt", "host": "127.0.0.1", "port": server.getsockname()[1], "topic": "t", "client": "c"}
        with pytest.raises(ConnectorError, match=r"refuses \(the subscription: Not authorized\)"):
            pulled(tmp_path, config_of(source))


def refusing(server):
    """A broker that lets everybody in and refuses every subscription: Mosquitto does so with a plug-in only."""
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK
        number = connection.recv(1000)[2:4]
        connection.sendall(bytes([0x90, 4, *number, 0, 0x87]))  # SUBACK: not authorized
        connection.recv(1000)


def test_a_wrong_password_is_told_without_it(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "guessed")
    with pytest.raises(ConnectorError, match=r"refuses \(Not authorized\)") as told:
        pulled(tmp_path, config_of(source))
    assert "guessed" not in str(told.value)


@pytest.mark.parametrize(("content", "told"), [(None, "No such file or directory"), ("hello", "no certificate")])
def test_certificates_that_cannot_be_read_are_told(tmp_path, content, told):
    authority = tmp_path / "ca.pem"
    if content is not None:
        authority.write_text(content)
    tls = {"tls": True, "authority": str(authority)}
    source = {"kind": "mqtt", "host": "127.0.0.1", "port": free_port(), "topic": "t", "client": "c", **tls}
    with pytest.raises(SettingError, match=rf"ca\.pem: the certificates to trust cannot be read \(.*{told}"):
        pulled(tmp_path, config_of(source))


def test_a_broker_that_is_not_there_is_told(tmp_path):
    source = {"kind": "mqtt", "host": "127.0.0.1", "port": free_port(), "topic": "t", "client": "c"}
    with pytest.raises(ConnectorError, match="Connection refused"):
        pulled(tmp_path, config_of(source))
