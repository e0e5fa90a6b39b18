"""Messages of a Kafka topic, from the offsets that were kept with the batches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from vae_pipeline.connectors.config import KafkaSource
from vae_pipeline.connectors.connector import Fetched, Position
from vae_pipeline.connectors.messages import message_rows
from vae_pipeline.errors import ConnectorError, SettingError

__all__ = ["KafkaTopic"]

_TOGETHER = 500


class KafkaTopic:
    """Reads all partitions of a topic, as the only reader of its group.

    The position is the next offset of every partition. It decides where reading goes on; the group's offsets are
    committed behind it, for those who watch the group's lag.
    """

    keeps = False

    def __init__(self, source: KafkaSource) -> None:
        """Read ``source``; nothing is connected yet."""
        self._source = source
        self.place = f"topic {source.topic}"
        self._consumer: Any = None

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """Messages as they come, until there is silence, or all that was there at the beginning was read."""
        consumer = self._connected()
        offsets, marks = self._assign(consumer, position or {})
        silent, began = 0.0, time.monotonic()
        while True:
            with self._telling():
                messages = consumer.consume(_TOGETHER, timeout=min(1.0, self._source.quiet))
            found = []
            for message in messages:
                if message.error() is not None:
                    raise self._told(message.error().str())
                offsets[str(message.partition())] = message.offset() + 1
                found += message_rows(message.value() or b"", self._source.format, self._source.topic)
            silent = 0.0 if messages else silent + min(1.0, self._source.quiet)
            yield Fetched(pd.DataFrame(found, dtype=object), dict(offsets))
            # not sooner than after a silence, or a topic that trickles would be asked without a pause
            through = all(offsets[number] >= mark for number, mark in marks.items())
            if through and messages and time.monotonic() - began >= self._source.quiet:
                return
            if silent >= self._source.quiet:
                with self._telling():  # silence, or nobody there?
                    consumer.list_topics(self._source.topic, timeout=self._source.timeout)
                return

    def acknowledge(self, position: Position) -> None:
        """Commit the offsets to the group."""
        if self._consumer is None or not position:
            return
        import confluent_kafka

        marks = [
            confluent_kafka.TopicPartition(self._source.topic, int(partition), offset)
            for partition, offset in position.items()
        ]
        with self._telling():
            self._consumer.commit(offsets=marks, asynchronous=False)

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _connected(self) -> Any:
        if self._consumer is not None:
            return self._consumer
        try:
            import confluent_kafka
        except ImportError as error:
            msg = "a connector of kind kafka needs confluent-kafka: install the extra 'kafka'"
            raise SettingError(msg) from error
        source = self._source
        options: dict[str, Any] = {
            "bootstrap.servers": source.brokers,
            "group.id": source.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # lost offsets are told, never jumped over
            "log_level": 0,
            **source.options,
        }
        if source.username is not None:
            options |= {"sasl.username": source.username, "sasl.mechanism": options.get("sasl.mechanism", "PLAIN")}
            options |= {"security.protocol": options.get("security.protocol", "SASL_SSL")}
            options["sasl.password"] = "" if source.password is None else source.password.read()
        with self._telling():
            self._consumer = confluent_kafka.Consumer(options)
        return self._consumer

    def _assign(self, consumer: Any, position: Position) -> tuple[Position, dict[str, int]]:
        """Begin at the kept offsets; a partition that is new begins with its first message.

        Returns:
            The next offset of each partition, and the one behind its last message.
        """
        import confluent_kafka

        source = self._source
        with self._telling():
            topic = consumer.list_topics(source.topic, timeout=source.timeout).topics[source.topic]
            if topic.error is not None:
                raise self._told(topic.error.str())
            places, offsets, marks = [], {}, {}
            for number in sorted(topic.partitions):
                place = confluent_kafka.TopicPartition(source.topic, number)
                low, marks[str(number)] = consumer.get_watermark_offsets(place, timeout=source.timeout)
                kept = position.get(str(number), low)
                if kept < low:
                    msg = (
                        f"{self.place}: offsets {kept} to {low - 1} of partition {number} are gone: the topic kept "
                        f"them for too short; raise its retention, and to go on without them set the offset of "
                        f"partition {number} in the connector's JSON file in the storage to {low}"
                    )
                    raise ConnectorError(msg)
                offsets[str(number)] = kept
                places.append(confluent_kafka.TopicPartition(source.topic, number, kept))
            consumer.assign(places)
        return offsets, marks

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever the library raises, as one sentence."""
        import confluent_kafka

        try:
            yield
        except confluent_kafka.KafkaException as error:
            raise self._told(error.args[0].str()) from error

    def _told(self, reason: str) -> ConnectorError:
        return ConnectorError(
            f"{self.place} at {self._source.brokers}: the broker does not answer or refuses ({reason}); check 'source' "
            "of the connector, its password and the network"
        )
