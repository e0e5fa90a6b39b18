"""The loop as a plant lives it, really running: ``make scenario``.

A champion serves engines of FD001 (see `benchmarks.scenario_plant`), Dagster's daemon and web server watch over it.
Five days of healthy engines; then every sensor reads one standard deviation off. Drift has to be found, people told,
new data taken in, a model trained on them, the better one promoted, packed, and put into service, without a hand.

Days are simulated: the service answers at once, and the files of its prediction log are dated back to the day that was
played. All else happens as in a plant: sensors tick, runs are launched by the daemon, requests go over HTTP, alerts
arrive at a web hook.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.report import machine, markdown_table, write_section
from benchmarks.scenario_dagster import Dagster, wait_for
from benchmarks.scenario_plant import NAME, Plant, plant, send
from infra.services.program import free_port
from vae_pipeline.defs.retrain_sensor import RETRAINING

PAGE = Path(__file__).parents[1] / "docs/scenario.md"
PICTURES = PAGE.parent / "scenario"
LINE = "timeseries"
HEALTHY_DAYS = 5
SENSORS = (
    f"{LINE}_new_data",
    f"{LINE}_retrain",
    f"{LINE}_champion_changed",
    "alert_events",
    "alerts",
    "run_failure",
)
SHOWN = {
    "lineage": "asset-groups/timeseries",
    "drift_report": f"assets/{LINE}/drift_report",
    "automation": "automation",
    "runs": "runs",
}


def _silent(*_: object, **__: object) -> None:
    """Says nothing of a request."""


class Hook:
    """A web hook that keeps what it is told, with the second at which it came."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        begun, told = time.monotonic(), self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((time.monotonic() - begun, json.loads(content)))
                self.send_response(200)
                self.end_headers()

            log_message = _silent

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"json://127.0.0.1:{self.server.server_port}/"


class Scenario:
    """One play, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.begun = time.monotonic()
        self.log: list[str] = []
        self.hook = Hook()
        self.port = free_port()
        self.dagster = Dagster(free_port())
        self.plant: Plant
        self.first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=30)
        os.environ |= {
            "VAE_PIPELINE_HOME": str(self.home),
            "VAE_PIPELINE_ALERTS": self.hook.address,
            "VAE_PIPELINE_SERVICE_LOG_EVERY": "1",
        }

    def say(self, text: str) -> None:
        """Note what happened, and when."""
        self.log.append(f"{time.monotonic() - self.begun:6.0f} s  {text}")
        print(self.log[-1], flush=True)

    def prepare(self) -> None:
        """The plant's data and its first champion."""
        from vae_pipeline.settings import load_settings

        self.plant = plant(load_settings(), self.folder / "plant")
        os.environ["VAE_PIPELINE_CATALOG"] = str(self.plant.catalog)
        for line in self.plant.told:
            self.say(line)
        with (self.folder / "run.log").open("w") as out:
            subprocess.run(_command("run", LINE, NAME), check=True, stdout=out, stderr=subprocess.STDOUT)
        said = (self.folder / "run.log").read_text().splitlines()
        self.say(next(line for line in said if line.startswith("version")).removeprefix("version").strip())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Web server, daemon and service, while the block lasts."""
        with contextlib.ExitStack() as stack:
            for name, command in (
                ("dagster", _command("ui", "--port", self.dagster.address.rpartition(":")[2])),
                ("service", _command("serve", LINE, "--port", str(self.port), "--follow", "5", "--workers", "1")),
            ):
                stack.enter_context(_process(command, self.folder / f"{name}.log"))
            wait_for("Dagster", self.dagster.ready, 180)
            wait_for("the service", self.served, 180)
            self.say(f"Dagster's web server and daemon run, version {self.served()} is served")
            for sensor in SENSORS:
                self.dagster.switch_on(sensor)
            self.say(f"switched on: {', '.join(SENSORS)}")
            yield

    def served(self) -> int | None:
        """The version that answers."""
        try:
            found = httpx.get(f"http://127.0.0.1:{self.port}/models", timeout=5).json()["models"]
        except (httpx.HTTPError, ValueError):
            return None
        return next((model["version"] for model in found if model["dataset"] == NAME), None)

    def day(self, number: int, *, changed: bool, engines: int | None = None) -> dict[str, Any]:
        """A day of traffic and the report on it; gives what ``drift.json`` says."""
        rows = self.plant.days[number - 1 if engines is None else engines - 1]
        windows, alarms = send(self.port, self.plant.changed(rows) if changed else rows)
        day = (self.first + dt.timedelta(days=number)).isoformat()
        wait_for("the prediction log", lambda: self._dated(day) >= windows, 60)
        run = self.dagster.launch(f"{LINE}_drift", NAME, _day_config(day))
        status = wait_for(f"the drift report of day {number}", lambda: self.dagster.finished(run), 300)
        if status != "SUCCESS":
            msg = f"the drift report of day {number} ended with {status}"
            raise RuntimeError(msg)
        drift = json.loads((self.home / f"storage/reports/drift/{LINE}/{NAME}/{day}/drift.json").read_text())
        what = "changed sensors" if changed else "healthy"
        self.say(
            f"day {number} ({day}), {what}: {windows:,} windows of {rows['unit'].nunique()} engines, version "
            f"{self.served()} alarms on {alarms:.1%}; {drift['verdict'].replace('_', ' ')}: {drift['reason']}"
        )
        return drift

    def deliver_batch(self) -> None:
        """The engines that were recorded with the changed sensors arrive."""
        incoming = self.home / f"storage/incoming/{LINE}/{NAME}"
        incoming.mkdir(parents=True, exist_ok=True)
        part = incoming / "after_change.csv.part"
        self.plant.batch.to_csv(part, index=False)
        part.rename(incoming / "after_change.csv")
        engines, rows = self.plant.batch["unit"].nunique(), len(self.plant.batch)
        self.say(f"a batch arrives in incoming: {engines} engines, {rows:,} rows")

    def follow_the_loop(self) -> None:
        """What happens by itself, as it happens."""
        from vae_pipeline.registry.shelf import Shelf
        from vae_pipeline.registry.tracking import Tracker
        from vae_pipeline.settings import load_settings

        before = {run["runId"] for run in self.dagster.runs()}

        def new(job: str) -> list[dict[str, Any]]:
            return [run for run in self.dagster.runs(pipelineName=job) if run["runId"] not in before]

        def ended(job: str) -> bool:
            runs = new(job)
            if any(run["status"] in ("FAILURE", "CANCELED") for run in runs):
                msg = f"a run of {job} failed; see the logs in {self.folder}"
                raise RuntimeError(msg)
            return any(run["status"] == "SUCCESS" for run in runs)

        wait_for("intake", lambda: ended(f"{LINE}_intake"), 240)
        self.say("the batch was validated and is part of the dataset's next version")
        run = wait_for("the retraining's launch", lambda: new(LINE), 240)[0]
        reason = next(tag["value"] for tag in run["tags"] if tag["key"] == RETRAINING)
        self.say(f"a retraining was launched: {reason}")
        wait_for("the retraining", lambda: ended(LINE), 600)
        champion = Shelf(Tracker(load_settings())).champion(f"{LINE}-{NAME}")
        self.say(f"the retraining ended; champion is version {champion.version}")
        wait_for("the Bento", lambda: ended(f"{LINE}_bento"), 300)
        self.say("the Bento was packed, and answered in its own environment as evaluation did")
        wait_for("the new version in service", lambda: self.served() == champion.version, 120)
        self.say(f"version {self.served()} is served")

    def promotion_told(self) -> bool:
        """Whether people were told of the new champion."""
        return any("is champion of" in str(told["message"]) for _, told in self.hook.told)

    def pictures(self) -> None:
        """The pages of Dagster's UI."""
        browser = shutil.which("chromium")
        if browser is None:
            self.say("no pictures of the pages: chromium is not installed")
            return
        PICTURES.mkdir(exist_ok=True)
        for name, page in SHOWN.items():
            into = PICTURES / f"{name}.png"
            command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"]
            command += ["--virtual-time-budget=15000", f"--screenshot={into}", f"{self.dagster.address}/{page}"]
            subprocess.run(command, check=False, capture_output=True, timeout=90)

    def _dated(self, day: str) -> int:
        """Date the log's files of today back to ``day``; gives how many rows that day has."""
        log = self.home / f"storage/predictions/{LINE}/{NAME}"
        into = log / day / "12"
        for file in sorted(log.glob("*/*/*.parquet")):
            if file.parents[1].name < f"{self.first + dt.timedelta(days=29)}":
                continue
            table = pq.read_table(file)
            noon = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(12), dt.UTC)
            first = pc.min(table["time"]).as_py()  # type: ignore[attr-defined]
            moved = pc.add(table["time"], pa.scalar(noon - first, pa.duration("us")))  # type: ignore[attr-defined]
            into.mkdir(parents=True, exist_ok=True)
            place = table.schema.get_field_index("time")
            pq.write_table(table.set_column(place, table.schema.field("time"), moved), into / f".{file.name}")
            (into / f".{file.name}").rename(into / file.name)
            file.unlink()
        return sum(pq.read_metadata(file).num_rows for file in into.glob("*.parquet")) if into.is_dir() else 0


def _day_config(day: str) -> dict[str, Any]:
    return {"ops": {f"{LINE}__drift_report": {"config": {"day": day}}}}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vae_pipeline.cli", *arguments]


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    """A process with its children, ended with the block."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def play(folder: Path) -> Scenario:
    """Play it; what should hold and does not ends it with an error."""
    scenario = Scenario(folder)
    scenario.prepare()
    with scenario.running():
        for number in range(1, HEALTHY_DAYS + 1):
            if scenario.day(number, changed=False)["verdict"] != "no_drift":
                msg = f"day {number} is healthy and was not called so"
                raise RuntimeError(msg)
        if scenario.day(HEALTHY_DAYS + 1, changed=True)["verdict"] != "drift":
            msg = "the changed sensors were not found in a day"
            raise RuntimeError(msg)
        scenario.deliver_batch()
        scenario.follow_the_loop()
        scenario.day(HEALTHY_DAYS + 2, changed=True, engines=1)
        wait_for("word of the promotion", scenario.promotion_told, 90)
        scenario.pictures()
    return scenario


def main() -> None:
    """Play the scenario; print, and perhaps write, its log and the alerts that arrived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="to play in, kept; a temporary one when left out")
    parser.add_argument("--write", action="store_true", help="write log and alerts into docs/scenario.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        scenario = play((options.folder or Path(work)).resolve())
    rows = [
        [f"{second:.0f}", str(told.get("title", "")), " ".join(str(told["message"]).split())]
        for second, told in scenario.hook.told
    ]
    alerts = markdown_table(["second", "title", "text"], rows)
    print(f"\n{alerts}")
    if options.write:
        log = "\n".join(scenario.log)
        write_section(PAGE, "log", f"`make scenario` on {machine()}.\n\n```\n{log}\n```")
        write_section(PAGE, "alerts", alerts)


if __name__ == "__main__":
    main()
