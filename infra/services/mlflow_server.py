"""An MLflow server: runs and the registry in a database, artifacts handed through to an object store."""

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.services.program import Program, free_port

__all__ = ["MlflowServer"]

# neither what it would report home nor the workers of its jobs, which nothing here uses
_PLAIN = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MlflowServer:
    """A server, started when it is made; clients need its address and no key of the store."""

    def __init__(
        self, folder: Path, database: str, artifacts: str, environment: Mapping[str, str], port: int | None = None
    ) -> None:
        """Start a server on 127.0.0.1.

        Args:
            folder: gets its log.
            database: address of its database; tables are made or migrated at the start.
            artifacts: folder or ``s3://`` address.
            environment: keys and endpoint of the store.
            port: where it listens; a free one when left out.
        """
        folder.mkdir(parents=True, exist_ok=True)
        port = port or free_port()
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", database, "--artifacts-destination", artifacts, "--workers", "1"),
        ]
        self.program = Program(command, port, folder / "server.log", {**environment, **_PLAIN}, within=300.0)
        self.database, self.artifacts = database, artifacts
        self.address = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Start it again and wait until it listens."""
        self.program.start()

    def stop(self, *, kill: bool = False) -> None:
        """End it, at once with ``kill``."""
        self.program.stop(kill=kill)
