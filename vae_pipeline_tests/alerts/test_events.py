"""From what stages say of themselves to what people are told, as a table; what is missing is no alarm and no end."""

import pytest

from vae_pipeline.alerts.events import Event, Failure, alert_of, alert_of_failure
from vae_pipeline_tests.alerts.builders import NOON


def told(stage, failed=(), **facts):
    return alert_of(Event("timeseries", stage, "FD001", facts, tuple(failed), NOON, "event/1", "http://ui/runs/1"))


@pytest.mark.parametrize(
    ("stage", "facts", "kind", "severity", "over", "text"),
    [
        (
            "promoted",
            {"promoted": True, "champion": 4, "before": 3, "challenger": 4, "reason": "PR-AUC is higher"},
            "promotion",
            "info",
            False,
            "Version 4 is champion of timeseries/FD001 now instead of version 3. PR-AUC is higher.",
        ),
        (
            "promoted",
            {"promoted": True, "champion": 1, "challenger": 1, "reason": "no champion yet"},
            "promotion",
            "info",
            False,
            "Version 1 is champion of timeseries/FD001 now. No champion yet.",
        ),
        (
            "promoted",
            {"promoted": False, "champion": 3, "challenger": 4, "reason": "not better"},
            "retraining",
            "info",
            False,
            "Version 4 did not win; version 3 stays champion. Not better.",
        ),
        (
            "promoted",
            {"promoted": True},
            "promotion",
            "info",
            False,
            "A new version is champion of timeseries/FD001 now.",
        ),
        (
            "validated",
            {"critical_failures": 4, "failed": ("rows_are_complete", "units_are_long")},
            "validation",
            "critical",
            False,
            "The data of timeseries/FD001 are unfit: 2 critical statements do not hold (rows_are_complete, "
            "units_are_long); nothing is trained.",
        ),
        (
            "validated",
            {"critical_failures": 1},
            "validation",
            "critical",
            False,
            "The data of timeseries/FD001 are unfit: a critical statement does not hold; nothing is trained.",
        ),
        (
            "validated",
            {"failed": ("rows_are_complete",)},
            "validation",
            "critical",
            False,
            "The data of timeseries/FD001 are unfit: a critical statement does not hold (rows_are_complete); "
            "nothing is trained.",
        ),
        (
            "validated",
            {"critical_failures": 0},
            "validation",
            "info",
            True,
            "The data of timeseries/FD001 are fit for use again.",
        ),
        (
            "drift_report",
            {"drifted": True, "day": "2026-03-01", "samples": 1200, "reason": "scores are higher"},
            "drift",
            "warning",
            False,
            "timeseries/FD001 drifts on 2026-03-01, of 1,200 samples. Scores are higher.",
        ),
        ("drift_report", {"failed": ("no_drift",)}, "drift", "warning", False, "timeseries/FD001 drifts."),
        (
            "drift_report",
            {"drifted": False, "day": "2026-03-02"},
            "drift",
            "info",
            True,
            "Drift of timeseries/FD001 is over on 2026-03-02.",
        ),
        (
            "received",
            {"accepted": False, "reason": "columns are missing"},
            "data",
            "warning",
            False,
            "New data of timeseries/FD001 were refused. Columns are missing.",
        ),
        (
            "received",
            {"accepted": True, "refused": 3, "rows": 900},
            "data",
            "warning",
            False,
            "3 batches of new data of timeseries/FD001 were refused.",
        ),
        (
            "received",
            {"accepted": 0, "refused": 1, "reason": "a label is missing"},
            "data",
            "warning",
            False,
            "A batch of new data of timeseries/FD001 was refused. A label is missing.",
        ),
    ],
)
def test_what_is_told(stage, facts, kind, severity, over, text):
    facts = dict(facts)
    alert = told(stage, facts.pop("failed", ()), **facts)
    assert alert is not None
    assert (alert.kind, alert.severity, alert.over, alert.text) == (kind, severity, over, text)
    assert (alert.subject, alert.time, alert.origin, alert.link) == (
        "timeseries/FD001",
        NOON,
        "event/1",
        "http://ui/runs/1",
    )


@pytest.mark.parametrize(
    ("stage", "facts"),
    [
        ("promoted", {"promoted": True, "champion": 3, "before": 3, "challenger": 3, "reason": "champion already"}),
        ("promoted", {}),
        ("promoted", {"champion": 3, "reason": "?"}),
        ("validated", {}),
        ("validated", {"critical_failures": "many"}),
        ("drift_report", {}),
        ("drift_report", {"drifted": False, "samples": 0}),
        ("drift_report", {"drifted": False, "samples": 9, "verdict": "too_few"}),
        ("received", {}),
        ("received", {"accepted": True, "rows": 900, "version": 2}),
        ("received", {"accepted": True, "refused": 0}),
        ("received", {"accepted": 0, "refused": 0, "known": 1}),
        ("trained", {"drifted": True, "promoted": True}),
    ],
)
def test_what_is_not_told(stage, facts):
    assert told(stage, **facts) is None


@pytest.mark.parametrize(
    ("alarm", "end"),
    [
        (("validated", {"critical_failures": 1}), ("validated", {"critical_failures": 0})),
        (("drift_report", {"drifted": True}), ("drift_report", {"drifted": False})),
    ],
)
def test_an_alarm_and_its_end_share_a_key(alarm, end):
    first, last = (told(stage, **facts) for stage, facts in (alarm, end))
    assert first.key == last.key


def test_every_promotion_has_a_key_of_its_own():
    keys = {told("promoted", promoted=True, champion=number, before=number - 1).key for number in (2, 3)}
    assert len(keys) == 2


def test_the_report_is_the_link_where_there_is_one():
    page = {"page": "https://plant/page.html", "report": "reports/drift/timeseries/FD001"}
    assert told("drift_report", drifted=True, **page).link == "https://plant/page.html"
    assert told("drift_report", drifted=True, report=page["report"]).link == "http://ui/runs/1"
    assert (
        told("validated", critical_failures=1, report="http://plant/verdict.html").link == "http://plant/verdict.html"
    )


def test_a_file_of_the_worker_is_no_link_and_where_it_is_kept_is_said():
    page = {"page": "file:///page.html", "report": "reports/drift/timeseries/FD001"}
    found = told("drift_report", drifted=True, **page)
    assert found.link == "http://ui/runs/1"
    assert found.text.endswith(" The report is reports/drift/timeseries/FD001 in the storage; make reports shows all.")
    assert told("validated", critical_failures=1, report="file:///verdict.html").link == "http://ui/runs/1"


class TestFailure:
    def failed(self, **more):
        given = {
            "job": "timeseries",
            "dataset": "FD001",
            "step": "timeseries__raw",
            "error": "no such file",
            "run": "a",
        }
        return alert_of_failure(Failure(**{**given, "time": NOON, **more}))

    def test_is_told_with_step_and_sentence(self):
        alert = self.failed(run="0123456789", link="http://ui/runs/0123456789")
        assert alert.text == "Run 01234567 of timeseries/FD001 failed in step timeseries__raw: no such file"
        assert (alert.kind, alert.severity, alert.link) == ("run_failure", "critical", "http://ui/runs/0123456789")

    def test_without_a_step_or_reason_is_told_as_well(self):
        assert self.failed(step="", error=" ").text == "Run a of timeseries/FD001 failed: no reason was given"

    def test_of_the_same_reason_is_the_same_and_of_another_is_not(self):
        assert self.failed(run="b").key == self.failed().key
        assert self.failed(run="b").origin != self.failed().origin
        assert self.failed(error="disk full").key != self.failed().key
