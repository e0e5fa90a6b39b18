"""PostgreSQL, an S3 store and MLflow servers together, and the settings with which the pipeline uses them."""

import secrets
from contextlib import ExitStack
from pathlib import Path

from infra.services import postgres, seaweedfs
from infra.services.mlflow_server import MlflowServer
from infra.services.postgres import Postgres
from infra.services.seaweedfs import SeaweedFS

__all__ = ["BUCKET", "Services", "why_not"]

BUCKET = "vae-pipeline"
_USER = "vae_pipeline"
_DAGSTER = """\
storage:
  postgres:
    postgres_db:
      scheme: postgresql+psycopg2
      hostname: 127.0.0.1
      port: {port}
      db_name: {name}
      username: {user}
      password:
        env: VAE_PIPELINE_POSTGRES_PASSWORD
"""


def why_not() -> str | None:
    """Why they cannot be started here, or None."""
    return postgres.why_not() or seaweedfs.why_not()


class Services:
    """The servers in a folder; closed with the block, found again the next time."""

    def __init__(self, folder: Path) -> None:
        """Start them; passwords are drawn once and kept in ``folder``, readable by its owner alone."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._open = ExitStack()
        try:
            key, password = _secret(folder / "s3.secret"), _secret(folder / "postgres.secret")
            database = folder / "postgres"
            database.mkdir(exist_ok=True)
            self.postgres = Postgres(database, _USER, password)
            self._open.callback(self.postgres.stop)
            self.s3 = SeaweedFS(folder / "s3", "vae-pipeline", key)
            self._open.callback(self.s3.stop)
            self.s3.create(BUCKET)
        except BaseException:
            self.close()
            raise

    def mlflow(self, name: str = "mlflow") -> MlflowServer:
        """An MLflow server with a database and a place for artifacts of that name."""
        self.postgres.create(name)
        database = self.postgres.url(name, "postgresql+psycopg2")
        server = MlflowServer(self.folder / name, database, f"s3://{BUCKET}/{name}", self.keys())
        self._open.callback(server.stop)
        return server

    def keys(self) -> dict[str, str]:
        """The variables with which every S3 client finds the store."""
        return {
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_ENDPOINT_URL": self.s3.address,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def settings(self, mlflow: MlflowServer, prefix: str = "storage") -> dict[str, str]:
        """The variables with which the pipeline uses them; ``prefix`` is where it keeps things in the bucket."""
        self.postgres.create("optuna")
        return {
            **self.keys(),
            "VAE_PIPELINE_STORAGE": f"s3://{BUCKET}/{prefix}",
            "VAE_PIPELINE_OPTUNA_STORAGE": self.postgres.url("optuna", "postgresql+psycopg2"),
            "VAE_PIPELINE_POSTGRES_PASSWORD": self.postgres.password,
            "MLFLOW_TRACKING_URI": mlflow.address,
            "VAE_PIPELINE_REGISTRY_DATABASE": mlflow.database,
            "VAE_PIPELINE_REGISTRY_ARTIFACTS": mlflow.artifacts,
        }

    def write_dagster_home(self, folder: Path, stated: Path, name: str = "dagster") -> None:
        """Make a DAGSTER_HOME that keeps runs in the database ``name``; all else is as ``stated`` says."""
        self.postgres.create(name)
        folder.mkdir(parents=True, exist_ok=True)
        own = _DAGSTER.format(port=self.postgres.port, user=_USER, name=name)
        (folder / "dagster.yaml").write_text(f"{stated.read_text(encoding='utf-8')}\n{own}", encoding="utf-8")

    def close(self) -> None:
        """End them, the last one started first."""
        self._open.close()

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _secret(path: Path) -> str:
    if not path.exists():
        path.touch(0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()
