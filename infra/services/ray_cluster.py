"""A Ray cluster of several nodes on one machine, each with an address, a host name and a death of its own."""

import os
import secrets
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from infra.services.program import Program, free_port, wait_for

__all__ = ["RayCluster", "why_not"]

_HEAD = "127.0.0.2"
"""Ray replaces 127.0.0.1 by the outward address of the machine, where nodes cannot be told apart."""

_OBJECTS = 150_000_000
"""Bytes of a node's object store: what crosses are file names and rows of scores."""

_PATIENCE = 300
_GIVE_UP = 45
_STARTS = 4
"""Seconds for a node to come up where others keep the processors busy."""


def why_not() -> str | None:
    """Why no cluster can be started here, or None."""
    if find_spec("ray") is None or find_spec("dagster_ray") is None:
        return "Ray is not installed: pip install 'vae-pipeline[ray]'"
    if not shutil.which("unshare"):
        return "a node needs processes of its own, and there is no unshare: apt-get install util-linux"
    if os.geteuid() != 0:
        return "a node needs processes of its own (unshare), which only root may make"
    return None


class RayCluster:
    """A head and other nodes, started when it is made; a node is killed as a whole, as by pulling its plug."""

    def __init__(self, folder: Path, nodes: int = 2, cpus: int = 2) -> None:
        """Start ``nodes`` nodes of ``cpus`` each and wait until all are there; logs are kept in ``folder``."""
        self.folder, self.cpus = folder, cpus
        self._port, self._dashboard, self._client = free_port(), free_port(), free_port()
        # sockets lie below it, whose paths may have 107 characters
        self._scratch = Path(tempfile.mkdtemp(prefix="cluster"))
        program = Path(sys.executable).parent
        self.environment = {
            # nodes run the code of this checkout
            "PYTHONPATH": f"{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}",
            # jobs begin with `dagster`, as the nodes find it
            "PATH": f"{program}:{os.environ.get('PATH', '')}",
            # who reaches the port of jobs may run anything
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_raylet_start_wait_time_s": str(_GIVE_UP),
            "VAE_PIPELINE_RAY_ADDRESS": self.address,
            "VAE_PIPELINE_RAY_CLIENT": f"ray://{_HEAD}:{self._client}",
        }
        self.nodes: list[Program] = []
        try:
            for _ in range(nodes):
                self.add()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """Where jobs are submitted, the value of ``VAE_PIPELINE_RAY_ADDRESS``."""
        return f"http://127.0.0.1:{self._dashboard}"

    def add(self) -> None:
        """Start one more node; the first is the head.

        Raises:
            RuntimeError: it ended again and again; the message has the end of its log.
            TimeoutError: it did not come up.
        """
        for left in reversed(range(_STARTS)):
            try:
                node = self._begun(len(self.nodes))
            except RuntimeError:
                # its first process gives up where an agent has no port within 15 seconds: on busy processors
                if not left:
                    raise
            else:
                self.nodes.append(node)
                return

    def _begun(self, number: int) -> Program:
        log = self.folder / f"node{number}.log"
        log.unlink(missing_ok=True)
        # its first process takes all others with it; a host name of its own, since processes are named by it
        apart = ["unshare", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        command = [*apart, f'hostname node{number}; exec "$@"', "sh", *self._start(number)]
        node = Program(command, self._dashboard, log, self.environment, _PATIENCE)

        def up() -> bool:
            if node.process.poll() is not None:
                raise RuntimeError(log.read_text()[-1000:])
            return "Ray runtime started" in log.read_text()

        try:
            wait_for(up, f"node {number} does not come up; see {log}", _PATIENCE)
        except BaseException:
            node.stop(kill=True)
            raise
        return node

    def kill(self, number: int) -> None:
        """End a node and all that runs on it at once."""
        self.nodes[number].stop(kill=True)

    def stop(self) -> None:
        """End all nodes, the head last, and remove what they wrote aside."""
        for node in reversed(self.nodes):
            node.stop(kill=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _start(self, number: int) -> list[str]:
        role = [f"--address={_HEAD}:{self._port}"] if number else [
            "--head", f"--port={self._port}", f"--temp-dir={self._scratch}", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self._dashboard}", f"--ray-client-server-port={self._client}",
        ]  # fmt: skip
        ports = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")
        return [
            "ray", "start", "--block", "--disable-usage-stats",
            f"--node-ip-address=127.0.0.{2 + number}", f"--num-cpus={self.cpus}",
            f"--object-store-memory={_OBJECTS}", *(f"--{port}-port={free_port()}" for port in ports), *role,
        ]  # fmt: skip
