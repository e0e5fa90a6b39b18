"""Files of connectors: what is refused, and that a secret is never in them or in a message."""

import pytest

from vae_pipeline.connectors.config import connector_config, read_connectors
from vae_pipeline.errors import SettingError

GOOD = """
connectors:
  pumps:
    dataset: pumps
    source: {kind: sql, url: "postgresql+psycopg://reader@host/plant", password: {env: PLANT_PASSWORD},
      table: readings, key: id}
    columns: {unit: pump, time: at, sensors: [flow, pressure]}
"""


def written(tmp_path, text):
    path = tmp_path / "connectors.yaml"
    path.write_text(text)
    return path


def test_a_file_of_connectors_is_read(tmp_path):
    config = connector_config("pumps", (written(tmp_path, GOOD),))
    assert config.columns.sensors == {"flow": "flow", "pressure": "pressure"}
    assert config.source.kind == "sql"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{env: PLANT_PASSWORD}", "hunter2", "a secret itself has no place in this file"),
        ("reader@host", "reader:hunter2@host", "leave the password out of the address"),
        ("table: readings", "tables: readings", "Extra inputs are not permitted"),
        ("table: readings, ", "", "name one of table and query"),
        ("kind: sql", "kind: oracle", "does not match any of the expected tags"),
        ("dataset: pumps", "dataset: pumps\n    resample: {every: 10, longest: 60s}", "write it with its unit"),
        ("dataset: pumps", "dataset: pumps\n    resample: {every: 10s, longest: 5s}", "longest must not be shorter"),
        ("dataset: pumps", "dataset: pumps\n    resample: {every: 1s, longest: 1d}", "longest must not be longer than"),
        ("dataset: pumps", "dataset: pumps\n    labels: {rule: limits, limits: {level: [0, 1]}}", "none of columns"),
        ("dataset: pumps", "dataset: pumps\n    window: 10", "window must not be smaller than batch.rows"),
    ],
)
def test_what_cannot_be_used_is_told_without_secrets(tmp_path, old, new, told):
    assert old in GOOD
    with pytest.raises(SettingError, match=told) as error:
        read_connectors(written(tmp_path, GOOD.replace(old, new)))
    assert "hunter2" not in str(error.value)
    assert "connector 'pumps'" in str(error.value)


def test_machines_without_the_column_of_the_unit_are_told(tmp_path):
    source = "    source: {kind: influxdb, database: plant, measurement: readings, machines: [p1]}\n"
    columns = "    columns: {time: time, sensors: [flow]}\n"
    path = written(tmp_path, f"connectors:\n  pumps:\n    dataset: pumps\n{source}{columns}")
    with pytest.raises(SettingError, match=r"source\.machines needs columns\.unit, the tag whose values they are"):
        read_connectors(path)


def test_an_unknown_name_is_told_with_those_there_are(tmp_path):
    with pytest.raises(SettingError, match="unknown connector 'fans'; VAE_PIPELINE_CONNECTORS has: pumps"):
        connector_config("fans", (written(tmp_path, GOOD),))
    with pytest.raises(SettingError, match="VAE_PIPELINE_CONNECTORS is not set"):
        connector_config("fans", ())


def test_a_secret_that_is_not_there_is_told(tmp_path, monkeypatch):
    secret = connector_config("pumps", (written(tmp_path, GOOD),)).source.password
    monkeypatch.delenv("PLANT_PASSWORD", raising=False)
    with pytest.raises(SettingError, match="variable PLANT_PASSWORD is not set"):
        secret.read()
    monkeypatch.setenv("PLANT_PASSWORD", "hunter2")
    assert secret.read() == "hunter2"
