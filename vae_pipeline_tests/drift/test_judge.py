"""What is like the reference is no drift, what moved is, and where little is known nothing is said."""

import numpy as np
import pytest

from vae_pipeline.drift.compare import LEVEL, Names, compare
from vae_pipeline.drift.day import DayLog, Span, read_days
from vae_pipeline.drift.judge import input_names, judge, samples_of
from vae_pipeline.drift.record import Drift
from vae_pipeline.drift.samples import Samples
from vae_pipeline_tests.drift.days import DAY, INPUTS, LATENTS, World, answered, keep, opened

SPAN = Span(DAY, DAY)


@pytest.fixture
def like(packed_table):
    """A detector of tables; its reference and inputs are replaced."""
    detector = packed_table.detector
    assert detector.description.medium == "table"
    return detector


@pytest.fixture
def named(monkeypatch):
    """Inputs of the drawn world in place of the detector's."""
    names = tuple(f"sensor {number}" for number in range(1, INPUTS + 1))
    monkeypatch.setattr("vae_pipeline.drift.judge.input_names", lambda _: names)
    return names


def judged(detector, storage, span=SPAN, **more):
    description = detector.description
    log = read_days(storage, description.line, description.dataset, 3, span)
    return judge(detector, 3, span, log, **{"permutations": 499, **more})


def drawn(like, tmp_path, *, seed=0, reference_units=30, reference_each=10, **day):
    world, storage = World(seed), opened(tmp_path)
    detector = world.detector(like, reference_units, reference_each)
    keep(storage, world.day(like.description.dataset, **day), line=like.description.line)
    return judged(detector, storage)


def test_other_units_of_the_same_kind_are_no_drift(like, named, tmp_path):
    """Five pairs of a rate of at most one in twenty; that rate itself is in docs/drift.md."""
    verdicts = [drawn(like, tmp_path / f"{seed}", seed=seed).drift.verdict for seed in range(5)]
    assert verdicts.count("no_drift") >= 4


def test_units_that_all_moved_are_drift_and_the_record_says_how_far(like, named, tmp_path):
    drift = drawn(like, tmp_path, shift=2.0).drift
    assert (drift.verdict, drift.drifted) == ("drift", True)
    assert {family.name for family in drift.families if family.drifted} >= {"scores", "latents", "features"}
    assert {moved.name for moved in drift.features} == set(named)
    assert all(moved.shift == pytest.approx(2.0 / np.sqrt(2.0), abs=0.6) for moved in drift.features)
    shifts = [abs(moved.shift) for moved in drift.features]
    assert shifts == sorted(shifts, reverse=True)
    assert "moved most: sensor" in drift.reason
    assert drift.p_value <= LEVEL


def test_one_input_that_moved_is_named_and_the_others_are_not(like, named, tmp_path):
    world, storage = World(1), opened(tmp_path)
    detector = world.detector(like)
    scores, latents, inputs, codes = world.units(30, 10)
    inputs[:, 2] += 3.0
    names = [f"engine {code}, row {row}" for row, code in enumerate(codes)]
    one = answered(scores, names=names, dataset=like.description.dataset, latent=latents, inputs=inputs)
    keep(storage, one, line=like.description.line)
    drift = judged(detector, storage).drift
    assert drift.verdict == "drift"
    assert drift.features[0].name == named[2]
    assert [moved.name for moved in drift.features if moved.drifted] == [named[2]]


def test_windows_of_one_unit_are_not_counted_as_many(like, named, tmp_path):
    """Without blocks, units that differ alarm by themselves: here they differ, and no more than those before."""
    reference_units, day_units = 30, 12
    found = [
        drawn(like, tmp_path / f"{seed}", seed=seed, reference_units=reference_units, units=day_units, each=20)
        for seed in range(4)
    ]
    assert [each.drift.units for each in found] == [day_units] * 4
    assert sum(each.drift.drifted for each in found) <= 1
    plain = []
    for each in found:
        n, m = len(each.reference), len(each.current)
        alone = [
            Samples(side.scores, side.alarms, codes, codes, side.latents, side.inputs)
            for side, codes in ((each.reference, np.arange(n)), (each.current, np.arange(n, n + m)))
        ]
        plain.append(compare(alone[0], alone[1], each.names, permutations=199).drifted)
    assert sum(plain) >= 3


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ({"units": 3, "each": 4}, "the day has 12 samples of 3 units after thinning, 20 are needed"),
        ({"units": 1, "each": 60}, "cannot be told from the differences there are between units"),
    ],
)
def test_where_there_is_too_little_nothing_is_said_and_why(like, named, tmp_path, day, said):
    drift = drawn(like, tmp_path, shift=9.0, reference_each=20, **day).drift
    assert (drift.verdict, drift.drifted) == ("too_few", False)
    assert said in drift.reason
    assert drift.families == () == drift.statistics
    assert drift.rows == day["units"] * day["each"]


def test_a_day_of_another_version_is_too_few_and_says_so(like, named, tmp_path):
    world, storage = World(), opened(tmp_path)
    keep(storage, world.day(like.description.dataset, version=2), line=like.description.line)
    drift = judged(world.detector(like), storage).drift
    assert drift.verdict == "too_few"
    assert drift.reason == "no predictions of this version were logged, and 300 of other versions"


def test_a_detector_of_before_is_judged_by_scores_and_latents(like, named, tmp_path):
    world, storage = World(), opened(tmp_path)
    detector = world.detector(like)
    for name in ("inputs", "units"):
        del detector.reference[name]
    keep(storage, world.day(like.description.dataset, shift=3.0), line=like.description.line)
    drift = judged(detector, storage).drift
    assert {family.name for family in drift.families} == {"scores", "latents", "alarms"}
    assert any("features are not compared" in note for note in drift.notes)
    assert any("calibrated before units were kept" in note for note in drift.notes)
    assert drift.verdict == "drift"


def test_a_few_machines_are_compared_by_stretches_of_time(like, named, tmp_path):
    world, storage = World(), opened(tmp_path)
    detector = world.detector(like, units=24, each=10)
    detector.reference["units"] = np.zeros(240, np.int64)
    name = like.description.dataset
    for hour in range(24):
        scores, latents, inputs, _ = world.units(1, 10)
        more = {"dataset": name, "hour": hour, "request": f"r{hour}", "latent": latents, "inputs": inputs}
        one = answered(scores, names=["pump, row 1"] * 10, **more)
        keep(storage, one, f"{hour}", like.description.line)
    drift = judged(detector, storage).drift
    assert (drift.verdict, drift.units, drift.reference_units) == ("no_drift", 24, 24)
    assert any("stretches of time are compared" in note for note in drift.notes)


def test_units_are_read_from_names_and_requests_stand_in_for_them(like, tmp_path):
    storage = opened(tmp_path)
    name = like.description.dataset
    names = ["a, row 1", "a, row 2", "b, 2026-03-01T00:00", "a, 1, row 3", "a, 1, row 4"]
    keep(storage, answered([0.0] * 5, names=names, dataset=name), "named", like.description.line)
    keep(storage, answered([0.0] * 3, dataset=name, request="q"), "nameless", like.description.line)
    log = read_days(storage, like.description.line, name, 3, SPAN)
    found = samples_of(like, log.sample)
    _, counts = np.unique(found.units, return_counts=True)
    assert sorted(counts.tolist()) == [1, 2, 2, 3]


def test_missing_values_leave_a_family_out_and_not_the_others(like, named, tmp_path):
    world, storage = World(), opened(tmp_path)
    detector = world.detector(like)
    scores, _, inputs, codes = world.units(30, 10)
    names = [f"engine {code}, row {row}" for row, code in enumerate(codes)]
    one = answered(
        scores, names=names, dataset=like.description.dataset, latent=np.full((300, LATENTS), np.nan), inputs=inputs
    )
    keep(storage, one, line=like.description.line)
    drift = judged(detector, storage).drift
    assert {family.name for family in drift.families} == {"scores", "alarms", "features"}
    assert "latents are not compared: 0 samples have all of them, 20 are needed" in drift.notes


def test_a_verdict_is_the_same_whenever_it_is_asked_for(like, named, tmp_path):
    world, storage = World(), opened(tmp_path)
    detector = world.detector(like)
    keep(storage, world.day(like.description.dataset, shift=0.5), line=like.description.line)
    assert judged(detector, storage).drift == judged(detector, storage).drift


def test_the_record_is_read_back_as_it_was(like, named, tmp_path):
    drift = drawn(like, tmp_path, shift=1.0).drift
    assert Drift.model_validate_json(drift.model_dump_json()) == drift


def test_skipped_files_are_in_the_record(like, tmp_path):
    log = DayLog(rows=0, files=2, skipped_files=1, skipped=["x.parquet: torn"])
    drift = judge(like, 3, SPAN, log).drift
    assert drift.skipped == ("x.parquet: torn",)
    assert "1 of 2 files of the log could not be read and are left out" in drift.notes


def test_inputs_have_the_names_of_the_medium(packed_table, packed_sound, packed_image):
    for packed in (packed_table, packed_sound, packed_image):
        names, kept = input_names(packed.detector), packed.detector.reference["inputs"]
        assert len(names) == kept.shape[1]
        assert len(set(names)) == len(names)


def test_families_are_adjusted_for_their_number():
    random = np.random.default_rng(0)
    sides = [
        Samples(random.normal(size=60), np.zeros(60, bool), np.arange(60) + first, np.zeros(60, np.int64))
        for first in (0, 60)
    ]
    found = compare(sides[0], sides[1], Names(), permutations=99)
    scores, alarms = found.families
    assert scores.adjusted == pytest.approx(min(1.0, 2 * scores.p_value))
    assert alarms.p_value == 1.0
