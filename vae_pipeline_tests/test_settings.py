"""Settings come from the environment, are checked, and name the variable that is wrong."""

from pathlib import Path

import pytest

from vae_pipeline import settings as module
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import Settings, image_side, load_settings


def test_everything_lies_in_the_home(home: Path) -> None:
    settings = load_settings()
    assert settings.home == home
    assert settings.storage_root == str(home / "storage")
    assert settings.mlflow_uri == f"sqlite:///{home}/mlflow.db"
    assert settings.catalog_files == ()


def test_the_default_home_is_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAE_PIPELINE_HOME")
    monkeypatch.chdir(tmp_path)
    assert Settings().home == tmp_path / ".vae_pipeline"


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "STORAGE", "CATALOG", "THREADS"):
        monkeypatch.setenv(f"VAE_PIPELINE_{name}", "")
    settings = load_settings()
    assert settings.home == tmp_path / ".vae_pipeline"
    assert settings.storage_root == str(tmp_path / ".vae_pipeline" / "storage")
    assert settings.threads is None


@pytest.mark.parametrize(
    ("stated", "root"),
    [("s3://bucket/prefix", "s3://bucket/prefix"), ("~/kept", "{home}/kept"), ("kept", "{here}/kept")],
)
def test_storage_is_an_address_or_a_whole_path(
    stated: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_PIPELINE_STORAGE", stated)
    assert load_settings().storage_root == root.format(home=tmp_path / "person", here=tmp_path)


def test_mlflow_has_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert load_settings().mlflow_uri == "http://127.0.0.1:5000"


def test_several_catalogues_are_separated_by_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_PIPELINE_CATALOG", "a.yaml::b/c.yaml")
    assert load_settings().catalog_files == (Path("a.yaml"), Path("b/c.yaml"))


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5"])
def test_a_wrong_value_names_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_PIPELINE_THREADS", value)
    with pytest.raises(SettingError, match=rf"VAE_PIPELINE_THREADS: .*{value}"):
        load_settings()


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_settings()
    monkeypatch.setenv("VAE_PIPELINE_THREADS", "3")
    assert load_settings() is first


def test_addresses_of_alerts_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_PIPELINE_ALERTS", "mailtos://user:password@example.com")
    settings = load_settings()
    assert "password" not in repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("VAE_PIPELINE_ALERT_REPEAT", "-1")
    load_settings.cache_clear()
    with pytest.raises(SettingError, match=r"^VAE_PIPELINE_ALERT_REPEAT: .*-1") as raised:
        load_settings()
    assert "password" not in str(raised.value)


def test_new_data_arrive_in_storage_or_in_a_place_of_their_own(tmp_path):
    assert Settings(home=tmp_path).incoming_root == str(tmp_path / "storage/incoming")
    assert Settings(home=tmp_path, storage="s3://bucket/a/").incoming_root == "s3://bucket/a/incoming"
    assert Settings(home=tmp_path, incoming=str(tmp_path / "ftp")).incoming_root == str(tmp_path / "ftp")


def test_size_is_as_stated_else_by_what_drives_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    assert image_side(96) == 96
    for gpu, side in ((False, 128), (True, 256)):
        monkeypatch.setattr(module, "has_gpu", lambda gpu=gpu: gpu)
        assert image_side(None) == side
        assert image_side(96) == 96
