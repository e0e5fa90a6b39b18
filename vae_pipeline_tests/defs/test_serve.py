"""The service of a packed Bento, really running: every endpoint, hand-over, a killed worker."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from httpx_ws import WebSocketDisconnect, connect_ws

from infra.services.program import Program, free_port, wait_for
from vae_pipeline.errors import PackingError
from vae_pipeline.monitoring.reading import is_log_file, log_batches, log_folder
from vae_pipeline.packing import supervisor as supervising
from vae_pipeline.packing.pack import model_folder, pack
from vae_pipeline.packing.store import bentoml_environment
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.serving.door import TRY_LATER
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.serving.documented import client, curl_lines

pytestmark = [pytest.mark.slow, pytest.mark.services]


@pytest.fixture(scope="module")
def served(trained_home, packed_home):
    with trained_home.entered():
        often = {"VAE_PIPELINE_SERVICE_LOG_EVERY": "0.5"}
        supervisor = Supervisor(load_settings(), "127.0.0.1", 0, 1, variables=often)
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
    client().main(f"http://127.0.0.1:{served.port}", "tiny")
    told = capsys.readouterr().out
    assert "stream" in told
    assert "metrics 0" not in told


@pytest.mark.parametrize("page", ["README.md", "docs/serving.md"])
def test_the_curl_lines_of_the_documents_work(served, example, page, tmp_path):
    last = str(len(example.splitlines()) - 1)  # row of the example, which ends a window
    asked = curl_lines(page, "3100", served.port, {"sample_turbofan": "tiny", "row=54": f"row={last}"})
    assert len(asked) >= 2
    for line in asked:
        said = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert "error" not in json.loads(said or "{}"), line


def test_bentomls_own_pages_are_there(served, example):
    base = f"http://127.0.0.1:{served.port}"
    paths = httpx.get(f"{base}/docs.json").json()["paths"]
    assert {"/predict", "/explain", "/models", "/drift", "/healthz", "/metrics"} <= set(paths)
    assert all(httpx.get(base + path).status_code == 200 for path in ("/healthz", "/livez", "/readyz"))
    assert httpx.get(f"{base}/wp-login.php").status_code == 404
    assert "wp-login" not in httpx.get(f"{base}/metrics").text
    before = sample(base, "vae_predictions_total")
    answered = asked(served, example).json()["results"]
    assert sample(base, "vae_predictions_total") == before + len(answered)


@pytest.fixture(scope="module", params=["vae-pipeline serve", "bentoml serve"])
def limited(request, trained_home, packed_home, tmp_path_factory):
    """The address of a service that answers one request and one stream at once, each request within a second."""
    limits = {f"VAE_PIPELINE_SERVICE_{name}": "1" for name in ("CONCURRENCY", "MAX_STREAMS", "TIMEOUT", "WORKERS")}
    with trained_home.entered(), contextlib.ExitStack() as running:
        if request.param == "vae-pipeline serve":
            supervisor = Supervisor(load_settings(), "127.0.0.1", 0, 1, variables=limits)
            running.callback(supervisor.close)
            supervisor.serve(packed_home.tag, packed_home.path)
            port = supervisor.port
        else:
            port = free_port()
            command = [sys.executable, "-m", "bentoml", "serve", packed_home.tag, "--port", str(port)]
            log = tmp_path_factory.mktemp("limited") / "log"
            running.callback(Program(command, port, log, bentoml_environment(load_settings()) | limits).stop)
            # its supervisor listens before a worker is there to answer
            wait_for(lambda: is_ready(port), f"no worker answers; see {log}")
        yield f"http://127.0.0.1:{port}"


def is_ready(port):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success
    return False


def sample(address, name, **labels):
    """The value of a metric; 0 where it was never counted."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and all(label in line for label in wanted)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_too_many_and_too_slow_are_told_and_counted_however_it_is_started(limited, example):
    port = limited.rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port))) as slow:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/csv\r\n"
        slow.sendall(head + b"Content-Length: 9\r\n\r\nunit")
        wait_for(lambda: httpx.get(f"{limited}/models").status_code == 429, "the place is not taken")
        refused = httpx.post(f"{limited}/predict", content=example, headers={"Content-Type": "text/csv"})
        assert httpx.get(f"{limited}/livez").is_success
        head, _, body = slow.makefile("rb").read().decode().partition("\r\n\r\n")
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["field"]) == (429, "1", None)
    assert head.startswith("HTTP/1.1 504")
    assert set(json.loads(body)) == {"error", "field"}
    assert sample(limited, "vae_refusals_total", status="429") >= 2
    assert sample(limited, "vae_refusals_total", status="504") == 1
    assert sample(limited, "bentoml_service_request_total", http_response_code="504") == 1


def test_an_idle_stream_takes_no_place_from_requests_and_one_too_many_is_closed(limited, example):
    stream = f"{limited.replace('http', 'ws', 1)}/stream"
    with connect_ws(stream):
        answer = httpx.post(f"{limited}/predict", content=example, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 200
        with connect_ws(stream) as refused:
            assert "try again" in json.loads(refused.receive_text(5))["error"]
            with pytest.raises(WebSocketDisconnect) as closed:
                refused.receive_text(5)
    assert closed.value.code == TRY_LATER


def test_paths_that_nobody_serves_are_one_label_however_it_is_started(limited):
    for place in range(3):
        assert httpx.get(f"{limited}/static_content/scanned-{place}").status_code == 404
        with contextlib.suppress(Exception), connect_ws(f"{limited.replace('http', 'ws', 1)}/scanned-{place}"):
            pass
    metrics = httpx.get(f"{limited}/metrics").text
    assert "scanned" not in metrics
    assert 'endpoint="/unknown"' in metrics


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


def test_a_worker_killed_under_load_is_started_again_and_logs_nothing_twice(served, example, trained_home, monkeypatch):
    monkeypatch.setattr(supervising, "_QUIET", 0.0)
    over, answers = threading.Event(), []

    def ask():
        while not over.is_set():
            with contextlib.suppress(httpx.TransportError):  # what the killed worker had taken
                answers.append(asked(served, example))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(answers) > 20, "the first worker does not answer")
        (killed,) = served.processes
        os.kill(killed, signal.SIGKILL)
        served._workers[0].process.wait(60)
        served.tend()
        assert served.processes != [killed]
        before = len(answers)
        wait_for(lambda: len(answers) > before + 20, "the second worker does not answer")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert {answer.status_code for answer in answers} == {200}
    requests = [answer.json()["request"] for answer in answers]
    with trained_home.entered():
        storage = open_storage(load_settings())
    wait_for(lambda: set(requests[before:]) <= {row.rpartition("-")[0] for row in logged(storage)}, "rows are missing")
    rows = logged(storage)
    assert len(rows) == len(set(rows))
    assert len(requests) == len(set(requests))


def logged(storage):
    """The ids of all rows of the prediction log: request and place."""
    held = storage.files(log_folder("timeseries"))
    keys = [file.key for file in held if is_log_file(file.key.rpartition("/")[2])]
    return [row for key in keys for batch in log_batches(storage, key, ["id"]) for row in batch["id"].to_pylist()]


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
