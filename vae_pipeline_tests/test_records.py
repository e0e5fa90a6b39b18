"""Records are immutable, refuse what they do not know and survive JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vae_pipeline.records import Archive, Artifact, Calibration, Columns, Dataset, Labels, Split, Training, Window

ENTRY = {"name": "pump_3", "title": "Pump 3", "line": "timeseries", "kind": "table", "licence": "own"}


def test_records_do_not_change() -> None:
    record = Dataset.model_validate(ENTRY)
    with pytest.raises(ValidationError, match="frozen"):
        record.title = "other"  # type: ignore[misc]


@pytest.mark.parametrize("record", [Archive, Window, Split, Training, Calibration, Labels])
def test_unknown_fields_are_refused(record: type) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        record.model_validate({"path": "x", "lenght": 5} if record is Archive else {"lenght": 5})


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "with space", "-dash", "ü"])
def test_a_dataset_name_is_a_safe_folder_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Dataset.model_validate({**ENTRY, "name": name})


@pytest.mark.parametrize("field", ["name", "title", "line", "kind", "licence"])
def test_a_dataset_states_what_it_is(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Dataset.model_validate({key: value for key, value in ENTRY.items() if key != field})


@pytest.mark.parametrize("labels", [{"healthy_from": 100}, {"anomalous_below": 30}])
def test_run_to_failure_needs_both_limits(labels: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="both healthy_from and anomalous_below"):
        Labels.model_validate(labels)


@given(healthy_from=st.integers(1, 500), anomalous_below=st.integers(1, 500))
def test_no_row_is_healthy_and_anomalous(healthy_from: int, anomalous_below: int) -> None:
    if healthy_from < anomalous_below:
        with pytest.raises(ValidationError, match="must not be smaller"):
            Labels(healthy_from=healthy_from, anomalous_below=anomalous_below)
    else:
        assert Labels(healthy_from=healthy_from, anomalous_below=anomalous_below).run_to_failure


def test_a_key_is_of_tables_alone_and_says_nothing_where_it_is_not_stated() -> None:
    assert "key" not in Columns(unit="pump").model_dump()
    assert Columns.model_validate(Columns(key="part").model_dump()).key == "part"
    entry = {"name": "a", "title": "a", "line": "timeseries", "licence": "none", "columns": {"key": "part"}}
    assert Dataset.model_validate({**entry, "kind": "table"}).columns.key == "part"
    with pytest.raises(ValidationError, match=r"columns\.key: only data of kind: table .* of kind: cmapss"):
        Dataset.model_validate({**entry, "kind": "cmapss"})


def test_without_limits_nothing_runs_to_failure() -> None:
    assert not Labels().run_to_failure


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (Window, {"length": 0}),
        (Window, {"length": 4097}),
        (Window, {"stride": 0}),
        (Split, {"calibrate": 1.0}),
        (Split, {"test": 0.0}),
        (Training, {"epochs": 0}),
        (Training, {"learning_rate": 0.0}),
        (Training, {"encoder": "gan"}),
        (Calibration, {"false_alarm_rate": 0.0}),
        (Calibration, {"threshold": "guess"}),
        (Archive, {"path": "a.zip", "sha256": "ABC"}),
    ],
)
def test_values_out_of_range_are_refused(record: type, values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        record.model_validate(values)


@given(
    key=st.text(min_size=1),
    facts=st.dictionaries(
        st.text(),
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    ),
)
def test_an_artifact_survives_json(key: str, facts: dict[str, float | int | str | bool | None]) -> None:
    artifact = Artifact(key=key, data_version="0a1b", facts=facts)
    assert Artifact.model_validate_json(artifact.model_dump_json()) == artifact


def test_a_dataset_survives_json() -> None:
    record = Dataset.model_validate({**ENTRY, "ranges": {"pressure": (0.0, 9.5)}, "window": {"length": 32}})
    assert Dataset.model_validate_json(record.model_dump_json()) == record
