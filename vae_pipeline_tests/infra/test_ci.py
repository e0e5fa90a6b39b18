"""What is run before a change is merged, and with which servers."""

import re
import subprocess

from vae_pipeline_tests.infra.files import INFRA, read_yaml

ROOT = INFRA.parent
SERVERS = (ROOT / ".ci/servers").read_text()
# of every Debian, or from packages of others
ELSEWHERE = {"make", "util-linux", "kubectl"}


def test_ci_runs_what_has_to_pass_on_the_servers_that_tests_ask():
    steps = read_yaml(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["sudo .ci/servers", ".ci/run"]
    run = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^ *(\.ci/servers|make [a-z-]+)$", run, flags=re.MULTILINE) == [
        ".ci/servers", "make check", "make test", "make test-services",
    ]  # fmt: skip


def test_a_package_that_a_skipped_test_names_is_installed():
    files = [*ROOT.glob("infra/**/*.py"), *ROOT.glob("vae_pipeline_tests/**/*.py")]
    named = {name for file in files for name in re.findall(r"apt-get install ([a-z0-9-]+)", file.read_text())}
    assert named - ELSEWHERE == set(re.findall(r"wanted\+=\(([a-z-]+)\)", SERVERS))


def test_its_scripts_are_well_formed():
    for name in ("run", "servers"):
        subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True)
