"""What every process of the pipeline has in its environment, whoever started it."""

import os

__all__ = ["prepare_environment"]

_DEFAULTS = {
    # threads that wait asleep: awake they stand in the way of any other busy process
    "OMP_WAIT_POLICY": "PASSIVE",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
}


def prepare_environment() -> None:
    """Set what is not set yet; to be called before OpenMP is loaded, which reads its variable once."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
