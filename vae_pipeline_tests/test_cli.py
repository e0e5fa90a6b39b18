"""What a person types and reads; one trained home serves all."""

import argparse
import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from vae_pipeline.cli import _parser, _stage_config, main
from vae_pipeline.errors import SettingError
from vae_pipeline_tests.defs.conftest import new_home


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with one champion, made by the command itself, and what the command printed."""
    import contextlib
    import io

    home = new_home(tmp_path_factory.mktemp("cli"))
    out = io.StringIO()
    with home.entered(), contextlib.redirect_stdout(out):
        assert main(["run", "timeseries", "tiny", "--set", "epochs=1"]) == 0
    return home, out.getvalue()


@pytest.fixture
def command(trained, capsys):
    """Run a command in the trained home; gives status, standard output and standard error."""

    def run(*arguments):
        with trained[0].entered():
            status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def readings(trained):
    """The generated test file as a frame with the catalogue's column names."""
    (file,) = (trained[0].folder / "extracted").glob("tiny-*/test_tiny.txt")
    names = ["unit", "cycle", *(f"setting_{i}" for i in range(1, 4)), *(f"sensor_{i}" for i in range(1, 22))]
    return file, pd.read_csv(file, sep=r"\s+", header=None, names=names)


def test_run_tells_stages_result_and_card(trained):
    _, out = trained
    for number, stage in enumerate(
        ("raw", "validated", "features", "trained", "calibrated", "evaluated", "explained"), start=1
    ):
        assert f"[{number}/9] {stage}" in out
    for text in ("epoch 1/1", "VAE", "PR-AUC", "threshold ", "alarms ", "per 1,000 healthy windows"):
        assert text in out
    for text in ("timeseries-tiny version 1", "card.md"):
        assert text in out


def test_folds_are_told_as_a_table(command):
    status, out, _ = command("run", "timeseries", "tiny", "--set", "epochs=1", "--folds", "2")
    assert status == 0
    rows = [line.split() for line in out[out.index("fold    held out") :].splitlines() if line]
    assert [row[0] for row in rows[2:6]] == ["1", "2", "mean", "spread"]
    assert sum(int(row[1]) for row in rows[2:4]) == 8
    assert "the units held out alone" in out


def test_more_folds_than_units_are_refused(command):
    status, _, err = command("run", "timeseries", "tiny", "--set", "epochs=1", "--folds", "30")
    assert status == 1
    assert err == "vae-pipeline: tiny: 30 folds need as many units, but 8 fit or calibrate; ask for fewer\n"


def test_models_lists_versions(command):
    status, out, _ = command("models")
    assert status == 0
    assert "timeseries-tiny" in out
    assert "champion" in out


def test_models_as_json_has_every_metric(command):
    status, out, _ = command("models", "--json")
    (entry,) = json.loads(out)
    assert status == 0
    assert (entry["name"], entry["version"], entry["aliases"]) == ("timeseries-tiny", 1, ["champion"])
    assert {"test_pr_auc", "test_roc_auc", "baseline_pca_test_pr_auc"} <= set(entry["metrics"])


def test_models_of_an_empty_home_say_how_to_make_one(capsys):
    assert main(["models"]) == 0
    assert "vae-pipeline run timeseries sample_turbofan" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_datasets_are_the_built_in_and_the_own(command):
    status, out, _ = command("datasets")
    assert status == 0
    for name in ("FD001", "sample_turbofan", "tiny"):
        assert f"\n{name} " in out


def test_every_form_of_a_file_gets_the_same_scores(command, trained, tmp_path):
    source, frame = readings(trained)
    files = {kind: tmp_path / f"new.{kind}" for kind in ("txt", "csv", "parquet")}
    files["txt"].write_bytes(source.read_bytes())
    frame.to_csv(files["csv"], index=False)
    frame.to_parquet(files["parquet"])
    scored = {}
    for kind, file in files.items():
        out = tmp_path / f"{kind}.scores.csv"
        status, told, _ = command("score", "timeseries", "tiny", file, "--out", out)
        assert status == 0
        scored[kind] = pd.read_csv(out)
        assert f"{out}: {len(scored[kind]):,} windows, {scored[kind]['alarm'].sum():,} alarms" in told
    first = scored["txt"]
    assert list(first.columns) == ["unit", "cycle", "row", "score", "alarm", "threshold"]
    assert len(first) == len(frame) - 19 * frame["unit"].nunique()
    assert np.array_equal(first["alarm"], first["score"] > first["threshold"])
    assert np.array_equal(frame["cycle"].to_numpy()[first["row"] - 1], first["cycle"])
    for other in scored.values():
        pd.testing.assert_frame_equal(other, first)


def test_scores_lie_beside_the_file_or_as_parquet_where_asked(command, trained, tmp_path):
    readings(trained)[1].to_csv(tmp_path / "new.csv", index=False)
    command("score", "timeseries", "tiny", tmp_path / "new.csv")
    assert (
        command("score", "timeseries", "tiny", tmp_path / "new.csv", "--out", tmp_path / "s.parquet", "--model", 1)[0]
        == 0
    )
    beside, asked = pd.read_csv(tmp_path / "new.scores.csv"), pd.read_parquet(tmp_path / "s.parquet")
    pd.testing.assert_frame_equal(beside, asked)


def test_explain_prints_the_ranking_and_writes_record_and_page(command, trained, tmp_path):
    readings(trained)[1].to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "why"
    status, told, _ = command("explain", "timeseries", "tiny", tmp_path / "new.csv", "--top", 2, "--out", out)
    assert status == 0
    assert "  1. sensor_" in told
    assert [len(list(out.glob(f"*.{kind}"))) for kind in ("json", "html")] == [2, 2]


def test_explain_refuses_an_unknown_sensor_and_lists_close_names(command, trained, tmp_path):
    readings(trained)[1].to_csv(tmp_path / "new.csv", index=False)
    status, _, err = command("explain", "timeseries", "tiny", tmp_path / "new.csv", "--sensors", "sensor_2,sensr_11")
    assert status == 1
    assert "sensor 'sensr_11': timeseries-tiny has none of that name; close to it are sensor_11" in err
    assert err.count("\n") == 1


def test_units_too_short_to_score_are_named(command, trained, tmp_path):
    frame = readings(trained)[1]
    frame[(frame["unit"] > 1) | (frame["cycle"] < 10)].to_csv(tmp_path / "new.csv", index=False)
    status, _, err = command("score", "timeseries", "tiny", tmp_path / "new.csv")
    assert status == 0
    assert "1 units have fewer than 20 rows and no score: 1" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "timeseries", "FD009"], "unknown dataset 'FD009' on the line 'timeseries'; the catalogue has: FD001"),
        (["run", "timeseries", "tiny", "--set", "depth=3"], "--set depth=3: write NAME=VALUE"),
        (["run", "timeseries", "tiny", "--set", "epochs"], "--set epochs: write NAME=VALUE"),
        (
            ["run", "timeseries", "tiny", "--set", "epochs=0"],
            "--set epochs=0: Input should be greater than or equal to 1",
        ),
        (["run", "timeseries", "tiny", "--set", "epochs=many"], "epochs"),
        (["run", "timeseries", "tiny", "--set", "beta=null"], "beta"),
        (["run", "timeseries", "tiny", "--set", "beta=[1]"], "beta"),
        (["run", "timeseries", "tiny", "--folds", "1"], "--folds 1: at least 2 are needed"),
        (["tune", "timeseries", "FD009"], "unknown dataset 'FD009'"),
        (["tune", "timeseries", "tiny", "--trials", "0"], "--trials 0: Input should be greater than or equal to 1"),
        (["tune", "timeseries", "tiny", "--minutes", "-1"], "--minutes -1.0: Input should be greater than 0"),
        (["tune", "timeseries", "tiny", "--minutes", "0.0001"], "no trial came to its end within 20 trials"),
        (["score", "timeseries", "FD009", "x.csv"], "unknown dataset 'FD009'"),
        (["score", "timeseries", "tiny", "nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_an_error_is_one_sentence_and_status_1(command, arguments, message):
    status, _, err = command(*arguments)
    assert status == 1
    assert err.startswith("vae-pipeline: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_column_names_file_and_column(command, trained, tmp_path):
    file = tmp_path / "new.csv"
    readings(trained)[1].drop(columns="sensor_7").to_csv(file, index=False)
    status, _, err = command("score", "timeseries", "tiny", file)
    assert status == 1
    assert f"{file}: column 'sensor_7' is missing; timeseries-tiny reads sensor_2, sensor_4" in err


@pytest.mark.parametrize("model", ["99", "grandmaster"])
def test_a_version_or_alias_that_is_not_there_is_said(command, trained, tmp_path, model):
    readings(trained)[1].to_csv(tmp_path / "new.csv", index=False)
    status, _, err = command("score", "timeseries", "tiny", tmp_path / "new.csv", "--model", model)
    assert status == 1
    assert model in err
    assert err.count("\n") == 1


def test_without_a_champion_the_command_that_makes_one_is_named(tmp_path, capsys):
    (tmp_path / "new.csv").write_text("unit,time\n1,1\n")
    assert main(["score", "timeseries", "sample_turbofan", str(tmp_path / "new.csv")]) == 1
    assert "make one with: vae-pipeline run timeseries sample_turbofan" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "sound", "x"], ["tune", "multimodal", "x"], ["fly"], ["score", "timeseries", "FD001"]],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as told:
        main(arguments)
    assert told.value.code == 2
    assert "usage: vae-pipeline" in capsys.readouterr().err


def test_stopping_says_that_finished_work_is_kept(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vae_pipeline.cli._datasets", stop)
    assert main(["datasets"]) == 130
    assert "finished stages are kept" in capsys.readouterr().err


def test_settings_go_to_the_stage_they_belong_to():
    given = ["epochs=3", "hidden=32,16", "beta=1", "encoder=mlp", "score=error,level", "late=5", "threshold=mad"]
    assert _stage_config("timeseries", given) == {
        "trained": {"config": {"epochs": 3, "hidden": [32, 16], "beta": 1.0, "encoder": "mlp"}},
        "calibrated": {"config": {"score": ["error", "level"], "late": 5, "threshold": "mad"}},
    }
    assert isinstance(_stage_config("timeseries", ["beta=1"])["trained"]["config"]["beta"], float)
    assert _stage_config("timeseries", ["hidden=32"]) == {"trained": {"config": {"hidden": [32]}}}
    with pytest.raises(SettingError, match=r"with a name of: latent, beta, .*encoder, hidden, .*false_alarm_rate"):
        _stage_config("timeseries", ["width=8"])


def test_every_line_has_settings_of_its_own():
    given = ["width=8", "head=false", "score=residual,head", "placement=pixel"]
    assert _stage_config("vision", given) == {
        "trained": {"config": {"width": 8, "head": False}},
        "calibrated": {"config": {"score": ["residual", "head"], "placement": "pixel"}},
    }
    with pytest.raises(SettingError, match=r"width=3.*multiple of 4"):
        _stage_config("vision", ["width=3"])
    with pytest.raises(SettingError, match=r"with a name of: .*width, head"):
        _stage_config("vision", ["hidden=32"])


def test_a_version_is_promoted_by_hand(command):
    status, out, _ = command("promote", "timeseries", "tiny", "1")
    assert (status, out) == (0, "timeseries-tiny version 1 is champion\n")
    status, _, err = command("promote", "timeseries", "tiny", "9")
    assert (status, err) == (
        1,
        "vae-pipeline: timeseries-tiny has no version 9; vae-pipeline models lists what there is\n",
    )


def test_a_model_that_is_not_there_is_told_by_its_name(command, trained):
    status, _, err = command("score", "timeseries", "tiny", readings(trained)[0], "--model", "chalenger")
    assert status == 1
    assert err == "vae-pipeline: no version of timeseries-tiny is called chalenger; vae-pipeline models lists them\n"


@pytest.mark.parametrize("arguments", [("metrics",), ("ui",), ("serve", "timeseries")])
@pytest.mark.parametrize("port", ["99999", "-1", "web"])
def test_a_port_there_is_not_is_wrong_usage(arguments, port, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, f"--port={port}"])
    assert ended.value.code == 2
    assert f"{port} is no port; give a number up to 65535" in capsys.readouterr().err


def test_a_dataset_of_another_line_is_told_with_its_line(capsys):
    assert main(["run", "timeseries", "bottle"]) == 1
    told = "unknown dataset 'bottle' on the line 'timeseries'; it is one of the line 'vision'"
    assert capsys.readouterr().err == f"vae-pipeline: {told}\n"


def test_datasets_of_one_line_may_be_asked_for_as_json(capsys):
    assert main(["datasets", "vision", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {"bottle", "sample_product"} <= set(found)
    assert {entry["line"] for entry in found.values()} == {"vision"}
    assert (found["bottle"]["data"], set(found["bottle"])) == ("image", {"name", "line", "data", "title", "licence"})


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"vae-pipeline {version('vae-pipeline')}\n"


def test_every_argument_says_what_it_is():
    (commands,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    silent = [
        (name, action.dest)
        for name, command in commands.choices.items()
        for action in command._actions
        if not action.help
    ]
    assert silent == []
