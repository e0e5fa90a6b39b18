import re

import pytest

from vae_pipeline_tests.endurance.cases import ARCHIVE, SETTINGS, TABLE, Case, cell, lines
from vae_pipeline_tests.endurance.conftest import Place
from vae_pipeline_tests.endurance.page import told_line, write_told
from vae_pipeline_tests.endurance.plant import pump

FAST = (ARCHIVE[:6:5], TABLE[:5:2], SETTINGS[:11])
ALL = (*ARCHIVE, *TABLE, *SETTINGS)
QUICK = {case.what for group in FAST for case in group}
TOLD: dict[str, str] = {}


def _marked(case: Case) -> object:
    return pytest.param(case, id=case.what, marks=() if case.what in QUICK else pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def _page():
    yield
    write_told("tables", TOLD)


@pytest.mark.parametrize("case", [_marked(case) for case in ALL])
def test_one_sentence_and_the_champion_stays(case: Case, trained: Place, capfd: pytest.CaptureFixture[str]) -> None:
    champion = trained.champion()
    try:
        case.spoil(trained.plant)
        status = trained.run(case.dataset, *case.options, **case.environment)
    finally:
        trained.repair()
    told = capfd.readouterr().err
    assert status == 1, told
    assert len(told.splitlines()) == 1, told
    assert told.startswith("vae-pipeline: ")
    assert re.search(case.told, told), told
    assert trained.left() == []
    assert trained.champion() == champion
    assert champion
    assert "RUNNING" not in trained.mlflow_states()
    assert "STARTED" not in trained.dagster_states()
    TOLD[case.what] = told_line(told, trained.root)


def test_after_a_repair_everything_is_found_again(trained: Place, capfd: pytest.CaptureFixture[str]) -> None:
    cell(17, 3, "n/k")(trained.plant)
    assert trained.run("pumps") == 1
    trained.repair()
    capfd.readouterr()
    assert trained.run("pumps") == 0
    out, err = capfd.readouterr()
    assert out.count("unchanged") == 8  # promoted decides anew
    assert err == ""
    assert trained.versions() == [1]


def test_warnings_are_told_and_the_run_goes_on(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    (place.plant / "normal" / "p7.csv").write_text("\n".join(pump(7, 6)) + "\n")
    for path in place.plant.glob("normal/*.csv"):
        name = path.relative_to(place.plant).as_posix()
        lines(name, lambda text: [text[0], *(",".join([*row.split(",")[:4], "300", "0"]) for row in text[1:])])(
            place.plant
        )
    cell(5, 3, "")(place.plant)
    status = place.run("pumps")
    out, err = capfd.readouterr()
    assert (status, err) == (0, "")
    assert re.search("sensors_vary fails in train: .*temperature", out)
    assert re.search("units_are_long_enough fails in train: unit p7", out)
    assert re.search("rows_are_complete fails in train: .*flow: missing", out)
