from vae_pipeline.console import StageLog, detector_table, grid


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
