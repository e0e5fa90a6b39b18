"""A PostgreSQL server in a folder of its own, run by a user that is not root."""

import os
import shutil
import subprocess
from pathlib import Path

from infra.services.program import free_port

__all__ = ["Postgres", "why_not"]


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs, of the newest version that is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def why_not() -> str | None:
    """Why no server can be started here, or None."""
    if _programs() is None:
        return "no PostgreSQL server is installed: apt-get install postgresql"
    if os.geteuid() == 0 and not shutil.which("runuser"):
        return "PostgreSQL does not run as root, and there is no runuser: apt-get install util-linux"
    return None


class Postgres:
    """A server with a password, started when it is made."""

    def __init__(self, folder: Path, user: str, password: str, port: int | None = None) -> None:
        """Make a server in ``folder``, or start the one that was made there.

        As root the server runs as user ``postgres``: the folder and those above it must be open to that user.
        """
        self.folder, self.port, self.user, self.password = folder, port or free_port(), user, password
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_user:
            folder.chmod(0o711)
        data = folder / "data"
        if not (data / "PG_VERSION").exists():
            data.mkdir(exist_ok=True)
            secret = folder / "password"
            secret.write_text(f"{password}\n")
            if self._as_user:
                for path in (data, secret):
                    shutil.chown(path, "postgres")
            secret.chmod(0o600)
            data.chmod(0o700)
            self._run("initdb", "-D", str(data), "-U", user, "-A", "scram-sha-256", f"--pwfile={secret}")
            secret.unlink()
        self.start()

    def url(self, database: str = "postgres", driver: str = "postgresql") -> str:
        """The address of a database of this server, password and all."""
        return f"{driver}://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> None:
        """Make a database; one that is there is no error."""
        environment = {**os.environ, "PGPASSWORD": self.password}
        at = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]
        folder = _programs() or Path()
        made = subprocess.run(
            [folder / "createdb", *at, database], env=environment, capture_output=True, text=True, check=False
        )
        if made.returncode and "already exists" not in made.stderr:
            raise RuntimeError(made.stderr)

    def start(self) -> None:
        """Start it and wait until it answers."""
        sockets = self.folder / "data"
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={sockets}"
        log = str(sockets / "server.log")
        self._run("pg_ctl", "-D", str(sockets), "-o", options, "-l", log, "-w", "start")

    def stop(self, *, kill: bool = False) -> None:
        """End it, with ``kill`` as a power cut would: without a checkpoint."""
        mode = "immediate" if kill else "fast"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def _run(self, name: str, *arguments: str) -> None:
        folder = _programs() or Path()
        # its output goes to a file: a server that keeps the pipe open would make this wait for ever
        with (self.folder / "commands.log").open("a+") as log:
            done = subprocess.run(
                [*self._as_user, str(folder / name), *arguments],
                stdout=log, stderr=log, cwd="/", timeout=120, check=False,
            )  # fmt: skip
            if done.returncode:
                log.seek(0)
                msg = f"{name} ended with {done.returncode}: {log.read()[-1000:]}"
                raise RuntimeError(msg)
