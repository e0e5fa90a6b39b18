"""Nginx of this project's configuration before services of a test: what it passes on, to whom, what it refuses."""

import http.client
import http.server
import json
import re
import socketserver
import struct
import subprocess
import threading
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from infra.services.program import Program, free_port, wait_for, where
from vae_pipeline.serving.settings import ServiceSettings
from vae_pipeline_tests.infra.files import INFRA, compose

NGINX = where("nginx")
STATED = (INFRA / "nginx/nginx.conf").read_text()
ADDRESSES = ("127.0.0.2", "127.0.0.3")

needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx is installed: apt-get install nginx-light")


class Names(socketserver.BaseRequestHandler):
    """A name server that knows the containers of the line timeseries, and no others."""

    def handle(self):
        question, socket = self.request
        asked = question[12 : question.index(b"\0", 12) + 5]
        known = asked.startswith(b"\x0atimeseries\0\0\x01")
        header = struct.pack(">2sHHHHH", question[:2], 0x8180 if known else 0x8183, 1, len(ADDRESSES) * known, 0, 0)
        answers = b""
        if known:
            for address in ADDRESSES:
                answers += struct.pack(">HHHIH4B", 0xC00C, 1, 1, 60, 4, *map(int, address.split(".")))
        socket.sendto(header + asked + answers, self.client_address)


class Container(http.server.BaseHTTPRequestHandler):
    """Answers with who it is and what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"address": self.server.server_address[0], "path": self.path, "body": body.decode()}
        text = json.dumps({**told, "headers": dict(self.headers)}).encode()
        self.send_response(int(self.headers.get("Answer", 200)))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Plant:
    """Nginx, a name server and containers."""

    def __init__(self, folder, **changes):
        self.folder, self.changes, self.container_port = folder, changes, free_port()

    @contextmanager
    def opened(self, *alive):
        with ExitStack() as stack:
            names = stack.enter_context(running(socketserver.UDPServer(("127.0.0.1", 0), Names)))
            for address in alive:
                place = (address, self.container_port)
                stack.enter_context(running(http.server.ThreadingHTTPServer(place, Container)))
            port = free_port()
            configured = STATED
            for stated, here in {
                "127.0.0.11": f"127.0.0.1:{names.server_address[1]}",
                "listen 8080": f"listen 127.0.0.1:{port}",
                "$line:3000": f"$line:{self.container_port}",
                "worker_processes auto": "worker_processes 1",
                "include mime.types;": "",
                "/tmp/": f"{self.folder}/",  # noqa: S108 -- in the container
                **self.changes,
            }.items():
                assert stated in configured
                configured = configured.replace(stated, here)
            file = self.folder / "nginx.conf"
            file.write_text(configured)
            command = [NGINX, "-c", str(file), "-p", str(self.folder), "-g", "daemon off; user root;"]
            program = Program(command, port, self.folder / "log")
            stack.callback(program.stop, kill=True)
            yield stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    if NGINX is None:
        pytest.skip("no nginx is installed: apt-get install nginx-light")
    with Plant(tmp_path_factory.mktemp("nginx")).opened(*ADDRESSES) as client:
        yield client


def test_requests_are_shared_among_containers(client):
    answered = [client.get("/timeseries/models").json()["address"] for _ in range(100)]
    assert set(answered) == set(ADDRESSES)
    # by chance: fewer than 20 of 100 for one of two is one case in 10⁹
    assert min(map(answered.count, ADDRESSES)) >= 20


@needs_nginx
def test_a_dead_container_is_passed_over(tmp_path):
    with Plant(tmp_path).opened(ADDRESSES[0]) as client:
        answers = [client.post("/timeseries/predict", content=b"{}") for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 10
    assert {answer.json()["address"] for answer in answers} == {ADDRESSES[0]}


def test_what_is_asked_reaches_the_service_as_it_is(client):
    given = {"Authorization": "Bearer of-this-test", "Content-Type": "text/csv"}
    answer = client.post("/timeseries/predict?model=FD001%20b&gaps=true", content="a,b\n1,2", headers=given).json()
    assert answer["path"] == "/predict?model=FD001%20b&gaps=true"
    assert answer["body"] == "a,b\n1,2"
    assert {name: answer["headers"][name] for name in given} == given


@pytest.mark.parametrize(
    "path", ["/timeseries/a%0d%0aX-Made:%20up", "/timeseries/a%20b%0aX-Made:%20up", "/timeseries/a%0d"]
)
def test_a_path_with_line_breaks_makes_no_header(client, path):
    answer = client.get(path).json()
    assert re.fullmatch(r"[!-~]+", answer["path"])
    assert "X-Made" not in answer["headers"]


@pytest.mark.parametrize("status", [401, 404, 413, 422, 429, 500, 503])
def test_what_a_service_refuses_is_told_in_its_own_words(client, status):
    answer = client.get("/timeseries/predict", headers={"Answer": str(status)})
    assert answer.status_code == status
    assert answer.json()["path"] == "/predict"


def test_a_stream_is_passed_on_as_one(client):
    given = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.get("/timeseries/stream?model=FD001", headers=given).json()
    assert answer["path"] == "/stream?model=FD001"
    assert (answer["headers"]["Connection"], answer["headers"]["Upgrade"]) == ("upgrade", "websocket")


def test_a_service_that_is_missing_takes_nothing_else_down(client):
    answer = client.get("/vision/models")
    assert answer.status_code == 503
    assert "no container of this service answers" in answer.json()["error"]
    assert client.get("/timeseries/models").status_code == 200


@pytest.mark.parametrize("path", ["/timeseries/metrics", "/", "/admin", "/timeseries"])
def test_metrics_and_other_pages_are_not_told(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["field"] is None


def test_a_request_larger_than_a_service_takes_is_refused_before_it_is_sent(client):
    asked = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=20)
    asked.putrequest("POST", "/timeseries/predict")
    asked.putheader("Content-Length", str(65 * 2**20))
    asked.endheaders()
    answer = asked.getresponse()
    told = json.loads(answer.read())
    asked.close()
    assert answer.status == 413
    assert "64 MiB" in told["error"]


@needs_nginx
def test_a_client_that_asks_too_often_is_told_to_wait(tmp_path):
    slow = Plant(tmp_path, **{"rate=200r/s": "rate=1r/m", "burst=400": "burst=2"})
    with slow.opened(*ADDRESSES) as client:
        answers = [client.get("/timeseries/models") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert "too many requests" in answers[-1].json()["error"]


@pytest.fixture
def small(tmp_path):
    """A folder that holds 4 MiB."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path], check=False).returncode:
        pytest.skip("a folder of a stated size needs mount, which only root may do")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@needs_nginx
def test_a_body_for_which_there_is_no_room_is_told_to_come_again_and_nothing_else_is(small):
    with Plant(small).opened(*ADDRESSES) as client:
        refused = client.post("/timeseries/predict", content=bytes(8 * 2**20))
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "too many large requests at once" in refused.json()["error"]
        assert client.post("/timeseries/predict", content=b"{}").status_code == 200

        def again():
            return client.post("/timeseries/predict", content=bytes(2**20)).status_code == 200

        wait_for(again, "there is no room after a refusal", 20)


def test_bodies_that_arrive_have_room_for_many_and_less_than_the_container():
    nginx = compose()["services"]["nginx"]
    (room,) = re.findall(r"^/tmp:.*\bsize=(\d+)g$", nginx["tmpfs"][0])
    (limit,) = re.findall(r"^(\d+)m$", nginx["deploy"]["resources"]["limits"]["memory"])
    assert int(room) * 2**30 >= 16 * ServiceSettings().max_body
    assert int(limit) - int(room) * 1024 >= 256


def test_its_limits_are_those_of_the_services():
    settings = ServiceSettings()
    size = re.findall(r"client_max_body_size (\d+)m;", STATED)
    assert [int(each) * 2**20 for each in size] == [settings.max_body]
    patience = [int(each) for each in re.findall(r"proxy_read_timeout (\d+)s;", STATED)]
    assert patience
    assert min(patience) > settings.timeout
