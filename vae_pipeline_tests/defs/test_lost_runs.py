"""Runs whose process is gone are ended, whatever launched them; others need not wait for them.

The sensor asks for no runs, so a daemon that is killed behind its evaluation has nothing left to launch.
"""

import os
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.execution.api import execute_run

from vae_pipeline.definitions import defs
from vae_pipeline.defs.lost_runs import owned
from vae_pipeline.processes import OWNER_TAG, this_process

GONE = [sys.executable, "-c", "from vae_pipeline.processes import this_process; print(this_process())"]


@dg.op
def tells_its_process(context):
    context.log.info(f"in {this_process()}")


@dg.job(executor_def=owned(dg.in_process_executor))
def here():
    tells_its_process()


@dg.job(executor_def=owned(dg.multiprocess_executor))
def in_processes():
    tells_its_process()


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture(scope="module")
def gone():
    return subprocess.run(GONE, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tick(instance):
    sensor = defs().get_repository_def().get_sensor_def("lost_runs")

    def evaluate():
        return sensor.evaluate_tick(dg.build_sensor_context(instance)).skip_message

    return evaluate


def started(instance, owner):
    run = instance.create_run_for_job(
        here, tags={OWNER_TAG: owner} if owner else {}, status=dg.DagsterRunStatus.STARTED
    )
    return run.run_id


def status(instance, run_id):
    return instance.get_run_by_id(run_id).status


def test_the_first_tick_without_runs_has_nothing_to_end(tick):
    assert tick() == "every run has its process"


def test_a_run_whose_process_is_gone_is_ended_and_named(instance, tick, gone):
    run = started(instance, gone)
    assert tick() == f"their processes are gone, marked as failed: {run[:8]} (here )"
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_runs_that_live_are_of_other_hosts_or_unknown_stay(instance, tick, gone):
    host = gone.partition(":")[0]
    runs = [started(instance, owner) for owner in (this_process(), gone.replace(host, "elsewhere"), "")]
    assert tick() == "every run has its process"
    assert {status(instance, run) for run in runs} == {dg.DagsterRunStatus.STARTED}


def test_of_several_runs_the_lost_one_is_ended(instance, tick, gone):
    alive, lost = started(instance, this_process()), started(instance, gone)
    assert lost[:8] in tick()
    assert status(instance, alive) == dg.DagsterRunStatus.STARTED


def test_a_second_tick_has_nothing_to_end(instance, tick, gone):
    started(instance, gone)
    tick()
    assert tick() == "every run has its process"


def test_it_is_on_unless_switched_off():
    sensor = defs().get_repository_def().get_sensor_def("lost_runs")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize("job", [here, in_processes], ids=["in process", "multiprocess"])
def test_a_run_is_tagged_with_its_own_process_and_not_with_that_of_a_step(job, instance):
    run = instance.create_run_for_job(job)
    assert execute_run(dg.reconstructable(job), run, instance).success
    assert instance.get_run_by_id(run.run_id).tags[OWNER_TAG] == this_process()
    (told,) = [entry for entry in instance.all_logs(run.run_id) if entry.user_message.startswith("in ")]
    assert (str(os.getpid()) in told.user_message) == (job is here)
