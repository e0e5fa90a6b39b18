"""Everything the code location holds: all lines with their resources."""

import logging
from typing import get_args

import dagster as dg

from vae_pipeline.defs.alerting import alerting_sensors
from vae_pipeline.defs.artifact_io import ArtifactIOManager
from vae_pipeline.defs.connecting import connecting_definitions
from vae_pipeline.defs.executors import step_executor
from vae_pipeline.defs.line import line_definitions
from vae_pipeline.defs.lost_runs import lost_runs_sensor
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.logs import log_json
from vae_pipeline.records import Line
from vae_pipeline.settings import load_settings

__all__ = ["LINES", "all_lines"]


@dg.logger(config_schema={"log_level": dg.Field(str, is_required=False, default_value="INFO")})
def json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    """What a run tells, as lines of JSON on standard error."""
    made = logging.Logger("dagster", level=context.logger_config["log_level"])
    log_json(made)
    return made


LINES: tuple[Line, ...] = get_args(Line)


def all_lines() -> dg.Definitions:
    """Assets, jobs, schedules and resources."""
    return dg.Definitions.merge(
        *(line_definitions(line) for line in LINES),
        connecting_definitions(),
        dg.Definitions(
            sensors=[*alerting_sensors(), lost_runs_sensor()],
            resources={"artifacts": ArtifactIOManager(), "storage": StorageResource(), "mlflow": MlflowResource()},
            loggers={"console": json_lines} if load_settings().log_format == "json" else None,
            executor=step_executor(),
        ),
    )
