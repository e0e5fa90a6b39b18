"""Everything the code location holds: all lines with their resources."""

from typing import get_args

import dagster as dg

from vae_pipeline.defs.alerting import alerting_sensors
from vae_pipeline.defs.artifact_io import ArtifactIOManager
from vae_pipeline.defs.line import line_definitions
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.records import Line

__all__ = ["LINES", "all_lines"]

LINES: tuple[Line, ...] = get_args(Line)


def all_lines() -> dg.Definitions:
    """Assets, jobs, schedules and resources."""
    return dg.Definitions.merge(
        *(line_definitions(line) for line in LINES),
        dg.Definitions(
            sensors=alerting_sensors(),
            resources={"artifacts": ArtifactIOManager(), "storage": StorageResource(), "mlflow": MlflowResource()},
            # one process for one partition: heavy libraries are imported once
            executor=dg.in_process_executor,
        ),
    )
