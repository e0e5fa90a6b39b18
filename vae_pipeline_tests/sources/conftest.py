import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vae_pipeline.settings import Settings
from vae_pipeline.sources import download
from vae_pipeline_tests.builders.cmapss import REPOSITORY


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path in self.server.cut:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"only the beginning")
            return
        super().do_GET()

    def log_message(self, *_):
        pass


class Site:
    """A web server on this machine: a folder, the paths that were asked for, the paths it breaks off."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        self.server.paths, self.server.cut = [], set()
        self.paths, self.cut = self.server.paths, self.server.cut
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    yield site
    site.close()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def settings(home):
    return Settings(home=home, data_mirror=None)


@pytest.fixture(scope="session")
def real_data():
    folder = Path(os.environ.get("VAE_PIPELINE_DATA_MIRROR") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data are missing: {folder} is no folder; set VAE_PIPELINE_DATA_MIRROR")
    return str(folder)
