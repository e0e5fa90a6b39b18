"""Rules of the compose file: what compose itself accepts, and what it does not ask for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vae_pipeline.retraining.settings import RetrainingSettings
from vae_pipeline.serving.settings import ServiceSettings
from vae_pipeline.settings import Settings
from vae_pipeline_tests.infra.files import INFRA, compose, example, read_yaml, settings_example, variables

TEXT = (INFRA / "compose.yaml").read_text()
SERVICES = compose()["services"]
REQUIRED = {name for name, (operator, _) in variables(TEXT).items() if operator == "?"}
WITHOUT_HEALTHCHECK = {"buckets": "it makes the buckets and ends", "back-up": "it copies and ends"}
RESTARTS = {"buckets": "on-failure", "back-up": "no"}
BUILT = re.compile(r"vae-pipeline(-s3|-mlflow)?:\$\{VAE_PIPELINE_VERSION:-\d+\.\d+\.\d+\}")
BENTOS = {"timeseries", "vision", "multimodal"}


def composer():
    """The command that validates, or None: the plugin of docker, or the program of its own."""
    for command in (["docker", "compose"], ["docker-compose"], os.environ.get("COMPOSE", "").split()):
        if command and shutil.which(command[0]):
            asked = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and "Docker Compose" in asked.stdout:
                return command
    return None


COMPOSER = composer()
needs_compose = pytest.mark.skipif(COMPOSER is None, reason="docker compose is not installed; COMPOSE may name it")


def validated(folder: Path, file: Path = INFRA / "compose.yaml", form: str = "-q", **values: str):
    """What compose says to the file with these variables, those of ``.env.example`` else."""
    env = folder / "env"
    filled = {name: value or "filled" if name in REQUIRED else value for name, value in example().items()}
    env.write_text("".join(f"{name}={value}\n" for name, value in {**filled, **values}.items()))
    files = ["-f", str(file), "--env-file", str(env)]
    command = [*(COMPOSER or []), *files, "--profile", "serving", "--profile", "back-up", "config", form]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@needs_compose
def test_compose_accepts_the_file(tmp_path):
    done = validated(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@needs_compose
@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_missing_password_is_refused_by_name(tmp_path, name):
    done = validated(tmp_path, **{name: ""})
    assert done.returncode != 0
    assert f"set {name} in infra/.env, see infra/.env.example" in done.stderr


@needs_compose
def test_what_is_no_part_of_the_form_is_refused(tmp_path):
    folder = tmp_path / "infra"
    folder.mkdir()
    (folder / "compose.yaml").write_text(TEXT.replace("restart: unless-stopped", "restarts: unless-stopped"))
    done = subprocess.run([*COMPOSER, "config", "-q"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_every_password_is_required():
    named = {name for name in variables(TEXT) if re.search(r"PASSWORD|_KEY$", name)}
    assert named == REQUIRED
    assert len(REQUIRED) > 5


def test_the_message_of_every_missing_password_says_what_to_do():
    for name, said in re.findall(r"\$\{([A-Z_0-9]+):\?([^}]*)\}", TEXT):
        assert said == f"set {name} in infra/.env, see infra/.env.example"


def test_variables_and_their_example_are_the_same():
    assert set(variables(TEXT)) == set(example())


def test_the_example_states_the_defaults_and_no_secret():
    defaults = {name: value for name, (operator, value) in variables(TEXT).items() if operator == "-"}
    assert example() == {**dict.fromkeys(REQUIRED, ""), **defaults}


def test_no_secret_stands_in_the_file():
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", key) and not key.endswith("_FILE"):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", str(value)), (name, key)
        assert re.search(r"://[^/$]+:[^$/]+@", str(service)) is None, name


def test_secrets_lie_in_a_folder_that_git_leaves_alone(tmp_path):
    files = {secret["file"] for secret in compose()["secrets"].values()}
    defaults = {value for file in files for _, value in variables(file).values()}
    ignored = (INFRA / "secrets/.gitignore").read_text().split()
    assert {Path(path).parent for path in defaults} == {Path("secrets")}
    assert ignored == ["*", "!.gitignore", "!README.md"]
    assert "/infra/.env" in (INFRA.parent / ".gitignore").read_text().split()
    assert not any(path.name not in {".gitignore", "README.md"} for path in tracked() if path.parent.name == "secrets")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "infra"], cwd=INFRA.parent, capture_output=True, text=True, check=False)
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_how_it_is(name):
    check = SERVICES[name]["healthcheck"]
    assert bool(check.get("test")) != (name in WITHOUT_HEALTHCHECK)
    assert check.get("test") or check == {"disable": True}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_no_root_and_writes_to_volumes_alone(name):
    service = SERVICES[name]
    assert str(service["user"]).split(":")[0] not in {"0", "root", ""}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_comes_back(name):
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"memory", "pids"}
    assert SERVICES[name]["restart"] == RESTARTS.get(name, "unless-stopped")
    assert SERVICES[name]["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_tag_that_says_its_version(name):
    image = SERVICES[name]["image"]
    if name in BENTOS:
        # whose tag is of its models and code; .env states it
        assert image == f"${{{name.upper()}_IMAGE:-{name}:latest}}"
    elif not BUILT.fullmatch(image):
        ((_, default),) = variables(image).values()
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)*", default)


@pytest.mark.parametrize("dockerfile", sorted(INFRA.glob("docker/*.Dockerfile")), ids=lambda path: path.stem)
def test_a_dockerfile_starts_from_a_stated_version_and_ends_as_no_root(dockerfile):
    text = dockerfile.read_text()
    names = re.findall(r"^ARG (\w+_IMAGE)=\S+:v?\d+\.\d+\S*$", text, flags=re.MULTILINE)
    assert len(names) == 1
    assert set(re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)) == {f"${{{names[0]}}}"}
    assert re.findall(r"^USER (\d+):\d+$", text, flags=re.MULTILINE)
    assert not re.search(r"https?://(?!127\.0\.0\.1)|index-url", text)


def test_default_images_are_those_of_the_dockerfiles():
    stated = {}
    for path in INFRA.glob("docker/*.Dockerfile"):
        stated |= dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", path.read_text(), flags=re.MULTILINE))
    assert stated.items() <= example().items()


def test_services_wait_for_what_they_stand_on():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in WITHOUT_HEALTHCHECK else "service_healthy"
            assert how == {"condition": wanted}, (name, other)


def test_processes_of_a_container_are_known_by_the_same_host_when_it_is_made_anew():
    stable = {name for name, service in SERVICES.items() if service.get("hostname") == name}
    assert stable == {"code-location", "webserver", "daemon", "metrics"}
    # a host of several containers would hold the processes of the others for dead
    assert not any("replicas" in SERVICES[name]["deploy"] for name in stable)


def test_a_back_up_is_of_what_mlflow_and_the_pipeline_keep():
    backed, mlflow = SERVICES["back-up"]["environment"], SERVICES["mlflow"]
    assert backed["VAE_PIPELINE_REGISTRY_DATABASE"] == mlflow["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert backed["VAE_PIPELINE_REGISTRY_ARTIFACTS"] == mlflow["command"][-1]
    for name in ("VAE_PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"):
        assert backed[name] == SERVICES["code-location"]["environment"][name]
    assert SERVICES["back-up"]["volumes"][0].endswith(f":{SERVICES['back-up']['command'][-1]}")
    assert SERVICES["back-up"]["image"] == SERVICES["code-location"]["image"]


def test_only_nginx_is_open_to_other_machines():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    outside = {name for name, ports in published.items() if not all("ADMIN_ADDRESS" in port for port in ports)}
    assert outside == {"nginx"}
    assert example()["ADMIN_ADDRESS"] == "127.0.0.1"


def test_databases_and_services_have_no_way_out():
    assert compose()["networks"]["back"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if service["networks"] == ["back"]}
    assert inside == {"postgres", "s3", "buckets", "daemon", "metrics", "back-up", *BENTOS}


def test_nginx_and_prometheus_ask_the_ports_that_are_answered():
    nginx = (INFRA / "nginx/nginx.conf").read_text()
    (port,) = set(re.findall(r"proxy_pass http://\$line:(\d+)", nginx))
    lines = set(re.findall(r"location ~ \^/\(\?<line>([a-z|]+)\)/", nginx)[0].split("|"))
    assert lines == BENTOS
    jobs = {job["job_name"]: job for job in read_yaml(INFRA / "prometheus/prometheus.yml")["scrape_configs"]}
    asked = jobs["services"]["dns_sd_configs"][0]
    assert (set(asked["names"]), str(asked["port"])) == (BENTOS, port)
    assert all(f":{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1] for name in BENTOS)
    (target,) = jobs["pipeline"]["static_configs"][0]["targets"]
    name, exported = target.split(":")
    assert SERVICES[name]["command"][-2:] == ["--port", exported]
    (listened,) = re.findall(r"listen (\d+);", nginx)
    assert SERVICES["nginx"]["ports"][0].endswith(f":{listened}")
    assert jobs["services"]["authorization"]["credentials_file"] == "/run/secrets/service_token"
    assert "service_token" in SERVICES["prometheus"]["secrets"]


def test_settings_of_the_pipeline_are_known_to_it():
    known = {f"VAE_PIPELINE_{name.upper()}" for name in Settings.model_fields if name != "tracking_uri"}
    known |= {f"VAE_PIPELINE_SERVICE_{name.upper()}" for name in ServiceSettings.model_fields}
    known |= {f"VAE_PIPELINE_RETRAIN_{name.upper()}" for name in RetrainingSettings.model_fields}
    stated = {key for service in SERVICES.values() for key in service.get("environment", {})}
    assert {key for key in stated | set(settings_example()) if key.startswith("VAE_PIPELINE_")} <= known


def test_settings_of_the_example_are_those_that_compose_does_not_set_itself():
    named = set(settings_example())
    assert len(named) > 10
    for name in ("code-location", "webserver", "daemon", "metrics", *BENTOS):
        assert SERVICES[name]["env_file"] == [{"path": "./pipeline.env", "required": False}]
        assert named.isdisjoint(SERVICES[name]["environment"])
    ignored = (INFRA.parent / ".gitignore").read_text().split()
    assert {"/infra/pipeline.env", "/infra/compose.override.yaml"} <= set(ignored)


def test_files_that_settings_name_are_seen_where_they_are_read():
    named = [value for value in settings_example().values() if value.startswith("/")]
    assert len(named) > 1
    for name in ("code-location", "webserver", "daemon", "metrics"):
        mounted = [volume.split(":")[1] for volume in SERVICES[name]["volumes"]]
        assert all(any(value.startswith(f"{folder}/") for folder in mounted) for value in named)


@needs_compose
def test_what_stands_in_the_settings_reaches_pipeline_and_services(tmp_path):
    folder = tmp_path / "infra"
    folder.mkdir()
    shutil.copy(INFRA / "compose.yaml", folder)
    (folder / "pipeline.env").write_text("VAE_PIPELINE_LOG_FORMAT=json\nVAE_PIPELINE_SERVICE_MAX_ROWS=5\n")
    done = validated(tmp_path, folder / "compose.yaml", "--format=json")
    services = json.loads(done.stdout)["services"]
    told = {name for name, each in services.items() if each.get("environment", {}).get("VAE_PIPELINE_LOG_FORMAT")}
    assert told == {"code-location", "webserver", "daemon", "metrics", *BENTOS}
    assert services["vision"]["environment"]["VAE_PIPELINE_SERVICE_MAX_ROWS"] == "5"


def test_every_folder_of_infra_that_is_mounted_is_there():
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    # of one that .env may name, the default
    mounted = {re.sub(r"^\$\{[A-Z_]+:-([^}]+)\}", r"\1", volume).split(":")[0] for volume in volumes}
    paths = {source for source in mounted if source.startswith("./")}
    assert len(paths) > 5
    assert [path for path in paths if not (INFRA / path).exists()] == []
    assert {source for source in mounted if not source.startswith("./")} == set(compose()["volumes"])
