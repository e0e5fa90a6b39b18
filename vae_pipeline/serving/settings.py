"""VAE_PIPELINE_SERVICE_* variables: what a service allows, how it batches, where it keeps its log."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from vae_pipeline.errors import SettingError
from vae_pipeline.settings import from_environment

__all__ = ["ServiceSettings", "load_service_settings"]

_PREFIX = "VAE_PIPELINE_SERVICE_"


class ServiceSettings(BaseSettings):
    """What a service allows; every field is a ``VAE_PIPELINE_SERVICE_<NAME>`` variable."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    models: str | None = Field(default=None, description="folders of packed models, separated by ':'; the Bento's own")
    token: SecretStr | None = Field(default=None, description="asked of every request but those for health")
    token_file: Path | None = Field(default=None, description="file that holds the token")
    workers: int = Field(default=2, ge=1, le=64, description="processes")
    threads: int = Field(default=1, ge=1, le=64, description="batches at once in each process")
    timeout: int = Field(default=10, ge=1, description="seconds before an unanswered request gets 504")
    concurrency: int = Field(default=128, ge=1, description="requests at once in a process; more get 429")
    waiting: int = Field(default=20_000, ge=1, description="samples that may wait for the model; more get 503")
    explaining: int = Field(default=8, ge=1, description="requests that are being explained; more get 503")
    max_batch: int = Field(default=256, ge=1, description="samples the model takes at once")
    max_body: int = Field(default=64 * 2**20, ge=1024, description="bytes of a request")
    max_rows: int = Field(default=200_000, ge=1, description="rows of a table")
    max_samples: int = Field(default=10_000, ge=1, description="windows, clips, images or pairs of a request")
    max_files: int = Field(default=64, ge=1, description="files of a request")
    max_pixels: int = Field(
        default=25_000_000, ge=256, description="of an image; those of a request may have four times as many together"
    )
    max_streams: int = Field(
        default=512, ge=1, description="streams open at once in a process; more are closed with 1013"
    )
    max_units: int = Field(default=1_000, ge=1, description="units a stream may hold at once")
    log: Literal["on", "off"] = Field(default="on", description="whether predictions are kept")
    log_every: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=5.0, description="seconds between two files of the log: what a crash may lose"
    )
    log_rows: int = Field(default=200_000, ge=1, description="rows that wait in memory while the log cannot be written")
    traces: str | None = Field(
        default=None,
        description="address of an OpenTelemetry collector (OTLP over HTTP), such as http://collector:4318",
    )
    traces_share: float = Field(default=1.0, ge=0, le=1, description="of requests without a trace of their own")

    @property
    def secret(self) -> str | None:
        """The token, stated or read from its file.

        Raises:
            SettingError: the file cannot be read or is empty.
        """
        if self.token_file is None:
            return self.token.get_secret_value() if self.token else None
        try:
            secret = self.token_file.read_text().strip()
        except OSError as error:
            msg = f"{_PREFIX}TOKEN_FILE: {self.token_file} cannot be read ({error.strerror})"
            raise SettingError(msg) from error
        if not secret:
            msg = f"{_PREFIX}TOKEN_FILE: {self.token_file} is empty; write the token into it"
            raise SettingError(msg)
        return secret


@cache
def load_service_settings() -> ServiceSettings:
    """Settings from the environment.

    Raises:
        SettingError: a variable cannot be used; the message names it.
    """
    return from_environment(ServiceSettings)
