"""The files of ``infra/`` as data, for the tests beside this module."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
PROMETHEUS = INFRA / "prometheus"
DASHBOARDS = sorted((INFRA / "grafana" / "dashboards").glob("*.json"))

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::([-?])((?:[^{}]|\{[^}]*\})*))?\}")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def compose() -> dict[str, Any]:
    """``compose.yaml`` with merges resolved and variables as they stand."""
    return read_yaml(INFRA / "compose.yaml")


def variables(text: str) -> dict[str, tuple[str, str]]:
    """Variables of a compose file: operator (``-`` default, ``?`` required, or none) and what stands behind it."""
    return {name: (operator, value) for name, operator, value in _VARIABLE.findall(text)}


def example() -> dict[str, str]:
    """The variables of ``.env.example`` and their values."""
    lines = (INFRA / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def settings_example() -> dict[str, str]:
    """The settings of ``pipeline.env.example`` and their values; all are commented out."""
    lines = re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", (INFRA / "pipeline.env.example").read_text(), flags=re.MULTILINE)
    return dict(lines)


def queries(dashboard: Path) -> list[tuple[str, str]]:
    """Title and query of every panel."""
    panels = json.loads(dashboard.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]
