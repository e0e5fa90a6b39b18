"""The service of a packed Bento, really running: every endpoint, hand-over, a killed worker."""

import importlib.util
import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from vae_pipeline.errors import PackingError
from vae_pipeline.packing import supervisor as supervising
from vae_pipeline.packing.pack import model_folder, pack
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.settings import load_settings

CLIENT = Path(__file__).parents[2] / "docs/examples/client.py"

pytestmark = [pytest.mark.slow, pytest.mark.services]


@pytest.fixture(scope="module")
def served(trained_home, packed_home):
    with trained_home.entered():
        supervisor = Supervisor(load_settings(), "127.0.0.1", 0, 1)
        try:
            supervisor.serve(packed_home.tag, packed_home.path)
            yield supervisor
        finally:
            supervisor.close()


@pytest.fixture(scope="module")
def packed_home(trained_home):
    shelf = trained_home.shelf()
    with trained_home.entered():
        return pack(load_settings(), shelf, "timeseries")


@pytest.fixture
def example(packed_home):
    (model,) = packed_home.models
    return (model_folder(packed_home, model) / "example" / model.example.file).read_bytes()


def asked(served, example):
    return httpx.post(
        f"http://127.0.0.1:{served.port}/predict", content=example, headers={"Content-Type": "text/csv"}, timeout=60
    )


def test_the_example_client_works_against_the_served_bento(served, capsys):
    spec = importlib.util.spec_from_file_location("client", CLIENT)
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    client.main(f"http://127.0.0.1:{served.port}", "tiny")
    told = capsys.readouterr().out
    assert "stream" in told
    assert "metrics 0" not in told


def test_bentomls_own_pages_are_there(served):
    base = f"http://127.0.0.1:{served.port}"
    paths = httpx.get(f"{base}/docs.json").json()["paths"]
    assert {"/predict", "/explain", "/models", "/drift", "/healthz", "/metrics"} <= set(paths)
    assert all(httpx.get(base + path).status_code == 200 for path in ("/healthz", "/livez", "/readyz"))
    assert httpx.get(f"{base}/wp-login.php").status_code == 404
    assert "wp-login" not in httpx.get(f"{base}/metrics").text
    assert 'vae_predictions_total{alarm="true"' in httpx.get(f"{base}/metrics").text or asked(served, b"").is_error


def test_a_hand_over_loses_no_request(served, packed_home, example):
    over, statuses = threading.Event(), []

    def ask(*, keep):
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                address, headers = f"http://127.0.0.1:{served.port}/predict", {"Content-Type": "text/csv"}
                if not keep:
                    headers["Connection"] = "close"
                statuses.append(client.post(address, content=example, headers=headers).status_code)

    threads = [threading.Thread(target=ask, kwargs={"keep": keep}) for keep in (True, True, False)]
    for thread in threads:
        thread.start()
    before = served.processes
    try:
        served.serve(packed_home.tag, packed_home.path)
        old = [process for process, _ in served._leaving]
        for process in old:
            process.wait(60)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert not set(before) & set(served.processes)
    assert {process.returncode for process in old} <= {0, -signal.SIGTERM}  # told to end, not killed


def test_a_killed_worker_is_started_again_on_the_same_socket(served, example, monkeypatch):
    monkeypatch.setattr(supervising, "_QUIET", 0.0)
    (killed,) = served.processes
    os.kill(killed, signal.SIGKILL)
    served._workers[0].process.wait(60)
    served.tend()
    assert served.processes != [killed]
    assert asked(served, example).status_code == 200


def test_a_bento_that_does_not_come_up_leaves_the_old_one(served, packed_home, example, tmp_path):
    (tmp_path / "src").mkdir()
    before = served.processes
    with pytest.raises(PackingError, match="did not answer"):
        served.serve("timeseries:broken", tmp_path)
    assert served.processes == before
    assert served.tag == packed_home.tag
    assert asked(served, example).status_code == 200


def test_a_port_that_is_taken_is_told(served, trained_home):
    with trained_home.entered(), pytest.raises(PackingError, match=f"--port {served.port}"):
        Supervisor(load_settings(), "127.0.0.1", served.port, 1)
