"""Servers of a test's own: programs that may not be installed, and an HTTP server in a thread."""

import http.server
import threading

import pytest

from infra.services.program import where


def installed(name, package):
    """The path of a program; where there is none the test is skipped with the reason."""
    found = where(name)
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
