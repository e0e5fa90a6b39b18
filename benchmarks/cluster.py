"""A backfill of several datasets on this machine and on a Ray cluster of two nodes, also with one node killed.

``python -m benchmarks.cluster --write`` puts the table into ``docs/cluster.md``.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# ruff: noqa: TID251 - the runs of a backfill are Dagster's
import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RemotePartitionSetOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origin_from_module_name

from benchmarks.report import machine, markdown_table, write_section
from infra.services.program import wait_for
from infra.services.ray_cluster import RayCluster, why_not
from vae_pipeline.catalog import catalog
from vae_pipeline.defs.execute import open_instance
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import load_settings

_PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"
_CATALOG = """
datasets:
  variant_1: &variant
    line: timeseries
    kind: sample_turbofan
    title: generated engines
    licence: generated
    columns:
      unit: unit
      time: cycle
      settings: [setting_1, setting_2, setting_3]
      sensors: [sensor_2, sensor_3, sensor_4, sensor_7, sensor_8, sensor_9, sensor_11, sensor_12]
    labels: {healthy_from: 125, anomalous_below: 30}
    window: {length: 30, stride: 1}
    regimes: 6
    generator: {train_units: 24, test_units: 16, seed: 1}
    training: {epochs: 4}
"""
_WITHIN = 3600.0
_AFTER = 1
"""Partitions that are done when the node is killed."""

_STAGES = 2
"""Stages of another partition that are done by then on the node."""


@dataclass(frozen=True)
class Backfill:
    """What became of a backfill."""

    how: str
    seconds: float
    done: int
    runs: int
    begun_again: int
    versions: dict[str, int]
    nodes: int


def main() -> None:
    """Run the backfills and show, or write, their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=6, help="datasets (6)")
    parser.add_argument("--only", default="", help="some of: in_process, multiprocess, ray, killed")
    parser.add_argument("--write", action="store_true", help="put the table into docs/cluster.md")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nodes are ended on the way out
    wanted = options.only.split(",") if options.only else ["in_process", "multiprocess", "ray", "killed"]
    found = {}
    with tempfile.TemporaryDirectory(prefix="backfill") as scratch:
        for how in wanted:
            home = Path(scratch) / how
            home.mkdir()
            found[how] = _backfilled(how, home, options.variants)
            sys.stdout.write(f"{found[how]}\n")
            sys.stdout.flush()
            shutil.rmtree(home)
    text = _table(found, options.variants)
    sys.stdout.write(f"{text}\n")
    if options.write:
        write_section(_PAGE, "backfill", text)


def _backfilled(how: str, home: Path, variants: int) -> Backfill:
    names = [f"variant_{number}" for number in range(1, variants + 1)]
    more = [
        f"  {name}: {{<<: *variant, generator: {{train_units: 24, test_units: 16, seed: {seed}}}}}"
        for seed, name in enumerate(names[1:], start=2)
    ]
    (home / "catalog.yaml").write_text(_CATALOG + "\n".join(more) + "\n")
    with contextlib.ExitStack() as stack:
        environment = {
            "VAE_PIPELINE_HOME": str(home),
            "VAE_PIPELINE_CATALOG": str(home / "catalog.yaml"),
            "VAE_PIPELINE_THREADS": "1",
            "VAE_PIPELINE_EXECUTOR": "ray" if how in ("ray", "killed") else how,
            "DAGSTER_HOME": str(home / "dagster"),
        }
        cluster = None
        if environment["VAE_PIPELINE_EXECUTOR"] == "ray":
            cluster = RayCluster(home, nodes=2, cpus=1)
            stack.callback(cluster.stop)
            environment |= cluster.environment
        stack.enter_context(_environment(environment))
        os.environ.pop("DAGSTER_HOME")  # so that it is made as a user's is
        instance = open_instance(load_settings())
        stated = home / "dagster" / "dagster.yaml"
        stated.write_text(re.sub(r"max_concurrent_runs: \d+", "max_concurrent_runs: 2", stated.read_text()))
        stack.enter_context(_daemon(home))
        began = time.time()
        instance.add_backfill(_backfill(names, began))
        if how == "killed" and cluster:
            wait_for(lambda: _in_the_middle(instance, cluster), "no run on the second node", _WITHIN)
            cluster.kill(1)
        wait_for(lambda: _over(instance, names), f"the backfill takes longer than {_WITHIN} s", _WITHIN)
        return _judged(how, instance, began, cluster)


def _backfill(names: list[str], moment: float) -> PartitionBackfill:
    """A backfill as the UI asks the daemon for it."""
    target = location_origin_from_module_name("vae_pipeline.definitions", None, str(Path.cwd()))
    repository = RemoteRepositoryOrigin(target, "__repository__")
    return PartitionBackfill(
        backfill_id="backfill",
        partition_set_origin=RemotePartitionSetOrigin(
            repository_origin=repository, partition_set_name="timeseries_partition_set"
        ),
        status=BulkActionStatus.REQUESTED,
        partition_names=names,
        from_failure=False,
        reexecution_steps=[],
        tags={},
        backfill_timestamp=moment,
    )


def _in_the_middle(instance: dg.DagsterInstance, cluster: RayCluster) -> bool:
    """Whether a partition is done, and the second node has done some stages of another one."""
    on_node = _runs(cluster).get(1) if len(_succeeded(instance)) >= _AFTER else None
    if not on_node:
        return False
    at_work = instance.get_runs(dg.RunsFilter(run_ids=list(on_node), statuses=[dg.DagsterRunStatus.STARTED]))
    return any(_done(instance, run.run_id) >= _STAGES for run in at_work)


def _done(instance: dg.DagsterInstance, run_id: str) -> int:
    return sum(bool(entry.dagster_event and entry.dagster_event.is_step_success) for entry in instance.all_logs(run_id))


def _runs(cluster: RayCluster) -> dict[int, set[str]]:
    """The runs that each node had, as jobs."""
    from ray.job_submission import JobSubmissionClient
    from ray.util.state import list_nodes

    nodes: list[Any] = list_nodes(cluster.address)
    number = {node.node_id: int(node.node_ip.rpartition(".")[2]) - 2 for node in nodes}
    found: dict[int, set[str]] = {}
    for job in JobSubmissionClient(cluster.address).list_jobs():
        if job.driver_node_id in number and job.metadata:
            found.setdefault(number[job.driver_node_id], set()).add(job.metadata["dagster/run-id"])
    return found


def _succeeded(instance: dg.DagsterInstance) -> set[str]:
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
    return {run.tags["dagster/partition"] for run in runs}


def _over(instance: dg.DagsterInstance, names: list[str]) -> bool:
    """Whether all are done; raises where one failed for good."""
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    for run in failed:
        own = [entry for entry in instance.all_logs(run.run_id) if entry.dagster_event]
        ended = [entry for entry in own if entry.dagster_event and entry.dagster_event.is_step_failure]
        if ended:
            raise RuntimeError(ended[0].user_message)
    return _succeeded(instance) >= set(names)


def _judged(how: str, instance: dg.DagsterInstance, began: float, cluster: RayCluster | None) -> Backfill:
    records = instance.get_run_records()
    started = Counter(
        (record.dagster_run.tags["dagster/partition"], entry.step_key)
        for record in records
        for entry in instance.all_logs(record.dagster_run.run_id)
        if entry.dagster_event and entry.dagster_event.is_step_start
    )
    entries = Shelf(Tracker(load_settings())).entries()
    return Backfill(
        how=how,
        seconds=max(record.end_time or 0.0 for record in records) - began,
        done=len(_succeeded(instance)),
        runs=len(records),
        begun_again=sum(started.values()) - len(started),
        versions=dict(Counter(entry.name for entry in entries)),
        nodes=len(_runs(cluster)) if cluster else 1,
    )


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    load_settings.cache_clear()
    catalog.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        load_settings.cache_clear()
        catalog.cache_clear()


@contextlib.contextmanager
def _daemon(home: Path) -> Iterator[None]:
    """Dagster's daemon: it takes runs from the queue, looks after them and begins lost ones again."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "vae_pipeline.definitions"]
    log = (home / "daemon.log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a program of this environment
    try:
        wait_for(lambda: "Instance is configured" in (home / "daemon.log").read_text(), "no daemon", 180)
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def _table(found: dict[str, Backfill], variants: int) -> str:
    names = {
        "in_process": "this machine, a run in one process (default)",
        "multiprocess": "this machine, `multiprocess`",
        "ray": "Ray, two nodes, a run as a job",
        "killed": "the same, one node killed in the middle",
    }
    base = found["multiprocess"].seconds if "multiprocess" in found else None
    rows = [
        [
            names[how],
            f"{each.seconds:.0f} s",
            f"{base / each.seconds:.2f}" if base else "–",
            f"{each.done} of {variants}",
            str(each.runs - variants),
            str(each.begun_again),
            str(max(each.versions.values(), default=0)),
            str(each.nodes),
        ]
        for how, each in found.items()
    ]
    header = ["where", "time", "speed", "partitions done", "runs begun again", "steps begun again"]
    table = markdown_table([*header, "most versions of a model", "nodes used"], rows)
    return f"{variants} datasets of 24 engines, two at a time, 4 epochs. {machine()}.\n\n{table}"


if __name__ == "__main__":
    main()
