"""A connector by its name in the settings' files: opened, held by one process, pulled once or again and again."""

import time
from collections.abc import Callable

from vae_pipeline.catalog import dataset
from vae_pipeline.connectors.config import (
    ConnectorConfig,
    HttpSource,
    InfluxSource,
    KafkaSource,
    MqttSource,
    SqlSource,
    connector_config,
)
from vae_pipeline.connectors.connector import Connector
from vae_pipeline.connectors.http_poll import HttpPoll
from vae_pipeline.connectors.influx_query import InfluxQuery
from vae_pipeline.connectors.kafka_topic import KafkaTopic
from vae_pipeline.connectors.mqtt_topic import MqttTopic
from vae_pipeline.connectors.pull import Names, Pulled, pull
from vae_pipeline.connectors.sql_query import SqlQuery
from vae_pipeline.errors import ConnectorError, DataError, SettingError, StorageError
from vae_pipeline.settings import Settings
from vae_pipeline.storage import lock_file, open_incoming, open_storage

__all__ = ["connect", "open_connector"]

_MOST_BATCHES = 10  # that a pull of a topic that is never silent waits for
_LONGEST_WAIT = 300.0  # seconds between attempts at a source that does not answer


def open_connector(config: ConnectorConfig) -> Connector:
    """The connector of a configuration; it connects when it is asked for rows."""
    source, columns = config.source, config.columns
    if isinstance(source, SqlSource | HttpSource | InfluxSource):
        source = source.model_copy(update={"fetch": min(source.fetch, config.batch.rows)})
    if isinstance(source, SqlSource):
        return SqlQuery(source, columns)
    if isinstance(source, HttpSource):
        return HttpPoll(source)
    if isinstance(source, InfluxSource):
        return InfluxQuery(source, columns)
    if isinstance(source, MqttSource):
        longest = max(source.quiet, _MOST_BATCHES * config.batch.seconds)
        return MqttTopic(source, config.batch.rows, longest)
    return KafkaTopic(source)


def connect(
    name: str,
    settings: Settings,
    *,
    forever: bool = False,
    flush: bool = False,
    tell: Callable[[Pulled], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Pull a connector, once or until the process is stopped.

    Args:
        name: of the connector, in the files of ``VAE_PIPELINE_CONNECTORS``.
        settings: where all is kept.
        forever: go on, and wait for a source that does not answer, instead of ending with its error.
        flush: write what would be held back; not with ``forever``.
        tell: what a pull brought, after each.
        warn: why a source did not answer.
        wait: for so many seconds.

    Raises:
        SettingError: there is no such connector, or another process of this machine pulls it.
        UnknownDatasetError: the catalogue does not know its dataset.
        VaePipelineError: of the pull.
    """
    config = connector_config(name, settings.connector_files)
    entry = dataset(config.dataset, config.line, settings.catalog_files)
    columns, least = entry.columns, entry.window.length
    names = Names(unit=columns.unit or "unit", time=columns.time or "time", label=columns.label or "label")
    if forever and isinstance(
        config.source, MqttSource | KafkaSource
    ):  # else every message after a silence would be a batch
        quiet = max(config.source.quiet, config.batch.seconds)
        config = config.model_copy(update={"source": config.source.model_copy(update={"quiet": quiet})})
    storage = open_storage(settings)
    incoming = None if settings.incoming is None else open_incoming(settings)
    with lock_file(settings.home / "connectors" / f"{name}.lock") as held:
        if not held:
            msg = f"connector {name!r} is pulled by another process already; wait for it or stop it"
            raise SettingError(msg)
        connector, failures = open_connector(config), 0
        try:
            while True:
                try:
                    once = flush and not forever
                    tell(pull(connector, storage, config, names, incoming=incoming, least=least, flush=once))
                    failures = 0
                except (ConnectorError, DataError, StorageError) as error:
                    if not forever:
                        raise
                    failures += 1
                    warn(str(error))
                if not forever:
                    return
                wait(min(config.every * 2 ** min(failures, 10), _LONGEST_WAIT) if failures else _pause(config))
        finally:
            connector.close()


def _pause(config: ConnectorConfig) -> float:
    """Topics tell by themselves when there is more; others are asked again after a while."""
    return 0.0 if isinstance(config.source, MqttSource | KafkaSource) else config.every
