"""The import contracts of pyproject.toml hold, and what a service loads stays light when it is really loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

PROJECT = Path(__file__).resolve().parent.parent

LOADS_ALL_MODULES = """
import importlib, pkgutil, sys
for room in sys.argv[1].split(","):
    package = importlib.import_module(f"vae_pipeline.{room}")
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), package.__name__ + "."):
        importlib.import_module(module.name)
print(" ".join(sorted(set(sys.modules) & set(sys.argv[2].split(",")))))
"""


def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    status = lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("rooms", "heavy"),
    [
        (
            "features,calibration,explanation,detector",
            "torch,pytorch_lightning,mlflow,pandas,dagster,sklearn,matplotlib",
        ),
        ("sources,validation,evaluation", "torch,mlflow,great_expectations,dagster,matplotlib,sklearn"),
        ("catalog,storage,settings,records,errors", "torch,mlflow,pandas,dagster,numpy,scipy,great_expectations"),
    ],
)
def test_loading_a_room_loads_nothing_heavy(rooms: str, heavy: str) -> None:
    """A contract sees import statements; this sees what libraries bring along."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADS_ALL_MODULES, rooms, heavy],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
