"""The graph as users see it, kept in graph.json: a change here is a change of the product, so it is made on purpose."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from vae_pipeline.definitions import defs
from vae_pipeline.defs.all_lines import LINES

KEPT = Path(__file__).with_name("graph.json")
RENEW = "RENEW_GRAPH"  # VAE_PIPELINE_* variables are taken away from tests
HEAVY = {"torch", "pytorch_lightning", "mlflow", "great_expectations", "sklearn", "matplotlib", "onnxruntime", "pandas"}


def graph() -> dict:
    definitions = defs()
    repository = definitions.get_repository_def()
    assets = {}
    for spec in definitions.resolve_all_asset_specs():
        node = repository.asset_graph.get(spec.key)
        assets[spec.key.to_user_string()] = {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "code_version": spec.code_version,
            "pools": sorted(node.pools or ()),
            "checks": {key.name: "blocking" if blocks(repository, key) else "" for key in sorted(node.check_keys)},
            "partitions": type(spec.partitions_def).__name__,
            "description": spec.description,
        }
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": {
            schedule.name: {
                "job": schedule.job_name,
                "cron": schedule.cron_schedule,
                "default_status": schedule.default_status.value,
            }
            for schedule in repository.schedule_defs
        },
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "resources": sorted(definitions.resources or {}),
    }


def blocks(repository, key) -> bool:
    return repository.asset_graph.get_check_spec(key).blocking


def test_the_graph_is_the_kept_one():
    found = json.dumps(graph(), indent=2, sort_keys=True) + "\n"
    if os.environ.get(RENEW):
        KEPT.write_text(found)
    message = (
        f"the graph differs from {KEPT.name}; if that is meant, renew the file and review its difference: "
        f"{RENEW}=1 python -m pytest {Path(__file__).name}"
    )
    assert json.loads(found) == json.loads(KEPT.read_text()), message


def test_partitions_are_the_datasets_of_the_catalogue_that_the_line_takes():
    wanted = {
        "timeseries": {"FD001", "FD002", "FD003", "FD004", "sample_turbofan", "fan_id_00", "sample_machine_sound"},
        "vision": {"bottle", "zipper", "sample_product"},
        "multimodal": {"FD001+bottle", "sample_turbofan+sample_product"},
    }
    specs = list(defs().resolve_all_asset_specs())
    assert {spec.key.path[-1] for spec in specs if spec.partitions_def is None} == {"bento"}
    for spec in specs:
        if spec.partitions_def is None:  # one Bento carries all datasets of its line
            continue
        partitions = set(spec.partitions_def.get_partition_keys())
        others = {name for line, names in wanted.items() if line != spec.group_name for name in names}
        assert wanted[spec.group_name] <= partitions
        assert not partitions & others


def test_every_asset_says_what_it_is():
    assert [spec.key for spec in defs().resolve_all_asset_specs() if not spec.description] == []


@pytest.mark.parametrize("line", LINES)
def test_the_launchpad_says_what_every_field_means(line):
    job = defs().resolve_job_def(line)
    for stage in ("trained", "calibrated"):
        fields = job.get_node_named(f"{line}__{stage}").definition.config_schema.config_type.fields
        assert len(fields) > 2
        assert [name for name, field in fields.items() if not field.description or field.is_required] == []


@pytest.mark.parametrize("line", LINES)
def test_the_job_may_be_launched_for_any_dataset(line):
    assert dg.validate_run_config(defs().resolve_job_def(line), {})


def test_loading_the_code_location_loads_nothing_heavy():
    """A web server and a daemon load it again and again, in seconds and not in half a minute."""
    code = "import sys; from vae_pipeline.definitions import defs; defs().get_repository_def(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert sorted(HEAVY & set(ran.stdout.split())) == []


def test_dagster_itself_finds_nothing_wrong():
    dg_command = Path(sys.executable).with_name("dg")
    if not dg_command.exists():
        pytest.skip("dagster-dg-cli is not installed")
    project = Path(__file__).parents[2]
    ran = subprocess.run([dg_command, "check", "defs"], cwd=project, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
