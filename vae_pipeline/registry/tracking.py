"""MLflow runs that always end: also after a failure, and after a process that was killed."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vae_pipeline.errors import RegistryError
from vae_pipeline.processes import OWNER_TAG, is_gone, this_process
from vae_pipeline.settings import Settings

__all__ = ["RunHandle", "Tracker"]


class RunHandle:
    """An MLflow run that is open and active."""

    def __init__(self, client: Any, run_id: str, experiment_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self.experiment_id = experiment_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters; values are written as text."""
        for name, value in parameters.items():
            self._client.log_param(self.run_id, name, value)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of one step in one call."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=batch)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
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
        import mlflow

        for name in ("mlflow.store.db.utils", "mlflow.tracking._model_registry.fluent", "mlflow.utils.environment"):
            # each step of a migration, each version on standard error: the stages tell what matters
            logging.getLogger(name).setLevel(logging.ERROR)

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        if self.settings.tracking_uri is None:
            self.settings.home.mkdir(parents=True, exist_ok=True)
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
        with run:
            yield RunHandle(client, run.info.run_id, experiment_id)

    def end_orphans(self, line: str) -> int:
        """End runs left RUNNING by processes of this machine that are no more; gives their number."""
        client = self.client
        experiment = client.get_experiment_by_name(line)
        if experiment is None:
            return 0
        ended = 0
        for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            owner = run.data.tags.get(OWNER_TAG, "")
            if owner and owner != this_process() and is_gone(owner):
                client.set_terminated(run.info.run_id, "KILLED")
                ended += 1
        return ended

    def _experiment(self, client: Any, line: str) -> str:
        experiment = client.get_experiment_by_name(line)
        if experiment is not None:
            return experiment.experiment_id
        location = None
        if self.settings.tracking_uri is None:
            root = self.settings.storage_root
            location = f"{root}/mlflow/{line}" if "://" in root else (Path(root).resolve() / "mlflow" / line).as_uri()
        return client.create_experiment(line, artifact_location=location)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn the server's refusals into one sentence that names its address."""
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        msg = f"MLflow at {uri}: {str(error).splitlines()[0]}; check MLFLOW_TRACKING_URI and VAE_PIPELINE_HOME"
        raise RegistryError(msg) from error
