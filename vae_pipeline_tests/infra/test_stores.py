"""What compose makes on its first start, on a PostgreSQL server and an S3 store that really run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import dagster as dg
import pytest

from infra.services.postgres import Postgres, why_not
from infra.services.program import Program, free_port, wait_for, where
from vae_pipeline_tests.infra.files import INFRA, compose, read_yaml

PASSWORDS = {"dagster": "d4g", "mlflow": "mlf", "optuna": "0pt"}

needs_psql = pytest.mark.skipif(
    bool(why_not()) or where("psql") is None, reason=why_not() or "no psql is installed: apt-get install postgresql"
)


@pytest.fixture(scope="module")
def postgres():
    """A server on which ``databases.sh`` has run as PostgreSQL's image runs it."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder), "postgres", "sup3r")
        try:
            environment = {
                **os.environ,
                **{f"{name.upper()}_PASSWORD": password for name, password in PASSWORDS.items()},
                "POSTGRES_USER": "postgres",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(server.port),
                "PGPASSWORD": server.password,
            }
            subprocess.run(["sh", INFRA / "postgres/databases.sh"], env=environment, check=True, timeout=60)
            yield server
        finally:
            server.stop()


def asked(server: Postgres, user: str, password: str, database: str) -> subprocess.CompletedProcess[str]:
    """The user's name, told by a database."""
    environment = {**os.environ, "PGPASSWORD": password}
    command = ["psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", user, "-d", database, "-Atc", "SELECT user"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@needs_psql
@pytest.mark.parametrize("name", PASSWORDS)
def test_a_database_is_open_to_its_owner_alone(postgres, name):
    assert asked(postgres, name, PASSWORDS[name], name).stdout == f"{name}\n"
    assert asked(postgres, name, "other", name).returncode != 0
    others = [other for other in PASSWORDS if other != name]
    refused = [asked(postgres, other, PASSWORDS[other], name).stderr for other in others]
    assert all("permission denied for database" in told for told in refused)


@needs_psql
def test_the_grown_up_instance_of_dagster_keeps_its_runs_in_postgres(postgres, tmp_path, monkeypatch):
    pytest.importorskip("dagster_postgres", reason="the extra postgresql is not installed")
    stated = (INFRA / "dagster/dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(stated.replace("port: 5432", f"port: {postgres.port}"))
    for name in ("USER", "DB"):
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", "dagster")
    monkeypatch.setenv("DAGSTER_POSTGRES_HOST", "127.0.0.1")
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", PASSWORDS["dagster"])
    monkeypatch.setenv("DAGSTER_LOGS", str(tmp_path / "logs"))

    @dg.asset
    def made() -> None: ...

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([made], instance=instance).success
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 2
    with dg.DagsterInstance.from_config(str(tmp_path)) as again:
        assert [run.status for run in again.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
    assert not list(tmp_path.rglob("*.db"))


def test_both_instances_of_dagster_say_the_same_but_for_where_things_are_kept():
    grown, embedded = (read_yaml(folder / "dagster.yaml") for folder in (INFRA / "dagster", INFRA.parent))
    places = {"storage", "compute_logs", "local_artifact_storage", "run_launcher"}
    assert {key: value for key, value in grown.items() if key not in places} == embedded


def test_what_the_instance_and_the_workspace_read_is_set_for_all_who_read_it():
    stated = (INFRA / "dagster/dagster.yaml").read_text() + (INFRA / "dagster/workspace.yaml").read_text()
    wanted = {line.split("{env: ")[1].split("}")[0] for line in stated.splitlines() if "{env: " in line}
    assert len(wanted) > 5
    for name in ("code-location", "webserver", "daemon", "metrics"):
        assert wanted <= set(compose()["services"][name]["environment"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """SeaweedFS with the arguments of the compose file, but for where it listens and lies; gives its environment."""
    weed = where("weed") or where(str(Path(sys.executable).with_name("weed")))
    if weed is None:
        pytest.skip("no weed is installed: make tools")
    folder = tmp_path_factory.mktemp("store")
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "pipeline",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [
        {"-dir=/store": f"-dir={folder}", "-ip=s3": "-ip=127.0.0.1", "-s3.port=8333": f"-s3.port={port}"}.get(
            each, each
        )
        for each in compose()["services"]["s3"]["command"]
    ]
    # each opens the port 10,000 above as well
    ports = [f"-{name}.port={free_port() % 20_000 + 30_000}" for name in ("master", "volume", "filer")]
    program = Program([weed, *command, *ports, f"-s3.port.grpc={free_port()}"], port, folder / "log", environment)
    try:
        yield environment
    finally:
        program.stop(kill=True)


def buckets(environment, *names):
    command = [sys.executable, str(INFRA / "s3/buckets.py"), *names]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_store_says_that_it_is_well_where_compose_asks(store):
    import httpx

    (asked,) = [each for each in compose()["services"]["s3"]["healthcheck"]["test"] if "http" in each]
    address = asked.replace("http://127.0.0.1:8333", store["AWS_ENDPOINT_URL"])
    wait_for(lambda: httpx.get(address).status_code == 200, "the store does not become well", 60)


def test_buckets_are_made_once_and_found_again(store):
    import boto3

    named = compose()["services"]["buckets"]["command"][2:]
    wait_for(lambda: buckets(store, *named).returncode == 0, "the buckets cannot be made", 60)
    again = buckets(store, *named)
    assert (again.returncode, again.stdout) == (0, "".join(f"{name}: is there\n" for name in named))
    client = boto3.client(
        "s3",
        endpoint_url=store["AWS_ENDPOINT_URL"],
        aws_access_key_id=store["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=store["AWS_SECRET_ACCESS_KEY"],
        region_name=store["AWS_DEFAULT_REGION"],
    )
    assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == set(named)


def test_a_wrong_key_makes_no_buckets_and_says_so(store):
    refused = buckets({**store, "AWS_SECRET_ACCESS_KEY": "other"}, "elsewhere")
    assert refused.returncode == 1
    assert "elsewhere: cannot be made" in refused.stderr


def test_buckets_that_are_used_are_those_that_are_made():
    services = compose()["services"]
    made = set(services["buckets"]["command"][2:])
    used = {str(service.get("environment", {}).get("VAE_PIPELINE_STORAGE")) for service in services.values()}
    used.add(services["mlflow"]["command"][-1])
    assert {address.split("/")[2] for address in used if address.startswith("s3://")} == made


def test_mlflow_answers_by_the_name_that_services_ask_it_by():
    from mlflow.server.security_utils import is_allowed_host_header

    services = compose()["services"]
    allowed = services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(":-")[1].rstrip("}").split(",")
    asked = services["code-location"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    for host in (asked, "127.0.0.1:5000", "localhost:15000"):
        assert is_allowed_host_header(allowed, host)
    assert not is_allowed_host_header(allowed, "elsewhere.example:5000")
