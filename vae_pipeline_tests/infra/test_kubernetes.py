"""Manifests of Kubernetes: in the form of its own schemas, and after this project's rules."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from vae_pipeline_tests.infra.files import INFRA, compose, example, read_yaml

KUBERNETES = INFRA / "kubernetes"
LINES = ("timeseries", "vision", "multimodal")
CONSTRAINTS = (INFRA.parent / "constraints.txt").read_text()


def rendered(folder):
    """What ``kubectl apply -k`` would send, by kind and name."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl is installed: apt-get install kubectl, from Kubernetes' own packages")
    command = ["kubectl", "kustomize", KUBERNETES / folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}


@pytest.fixture(scope="module")
def manifests():
    return rendered("base")


@pytest.fixture(scope="module")
def with_ray():
    return rendered("ray")


def test_manifests_have_the_form_that_kubernetes_states(manifests):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make tools")
    for manifest in manifests.values():
        validate.validate(manifest, "1.37", strict=True)


def test_a_manifest_of_another_form_is_refused(manifests):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make tools")
    broken = manifests["Deployment", "vision"] | {"spec": {"replicas": "two"}}
    with pytest.raises(validate.ValidationError):
        validate.validate(broken, "1.37", strict=True)


@pytest.mark.parametrize("line", LINES)
def test_a_service_has_all_that_keeps_it_answering(manifests, line):
    (container,) = manifests["Deployment", line]["spec"]["template"]["spec"]["containers"]
    assert container["image"].split(":")[0] == line
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "startupProbe")} == {"/livez"}
    named = {"app.kubernetes.io/name": line}
    assert manifests["Deployment", line]["spec"]["selector"]["matchLabels"] == named
    assert manifests["Deployment", line]["spec"]["template"]["metadata"]["labels"].items() >= named.items()
    assert manifests["Service", line]["spec"]["selector"] == named
    assert manifests["PodDisruptionBudget", line]["spec"]["selector"]["matchLabels"] == named
    assert manifests["NetworkPolicy", line]["spec"]["podSelector"]["matchLabels"] == named
    scaler = manifests["HorizontalPodAutoscaler", line]["spec"]
    assert scaler["scaleTargetRef"]["name"] == line
    assert scaler["minReplicas"] > manifests["PodDisruptionBudget", line]["spec"]["minAvailable"]
    assert "replicas" not in manifests["Deployment", line]["spec"]


def backing_up(manifests):
    """The pod of a back-up."""
    return manifests["CronJob", "back-up"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", [*LINES, "mlflow", "metrics", "back-up"])
def test_a_pod_is_no_root_and_its_root_is_read_only(manifests, name):
    pod = backing_up(manifests) if name == "back-up" else manifests["Deployment", name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    user = compose()["services"][name]["user"]
    assert str(pod["securityContext"]["runAsUser"]) == user.split(":")[0]
    assert {"memory", "cpu"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert re.fullmatch(r"[a-z-]+:\S+", container["image"])


@pytest.mark.parametrize("name", [*LINES, "metrics"])
def test_what_prometheus_scrapes_says_where(manifests, name):
    template = manifests["Deployment", name]["spec"]["template"]
    (port,) = template["spec"]["containers"][0]["ports"]
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
    }
    wanted = manifests["NetworkPolicy", "prometheus"]["spec"]["podSelector"]["matchExpressions"][0]
    assert template["metadata"]["labels"][wanted["key"]] in wanted["values"]


def test_no_manifest_holds_a_secret(manifests):
    assert not [name for kind, name in manifests if kind == "Secret"]
    held = r"://[^/\s:]+:[^/\s@]+@|(?i:password|secret_access_key): *[\"']?\w"
    for path in KUBERNETES.rglob("*.yaml"):
        stated = "\n".join(line.partition("# ")[0] for line in path.read_text().splitlines())
        assert re.search(held, stated) is None, path


def test_the_ingress_passes_a_path_on_without_its_line_and_no_metrics(manifests):
    rule = manifests["Ingress", "services"]
    assert rule["metadata"]["annotations"]["nginx.ingress.kubernetes.io/rewrite-target"] == "/$2"
    paths = {each["backend"]["service"]["name"]: each["path"] for each in rule["spec"]["rules"][0]["http"]["paths"]}
    assert set(paths) == set(LINES)
    for line, path in paths.items():
        assert re.match(path, f"/{line}/predict").group(2) == "predict"
        assert re.match(f"^{path}$", f"/{line}/metrics") is None


def test_limits_of_the_ingress_are_those_of_nginx(manifests):
    stated = (INFRA / "nginx/nginx.conf").read_text()
    given = manifests["Ingress", "services"]["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io"
    assert f"client_max_body_size {given[f'{prefix}/proxy-body-size']};" in stated
    assert f"rate={given[f'{prefix}/limit-rps']}r/s" in stated
    assert f"limit_conn connections {given[f'{prefix}/limit-connections']};" in stated


def test_a_back_up_is_that_of_compose(manifests):
    (container,) = backing_up(manifests)["containers"]
    service = compose()["services"]["back-up"]
    assert [*container["command"], *container["args"]] == service["command"]
    (mlflow,) = manifests["Deployment", "mlflow"]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    database = {each["name"]: each for each in mlflow["env"]}["MLFLOW_BACKEND_STORE_URI"]
    assert given["VAE_PIPELINE_REGISTRY_DATABASE"] == database["valueFrom"]
    assert given["VAE_PIPELINE_REGISTRY_ARTIFACTS"] == mlflow["args"][-1]
    assert set(given) | set(manifests["ConfigMap", "pipeline"]["data"]) >= {
        name for name in service["environment"] if re.match("VAE|MLFLOW", name)
    }


def test_a_restore_is_a_back_up_with_another_command(manifests):
    (script,) = re.findall(r"\| sed '(.+)' \|", (INFRA.parent / "docs/backup.md").read_text())
    job = json.dumps(manifests["CronJob", "back-up"]["spec"]["jobTemplate"], indent=4, sort_keys=True)
    done = subprocess.run(["sed", script], input=job, capture_output=True, text=True, check=True)
    before, after = (json.loads(each)["spec"]["template"]["spec"] for each in (job, done.stdout))
    assert after["containers"][0].pop("args") == ["restore", "/backups/20260131T120000Z"]
    assert before["containers"][0].pop("args")
    assert after == before


class TestDagster:
    values = read_yaml(KUBERNETES / "dagster-values.yaml")

    def test_is_of_the_version_that_is_pinned(self):
        text = (KUBERNETES / "dagster-values.yaml").read_text()
        (version,) = re.findall(r"--version (\S+)", text)
        assert f"dagster=={version}\n" in CONSTRAINTS

    def test_code_location_is_asked_as_compose_asks_it(self):
        (deployment,) = self.values["dagster-user-deployments"]["deployments"]
        dockerfile = (INFRA / "docker/code-location.Dockerfile").read_text()
        assert deployment["dagsterApiGrpcArgs"] == ["-m", "vae_pipeline.definitions"]
        assert f'"-p", "{deployment["port"]}"' in dockerfile
        assert f"USER {deployment['podSecurityContext']['runAsUser']}:" in dockerfile

    def test_instance_is_that_of_compose(self):
        instance = read_yaml(INFRA / "dagster/dagster.yaml")
        daemon = self.values["dagsterDaemon"]
        assert (
            daemon["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
            == instance["concurrency"]["runs"]["max_concurrent_runs"]
        )
        assert daemon["runMonitoring"]["maxRuntimeSeconds"] == instance["run_monitoring"]["max_runtime_seconds"]
        assert self.values["postgresql"]["postgresqlScheme"] == instance["storage"]["postgres"]["postgres_db"]["scheme"]
        assert (
            self.values["retention"]["sensor"]["purgeAfterDays"] == instance["retention"]["sensor"]["purge_after_days"]
        )

    def test_names_only_config_maps_and_claims_that_are_made(self, manifests):
        text = (KUBERNETES / "dagster-values.yaml").read_text() + (KUBERNETES / "ray/raycluster.yaml").read_text()
        claims = set(re.findall(r"claimName: (\w+)", text))
        maps = set(re.findall(r"(?:envConfigMaps: \[\{|configMapRef: \{)name: (\w+)", text))
        assert {("PersistentVolumeClaim", name) for name in claims} | {("ConfigMap", name) for name in maps} <= set(
            manifests
        )
        assert claims
        assert maps

    def test_its_image_is_that_which_is_built(self, with_ray):
        (deployment,) = self.values["dagster-user-deployments"]["deployments"]
        images = [self.values[part]["image"] for part in ("dagsterWebserver", "dagsterDaemon")]
        named = {f"{image['repository']}:{image['tag']}" for image in [*images, deployment["image"]]}
        assert named == {f"vae-pipeline:{example()['VAE_PIPELINE_VERSION']}"}
        used = set(re.findall(r"image: (vae-pipeline:\S+)", yaml.safe_dump(list(with_ray.values()))))
        assert used == {*named, *(f"{image}-cuda" for image in named)}


CLUSTER = read_yaml(KUBERNETES / "ray/raycluster.yaml")["spec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


class TestRay:
    def test_its_cluster_is_where_steps_are_sent(self, with_ray, manifests):
        told = with_ray["ConfigMap", "pipeline"]["data"]
        cluster = with_ray["RayCluster", "ray"]
        assert told["VAE_PIPELINE_EXECUTOR"] == "ray"
        assert told["VAE_PIPELINE_RAY_JOBS"] == "step"
        assert told["VAE_PIPELINE_RAY_ADDRESS"] == f"http://{cluster['metadata']['name']}-head-svc:8265"
        assert told.items() >= manifests["ConfigMap", "pipeline"]["data"].items()
        assert cluster["metadata"]["namespace"] == with_ray["ConfigMap", "pipeline"]["metadata"]["namespace"]
        assert with_ray.keys() >= manifests.keys()

    def test_nobody_sends_a_job_without_the_token(self, with_ray):
        cluster = with_ray["RayCluster", "ray"]["spec"]
        pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
        given = [container["env"] for pod in pods for container in pod["containers"]]
        for environment in [*given, cluster["autoscalerOptions"]["env"]]:
            named = {each["name"]: each.get("value", each.get("valueFrom")) for each in environment}
            assert named["RAY_AUTH_MODE"] == "token"
            assert named["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "pipeline-secrets", "key": "RAY_AUTH_TOKEN"}}
        # and who sends has it
        assert with_ray["ConfigMap", "pipeline"]["data"]["RAY_AUTH_MODE"] == "token"
        (location,) = TestDagster.values["dagster-user-deployments"]["deployments"]
        for sender in (location, TestDagster.values["runLauncher"]["config"]["k8sRunLauncher"]):
            assert {"name": "pipeline"} in sender["envConfigMaps"]
            assert {"name": "pipeline-secrets"} in sender["envSecrets"]

    @pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.get("groupName", "head"))
    def test_a_step_finds_the_instance_of_its_run(self, manifests, group):
        (container,) = group["template"]["spec"]["containers"]
        (exporter,) = manifests["Deployment", "metrics"]["spec"]["template"]["spec"]["containers"]
        for part, names in {
            "env": ("DAGSTER_HOME", "DAGSTER_PG_PASSWORD"),
            "volumeMounts": ("instance", "home"),
        }.items():
            found = {each["name"]: each for each in container[part]}
            assert [found[name] for name in names] == [
                each for name in names for each in exporter[part] if each["name"] == name
            ]

    def test_is_of_the_version_that_is_pinned(self):
        assert f"\nray=={CLUSTER['rayVersion']}\n" in CONSTRAINTS

    def test_the_head_takes_no_steps(self):
        assert GROUPS[0]["rayStartParams"]["num-cpus"] == "0"

    @pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.get("groupName", "head"))
    def test_a_node_has_the_memory_that_ray_believes_it_has(self, group):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
