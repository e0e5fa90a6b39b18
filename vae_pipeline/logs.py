"""Logs as lines of JSON: what happened, in which run, asset, partition and model version."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["JsonLines", "log_json"]

_PLAIN = set(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the record carries beside them.

    Of a record of Dagster's these are the run, the job, the asset and the partition, and the model version where a
    stage tells of one; of any other record what was given as ``extra``.
    """

    def __init__(self, **always: Any) -> None:
        """``always`` stands in every line, such as ``service="vision"``."""
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        meta = getattr(record, "dagster_meta", None)
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if meta is None else meta["orig_message"],
            **self._always,
            **({} if meta is None else _of_dagster(meta)),
            **{
                name: value
                for name, value in record.__dict__.items()
                # what begins so was put there by a library for itself
                if name not in _PLAIN and not name.startswith(("dagster", "_"))
            },
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def _of_dagster(meta: dict[str, Any]) -> dict[str, Any]:
    tags = meta.get("job_tags") or {}
    found = {
        "run": meta.get("run_id"),
        "job": meta.get("job_name"),
        "asset": (meta.get("step_key") or "").replace("__", "/") or None,
        "partition": tags.get("dagster/partition"),
        "event": getattr(meta.get("dagster_event"), "event_type_value", None),
    }
    data = getattr(meta.get("dagster_event"), "event_specific_data", None)
    metadata = getattr(getattr(data, "materialization", None), "metadata", {})
    for field, name in (("model", "name"), ("version", "version")):
        if name in metadata:
            found[field] = metadata[name].value
    return {name: value for name, value in found.items() if value is not None}


def log_json(logger: logging.Logger, stream: TextIO | None = None, **always: Any) -> None:
    """Have a logger, and those below it, write lines of JSON and nothing else; ``always`` stands in each."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(**always))
    logger.handlers = [handler]
    logger.propagate = False
    if logger.level in (logging.NOTSET, logging.WARNING):
        logger.setLevel(logging.INFO)
