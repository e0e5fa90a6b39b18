"""What a file of connectors says: where rows come from, what their columns mean, what is done to them.

A secret never stands in the file: `Secret` names the variable or the file that holds it.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from vae_pipeline.connectors.listing import EVERY, SETTING, connector_entries
from vae_pipeline.connectors.moments import iso, nanoseconds
from vae_pipeline.errors import SettingError
from vae_pipeline.records import Line, Record

__all__ = [
    "Batch",
    "ConnectorConfig",
    "Gaps",
    "HttpSource",
    "InfluxSource",
    "KafkaSource",
    "LabelRule",
    "MqttSource",
    "Resample",
    "RowColumns",
    "Secret",
    "SqlSource",
    "connector_config",
    "read_connectors",
]

Gaps = Literal["keep", "last", "interpolate", "split"]
Format = Literal["json", "lines", "csv"]
_MOST_BINS = 10_000


class Secret(Record):
    """Where a password or token is kept: an environment variable or a file."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> "Secret":
        if (self.env is None) == (self.file is None):
            msg = "name one of env and file"
            raise ValueError(msg)
        return self

    def read(self) -> str:
        """The secret itself.

        Raises:
            SettingError: the variable is not set or the file cannot be read.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            if not value:
                msg = f"the environment variable {self.env} is not set: a connector takes its secret from it"
                raise SettingError(msg)
            return value
        try:
            return Path(str(self.file)).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
            msg = f"{self.file}: the secret of a connector cannot be read ({reason}); put it there or correct its path"
            raise SettingError(msg) from error


def _named(value: Any) -> Any:
    if isinstance(value, str):
        msg = "write {env: VARIABLE} or {file: PATH}: a secret itself has no place in this file"
        raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is not None:
        msg = "leave the password out of the address and name it as password: {env: VARIABLE} or {file: PATH}"
        raise ValueError(msg)
    return url


def _duration(value: Any) -> str:
    text = str(value)
    try:
        length = nanoseconds(text)
    except ValueError as error:
        msg = f"{text!r} is no length of time; write it like 10s, 5min or 1h"
        raise ValueError(msg) from error
    if length <= 0 or text.strip().replace(".", "", 1).isdigit():
        msg = f"{text!r} is no length of time; write it with its unit, like 10s, 5min or 1h"
        raise ValueError(msg)
    return text


SecretField = Annotated[Secret, BeforeValidator(_named)]
Address = Annotated[str, AfterValidator(_without_password)]
Duration = Annotated[str, BeforeValidator(_duration)]


class SqlSource(Record):
    """Rows of a table or query that appear with a growing key."""

    kind: Literal["sql"] = "sql"
    url: Address = Field(description="as SQLAlchemy writes it, such as postgresql+psycopg://reader@host/database")
    password: SecretField | None = None
    table: str | None = Field(default=None, description="name, or schema.name")
    query: str | None = Field(default=None, description="a SELECT of one's own instead of a table")
    key: str = Field(description="column that grows with every new row: an id or a time")
    overlap: int | float | str | None = Field(
        default=None,
        description="how far behind the last key rows are read again, for those that are committed later: a number, "
        "or a length of time such as 5min where the key is a time",
    )
    fetch: int = Field(default=5000, ge=1, description="rows that the server hands over at a time")

    @model_validator(mode="after")
    def _one(self) -> "SqlSource":
        if (self.table is None) == (self.query is None):
            msg = "name one of table and query"
            raise ValueError(msg)
        return self


class Since(Record):
    """A parameter that asks for rows from the last value of a column on."""

    parameter: str
    column: str


class Cursor(Record):
    """A parameter that carries the text of a field of the last answer."""

    parameter: str
    field: str = Field(description="such as next or meta.cursor")


class HttpSource(Record):
    """An address that answers with rows when it is asked."""

    kind: Literal["http"] = "http"
    url: Address
    format: Format = "json"
    rows: str | None = Field(default=None, description="where in the JSON the list of rows lies, such as data.items")
    parameters: dict[str, str] = Field(default={}, description="sent with every request")
    headers: dict[str, SecretField] = Field(default={}, description="name of the header to its secret value")
    token: SecretField | None = Field(default=None, description="sent as Authorization: Bearer …")
    username: str | None = None
    password: SecretField | None = None
    since: Since | None = None
    cursor: Cursor | None = None
    timeout: float = Field(default=30.0, gt=0)
    most_megabytes: float = Field(default=64.0, gt=0, description="a larger answer is refused")
    fetch: int = Field(default=5000, ge=1, description="rows that are taken at a time")

    @model_validator(mode="after")
    def _one_way(self) -> "HttpSource":
        if self.since is not None and self.cursor is not None:
            msg = "name one of since and cursor"
            raise ValueError(msg)
        return self


class InfluxSource(Record):
    """Points of one measurement, asked in InfluxQL: InfluxDB 1.x, and later ones that answer ``/query``."""

    kind: Literal["influxdb"] = "influxdb"
    url: Address = "http://127.0.0.1:8086"
    database: str
    measurement: str
    username: str | None = None
    password: SecretField | None = None
    token: SecretField | None = Field(default=None, description="of InfluxDB 2 and 3, instead of a password")
    start: str = Field(default="1970-01-01T00:00:00Z", description="the first time that is asked for")
    until: str | None = Field(default=None, description="the first time that is not asked for any more")
    machines: tuple[str, ...] = Field(default=(), description="values of the unit's tag; all when left out")
    overlap: Duration | None = Field(default=None, description="how far back points are read again, for late ones")
    timeout: float = Field(default=30.0, gt=0)
    fetch: int = Field(default=5000, ge=1, description="points that the server hands over at a time")

    @field_validator("start", "until")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            time = pd.Timestamp(value)
            return iso(int((time.tz_localize("UTC") if time.tz is None else time).value))
        except ValueError as error:
            msg = f"{value!r} is no time; write it like 2024-01-31T12:00:00Z"
            raise ValueError(msg) from error


class MqttSource(Record):
    """Messages of a topic, kept by the broker for this client while it is away."""

    kind: Literal["mqtt"] = "mqtt"
    host: str
    port: int = Field(default=1883, ge=1, le=65535)
    topic: str = Field(description="may have the wildcards + and #")
    client: str = Field(description="the session's name at the broker; no other client may have it")
    username: str | None = None
    password: SecretField | None = None
    tls: bool = False
    authority: Path | None = Field(default=None, description="file of the certificates to trust; the system's if none")
    format: Format = "json"
    kept_for: Duration = Field(default="7d", description="how long the broker keeps messages while nobody is here")
    timeout: float = Field(default=10.0, gt=0)
    quiet: float = Field(default=5.0, gt=0, description="seconds of silence after which a pull ends")


class KafkaSource(Record):
    """Messages of a topic from the offsets that were kept with the batches."""

    kind: Literal["kafka"] = "kafka"
    brokers: str = Field(description="host:port, separated by commas")
    topic: str
    group: str
    username: str | None = None
    password: SecretField | None = None
    format: Format = "json"
    options: dict[str, str | int | bool] = Field(default={}, description="further options of librdkafka")
    timeout: float = Field(default=10.0, gt=0)
    quiet: float = Field(default=5.0, gt=0, description="seconds of silence after which a pull ends")

    @field_validator("options")
    @classmethod
    def _no_secret(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if any(word in name for word in ("password", "secret", "token")):
                msg = f"{name}: name the password as password: {{env: VARIABLE}} or {{file: PATH}}"
                raise ValueError(msg)
        return value


Source = Annotated[
    SqlSource | HttpSource | InfluxSource | MqttSource | KafkaSource,
    Field(discriminator="kind"),
]


class RowColumns(Record):
    """What the source's columns mean.

    ``sensors`` maps a name of the dataset to one of the source; a list means that both are the same. In the long form,
    one row a reading, ``tag`` and ``value`` name the columns, and the source's names of sensors are tags. Of a topic
    ``topic[0]``, ``topic[1]`` … are columns too: its levels.
    """

    time: str
    unit: str | None = Field(default=None, description="one unit, called as the connector, when left out")
    sensors: dict[str, str] = Field(min_length=1)
    tag: str | None = None
    value: str | None = None
    clock: Literal["iso", "s", "ms", "us", "ns", "number"] = Field(
        default="iso", description="how time is written: ISO 8601, since 1970 in that unit, or a plain number"
    )

    @field_validator("sensors", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {str(name): str(name) for name in value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _long(self) -> "RowColumns":
        if (self.tag is None) != (self.value is None):
            msg = "name both tag and value, or neither"
            raise ValueError(msg)
        names = list(self.sensors.values())
        if len(set(names)) < len(names):
            msg = "two sensors have the same source"
            raise ValueError(msg)
        return self


class Resample(Record):
    """Rows at even times, and what becomes of gaps; `vae_pipeline.connectors.resampling` says how."""

    every: Duration
    aggregate: Literal["mean", "last"] = "mean"
    gaps: Gaps = "keep"
    longest: Duration = Field(description="a longer gap ends the run of rows and is never filled")

    @model_validator(mode="after")
    def _order(self) -> "Resample":
        if nanoseconds(self.longest) < nanoseconds(self.every):
            msg = "longest must not be shorter than every"
            raise ValueError(msg)
        if nanoseconds(self.longest) > _MOST_BINS * nanoseconds(self.every):
            msg = f"longest must not be longer than {_MOST_BINS} times every: so many rows may be filled in at one gap"
            raise ValueError(msg)
        return self


class LabelRule(Record):
    """A rule that stands in for labels that nobody gave; `vae_pipeline.connectors.labelling` says how."""

    rule: Literal["limits", "sigma"]
    limits: dict[str, tuple[float | None, float | None]] = Field(
        default={}, description="sensor to its lowest and highest normal value; null where there is none"
    )
    sensors: tuple[str, ...] = Field(default=(), description="those that sigma judges; all when left out")
    sigmas: float = Field(default=3.0, gt=0)
    robust: bool = Field(default=False, description="median and 1.4826 MAD instead of mean and standard deviation")
    at_least: int = Field(default=1, ge=1, description="rows in a row of one unit that must break the rule")

    @model_validator(mode="after")
    def _complete(self) -> "LabelRule":
        if (self.rule == "limits") != bool(self.limits):
            msg = "the rule limits needs limits, and the rule sigma has none"
            raise ValueError(msg)
        for name, (low, high) in self.limits.items():
            if (low is None and high is None) or (low is not None and high is not None and low > high):
                msg = f"limits of {name}: state the lowest, then the highest normal value"
                raise ValueError(msg)
        return self


class Batch(Record):
    """When rows become a batch: whichever comes first."""

    rows: int = Field(default=100_000, ge=1)
    megabytes: float = Field(default=64.0, gt=0, description="in memory")
    seconds: float = Field(default=60.0, gt=0)


class ConnectorConfig(Record):
    """One connector: from a source to ``incoming/<line>/<dataset>/``."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    line: Line = "timeseries"
    dataset: str
    source: Source
    columns: RowColumns
    resample: Resample | None = None
    labels: LabelRule | None = None
    batch: Batch = Batch()
    window: int = Field(
        default=200_000, ge=1, description="how many of the last rows are remembered, to know them again"
    )
    units: int = Field(default=100_000, ge=1, description="how many of the units written last are remembered")
    every: float = Field(default=EVERY, gt=0, description="seconds between pulls, with --forever and by the schedule")

    @model_validator(mode="after")
    def _fits(self) -> "ConnectorConfig":
        if self.resample is not None and self.columns.clock == "number":
            msg = "resample needs times of a clock, and columns.clock is number"
            raise ValueError(msg)
        if isinstance(self.source, InfluxSource) and self.source.machines and self.columns.unit is None:
            msg = "source.machines needs columns.unit, the tag whose values they are"
            raise ValueError(msg)
        if self.window < self.batch.rows:
            msg = "window must not be smaller than batch.rows, or a repeated batch would not be known again"
            raise ValueError(msg)
        if self.labels is not None:
            for name in (*self.labels.limits, *self.labels.sensors):
                if name not in self.columns.sensors:
                    msg = f"labels: {name!r} is none of columns.sensors"
                    raise ValueError(msg)
        return self


def read_connectors(path: Path) -> dict[str, ConnectorConfig]:
    """The connectors of one file, by name.

    Raises:
        SettingError: the file cannot be read, or an entry has an unknown or wrong field; the message names it and
            never tells a value.
    """
    found = {}
    for name, entry in connector_entries(path).items():
        try:
            if not isinstance(entry, dict):
                msg = f"{path}: connector {name!r} must be a mapping"
                raise SettingError(msg)
            found[name] = ConnectorConfig.model_validate({**entry, "name": name})
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(item) for item in first["loc"]) or "entry"
            msg = f"{path}: connector {name!r}, {place}: {first['msg'].removeprefix('Value error, ')}"
            raise SettingError(msg) from error
    return found


def connector_config(name: str, files: tuple[Path, ...]) -> ConnectorConfig:
    """The connector of that name.

    Raises:
        SettingError: no file is named, a name is given twice, or there is none of that name.
    """
    if not files:
        msg = f"{SETTING} is not set: name the YAML file that describes the connector {name!r}"
        raise SettingError(msg)
    known: dict[str, ConnectorConfig] = {}
    for path in files:
        for key, entry in read_connectors(path).items():
            if key in known:
                msg = f"{path}: connector {key!r} is in an earlier file already; give it another name"
                raise SettingError(msg)
            known[key] = entry
    if name not in known:
        msg = f"unknown connector {name!r}; {SETTING} has: {', '.join(sorted(known))}"
        raise SettingError(msg)
    return known[name]
