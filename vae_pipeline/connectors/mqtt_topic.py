"""Messages of an MQTT topic, acknowledged when they are kept; the broker holds the others for us."""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pandas as pd

from vae_pipeline.connectors.config import MqttSource
from vae_pipeline.connectors.connector import Fetched, Position
from vae_pipeline.connectors.messages import message_rows
from vae_pipeline.connectors.moments import nanoseconds
from vae_pipeline.errors import ConnectorError, SettingError

__all__ = ["MqttTopic"]

_TOGETHER = 500


class MqttTopic:
    """A client of MQTT 5 with a session that outlives it, QoS 1 and acknowledgements of its own.

    The broker sends at most ``unacknowledged`` messages before it waits for an acknowledgement, so that never more than
    these are in memory. The position counts messages; after a break they come again and are known by unit and time.
    """

    keeps = False

    def __init__(self, source: MqttSource, unacknowledged: int, longest: float) -> None:
        """Listen to ``source``, at most ``longest`` seconds at a time; nothing is connected yet."""
        self._source, self._longest = source, longest
        self.place = f"topic {source.topic}"
        self._most = min(unacknowledged, 65_535)
        self._client: Any = None
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._open: deque[tuple[int, int, int]] = deque()
        self._count = 0
        self._ready = threading.Event()
        self._refused: str | None = None
        self._forgotten = False

    def rows(self, position: Position | None) -> Iterator[Fetched]:
        """Messages as they come, until there is silence, or for as long as stated."""
        self._connect(int((position or {}).get("messages", 0)))
        note = ""
        if self._forgotten and position is not None:
            note = (
                f"the broker has forgotten the session {self._source.client!r}: messages that were sent while nobody "
                "listened are gone; let the broker keep its sessions on disk, and raise 'kept_for'"
            )
        self._forgotten = False
        yield self._fetched([])._replace(note=note)
        began = heard = time.monotonic()
        while time.monotonic() - began < self._longest:
            messages = self._next(min(1.0, self._source.quiet))
            if self._refused is not None:
                raise self._told(self._refused)
            if messages:
                heard = time.monotonic()
                yield self._fetched(messages)
            elif time.monotonic() - heard >= self._source.quiet:
                if not self._open:
                    return
                yield self._fetched([], waits=True)  # then the broker goes on, if it only waited for us
                if self._open:
                    return
                heard = time.monotonic()
            else:
                yield self._fetched([])

    def acknowledge(self, position: Position) -> None:
        """Tell the broker that messages up to the position may be forgotten."""
        while self._open and self._open[0][0] <= int(position["messages"]):
            _, number, quality = self._open.popleft()
            if self._client is not None:
                self._client.ack(number, quality)

    def close(self) -> None:
        """Leave; the broker keeps what was not acknowledged and what comes."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._open.clear()
        self._queue = queue.SimpleQueue()
        self._ready.clear()

    def _fetched(self, messages: list[Any], *, waits: bool = False) -> Fetched:
        found = []
        for message in messages:
            self._count += 1
            self._open.append((self._count, message.mid, message.qos))
            found += message_rows(message.payload, self._source.format, message.topic)
        full = len(self._open) >= self._most
        return Fetched(pd.DataFrame(found, dtype=object), {"messages": self._count}, waits or full)

    def _next(self, seconds: float) -> list[Any]:
        found = []
        try:
            found.append(self._queue.get(timeout=seconds))
            while len(found) < min(_TOGETHER, self._most):
                found.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return found

    def _connect(self, count: int) -> None:
        if self._client is not None:
            return
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties
        except ImportError as error:
            msg = "a connector of kind mqtt needs paho-mqtt: install the extra 'mqtt'"
            raise SettingError(msg) from error
        source = self._source
        self._count, self._refused = count, None
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=source.client,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,  # numbers of messages mean nothing in the next connection
        )
        if source.username is not None:
            client.username_pw_set(source.username, None if source.password is None else source.password.read())
        if source.tls:
            try:
                client.tls_set(ca_certs=None if source.authority is None else str(source.authority))
            except OSError as error:  # of a file that is no certificate too
                reason = error.strerror or "it holds no certificate"
                msg = f"{source.authority}: the certificates to trust cannot be read ({reason}); correct 'authority'"
                raise SettingError(msg) from error
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = lambda _client, _data, message: self._queue.put(message)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = nanoseconds(source.kept_for) // 1_000_000_000
        properties.ReceiveMaximum = self._most
        client.connect_timeout = source.timeout
        try:
            client.connect(source.host, source.port, clean_start=False, properties=properties)
        except (OSError, ValueError) as error:
            raise self._told(str(error)) from error
        self._client = client
        client.loop_start()
        if not self._ready.wait(source.timeout) or self._refused is not None:
            raise self._told(self._refused or f"no answer within {source.timeout:g} seconds")

    def _on_connect(self, client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        from paho.mqtt.subscribeoptions import SubscribeOptions

        self._forgotten = not flags.session_present
        try:
            if reason.is_failure:
                self._refused = str(reason)
            else:  # retained messages come with a new subscription only, not with each connection
                client.subscribe(self._source.topic, options=SubscribeOptions(qos=1, retainHandling=1))
        except ValueError as error:
            self._refused = f"{self._source.topic}: {error}"
        if self._refused is not None:
            self._ready.set()

    def _on_subscribe(self, _client: Any, _data: Any, _number: Any, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = f"the subscription: {', '.join(map(str, reasons))}"
        self._ready.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._client is not None:
            self._refused = self._refused or f"the connection broke: {reason}"

    def _told(self, reason: str) -> ConnectorError:
        source = self._source
        return ConnectorError(
            f"{self.place} at {source.host}:{source.port}: the broker does not answer or refuses ({reason}); check "
            "'source' of the connector, its password and the network"
        )
