"""The Ray cluster that settings name: what its processes are told, and whether it answers."""

import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vae_pipeline.errors import ClusterError, SettingError, VaePipelineError
from vae_pipeline.settings import Settings

__all__ = [
    "cluster_address",
    "connected",
    "ended",
    "passed_environment",
    "passed_variables",
    "require_cluster",
    "results",
    "task",
    "training_resources",
]

_PREFIXES = ("VAE_PIPELINE_", "MLFLOW_", "AWS_")
_NAMES = ("DAGSTER_HOME",)
_ANSWER_SECONDS = 5.0
_CLIENT_PORT = 10001
"""Where a Ray head takes tasks from processes that are not on one of its nodes, unless told otherwise."""

_ATTEMPTS = 4
_PAUSE_SECONDS = 2.0
"""Before a connection is tried again; twice as long each time."""

_OF_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray in processes of its jobs."""


def cluster_address(settings: Settings) -> str:
    """Where jobs are submitted, such as ``http://head:8265``.

    Raises:
        SettingError: none is set, it is no such address, or Ray is not installed.
    """
    if find_spec("ray") is None or find_spec("dagster_ray") is None:
        msg = "VAE_PIPELINE_EXECUTOR=ray: Ray is not installed; pip install 'vae-pipeline[ray]'"
        raise SettingError(msg)
    address = settings.ray_address
    if not address:
        msg = "VAE_PIPELINE_EXECUTOR=ray: set VAE_PIPELINE_RAY_ADDRESS to the head's address, such as http://head:8265"
        raise SettingError(msg)
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        msg = f"VAE_PIPELINE_RAY_ADDRESS: {address!r} is not like http://head:8265"
        raise SettingError(msg)
    return address


def require_cluster(settings: Settings) -> str:
    """The address, of a cluster that answers.

    Raises:
        SettingError: it does not, or no address can be used; the message names the setting.
    """
    address = cluster_address(settings)
    place = urlsplit(address)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        msg = f"VAE_PIPELINE_RAY_ADDRESS: no Ray cluster answers at {address} ({error}); start its head, or set another"
        raise SettingError(msg) from error
    return address


def passed_variables(settings: Settings) -> list[str]:
    """What processes on other nodes are to have in their environment, as dagster-ray takes it.

    ``NAME`` has the value it has here, at the time the process is begun, and is nowhere written down; ``NAME=VALUE``
    stands for whole paths where this process may have relative ones.
    """
    whole = {
        "HOME": str(settings.home),
        "STORAGE": settings.storage and settings.storage_root,
        "INCOMING": settings.incoming and settings.incoming_root,
        "CATALOG": ":".join(str(path.resolve()) for path in settings.catalog_files),
        "CONNECTORS": ":".join(str(path.resolve()) for path in settings.connector_files),
        # as many threads as Ray was asked for: others have the node's other processors
        "THREADS": str(settings.threads or math.ceil(settings.ray_cpus)),
    }
    stated = {f"VAE_PIPELINE_{name}": value for name, value in whole.items() if value}
    wanted = {*_NAMES, *_named_by_instance()}
    named = [name for name in os.environ if name.startswith(_PREFIXES) or name in wanted]
    return sorted([*(name for name in named if name not in stated), *(f"{name}={stated[name]}" for name in stated)])


def _named_by_instance() -> set[str]:
    """The variables that the ``dagster.yaml`` of ``DAGSTER_HOME`` reads by ``env:``: a node has to open it too."""
    file = Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml"
    if "DAGSTER_HOME" not in os.environ or not file.is_file():
        return set()
    import yaml

    found, left = set(), [yaml.safe_load(file.read_text())]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
            if set(value) == {"env"}:
                found.add(str(value["env"]))
        elif isinstance(value, list):
            left += value
    return found


def passed_environment(settings: Settings) -> dict[str, str]:
    """`passed_variables` with the values of now."""
    pairs = (item.partition("=") for item in passed_variables(settings))
    return {name: value if stated else os.environ[name] for name, stated, value in pairs}


@contextmanager
def connected(settings: Settings) -> Iterator[None]:
    """Connected to the cluster while the block lasts, as ``ray.remote`` functions need it.

    A process of a Ray job is on a node and joins through it; any other goes through the head's client port.

    Raises:
        SettingError: the cluster does not answer.
    """
    address = require_cluster(settings)
    import ray

    try:
        if _OF_JOB in os.environ:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        else:
            _connect(settings.ray_client or f"ray://{urlsplit(address).hostname}:{_CLIENT_PORT}", settings)
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        msg = f"VAE_PIPELINE_RAY_CLIENT: Ray's head takes no tasks ({reason}); set it to the head's ray://host:10001"
        raise SettingError(msg) from error
    try:
        yield
    finally:
        ray.shutdown()


def _connect(client_address: str, settings: Settings) -> None:
    """Connect through the head's client port; again where the head gives up on the process it starts for a client.

    A busy head does so, and has time for it a moment later.
    """
    import ray

    for left in reversed(range(_ATTEMPTS)):
        try:
            ray.init(
                client_address,
                runtime_env={"env_vars": passed_environment(settings)},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except ConnectionAbortedError:
            if not left:
                raise
            time.sleep(_PAUSE_SECONDS * 2 ** (_ATTEMPTS - 1 - left))
        else:
            return


def training_resources(settings: Settings) -> dict[str, float]:
    """What a training asks Ray for."""
    asked = {"num_cpus": settings.ray_cpus, "num_gpus": settings.ray_gpus, "memory": settings.ray_memory}
    return {name: value for name, value in asked.items() if value}


def task(function: Callable[..., Any], resources: Mapping[str, float]) -> Callable[..., Any]:
    """The function as a Ray task; calling it gives a reference to its result.

    A task whose node is lost begins again on another.
    """
    import ray

    return ray.remote(function).options(**resources).remote


def ended(reference: Any) -> Any:
    """What the task of a reference came to.

    Raises:
        VaePipelineError: the task did, with its own sentence.
        ray.exceptions.RayError: it was lost with its nodes again and again.
    """
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, VaePipelineError):
            raise error.cause from error
        raise


def results(
    function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], settings: Settings
) -> Iterator[Any | VaePipelineError]:
    """Call a function on the cluster; gives results in the order of the calls, an error of ours in its place.

    A task that was lost for good is a `ClusterError` in its place: the others go on.

    Raises:
        SettingError: the cluster does not answer.
    """
    with connected(settings):
        from ray.exceptions import RayError, RayTaskError

        submit = task(function, {"num_cpus": 1})
        for reference in [submit(*call) for call in calls]:
            try:
                yield ended(reference)
            except VaePipelineError as error:
                yield error
            except RayTaskError:  # one that nobody foresaw, as it would be raised here
                raise
            except RayError as error:
                yield ClusterError(f"lost on the cluster ({str(error).splitlines()[0]}); run it again")
