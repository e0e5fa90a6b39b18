"""A cluster that cannot be used is told in one sentence that names the setting; what its processes are told."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from infra.services.program import free_port
from vae_pipeline import cluster
from vae_pipeline.cluster import cluster_address, passed_environment, passed_variables, require_cluster
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import Settings
from vae_pipeline_tests.conftest import PROJECT


def of(home, address):
    return Settings(home=home, executor="ray", ray_address=address)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (None, r"^VAE_PIPELINE_EXECUTOR=ray: set VAE_PIPELINE_RAY_ADDRESS "),
        ("head:8265", r"^VAE_PIPELINE_RAY_ADDRESS: 'head:8265' is not like http://head:8265$"),
        ("ray://head:10001", r"^VAE_PIPELINE_RAY_ADDRESS: 'ray://head:10001' is not like"),
    ],
)
def test_an_address_that_cannot_be_used_is_told(address, told, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: name)
    with pytest.raises(SettingError, match=told):
        cluster_address(of(tmp_path, address))


def test_a_missing_extra_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"^VAE_PIPELINE_EXECUTOR=ray: Ray is not installed; pip install"):
        cluster_address(of(tmp_path, "http://head:8265"))


def test_a_cluster_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: name)
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SettingError, match=rf"^VAE_PIPELINE_RAY_ADDRESS: no Ray cluster answers at {address} "):
        require_cluster(of(tmp_path, address))


def test_other_nodes_get_whole_paths_and_the_same_servers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("EDITOR", "vi")
    found = passed_environment(Settings(home="here", catalog="a.yaml:b.yaml", storage="s3://bucket"))
    assert found["VAE_PIPELINE_HOME"] == str(tmp_path / "here")
    assert found["VAE_PIPELINE_CATALOG"] == f"{tmp_path}/a.yaml:{tmp_path}/b.yaml"
    assert found["VAE_PIPELINE_STORAGE"] == "s3://bucket"
    assert found["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert found["AWS_ACCESS_KEY_ID"] == "key"
    assert "EDITOR" not in found


def test_other_nodes_get_what_the_instance_of_dagster_reads_by_env(tmp_path, monkeypatch):
    shutil.copy(PROJECT / "infra/dagster/dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_POSTGRES_USER", "drawn")
    monkeypatch.delenv("DAGSTER_POSTGRES_HOST", raising=False)
    found = passed_environment(Settings(home=tmp_path))
    assert found["DAGSTER_POSTGRES_USER"] == "drawn"
    assert "DAGSTER_POSTGRES_HOST" not in found  # it is not set here either
    (tmp_path / "dagster.yaml").unlink()
    assert "DAGSTER_POSTGRES_USER" not in passed_variables(Settings(home=tmp_path))


def test_a_training_has_the_threads_that_ray_was_asked_for(tmp_path):
    assert "VAE_PIPELINE_THREADS=3" in passed_variables(Settings(home=tmp_path, ray_cpus=2.5))
    assert "VAE_PIPELINE_THREADS=8" in passed_variables(Settings(home=tmp_path, ray_cpus=2.5, threads=8))


def connecting(outcomes, tmp_path, monkeypatch):
    """Connect to a head that answers with these outcomes, one a try; gives the pauses between them."""
    left, pauses = iter(outcomes), []

    def init(*_, **__):
        if outcome := next(left):
            raise outcome

    # in its place: Ray itself settles when it is imported, for the whole process, whether it asks for a token
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    monkeypatch.setattr(cluster, "require_cluster", lambda settings: settings.ray_address)
    monkeypatch.setattr(cluster.time, "sleep", pauses.append)
    with cluster.connected(of(tmp_path, "http://head:8265")):
        return pauses


def gave_up():
    return ConnectionAbortedError(
        "Initialization failure from server:\nRuntimeError: Starting Ray client server failed.\n"
    )


def test_a_head_that_gives_up_on_a_client_is_asked_again(tmp_path, monkeypatch):
    assert connecting([gave_up(), gave_up(), None], tmp_path, monkeypatch) == [2.0, 4.0]


def test_a_head_that_always_gives_up_is_told_with_its_reason(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match=r"takes no tasks \(RuntimeError: Starting Ray client server failed\.\)"):
        connecting([gave_up()] * 4, tmp_path, monkeypatch)


def test_a_head_that_is_not_there_is_not_asked_again(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="ray client connection timeout"):
        connecting([ConnectionError("ray client connection timeout"), None], tmp_path, monkeypatch)
