"""Servers of a test's own: programs started and stopped at will, and an HTTP server in a thread."""

import http.server
import shutil
import socket
import subprocess
import threading
import time

import pytest


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listening(port, within=30.0):
    """Wait until something accepts connections there."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        with socket.socket() as one:
            one.settimeout(1)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.05)
    message = f"nothing listens on port {port}"
    raise TimeoutError(message)


class Program:
    """A server process that is killed and started again on the same port, over the same files."""

    def __init__(self, command, port, log):
        self.command, self.port, self.log = command, port, log
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        listening(self.port)

    def stop(self, *, kill=False):
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(30)


def installed(name, package):
    """The path of a program; where there is none the test is skipped with the reason."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"no {name} is installed: apt-get install {package}")
    return found


class Answers:
    """An HTTP server in a thread; ``answer(path, parameters, headers)`` gives status, headers and body."""

    def __init__(self, answer, port=0):
        self.answer, self.asked = answer, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                from urllib.parse import parse_qsl, urlsplit

                parts = urlsplit(self.path)
                parameters = dict(parse_qsl(parts.query))
                outer.asked.append(parameters)
                status, headers, body = outer.answer(parts.path, parameters, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
