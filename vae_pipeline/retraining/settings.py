"""The policy as the environment states it: every field is a ``VAE_PIPELINE_RETRAIN_<NAME>`` variable."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vae_pipeline.retraining.policy import Policy
from vae_pipeline.settings import from_environment

__all__ = ["RetrainingSettings", "load_policy"]


class RetrainingSettings(Policy, BaseSettings):
    """The policy, and what a retraining begins with.

    Attributes:
        warm_start: begin with the champion's weights instead of from scratch.
    """

    model_config = SettingsConfigDict(
        env_prefix="VAE_PIPELINE_RETRAIN_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    warm_start: bool = Field(default=False)


def load_policy() -> RetrainingSettings:
    """The policy from the environment, read anew at each call.

    Raises:
        SettingError: a variable cannot be used; the message names it.
    """
    return from_environment(RetrainingSettings)
