"""MLflow runs that always end: also after a failure, and after a process that was killed."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from vae_pipeline.addresses import shown
from vae_pipeline.errors import RegistryError
from vae_pipeline.processes import OWNER_TAG, is_gone, this_process
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told as storage_told
from vae_pipeline.storage import work_folder

__all__ = ["RunHandle", "Tracker", "artifact_root"]

_ANSWER_SECONDS = 5.0

_LEFT: set[str] = set()
"""Runs of this process that failed while the server did not answer, so that it still takes them for running."""


class RunHandle:
    """An MLflow run that is open and active."""

    def __init__(self, client: Any, uri: str, run_id: str, experiment_id: str) -> None:
        self._client = client
        self._uri = uri
        self.run_id = run_id
        self.experiment_id = experiment_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters; values are written as text."""
        with told(self._uri):
            for name, value in parameters.items():
                self._client.log_param(self.run_id, name, value)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of one step in one call."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        with told(self._uri):
            self._client.log_batch(self.run_id, metrics=batch)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
        with told(self._uri):
            self._client.log_artifact(self.run_id, str(path), folder)


class Tracker:
    """Runs of one tracking server, in the experiment of a line."""

    def __init__(self, settings: Settings) -> None:
        """Use the server of ``settings``; nothing is connected before the first call."""
        self.settings = settings
        self.uri = settings.mlflow_uri

    @property
    def client(self) -> Any:
        """MLflow's client for this server.

        Raises:
            RegistryError: the server cannot be reached or its database cannot be opened.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7, the default, takes minutes to give up
        _answers(self.uri)
        import mlflow

        for name in ("mlflow.store.db.utils", "mlflow.tracking._model_registry.fluent", "mlflow.utils.environment"):
            # each step of a migration, each version on standard error: the stages tell what matters
            logging.getLogger(name).setLevel(logging.ERROR)

        with _same_environment("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
        with told(self.uri):
            if self.settings.tracking_uri is None:
                _create_whole(self.settings.home / "mlflow.db")
            return mlflow.MlflowClient(self.uri, self.uri)

    @contextmanager
    def run(self, line: str, name: str, tags: Mapping[str, str]) -> Iterator[RunHandle]:
        """Open a run, and end it: FINISHED when the block ends well, FAILED when it raises.

        Runs of the same name that a killed process of this machine left RUNNING are ended as KILLED first.

        Args:
            line: names the experiment.
            name: of the run, the same for every attempt at the same work.
            tags: written to the run.
        """
        import mlflow

        client = self.client
        with told(self.uri):
            experiment_id = self._experiment(client, line)
            self.end_orphans(line)
            run = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags={**tags, OWNER_TAG: this_process()})
        try:
            yield RunHandle(client, self.uri, run.info.run_id, experiment_id)
        except BaseException:
            try:
                with told(self.uri):
                    mlflow.end_run("FAILED")
            except RegistryError:  # what went wrong first is what is told
                _LEFT.add(run.info.run_id)
            raise
        with told(self.uri):
            mlflow.end_run("FINISHED")

    def end_orphans(self, line: str) -> int:
        """End runs left RUNNING by processes of this machine that are no more, or by failures; gives their number.

        Raises:
            RegistryError: the server cannot be reached or its database cannot be written.
        """
        client = self.client
        ended = 0
        with told(self.uri):
            experiment = client.get_experiment_by_name(line)
            if experiment is None:
                return 0
            for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
                owner, run_id = run.data.tags.get(OWNER_TAG, ""), run.info.run_id
                if run_id in _LEFT or (owner and owner != this_process() and is_gone(owner)):
                    client.set_terminated(run_id, "FAILED" if run_id in _LEFT else "KILLED")
                    _LEFT.discard(run_id)
                    ended += 1
        return ended

    def _experiment(self, client: Any, line: str) -> str:
        experiment = client.get_experiment_by_name(line)
        if experiment is not None:
            return experiment.experiment_id
        root = artifact_root(self.settings)
        return client.create_experiment(line, artifact_location=root and f"{root}/{line}")


def artifact_root(settings: Settings) -> str | None:
    """The address below which experiments of the embedded database keep artifacts; None where a server decides it."""
    if settings.tracking_uri is not None:
        return None
    root = settings.storage_root
    return f"{root.rstrip('/')}/mlflow" if "://" in root else (Path(root).resolve() / "mlflow").as_uri()


def _create_whole(database: Path) -> None:
    """Make MLflow's tables aside and move them into place: a database left half made cannot be used ever again."""
    if database.exists():
        return
    import mlflow

    with storage_told(database), work_folder(database.parent) as work:
        aside = work / database.name
        uri = f"sqlite:///{aside}"
        mlflow.MlflowClient(uri, uri).search_experiments(max_results=1)
        with suppress(FileExistsError):  # another process was faster
            os.link(aside, database)


def _answers(uri: str) -> None:
    """Refuse a server that does not answer within seconds: MLflow's client would try for minutes.

    Raises:
        RegistryError: nothing answers at its host and port.
    """
    address = urlsplit(uri)
    if address.scheme not in ("http", "https") or not address.hostname:
        return
    if address.scheme in getproxies() and not proxy_bypass(address.hostname):
        return  # the proxy is asked instead, and answers by itself
    with told(uri):
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=_ANSWER_SECONDS).close()


@contextmanager
def _same_environment(*names: str) -> Iterator[None]:
    """Keep variables as they are: MLflow writes the address it is given into them, where settings would find it."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn the server's refusals into one sentence that names its address, without a password: people are sent it."""
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        msg = f"MLflow at {uri}: {str(error).splitlines()[0]}; check MLFLOW_TRACKING_URI and VAE_PIPELINE_HOME"
        # Dagster writes down the causes too
        raise RegistryError(shown(msg)) from (error if shown(str(error)) == str(error) else None)
