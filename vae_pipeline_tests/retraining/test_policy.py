"""The policy as a table: what is known, and what is done."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vae_pipeline.retraining.policy import Evidence, Policy, decide

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
DAY = dt.date(2026, 3, 9)


def ago(**span):
    return NOW - dt.timedelta(**span)


DRIFT = {"drifted": True, "day": DAY, "known": 1000}
FRESH = {"known": 1000, "new": 500}
TABLE = [
    # evidence, policy, action, part of the reason
    ({}, {}, "wait", "no drift and no new data"),
    (FRESH, {}, "retrain", "500 new samples"),
    ({**FRESH, "new": 199}, {}, "wait", "199 new samples of 200"),
    ({**FRESH, "new": 200}, {}, "retrain", "200 new samples"),
    ({"new": 1}, {}, "retrain", "1 new samples"),
    (DRIFT, {}, "alert", "no new data to learn from"),
    ({**DRIFT, "new": 19}, {}, "alert", "19 new samples of 20"),
    ({**DRIFT, "new": 20}, {}, "retrain", "drift on 2026-03-09 and 20 new samples"),
    ({**DRIFT, "new": 20, "running": True}, {}, "wait", "under way"),
    ({**FRESH, "running": True}, {}, "wait", "under way"),
    ({"running": True}, {}, "wait", "no drift"),
    ({**FRESH, "begun": (ago(hours=23),)}, {}, "wait", "less than 24 hours ago"),
    ({**FRESH, "begun": (ago(hours=24),)}, {}, "retrain", "500"),
    ({**FRESH, "begun": (ago(hours=23),)}, {"cooldown": 0}, "retrain", "500"),
    ({**FRESH, "begun": (ago(days=2), ago(days=3), ago(days=4))}, {}, "wait", "3 retrainings in seven days"),
    ({**DRIFT, "new": 20, "begun": (ago(days=2), ago(days=3), ago(days=4))}, {}, "alert", "3 retrainings"),
    ({**FRESH, "begun": (ago(days=2), ago(days=3), ago(days=7))}, {}, "retrain", "500"),
    (FRESH, {"weekly": 0}, "wait", "0 retrainings"),
    ({**FRESH, "begun": (NOW + dt.timedelta(days=400),)}, {}, "retrain", "500"),
    (FRESH, {"quiet": "8-18"}, "wait", "quiet hours (8-18 UTC)"),
    (FRESH, {"quiet": "22-6"}, "retrain", "500"),
    (FRESH, {"quiet": "20-13"}, "wait", "quiet hours"),
    (FRESH, {"quiet": "12-13"}, "wait", "quiet hours"),
    (FRESH, {"quiet": "8-12"}, "retrain", "500"),
]


@pytest.mark.parametrize(("evidence", "policy", "action", "reason"), TABLE)
def test_what_is_done(evidence, policy, action, reason):
    decision = decide(Evidence(**evidence), Policy(**policy), NOW)
    assert decision.action == action
    assert reason in decision.reason


evidences = st.builds(
    Evidence,
    drifted=st.booleans(),
    day=st.just(DAY),
    known=st.integers(0, 100),
    new=st.integers(0, 100),
    begun=st.lists(st.integers(-20, 400).map(lambda hours: ago(hours=hours)), max_size=5).map(tuple),
    running=st.booleans(),
)
policies = st.builds(
    Policy,
    cooldown=st.integers(0, 100),
    weekly=st.integers(0, 4),
    quiet=st.none() | st.sampled_from(["0-23", "11-13", "13-11", "3-4"]),
)


@given(evidences, policies)
def test_never_more_than_the_week_allows_never_two_at_once_never_without_new_data(evidence, policy):
    if decide(evidence, policy, NOW).action == "retrain":
        assert evidence.new
        assert not evidence.running
        assert sum(NOW - time < dt.timedelta(days=7) for time in evidence.begun) < policy.weekly
        assert all(NOW - time >= dt.timedelta(hours=policy.cooldown) for time in evidence.begun if time <= NOW)


@given(evidences, policies)
def test_only_drift_alerts(evidence, policy):
    assert decide(evidence, policy, NOW).action != "alert" or evidence.drifted


@pytest.mark.parametrize("quiet", ["22", "24-6", "7-7", "a-b"])
def test_hours_that_are_none_are_refused(quiet):
    with pytest.raises(ValidationError):
        Policy(quiet=quiet)
