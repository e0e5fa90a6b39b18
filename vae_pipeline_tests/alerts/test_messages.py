"""Few alerts are a message each; many of a kind are one, and the order of every subject is kept."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.alerts.messages import MANY, messages
from vae_pipeline.alerts.outbox import Kept
from vae_pipeline_tests.alerts.builders import alert


def kept(alerts):
    return [Kept(number, each, 0.0, 0, 0, None, {}) for number, each in enumerate(alerts, start=1)]


kinds = st.sampled_from(["drift", "data", "promotion"])
waiting = st.lists(st.builds(alert, kind=kinds, subject=st.sampled_from("abc"), over=st.booleans()), max_size=30)


@given(waiting)
def test_every_alert_is_in_one_message_and_subjects_keep_their_order(alerts):
    found = messages(kept(alerts))
    ids = [id_ for message in found for id_ in message.alerts]
    assert sorted(ids) == list(range(1, len(alerts) + 1))
    for subject in "abc":
        of_it = [id_ for id_ in ids if alerts[id_ - 1].subject == subject]
        assert of_it == sorted(of_it)


@given(waiting)
def test_only_what_is_many_is_put_together(alerts):
    counted = Counter((each.kind, each.over) for each in alerts)
    for message in messages(kept(alerts)):
        of_a_kind = {(alerts[id_ - 1].kind, alerts[id_ - 1].over) for id_ in message.alerts}
        assert len(of_a_kind) == 1
        assert len(message.alerts) == 1 or counted[of_a_kind.pop()] >= MANY


def test_few_are_told_in_the_order_in_which_they_came():
    few = [alert(kind=kind, subject=subject) for kind, subject in (("drift", "a"), ("data", "b"), ("drift", "c"))]
    assert [message.alerts for message in messages(kept(few))] == [(1,), (2,), (3,)]


def test_many_of_a_kind_are_one_message_with_counts():
    failures = [alert(kind="run_failure", subject=f"vision/{n % 12}", text=f"text {n}") for n in range(40)]
    failures[7] = alert(kind="run_failure", subject="vision/7", severity="critical")
    (message,) = messages(kept(failures))
    assert message.title == "40 alerts: run failed"
    assert message.severity == "critical"
    assert "- vision/0 (4, the last of them): text 36" in message.body
    assert "and 2 more" in message.body


def test_a_message_says_what_where_and_when():
    (message,) = messages([Kept(1, alert(link="http://ui/runs/1"), 0.0, 0, 3, None, {})])
    assert message.title == "timeseries/FD001: drift"
    assert message.body.splitlines() == [
        "drift/timeseries/FD001",
        "It came 3 more times since it was told last.",
        "http://ui/runs/1",
        "2026-03-01 12:00:00 UTC",
    ]
    (over,) = messages(kept([alert(over=True)]))
    assert over.title == "timeseries/FD001: drift is over"
