"""An HTTP proxy before a server on this machine, which answers some requests itself, or late."""

import http.client
import http.server
import threading
from collections.abc import Callable


class Proxy:
    """Hands requests through.

    ``fault(number, method, path)`` gives None, or a status to answer instead; a negative one after the server did what
    was asked.
    """

    def __init__(self, port: int) -> None:
        self.fault: Callable[[int, str, str], int | None] = lambda *_: None
        self.asked = self.refused = 0
        outer, counting = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                with counting:
                    outer.asked += 1
                    status = outer.fault(outer.asked, self.command, self.path)
                    outer.refused += status is not None
                if status is not None and status > 0:
                    self.answer(status, [], b"")
                    return
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                # the headers as they are: the Host among them is part of what was signed
                there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    there.putheader(name, value)
                there.endheaders(body)
                got = there.getresponse()
                content = got.read()
                if status is None:
                    self.answer(got.status, got.getheaders(), content)
                else:
                    self.answer(-status, [], b"")
                there.close()

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                kept = {name.lower(): value for name, value in headers}
                length = kept.get("content-length", "0") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
