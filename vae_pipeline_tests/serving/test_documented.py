"""The example client and the documented lines against services of pictures and recordings, really running."""

import json
import subprocess

import pytest

from vae_pipeline_tests.infra.monitored import served
from vae_pipeline_tests.serving.documented import client, curl_lines

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("medium", "documented"), [("image", "3101"), ("sound", None)])
def test_the_example_client_sends_several_files(medium, documented, request, tmp_path, capsys):
    packed = request.getfixturevalue(f"packed_{medium}")
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(packed.example)
    with served(packed, tmp_path / "service", token=None) as port:
        client().main(f"http://127.0.0.1:{port}", packed.dataset.name)
        assert "several [(" in capsys.readouterr().out
        if documented:
            (line,) = curl_lines("docs/serving.md", documented, port, {"sample_product": packed.dataset.name})
            ran = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
            assert len(json.loads(ran.stdout)["results"]) == 2
