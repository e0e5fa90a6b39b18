from vae_pipeline.console import StageLog, detector_table, folds_table, grid, trials_table
from vae_pipeline.experiments.best import TrialRow
from vae_pipeline.experiments.cross_validate import Fold


def test_a_grid_is_aligned_and_its_head_underlined():
    assert grid([["name", "n"], ["a", "10"], ["longer", "2"]]).split("\n") == [
        "name    n",
        "──────  ──",
        "a       10",
        "longer  2",
    ]


def test_detectors_stand_best_first_and_gaps_are_dashes():
    metrics = {
        "test_pr_auc": 0.5,
        "test_pr_auc_low": 0.4,
        "test_pr_auc_high": 0.6,
        "test_f1": 0.25,
        "baseline_one_class_svm_test_pr_auc": 0.7,
        "baseline_age_test_pr_auc": 0.1,
        "other": 3.0,
    }
    _, _, *rows = detector_table(metrics).split("\n")
    assert [row.split("  ")[0] for row in rows] == ["one class svm", "VAE", "age"]
    assert "0.400 – 0.600" in rows[1]
    assert rows[2].split() == ["age", "–", "0.100", "–", "–"]


def test_stages_are_numbered_and_remarks_indented(capsys):
    log = StageLog(["raw", "trained"])
    log("raw", "unchanged")
    log("trained", "epoch 1")
    log("trained", "done")
    first, remark, last = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/2] raw ")
    assert first.endswith("s  unchanged")
    assert remark == "      epoch 1"
    assert last.startswith("[2/2] trained ")
    assert last.endswith(" s")


def test_without_detail_remarks_are_left_out(capsys):
    StageLog(["raw"], detailed=False)("raw", "a remark")
    assert capsys.readouterr().out == ""


def test_trials_stand_best_first_and_those_that_ended_early_last():
    trials = [
        TrialRow(number=0, state="complete", value=0.5, default=True, parameters={"beta": 0.1, "hidden": [64, 128]}),
        TrialRow(number=1, state="pruned", value=None, parameters={"beta": 2.0, "hidden": [32]}),
        TrialRow(number=2, state="complete", value=0.75, roc_auc=0.8, pr_auc=0.7, parameters={"beta": 1.0}),
    ]
    head, _, *rows = trials_table(trials).split("\n")
    assert head.split()[-2:] == ["beta", "hidden"]
    assert [row.split()[0] for row in rows] == ["2", "0", "1"]
    assert rows[0].split() == ["2", "0.7500", "0.800", "0.700", "0", "0", "1", "–"]
    assert rows[1].startswith("0 (default)")
    assert rows[1].endswith("64-128")
    assert rows[2].split()[1] == "pruned"


def test_folds_end_in_mean_and_spread():
    folds = [
        Fold(number=1, held_out=("a", "b"), metrics={"roc_auc": 0.5, "f1": 0.1}, threshold=1.0, epochs=2, seconds=1.0),
        Fold(number=2, held_out=("c",), metrics={"roc_auc": 0.7}, threshold=1.0, epochs=2, seconds=1.0),
    ]
    head, _, *rows = folds_table(folds, {"roc_auc": 0.6, "f1": 0.1}, {"roc_auc": 0.141}).split("\n")
    assert head.split() == ["fold", "held", "out", "roc", "auc", "f1"]
    assert [row.split() for row in rows] == [
        ["1", "2", "0.500", "0.100"],
        ["2", "1", "0.700", "–"],
        ["mean", "0.600", "0.100"],
        ["spread", "0.141", "–"],
    ]
