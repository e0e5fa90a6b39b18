"""VAE_PIPELINE_* variables, read once, validated."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vae_pipeline.errors import SettingError

__all__ = ["Settings", "from_environment", "has_gpu", "image_side", "load_settings"]

S = TypeVar("S", bound=BaseSettings)


class Settings(BaseSettings):
    """Where things are kept and read from; every field is a ``VAE_PIPELINE_<NAME>`` variable."""

    model_config = SettingsConfigDict(env_prefix="VAE_PIPELINE_", frozen=True, extra="forbid", env_ignore_empty=True)

    home: Path = Field(default=Path(".vae_pipeline"), description="everything the embedded default keeps")
    storage: str | None = Field(default=None, description="folder or s3://bucket/prefix; <home>/storage when left out")
    incoming: str | None = Field(
        default=None, description="folder or s3://bucket/prefix where new data arrive; <storage>/incoming when left out"
    )
    catalog: str | None = Field(default=None, description="your own catalogue files, separated by ':'")
    connectors: str | None = Field(default=None, description="files that describe connectors, separated by ':'")
    data_mirror: str | None = Field(
        default=None, description="folder, http(s):// or s3:// address that holds the archives"
    )
    tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI")
    registry_database: SecretStr | None = Field(
        default=None, description="database behind the MLflow server, such as postgresql+psycopg2://…; for back-ups"
    )
    registry_artifacts: str | None = Field(
        default=None, description="folder or s3://bucket/prefix that the MLflow server keeps artifacts in; for back-ups"
    )
    optuna_storage: str | None = Field(
        default=None, description="database of tuning studies, such as postgresql://…; <home>/tuning when left out"
    )
    base_image: str | None = Field(
        default=None, description="image with Python that Bentos' images start from; python:3.11-slim when left out"
    )
    threads: Annotated[int, Field(ge=1)] | None = Field(default=None, description="CPU threads of training and scoring")
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default=1,
        description="GPUs, or processes where there is none, that a training is spread over: a number, or auto",
    )
    strategy: str = Field(default="auto", description="how Lightning spreads a training, such as ddp")

    executor: Literal["in_process", "multiprocess", "ray"] = Field(
        default="in_process",
        description="where steps run: in the run's process, in one process each, or on a Ray cluster; with ray the "
        "trials of a search and the files of a folder to score are spread over the cluster too",
    )
    ray_address: str | None = Field(default=None, description="where Ray takes jobs, such as http://head:8265")
    ray_client: str | None = Field(
        default=None,
        description="where Ray takes tasks of processes outside the cluster; ray://<host of the address>:10001 when "
        "left out",
    )
    ray_jobs: Literal["run", "step"] = Field(
        default="run",
        description="what becomes a job of Ray: a whole run, or each of its heavy steps with resources of its own",
    )
    ray_cpus: Annotated[float, Field(gt=0)] = Field(default=1, description="CPUs that a training asks Ray for")
    ray_gpus: Annotated[float, Field(ge=0)] = Field(default=0, description="GPUs that a training asks Ray for")
    ray_memory: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="bytes of memory that a training asks Ray for"
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="json: one object a line, with run, asset, partition and model version"
    )

    alerts: SecretStr | None = Field(
        default=None, description="addresses of channels for alerts, in the form of Apprise, separated by spaces"
    )
    alerts_file: Path | None = Field(default=None, description="file that holds such addresses")
    alert_repeat: Annotated[float, Field(ge=0)] = Field(
        default=60.0, description="minutes in which the same alert is not told again"
    )
    alert_every: Annotated[float, Field(ge=0)] = Field(
        default=10.0, description="minutes in which a subject sends no more than five messages to a channel"
    )
    alert_anomalies: Annotated[int, Field(ge=1)] = Field(
        default=3, description="alarms of a dataset and day that make an alert"
    )
    ui_address: str | None = Field(
        default=None, description="where people reach the Dagster UI, such as http://host:3000; for links in alerts"
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def storage_root(self) -> str:
        """The storage root as a path or URL."""
        return str(self.home / "storage") if self.storage is None else _rooted(self.storage)

    @property
    def incoming_root(self) -> str:
        """Where new data arrive, as a path or URL."""
        return f"{self.storage_root.rstrip('/')}/incoming" if self.incoming is None else _rooted(self.incoming)

    @property
    def mlflow_uri(self) -> str:
        """The MLflow tracking and registry address."""
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def catalog_files(self) -> tuple[Path, ...]:
        """The user's own catalogue files, in order."""
        return _paths(self.catalog)

    @property
    def connector_files(self) -> tuple[Path, ...]:
        """The files that describe connectors, in order."""
        return _paths(self.connectors)


def _paths(listed: str | None) -> tuple[Path, ...]:
    return tuple(Path(item).expanduser() for item in (listed or "").split(":") if item)


def _rooted(stated: str) -> str:
    """A URL as it is, a path from the file system's root."""
    return stated if "://" in stated else str(Path(stated).expanduser().resolve())


@cache
def load_settings() -> Settings:
    """Settings from the environment.

    Raises:
        SettingError: a variable cannot be used; the message names it.
    """
    return from_environment(Settings)


def from_environment(kind: type[S]) -> S:
    """Settings of a kind, read anew at each call.

    Raises:
        SettingError: a variable cannot be used; the message names the first, and says why.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(item) for item in first["loc"]).upper()
        name = name if name.startswith("MLFLOW") else f"{kind.model_config.get('env_prefix')}{name}"
        msg = f"{name}: {first['msg']} (got {first.get('input')!r})"
        raise SettingError(msg) from error


@cache
def has_gpu() -> bool:
    """Whether CUDA drives a GPU here; asked of the driver, since loading torch to ask it takes seconds."""
    return Path("/proc/driver/nvidia/gpus").is_dir() and any(Path("/proc/driver/nvidia/gpus").iterdir())


def image_side(stated: int | None) -> int:
    """Pixels on a side of images in training: as stated, else 256 where a GPU is at hand and 128 where none is."""
    return stated or (256 if has_gpu() else 128)
