"""The Kafka connector against the mock cluster that is built into librdkafka, no broker."""

import json
import subprocess
import sys
import textwrap
import threading

import pytest

from infra.services.program import free_port
from vae_pipeline.connectors.connect import open_connector
from vae_pipeline.connectors.kafka_topic import KafkaTopic
from vae_pipeline.connectors.pull import pull
from vae_pipeline.errors import ConnectorError
from vae_pipeline_tests.connectors.stand_ins import config_of, keys, pulled, reading, set_aside, storage_in

kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: the extra 'kafka'")


class Cluster:
    """A mock cluster, which lives as long as the producer that holds it."""

    def __init__(self):
        self.producer = kafka.Producer(
            {"bootstrap.servers": "ignored", "test.mock.num.brokers": 1, "log_level": 0, "linger.ms": 1}
        )
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        self.brokers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def send(self, numbers, payload=None):
        for number in numbers:
            text = payload if payload is not None else json.dumps(reading(number))
            self.producer.produce("readings", text, key=str(number))
        assert self.producer.flush(30) == 0


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def source(cluster):
    return {"kind": "kafka", "brokers": cluster.brokers, "topic": "readings", "group": "pipeline", "quiet": 1.0}


def test_messages_that_appear_are_read_once(cluster, source, tmp_path):
    config = config_of(source, batch={"rows": 40})
    cluster.send(range(100))
    pulled(tmp_path, config)
    cluster.send(range(100, 130))
    found = pulled(tmp_path, config)
    assert (found.rows, found.repeated) == (30, 0)
    assert keys(tmp_path) == [("p0", n) for n in range(130)]


def test_offsets_are_committed_behind_the_batches(cluster, source, tmp_path):
    cluster.send(range(20))
    pulled(tmp_path, config_of(source))
    consumer = kafka.Consumer({"bootstrap.servers": cluster.brokers, "group.id": "pipeline", "log_level": 0})
    partitions = list(consumer.list_topics("readings", timeout=10).topics["readings"].partitions)
    marks = consumer.committed([kafka.TopicPartition("readings", number) for number in partitions], timeout=10)
    consumer.close()
    assert sum(mark.offset for mark in marks) == 20


def test_a_puller_that_dies_before_it_commits_loses_and_repeats_nothing(cluster, source, tmp_path, monkeypatch):
    cluster.send(range(30))
    with monkeypatch.context() as patch:
        patch.setattr(KafkaTopic, "acknowledge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pulled(tmp_path, config_of(source))
    cluster.send(range(30, 40))
    found = pulled(tmp_path, config_of(source))
    assert (found.rows, found.repeated) == (10, 0)  # the kept offsets count, not those of the group
    assert keys(tmp_path) == [("p0", n) for n in range(40)]


def test_a_message_that_is_no_json_is_set_aside(cluster, source, tmp_path):
    cluster.send([1], "hello")
    cluster.send([2])
    found = pulled(tmp_path, config_of(source))
    assert (found.rows, found.refused) == (1, 1)
    assert set_aside(tmp_path)[0]["row"]["message"] == "hello"


def test_offsets_that_are_gone_are_told_not_jumped_over(cluster, source, tmp_path, monkeypatch):
    cluster.send(range(10))
    pulled(tmp_path, config_of(source))

    class Shortened:
        """The consumer of a topic that kept nothing before offset 50."""

        def __init__(self, consumer):
            self.consumer = consumer

        def __getattr__(self, name):
            return getattr(self.consumer, name)

        def get_watermark_offsets(self, *_, **__):
            return 50, 60

    connected = KafkaTopic._connected
    monkeypatch.setattr(KafkaTopic, "_connected", lambda self: Shortened(connected(self)))
    with pytest.raises(ConnectorError, match=r"offsets \d+ to 49 of partition \d+ are gone"):
        pulled(tmp_path, config_of(source))


def test_a_topic_that_is_never_silent_does_not_make_one_pull_without_end(cluster, source, tmp_path):
    cluster.send(range(50))
    count, stop = 50, threading.Event()

    def send():
        nonlocal count
        while not stop.wait(0.05) and count < 450:
            cluster.send([count])
            count += 1

    sender = threading.Thread(target=send)
    sender.start()
    assert pulled(tmp_path, config_of(source)).rows >= 50
    assert sender.is_alive()
    stop.set()
    sender.join()
    pulled(tmp_path, config_of(source))
    assert keys(tmp_path) == [("p0", n) for n in range(count)]


KILLED = """
    import sys, time
    from vae_pipeline_tests.connectors.test_kafka import Cluster
    cluster = Cluster()
    cluster.send(range(100))
    print(cluster.brokers, flush=True)
    time.sleep(600)
"""


def test_a_broker_that_dies_is_told(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED)], stdout=subprocess.PIPE, text=True
    ) as cluster:
        brokers = cluster.stdout.readline().strip()
        source = {"kind": "kafka", "brokers": brokers, "topic": "readings", "group": "g", "quiet": 2.0, "timeout": 1.0}
        connector = open_connector(config_of(source))
        fetch = connector.rows

        def killing(position):
            for fetched in fetch(position):
                yield fetched
                if sum(fetched.position.values()) == 100:  # then there is silence
                    cluster.kill()

        connector.rows = killing
        with pytest.raises(ConnectorError, match=r"topic readings at .*: the broker does not answer"):
            pull(connector, storage_in(tmp_path), config_of(source))


def test_a_broker_that_is_not_there_is_told(tmp_path):
    brokers = f"127.0.0.1:{free_port()}"
    source = {"kind": "kafka", "brokers": brokers, "topic": "readings", "group": "g", "timeout": 1.0}
    with pytest.raises(ConnectorError, match=r"topic readings at 127\.0\.0\.1:\d+: the broker does not answer"):
        pulled(tmp_path, config_of(source))
