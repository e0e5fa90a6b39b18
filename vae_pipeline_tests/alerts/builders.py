"""Alerts, an outbox with a clock of its own, and a real web server that takes messages."""

import datetime as dt
import http.server
import json
import threading
from contextlib import contextmanager

from pydantic import SecretStr

from infra.services.program import free_port
from vae_pipeline.alerts.alert import Alert
from vae_pipeline.settings import Settings

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def alert(key="drift/timeseries/FD001", *, kind="drift", severity="warning", subject="timeseries/FD001", **more):
    return Alert(
        **{"kind": kind, "severity": severity, "subject": subject, "text": key, "time": NOON, "key": key, **more}
    )


class Clock:
    """Stands still until it is moved, also backwards."""

    def __init__(self, time=1_000_000.0):
        self.time = time

    def __call__(self):
        return self.time


class Webhook:
    """A web server on this machine; ``answer`` gives the status for a message."""

    def __init__(self, port=None, answer=lambda _: 200):
        self.got, self.port, self.answer = [], port or free_port(), answer

    @property
    def titles(self):
        return [message["title"] for message in self.got]

    @property
    def address(self):
        return f"json://127.0.0.1:{self.port}/hook"

    @contextmanager
    def running(self):
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = webhook.answer(message)
                if status == 200:
                    webhook.got.append(message)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def settings(*addresses, **more):
    """Settings of the test's home with these channels."""
    return Settings(alerts=SecretStr("\n".join(addresses)), **more)
