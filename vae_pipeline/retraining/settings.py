"""The policy as the environment states it: every field is a ``VAE_PIPELINE_RETRAIN_<NAME>`` variable."""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vae_pipeline.retraining.policy import Policy
from vae_pipeline.settings import refused_setting

__all__ = ["RetrainingSettings", "load_policy"]

_PREFIX = "VAE_PIPELINE_RETRAIN_"


class RetrainingSettings(Policy, BaseSettings):
    """The policy, and what a retraining begins with.

    Attributes:
        warm_start: begin with the champion's weights instead of from scratch.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    warm_start: bool = Field(default=False)


def load_policy() -> RetrainingSettings:
    """The policy from the environment, read anew at each call.

    Raises:
        SettingError: a variable cannot be used; the message names it.
    """
    try:
        return RetrainingSettings()
    except ValidationError as error:
        raise refused_setting(error, _PREFIX) from error
