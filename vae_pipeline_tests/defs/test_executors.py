"""Where steps run is a setting; what is asked of Ray stands in tags."""

import json
import shutil
import subprocess
import sys
import tomllib

import dagster as dg
import pytest

from vae_pipeline.defs import ray_runs
from vae_pipeline.defs.executors import LOST, resources_of, step_executor
from vae_pipeline.defs.ray_runs import instance_config, write_instance
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import Settings, load_settings
from vae_pipeline_tests.conftest import PROJECT

RAY = {"EXECUTOR": "ray", "RAY_ADDRESS": "http://head:8265"}
TAG = "dagster-ray/config"


@pytest.fixture
def stated(monkeypatch):
    def state(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"VAE_PIPELINE_{name}", value)
        load_settings.cache_clear()

    return state


@pytest.mark.parametrize("name", ["in_process", "multiprocess"])
def test_steps_run_where_the_setting_says(name, stated):
    stated(EXECUTOR=name)
    assert step_executor().name == name


def test_without_a_setting_steps_run_in_the_runs_process(home):
    assert step_executor().name == "in_process"
    assert resources_of("trained") == {}


def test_a_run_that_is_a_job_of_ray_has_its_steps_in_one_process(stated):
    stated(**RAY)
    assert step_executor().name == "in_process"
    assert resources_of("trained") == {}


def test_steps_may_be_jobs_of_ray_each_with_its_resources(stated):
    pytest.importorskip("dagster_ray")
    stated(**RAY, RAY_JOBS="step", RAY_GPUS="1", RAY_MEMORY="1000000")
    assert step_executor().name == "ray"
    asked = {stage: resources_of(stage) for stage in ("trained", "evaluated", "registered")}
    assert json.loads(asked["trained"]["op_tags"][TAG]) == {"num_cpus": 1.0, "num_gpus": 1.0, "memory": 1000000}
    assert json.loads(asked["evaluated"]["op_tags"][TAG]) == {"num_cpus": 1}
    assert "op_tags" not in asked["registered"]
    assert {each["retry_policy"] for each in asked.values()} == {LOST}


def test_what_a_run_asks_for_goes_before_what_its_steps_do():
    pytest.importorskip("dagster_ray")
    from vae_pipeline.defs.ray_steps import merged

    of_step = {TAG: json.dumps({"num_cpus": 1, "num_gpus": 1}), "other": "kept"}
    found = merged(of_step, {TAG: json.dumps({"num_gpus": 2})})
    assert json.loads(found[TAG]) == {"num_cpus": 1, "num_gpus": 2}
    assert found["other"] == "kept"


def test_the_instance_launches_runs_on_ray_only_where_that_is_asked_for(tmp_path):
    given = {"run_retries": {"enabled": True, "max_retries": 0}, "telemetry": {"enabled": False}}
    assert instance_config(given, Settings(home=tmp_path)) == given
    made = instance_config(given, Settings(home=tmp_path, executor="ray", ray_address="http://head:8265", ray_gpus=1))
    launcher = made["run_launcher"]["config"]["ray"]
    assert (launcher["address"], launcher["num_cpus"], launcher["num_gpus"]) == ("http://head:8265", 1, 1)
    assert f"VAE_PIPELINE_HOME={tmp_path}" in launcher["env_vars"]
    assert made["run_retries"]["max_retries"] > 0
    assert not made["run_retries"]["retry_on_asset_or_op_failure"]
    assert made["telemetry"] == given["telemetry"]


def test_secrets_are_not_written_into_the_instance(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    made = instance_config({}, Settings(home=tmp_path, executor="ray", ray_address="http://head:8265"))
    assert "AWS_SECRET_ACCESS_KEY" in made["run_launcher"]["config"]["ray"]["env_vars"]
    assert "hidden" not in json.dumps(made)


def test_an_instance_that_launches_runs_elsewhere_is_told(tmp_path):
    from vae_pipeline.defs.ray_runs import awaited

    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        pytest.raises(SettingError, match=r"DAGSTER_HOME: .*docs/cluster\.md"),
    ):
        awaited(instance, dg.DagsterRun(job_name="timeseries"))


@pytest.mark.parametrize("variables", [{"VAE_PIPELINE_EXECUTOR": "multiprocess"}, {}])
def test_ray_is_not_loaded_where_it_is_not_chosen(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code = "import sys; from vae_pipeline.definitions import defs; defs().get_repository_def(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"ray", "dagster_ray"} & set(ran.stdout.split()) == set()


def test_an_installed_package_has_the_instance_of_the_checkout(tmp_path, monkeypatch):
    included = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert included["force-include"]["dagster.yaml"] == "vae_pipeline/dagster.yaml"
    (tmp_path / "site" / "vae_pipeline").mkdir(parents=True)
    shutil.copy(PROJECT / "dagster.yaml", tmp_path / "site" / included["force-include"]["dagster.yaml"])
    for name, package in (("checkout", PROJECT / "vae_pipeline"), ("installed", tmp_path / "site" / "vae_pipeline")):
        monkeypatch.setattr(ray_runs, "_PACKAGE", package)
        (tmp_path / name).mkdir()
        write_instance(load_settings(), tmp_path / name)
        assert (tmp_path / name / "dagster.yaml").read_text() == (PROJECT / "dagster.yaml").read_text()
