"""The policy from the environment."""

import pytest

from vae_pipeline.errors import SettingError
from vae_pipeline.retraining.policy import Policy
from vae_pipeline.retraining.settings import load_policy


def test_without_variables_the_defaults_hold(monkeypatch):
    monkeypatch.delenv("VAE_PIPELINE_RETRAIN_WEEKLY", raising=False)
    assert load_policy().model_dump(exclude={"warm_start"}) == Policy().model_dump()


def test_each_field_is_a_variable(monkeypatch):
    stated = {"COOLDOWN": "1.5", "FEWEST_NEW": "0.5", "WEEKLY": "7", "QUIET": "22-6", "WARM_START": "true"}
    for name, value in stated.items():
        monkeypatch.setenv(f"VAE_PIPELINE_RETRAIN_{name}", value)
    policy = load_policy()
    assert (policy.cooldown, policy.fewest_new, policy.weekly, policy.quiet) == (1.5, 0.5, 7, "22-6")
    assert policy.warm_start


@pytest.mark.parametrize(("name", "value"), [("WEEKLY", "often"), ("QUIET", "25-6"), ("COOLDOWN", "-1")])
def test_what_cannot_be_used_is_refused_by_its_name(monkeypatch, name, value):
    monkeypatch.setenv(f"VAE_PIPELINE_RETRAIN_{name}", value)
    with pytest.raises(SettingError, match=f"VAE_PIPELINE_RETRAIN_{name}.*{value}"):
        load_policy()
