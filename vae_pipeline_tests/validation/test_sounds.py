import pandas as pd
import pytest

from vae_pipeline.errors import ValidationFailedError
from vae_pipeline.validation.sounds import SoundSuite
from vae_pipeline.validation.statements import SOUND, statements_of
from vae_pipeline.validation.validate import validate
from vae_pipeline.validation.verdict import Outcome, Verdict, raise_if_failed
from vae_pipeline_tests.builders.indexes import sound_dataset, sound_index, write_index

NORMAL = "train/normal/00000005.wav"
ABNORMAL = "train/abnormal/00000033.wav"


def judged(folder, train, test=None, **fields) -> Verdict:
    return validate(sound_dataset(**fields), write_index(folder / "raw", train, test), folder / "out")


def only_failure(verdict: Verdict) -> Outcome:
    (failure,) = verdict.failed()
    return failure


def put(row: int = 5, **values):
    def spoil(index: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            index.loc[row, column] = value
        return index

    return spoil


def copied(source: int, target: int):
    return lambda index: put(target, sha256=index["sha256"].iloc[source])(index)


UNKNOWN = dict.fromkeys(("rate", "channels", "samples", "broken_values", "seconds", "peak", "level_db"), pd.NA)
UNREADABLE = {**UNKNOWN, "clipped_share": float("nan"), "silent": pd.NA, "sha256": None}

# name of the case: catalogue fields, how the index is spoilt, statement, severity, example (or words of the count)
BAD = {
    "a column is missing": (
        {},
        lambda index: index.drop(columns="silent"),
        ("columns_are_present", "critical", "the index lacks silent: materialize the raw data again"),
    ),
    "no clips": ({}, lambda index: index.iloc[:0], ("clips_are_present", "critical", "the part holds no clips")),
    "a broken file": (
        {},
        put(problem=f"{NORMAL}: the file is empty (0 bytes); record it again or remove it", **UNREADABLE),
        ("clips_are_readable", "critical", f"{NORMAL}: the file is empty (0 bytes); record it again or remove it"),
    ),
    "another rate": (
        {},
        put(rate=44_100),
        (
            "rates_agree",
            "critical",
            f"{NORMAL} has 44100 samples a second where 16000 are expected: resample it or state its rate as "
            "sound.rate",
        ),
    ),
    "too few channels": (
        {"sound": {"channel": 1}},
        lambda index: put(channels=1, problem="told by the source as well")(index.assign(channels=2)),
        (
            "channels_suffice",
            "critical",
            f"{NORMAL} has 1 channel, so none numbered 1 counted from 0: record it with more or state another "
            "sound.channel",
        ),
    ),
    "values that are not finite": (
        {},
        put(broken_values=3),
        (
            "values_are_finite",
            "critical",
            f"{NORMAL} holds 3 values that are not finite numbers: repair it or remove it",
        ),
    ),
    # 49 * 512 samples are 50 frames
    "a clip one frame short of the window": (
        {"window": {"length": 50}},
        put(samples=49 * 512 - 1, seconds=1.568),
        (
            "clips_are_long_enough",
            "critical",
            f"{NORMAL} lasts 1.57 s, which is 49 frames where a window needs 50: use longer clips or a smaller "
            "window.length",
        ),
    ),
    "a clip of another length": (
        {},
        put(samples=142_400, seconds=8.9),
        (
            "lengths_agree",
            "warning",
            f"{NORMAL} lasts 8.9 s where the median training clip lasts 10 s: scores of clips of unlike length "
            "compare less well",
        ),
    ),
    "some clipping": (
        {},
        put(clipped_share=0.02, peak=1.0),
        (
            "clipping_is_rare",
            "warning",
            f"{NORMAL} is at full scale in 2.0% of its samples: record it at a lower gain",
        ),
    ),
    "much clipping": (
        {},
        put(clipped_share=0.3, peak=1.0),
        (
            "clipping_is_rare",
            "critical",
            f"{NORMAL} is at full scale in 30.0% of its samples: record it at a lower gain",
        ),
    ),
    "a silent abnormal clip": (
        {},
        put(33, silent=True, peak=1e-5),
        (
            "clips_are_loud_enough",
            "warning",
            f"{ABNORMAL} is silent (peak 1e-05 of full scale): check its microphone",
        ),
    ),
    "a silent normal clip": (
        {},
        put(silent=True, peak=0.0),
        (
            "clips_are_loud_enough",
            "critical",
            f"{NORMAL} is a normal training clip and silent (peak 0 of full scale): remove it, or silence is learnt "
            "as normal",
        ),
    ),
    "a silent clip without label": (
        {},
        put(silent=True, peak=0.0, label=pd.NA),
        (
            "clips_are_loud_enough",
            "critical",
            f"{NORMAL} is a normal training clip and silent (peak 0 of full scale): remove it, or silence is learnt "
            "as normal",
        ),
    ),
    "a clip twice": (
        {},
        copied(2, 5),
        (
            "clips_are_distinct",
            "warning",
            f"{NORMAL} is the same file as train/normal/00000002.wav: remove one of them",
        ),
    ),
    "a clip under both labels": (
        {},
        copied(5, 33),
        (
            "clips_are_distinct",
            "critical",
            f"{ABNORMAL} and {NORMAL} are the same file, once normal and once abnormal: remove the wrong one",
        ),
    ),
    "labels of three kinds": (
        {},
        put(label=2),
        ("labels_are_binary", "critical", f"{NORMAL} has label 2: state 0, 1 or none"),
    ),
    "few clips": (
        {},
        lambda index: index.iloc[3:],
        (
            "clips_are_enough",
            "warning",
            "only 29 normal clips in train: figures from fewer than 30 are coarse, so read them with their intervals",
        ),
    ),
    "hardly any clips": (
        {},
        lambda index: index.iloc[29:],
        (
            "clips_are_enough",
            "critical",
            "only 3 normal clips in train: at least 4 are needed to fit and to calibrate, so add some",
        ),
    ),
    "fewer clips than published": (
        {"published": {"train_rows": 1418, "test_rows": 0, "train_units": 1, "test_units": 0}},
        lambda index: index,
        ("counts_are_as_published", "warning", "train holds 36 clips where 1,418 are published"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_clips_fail_one_statement(case, tmp_path):
    fields, spoil, (name, severity, sentence) = BAD[case]

    verdict = judged(tmp_path, spoil(sound_index()), **fields)

    failure = only_failure(verdict)
    assert (failure.name, failure.severity, failure.part) == (name, severity, "train")
    assert failure.example == sentence
    assert verdict.success == (severity != "critical")
    if severity == "critical":
        with pytest.raises(ValidationFailedError, match=f"'fans' is not fit to use: {name} fails in train"):
            raise_if_failed(verdict, sound_dataset())


def test_every_statement_has_a_bad_case():
    assert {name for _, _, (name, _, _) in BAD.values()} | {"parts_are_apart"} == set(SOUND)


def test_good_clips_hold_every_statement(tmp_path):
    published = {"train_rows": 36, "test_rows": 12, "train_units": 1, "test_units": 1}

    verdict = judged(tmp_path, sound_index(), sound_index("test", 6, 6), published=published)

    assert verdict.failed() == ()
    assert {outcome.name for outcome in verdict.expectations} == set(SOUND)
    assert [(size.part, size.rows, size.noun) for size in verdict.sizes] == [
        ("train", 36, "clips"),
        ("test", 12, "clips"),
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "train: 36 clips (<a" in page
    assert "Rows count" not in page
    observed = {outcome.name: outcome.observed for outcome in verdict.expectations if outcome.part == "train"}
    assert observed["clips_are_present"] == "36 clips"
    assert observed["rates_agree"] == "all 36 clips"
    assert observed["clips_are_enough"] == "32 normal clips"


def test_clip_one_frame_longer_fills_the_window(tmp_path):
    index = put(samples=49 * 512, seconds=10.0)(sound_index())

    assert judged(tmp_path, index, window={"length": 50}).failed() == ()


def test_nothing_that_can_be_read_still_tells_why(tmp_path):
    index = sound_index()
    for row in range(len(index)):
        index = put(row, problem=f"{index['unit'].iloc[row]}.wav: holds no samples", **UNREADABLE)(index)

    verdict = judged(tmp_path, index)

    assert [outcome.name for outcome in verdict.failed()] == ["clips_are_readable", "clips_are_enough"]
    assert verdict.failed()[0].observed == "36 of 36 clips"


def test_silence_in_the_test_part_is_a_warning(tmp_path):
    test = put(0, silent=True, peak=0.0)(sound_index("test", 6, 6))

    failure = only_failure(judged(tmp_path, sound_index(), test))

    assert (failure.part, failure.name, failure.severity) == ("test", "clips_are_loud_enough", "warning")


def test_test_clips_are_compared_with_training_clips(tmp_path):
    test = put(3, sha256="train 7")(sound_index("test", 6, 6).assign(seconds=20.0))

    verdict = judged(tmp_path, sound_index(), test)

    assert [(o.name, o.severity, o.part) for o in verdict.failed()] == [
        ("lengths_agree", "warning", "test"),
        ("parts_are_apart", "critical", "test"),
    ]
    assert verdict.failed()[0].observed == "12 of 12 clips"
    assert verdict.failed()[1].example == (
        "test/normal/00000003.wav is the same file as train/normal/00000007.wav of the training part: "
        "remove one of them"
    )


def test_line_of_time_series_knows_all_statements_of_clips_once():
    names = statements_of("timeseries")

    assert set(SOUND) < set(names)
    assert len(names) == len(set(names))
    suite = SoundSuite(sound_dataset())
    assert all(suite.expected(name, part) for name in SOUND for part in ("train", "test"))
