"""The code location that Dagster loads."""

import dagster as dg

from vae_pipeline.defs.all_lines import all_lines
from vae_pipeline.environment import prepare_environment

__all__ = ["defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, jobs, schedules and resources of all lines."""
    prepare_environment()
    return all_lines()
