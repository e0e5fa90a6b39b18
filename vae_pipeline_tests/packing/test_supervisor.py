"""Workers that no one is left to end, and what an interrupted start leaves."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from infra.services.program import free_port, wait_for
from vae_pipeline.errors import PackingError
from vae_pipeline.packing import supervisor as supervising
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.settings import Settings

WORKER = """#!{python}
import os, pathlib, sys, time
options = dict(zip(sys.argv[3::2], map(int, sys.argv[4::2])))
started = pathlib.Path("pids")
with started.open("a") as file:
    print(os.getpid(), file=file)
if len(started.read_text().split()) <= int(pathlib.Path("answering").read_text()):
    os.write(options["--ready"], b"1")
time.sleep(60)
"""

SUPERVISES = """
import sys, time
from pathlib import Path
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.settings import Settings
supervisor = Supervisor(Settings(home=Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]), 1)
supervisor.serve("timeseries:1", Path(sys.argv[1]))
print(*supervisor.processes, flush=True)
time.sleep(60)
"""

SERVICE = """
import bentoml
from fastapi import FastAPI
from vae_pipeline.serving.bento import service_options

app = FastAPI()

@bentoml.asgi_app(app)
@bentoml.service(name="bare", **service_options())
class Bare:
    pass
"""


@pytest.fixture
def bento(tmp_path, monkeypatch):
    """The folder of a Bento, and a Python whose workers say that they answer until so many have."""
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    (tmp_path / "src").mkdir()
    python = tmp_path / "python"
    python.write_text(WORKER.format(python=sys.executable))
    python.chmod(0o755)
    return tmp_path


def supervised(bento, workers=1, port=0):
    return Supervisor(Settings(home=bento), "127.0.0.1", port, workers, python=bento / "python")


def pids(bento):
    file = bento / "src/pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


@pytest.mark.parametrize("answering", [0, 1])
def test_an_interrupted_start_leaves_no_worker_and_no_port(bento, answering):
    (bento / "src/answering").write_text(str(answering))
    supervisor = supervised(bento, workers=2)

    def interrupt():
        wait_for(lambda: len(pids(bento)) == answering + 1, "the worker is not started")
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            supervisor.serve("timeseries:1", bento)
    finally:
        waiting.join()
        supervisor.close()
    assert not any(map(psutil.pid_exists, pids(bento)))
    supervised(bento, port=supervisor.port).close()


def test_a_port_that_is_taken_leaves_no_folder(bento, monkeypatch):
    made = []
    monkeypatch.setattr(supervising.tempfile, "mkdtemp", lambda **_: made.append(1))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PackingError, match="--port"):
        supervised(bento, port=taken.getsockname()[1])
    assert made == []


def test_a_worker_ends_when_its_supervisor_is_killed(bento):
    (bento / "src/service.py").write_text(SERVICE)
    (bento / "src/vae_pipeline").symlink_to(Path(supervising.__file__).parents[1])
    port = free_port()
    command = [sys.executable, "-c", SUPERVISES, str(bento), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            worker = psutil.Process(int(supervisor.stdout.readline()))
            assert httpx.get(f"http://127.0.0.1:{port}/livez").is_success
        finally:
            supervisor.kill()
    began = time.monotonic()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running()
    assert time.monotonic() - began < 10
    Supervisor(Settings(home=bento), "127.0.0.1", port, 1).close()
