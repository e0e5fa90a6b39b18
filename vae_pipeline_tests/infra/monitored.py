"""A service and a pipeline that really run, and a Prometheus of this project's configuration that scrapes them."""

import datetime as dt
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx
import yaml
from dagster._daemon.types import DaemonHeartbeat

from infra.services.program import Program, free_port, wait_for, where
from vae_pipeline.alerts.deliver import deliver
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.registry.shelf import CHAMPION
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.alerts.builders import Webhook, alert, settings
from vae_pipeline_tests.infra.files import INFRA, PROMETHEUS, read_yaml
from vae_pipeline_tests.serving.packed import Packed

TOKEN = "of-this-test"  # noqa: S105


class Monitor:
    """Prometheus' HTTP API."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/api/v1"

    def asked(self, path: str, **parameters: str):
        answer = httpx.get(f"{self.base}/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """The values of all series that a query gives now."""
        return [float(series["value"][1]) for series in self.asked("query", query=query)["result"]]


def fill_home(home: Path) -> None:
    """Runs that ended well and badly, a champion, a drift report, alerts that were and were not taken."""
    chosen = Settings(home=home)
    instance_folder = home / "dagster"
    instance_folder.mkdir(parents=True)

    @dg.asset(key=["vision", "raw"], partitions_def=dg.StaticPartitionsDefinition(["bottle"]))
    def raw(context: dg.AssetExecutionContext) -> None:
        if context.run.tags.get("fails"):
            raise ValueError

    @dg.asset(key=["vision", "trained"], partitions_def=dg.StaticPartitionsDefinition(["bottle"]))
    def trained() -> None: ...

    definitions = dg.Definitions(assets=[raw, trained], jobs=[dg.define_asset_job("vision", selection=[raw, trained])])
    job = definitions.resolve_job_def("vision")
    with dg.DagsterInstance.from_config(str(instance_folder)) as instance:
        for tags in ({}, {"fails": "1"}):
            job.execute_in_process(instance=instance, partition_key="bottle", tags=tags, raise_on_error=False)
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "one"))

    client = Tracker(chosen).client
    run = client.create_run(client.create_experiment("vision"))
    client.log_metric(run.info.run_id, "test_roc_auc", 0.98)
    client.create_registered_model("vision-bottle")
    tags = {"line": "vision", "dataset": "bottle"}
    version = client.create_model_version("vision-bottle", str(home / "model"), run.info.run_id, tags=tags)
    client.set_registered_model_alias("vision-bottle", CHAMPION, version.version)

    report = {
        "verdict": "drift",
        "rows": 500,
        "alarm_share": 0.1,
        "families": [{"name": "scores", "adjusted": 0.003}],
        "statistics": [{"family": "scores", "name": "ks", "value": 0.4}],
    }
    day = dt.datetime.now(dt.UTC).date()
    open_storage(chosen).write_text(f"reports/drift/vision/bottle/{day}/drift.json", json.dumps(report))

    with Webhook().running() as webhook:
        channels = settings(webhook.address, f"json://127.0.0.1:{free_port()}/", home=home)
        open_outbox(channels).add([alert("a"), alert("b", kind="data")])
        deliver(channels)


@contextmanager
def served(packed: Packed, folder: Path, token: str | None = TOKEN) -> Iterator[int]:
    """The service of a packed model, which asks for a token if there is one; gives its port."""
    port = free_port()
    folder.mkdir()
    (folder / "metrics").mkdir()
    environment = {
        "PYTHONPATH": str(INFRA.parent),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        "VAE_PIPELINE_HOME": str(folder),
        "VAE_PIPELINE_SERVICE_MODELS": str(packed.folder),
        "VAE_PIPELINE_SERVICE_TOKEN": token or "",
    }
    source = INFRA.parent / "bentos" / packed.dataset.line
    command = ["env", "-C", str(source), sys.executable, "-m", "vae_pipeline.serving.worker", "--port", str(port)]
    program = Program(command, port, folder / "log", environment)
    try:
        yield port
    finally:
        program.stop(kill=True)


def ask(packed: Packed, port: int) -> list[int]:
    """One request that is answered, one that cannot be used and one without the token; gives their status."""
    address = f"http://127.0.0.1:{port}/predict?gaps=true"
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": packed.model.example.content_type}
    requests = [(packed.example, given), (b"", given), (packed.example, {})]
    return [httpx.post(address, content=body, headers=headers, timeout=30).status_code for body, headers in requests]


@contextmanager
def exported(home: Path, log: Path) -> Iterator[int]:
    """``vae-pipeline metrics`` over a home; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "vae_pipeline.cli", "metrics", "--port", str(port)]
    environment = {"PYTHONPATH": str(INFRA.parent), "VAE_PIPELINE_HOME": str(home)}
    program = Program(command, port, log, environment)
    try:
        yield port
    finally:
        program.stop(kill=True)


def configuration(folder: Path, pipeline: int, service: int) -> Path:
    """``prometheus.yml`` with rules and all, but for where the targets are, and how often they are asked."""
    stated = read_yaml(PROMETHEUS / "prometheus.yml")
    stated["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    stated["rule_files"] = [str(PROMETHEUS / name) for name in stated["rule_files"]]
    jobs = {job["job_name"]: job for job in stated["scrape_configs"]}
    del jobs["pipeline"]["scrape_interval"], jobs["pipeline"]["scrape_timeout"]
    jobs["pipeline"]["static_configs"] = [{"targets": [f"127.0.0.1:{pipeline}"]}]
    (folder / "token").write_text(TOKEN)
    jobs["services"]["authorization"]["credentials_file"] = str(folder / "token")
    names = jobs["services"].pop("dns_sd_configs")[0]["names"]
    # without a name server, the name that was asked is a label beside the address
    target = {"targets": [f"127.0.0.1:{service}"], "labels": {"__meta_dns_name": names[0]}}
    jobs["services"]["static_configs"] = [target]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(stated))
    return path


@contextmanager
def monitored(packed: Packed, folder: Path) -> Iterator[Monitor]:
    """Both, scraped twice and more with requests between."""
    fill_home(folder / "home")
    port = free_port()
    with served(packed, folder / "service") as service, exported(folder / "home", folder / "metrics.log") as pipeline:
        command = [
            where("prometheus") or "prometheus",
            f"--config.file={configuration(folder, pipeline, service)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        environment = {**os.environ, "GOMAXPROCS": "1"}
        program = Program(command, port, folder / "prometheus.log", environment)
        try:
            monitor = Monitor(port)
            assert ask(packed, service) == [200, 422, 401]
            wait_for(lambda: bool(monitor.values("vae_predictions_total > 0")), "no prediction was scraped", 30)
            assert ask(packed, service) == [200, 422, 401]
            wait_for(
                lambda: bool(monitor.values('rate(vae_refusals_total{status="401"}[1m]) > 0')), "nothing grows", 30
            )
            complete = "count_over_time(vae_pipeline_up[1m]) > 2 and vae_pipeline_up == 1"
            wait_for(lambda: len(monitor.values(complete)) == 4, "the pipeline's sources do not answer", 30)
            yield monitor
        finally:
            program.stop(kill=True)
