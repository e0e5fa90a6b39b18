"""What a home is kept in with ``--services``: a database of Dagster, an MLflow server and a place on S3 of its own."""

import re
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent

services: Any = None
_homes: dict[Path, dict[str, str]] = {}
_servers: dict[Path, Any] = {}


def variables(home: Path) -> dict[str, str]:
    """The settings of a process that works in a home; none where everything is embedded."""
    if services is None:
        return {}
    if home not in _homes:
        name = f"home_{len(_homes)}_{re.sub('[^a-z0-9]', '', home.name.lower())}"
        dagster = home / "dagster"
        services.write_dagster_home(dagster, PROJECT / "dagster.yaml", f"{name}_dagster")
        _servers[home] = services.mlflow(f"{name}_mlflow")
        found = services.settings(_servers[home], name)
        del found["VAE_PIPELINE_OPTUNA_STORAGE"]
        _homes[home] = {**found, "DAGSTER_HOME": str(dagster)}
    return _homes[home]


def mlflow_of(home: Path) -> Any:
    """The MLflow server of a home that was entered."""
    return _servers[home]
