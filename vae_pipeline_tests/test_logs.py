"""Logs as lines of JSON."""

import io
import json
import logging
import sys

import dagster as dg

from vae_pipeline.defs.all_lines import json_lines
from vae_pipeline.logs import JsonLines, log_json


def test_a_line_has_what_the_record_carries():
    stream = io.StringIO()
    logger = logging.Logger("plant")
    log_json(logger, stream, service="vision")
    logger.info("scored %d", 3, extra={"model": "vision-bottle", "version": 7, "_of_a_library": 1})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "plant",
        "message": "scored 3",
        "service": "vision",
        "model": "vision-bottle",
        "version": 7,
    }


def test_an_exception_stays_on_its_line():
    try:
        raise ValueError("wrong")  # noqa: EM101
    except ValueError:
        record = logging.LogRecord("plant", logging.ERROR, "", 1, "failed", None, sys.exc_info())
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: wrong" in json.loads(text)["exception"]


def test_a_run_tells_run_asset_partition_and_the_version_it_made(capsys):
    @dg.asset(key=["timeseries", "registered"], partitions_def=dg.StaticPartitionsDefinition(["FD001"]))
    def registered(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        context.log.info("fits")
        return dg.MaterializeResult(metadata={"name": "timeseries-FD001", "version": 4})

    job = dg.define_asset_job("line", [registered])
    found = dg.Definitions([registered], jobs=[job], loggers={"console": json_lines}).resolve_job_def("line")
    run = found.execute_in_process(
        partition_key="FD001", run_config={"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}
    )
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line["message"] == "fits"]
    assert told["run"] == run.run_id
    assert (told["asset"], told["partition"], told["job"]) == ("timeseries/registered", "FD001", "line")
    (made,) = [line for line in lines if line.get("event") == "ASSET_MATERIALIZATION"]
    assert (made["model"], made["version"]) == ("timeseries-FD001", 4)
