"""No password is printed, logged or sent to people."""

import pytest

from vae_pipeline.addresses import shown
from vae_pipeline.cli import main


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql+psycopg2://mlflow:p@ss/w#rd?@db:5432/mlflow", "postgresql+psycopg2://mlflow:***@db:5432/mlflow"),
        ("http://:secret@mlflow:5000 refuses", "http://:***@mlflow:5000 refuses"),
        ("postgresql://db/mlflow?user=me&password=secret&a=1", "postgresql://db/mlflow?user=me&password=***&a=1"),
        ("http://mlflow:5000 and me@example.com", "http://mlflow:5000 and me@example.com"),
        ("sqlite:////srv/home/mlflow.db", "sqlite:////srv/home/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(address, told):
    assert shown(address) == told


@pytest.mark.parametrize(
    "address", ["postgresql+psycopg2://me:secret@127.0.0.1:1/mlflow", "http://me:secret@127.0.0.1:1"]
)
@pytest.mark.parametrize("command", [["models"], ["back-up", "x", "--artifacts", "y"], ["run", "timeseries", "FD001"]])
def test_no_command_prints_the_password_of_the_registry(address, command, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # of ten, which take 100 seconds
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "me:***@127.0.0.1:1" in told
    assert "secret" not in told
