"""Every sensor and schedule in every situation of a tick: the table of where each is tested, or why it cannot be."""

import importlib

import pytest

from vae_pipeline.definitions import defs

SITUATIONS = ("first", "nothing new", "new", "partly new", "failing source", "second tick", "killed")
"""The last: the daemon is killed between evaluation and launch."""

NEW_DATA = "defs.test_new_data.TestTicks."
RETRAIN = "defs.test_retrain."
CHAMPION = "defs.test_bento.TestChampionChanged."
DAILY = "defs.test_drift_report.TestSchedule."
WEEKLY = "defs.test_schedule."
ALERTING = "defs.test_alerting."
CONNECT = "defs.test_connecting."
LOST = "defs.test_lost_runs."
NONE = "none: "
"""Why there is no such tick; the tests' module says it at length."""

TICKS = {
    "new_data": (
        f"{NEW_DATA}test_the_first_tick_over_a_file_waits_for_it_to_be_whole",
        f"{NEW_DATA}test_when_all_was_received_nothing_is_left_to_say",
        f"{NEW_DATA}test_a_file_that_stayed_the_same_is_asked_for",
        f"{NEW_DATA}test_a_new_file_beside_one_that_is_known_is_a_request_of_its_own",
        f"{NEW_DATA}test_storage_that_cannot_be_reached_is_told_and_the_cursor_stays",
        f"{NEW_DATA}test_a_second_tick_over_the_same_files_asks_for_the_same_run",
        f"{NEW_DATA}test_a_daemon_killed_before_the_launch_asks_for_the_same_run_again",
    ),
    "retrain": (
        f"{RETRAIN}TestWaits.test_a_first_tick_with_nothing_new_says_so",
        f"{RETRAIN}TestWaits.test_reports_that_say_nothing_of_this_champion_start_nothing",
        f"{RETRAIN}TestRetrains.test_new_data_start_a_run_of_the_dataset",
        f"{RETRAIN}TestRetrains.test_more_new_data_after_it_are_other_evidence",
        f"{RETRAIN}TestWaits.test_a_storage_that_fails_decides_nothing",
        f"{RETRAIN}TestRetrains.test_a_second_tick_over_the_same_evidence_starts_nothing",
        f"{RETRAIN}TestRetrains.test_a_tick_whose_run_was_not_launched_asks_for_the_same_run",
    ),
    "champion_changed": (
        f"{CHAMPION}test_the_first_champions_are_packed",
        f"{CHAMPION}test_the_same_champions_are_not_packed_again_and_the_tick_names_them",
        f"{CHAMPION}test_a_champion_by_hand_and_back_are_two_requests",
        f"{CHAMPION}test_one_more_dataset_is_a_change",
        f"{CHAMPION}test_a_registry_that_cannot_be_reached_is_said_and_tried_again",
        f"{CHAMPION}test_a_second_tick_asks_for_the_same_run",
        f"{CHAMPION}test_a_tick_that_was_not_launched_asks_for_the_same_run_again",
    ),
    "drift_daily": (
        f"{DAILY}test_every_dataset_with_a_champion_has_yesterday_judged",
        f"{NONE}every tick has a day of its own",
        f"{DAILY}test_the_next_day_is_asked_for_by_the_next_tick",
        f"{DAILY}test_a_dataset_that_has_a_champion_by_the_second_tick_of_a_day_is_the_only_one_added",
        f"{DAILY}test_a_registry_that_cannot_be_reached_is_said",
        f"{DAILY}test_a_second_tick_of_a_day_asks_for_the_same_run",
        f"{DAILY}test_a_daemon_killed_before_the_launch_asks_for_the_same_run",
    ),
    "retrain_weekly": (
        f"{WEEKLY}test_where_nothing_is_trained_the_tick_is_skipped_with_the_reason",
        f"{WEEKLY}test_nothing_new_in_a_week_is_a_run_all_the_same",
        f"{WEEKLY}test_every_trained_dataset_is_run_once_a_week",
        f"{WEEKLY}test_a_dataset_trained_between_two_ticks_of_a_week_is_the_only_one_added",
        f"{WEEKLY}test_a_registry_that_cannot_be_reached_is_said",
        f"{WEEKLY}test_a_second_tick_of_a_week_asks_for_the_same_runs",
        f"{WEEKLY}test_a_daemon_that_was_killed_before_the_launch_asks_for_the_same_runs",
    ),
    "alert_events": (
        f"{ALERTING}TestEvents.test_the_first_tick_begins_with_what_happens_from_now_on",
        f"{ALERTING}TestEvents.test_nothing_new_is_said",
        f"{ALERTING}TestEvents.test_what_is_new_is_told_in_order_with_dataset_and_failed_statements",
        f"{ALERTING}TestEvents.test_of_what_is_partly_new_the_new_is_told",
        f"{ALERTING}TestEvents.test_an_outbox_that_cannot_be_written_makes_it_read_the_events_again",
        f"{ALERTING}TestEvents.test_a_second_tick_over_the_same_events_tells_nothing",
        f"{ALERTING}TestEvents.test_a_daemon_that_is_killed_before_the_cursor_is_kept_tells_nothing_twice",
    ),
    "anomalies": (
        f"{ALERTING}TestAnomalies.test_the_first_tick_tells_of_what_lies_there",
        f"{ALERTING}TestAnomalies.test_without_new_predictions_that_is_said",
        f"{ALERTING}TestAnomalies.test_what_came_since_is_told",
        f"{ALERTING}TestAnomalies.test_of_what_is_partly_new_the_new_is_told",
        f"{ALERTING}TestAnomalies.test_a_storage_that_fails_is_said",
        f"{ALERTING}TestAnomalies.test_are_told_once_by_dataset",
        f"{ALERTING}TestAnomalies.test_a_daemon_killed_before_the_outbox_is_written_tells_at_the_next_tick",
    ),
    "lost_runs": (
        f"{LOST}test_the_first_tick_without_runs_has_nothing_to_end",
        f"{LOST}test_runs_that_live_are_of_other_hosts_or_unknown_stay",
        f"{LOST}test_a_run_whose_process_is_gone_is_ended_and_named",
        f"{LOST}test_of_several_runs_the_lost_one_is_ended",
        f"{NONE}it reads Dagster's own records",
        f"{LOST}test_a_second_tick_has_nothing_to_end",
        f"{NONE}it asks for no run",
    ),
    "run_failure": (
        f"{ALERTING}TestRunFailure.test_is_told_with_its_sentence_and_once",
        f"{NONE}Dagster calls it with a failed run",
        f"{ALERTING}TestRunFailure.test_another_failure_is_told_as_well",
        f"{ALERTING}TestRunFailure.test_of_several_runs_each_new_one_is_told",
        f"{ALERTING}TestRunFailure.test_an_outbox_that_cannot_be_written_fails_the_tick_so_that_dagster_asks_again",
        f"{ALERTING}TestRunFailure.test_the_same_run_heard_of_again_is_told_once",
        f"{ALERTING}TestRunFailure.test_a_daemon_killed_before_the_outbox_is_written_tells_at_the_next_tick",
    ),
    "alerts": (
        f"{ALERTING}TestDelivery.test_the_first_tick_delivers_what_waited_for_it",
        f"{ALERTING}TestDelivery.test_where_nothing_waits_that_is_said",
        f"{ALERTING}TestDelivery.test_what_waits_is_delivered_and_said",
        f"{ALERTING}TestDelivery.test_of_what_is_partly_new_the_new_is_delivered",
        f"{ALERTING}TestDelivery.test_a_channel_that_fails_is_said_and_what_it_did_not_take_waits",
        f"{ALERTING}TestDelivery.test_a_second_tick_delivers_nothing_again",
        "alerts.test_deliver.TestProcesses."
        "test_one_that_is_killed_between_sending_and_noting_sends_that_message_twice_and_no_other",
    ),
    "connect": (
        f"{CONNECT}TestSchedule.test_the_first_tick_asks_for_a_run_of_its_connector",
        f"{CONNECT}TestJob.test_nothing_new_is_no_batch",
        f"{CONNECT}TestSchedule.test_a_later_moment_is_another_run",
        f"{CONNECT}TestJob.test_of_what_is_partly_new_only_the_new_rows_come",
        f"{CONNECT}TestJob.test_a_source_that_fails_is_told_in_one_sentence",
        f"{CONNECT}TestSchedule.test_a_second_tick_of_the_same_moment_asks_for_the_same_run",
        f"{CONNECT}TestSchedule.test_a_daemon_killed_before_the_launch_asks_for_the_same_run",
    ),
}
"""By name without the line; those of `connect` are there where connectors are."""


def test_every_sensor_and_schedule_is_in_the_table():
    repository = defs().get_repository_def()
    names = {each.name for each in (*repository.sensor_defs, *repository.schedule_defs)}
    lines = ("timeseries_", "vision_", "multimodal_")
    found = {name.partition("_")[2] if name.startswith(lines) else name for name in names}
    assert found | {"connect"} == set(TICKS)


@pytest.mark.parametrize(
    ("name", "situation", "tested"),
    [
        (name, situation, tested)
        for name, found in TICKS.items()
        for situation, tested in zip(SITUATIONS, found, strict=True)
        if not tested.startswith(NONE)
    ],
)
def test_each_situation_has_its_test(name, situation, tested):
    folder, module, *place = tested.split(".")
    found = importlib.import_module(f"vae_pipeline_tests.{folder}.{module}")
    for part in place:
        assert hasattr(found, part), f"{name}, {situation}: {tested} is gone"
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("name", TICKS)
def test_no_test_stands_for_two_situations(name):
    tested = [each for each in TICKS[name] if not each.startswith(NONE)]
    assert len(set(tested)) == len(tested)
