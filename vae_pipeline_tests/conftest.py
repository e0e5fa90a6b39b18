"""Every test has an empty home of its own, no telemetry and no variable of the person who runs it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from vae_pipeline.catalog import catalog
from vae_pipeline.environment import prepare_environment
from vae_pipeline.settings import load_settings
from vae_pipeline_tests import grown_up

PROJECT = Path(__file__).resolve().parent.parent

QUIET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "MPLBACKEND": "Agg",
}

prepare_environment()

# read before the fixtures below take the variable away
_MIRROR = Path(os.environ.get("VAE_PIPELINE_DATA_MIRROR") or PROJECT.parent / "shared" / "data")

hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--services", action="store_true", help="keep things in PostgreSQL, S3 and an MLflow server, really running"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every kind of root that there is: a folder, a store in this process, and with ``--services`` a real one."""
    stores = ["memory", "s3"] if metafunc.config.getoption("--services") else ["memory"]
    for name, kinds in (("any_root", ["local", *stores]), ("remote_root", stores)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)


def _root(kind: str, tmp_path: Path, services: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    if kind == "local":
        return str(tmp_path / "storage")
    if kind == "memory":
        return f"memory://{uuid4().hex}/prefix"
    from infra.services.together import BUCKET

    for name, value in services.keys().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid4().hex}"


@pytest.fixture
def any_root(request: pytest.FixtureRequest, tmp_path: Path, services: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty root of each kind."""
    return _root(request.param, tmp_path, services, monkeypatch)


@pytest.fixture
def remote_root(request: pytest.FixtureRequest, tmp_path: Path, services: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty root of each kind that is no folder."""
    return _root(request.param, tmp_path, services, monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def services(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The servers that homes are kept in with ``--services``, else None."""
    if not request.config.getoption("--services"):
        yield None
        return
    from infra.services.together import Services, why_not

    if reason := why_not():
        pytest.exit(reason, 1)
    # PostgreSQL's user must be able to enter, which pytest's own folders refuse
    with tempfile.TemporaryDirectory(prefix="services-") as folder:
        Path(folder).chmod(0o711)
        with Services(Path(folder)) as started:
            grown_up.services = started
            yield started
            grown_up.services = None


def _forget() -> None:
    load_settings.cache_clear()
    catalog.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def session_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that live longer than a test: they too write into a temporary home."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("VAE_PIPELINE_") or name in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME"):
                patch.delenv(name)
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("VAE_PIPELINE_HOME", str(tmp_path_factory.mktemp("session_home")))
        _forget()
        yield
    _forget()


@pytest.fixture(autouse=True)
def home(session_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own VAE_PIPELINE_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VAE_PIPELINE_HOME", str(folder))
    _forget()
    yield folder
    _forget()


@pytest.fixture(scope="session")
def data_mirror() -> Path:
    """The folder that holds the real archives (``cmapss/``, ``smd/`` …); without it the test is skipped."""
    if not _MIRROR.is_dir():
        pytest.skip(f"no real data: {_MIRROR} is no folder; set VAE_PIPELINE_DATA_MIRROR to the folder with cmapss/")
    return _MIRROR


@pytest.fixture(scope="session")
def image_example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A calibrated detector of small pictures with all that lies behind it; see `ImageExample`."""
    from vae_pipeline_tests.detector.image_examples import made_images

    return made_images(tmp_path_factory.mktemp("image_example"))


@pytest.fixture(scope="session")
def sound_example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A calibrated detector of short recordings with all that lies behind it; see `SoundExample`."""
    from vae_pipeline_tests.detector.sound_examples import made_sounds

    return made_sounds(tmp_path_factory.mktemp("sound_example"))


@pytest.fixture(scope="session")
def packed_table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A packed model of a small table; see `Packed`."""
    from vae_pipeline_tests.serving.packed import pack_table

    return pack_table(tmp_path_factory.mktemp("packed_table"))


@pytest.fixture(scope="session")
def packed_sound(sound_example: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A packed model of short recordings; see `Packed`."""
    from vae_pipeline_tests.serving.packed import pack_sound

    return pack_sound(tmp_path_factory.mktemp("packed_sound"), sound_example)


@pytest.fixture(scope="session")
def packed_image(image_example: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A packed model of small pictures; see `Packed`."""
    from vae_pipeline_tests.serving.packed import pack_image

    return pack_image(tmp_path_factory.mktemp("packed_image"), image_example)


@pytest.fixture(scope="session")
def packed_pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A packed model of small pairs; see `Packed`."""
    from vae_pipeline_tests.serving.packed import pack_pair

    return pack_pair(tmp_path_factory.mktemp("packed_pair"))
