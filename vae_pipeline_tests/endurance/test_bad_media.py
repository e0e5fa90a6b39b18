import re
import shutil
from collections.abc import Iterator

import pytest

from vae_pipeline.errors import TrainingError
from vae_pipeline_tests.endurance.cases import Case
from vae_pipeline_tests.endurance.conftest import Place, new_place
from vae_pipeline_tests.endurance.image_cases import GOOD, HANDLED_IMAGES, IMAGES, written
from vae_pipeline_tests.endurance.media_plant import write_media_plant
from vae_pipeline_tests.endurance.page import told_line, write_told
from vae_pipeline_tests.endurance.sound_cases import CLIP, HANDLED_SOUNDS, SOUNDS

LINES = {"parts": "vision", "fans": "timeseries"}
SPOILT = {"parts": GOOD, "fans": CLIP}
SECTIONS = {"parts": "images", "fans": "recordings"}
FAR_ENOUGH = "past the features"
COUNTED = re.compile(r"(images|clips)_are_enough fails in train: .*")
REFUSED: dict[str, dict[str, str]] = {"parts": {}, "fans": {}}
WARNED: dict[str, dict[str, str]] = {"parts": {}, "fans": {}}


@pytest.fixture(scope="module", autouse=True)
def _page() -> Iterator[None]:
    yield
    for dataset, section in SECTIONS.items():
        write_told(section, REFUSED[dataset])
        write_told(f"{section} used", WARNED[dataset], "what is different")


@pytest.fixture(scope="module")
def media() -> Iterator[Place]:
    """A plant whose parts and fans have a champion, trained once a file that could not be read was replaced."""
    place = new_place(None, write_media_plant)
    for file in SPOILT.values():
        written(file, b"")(place.plant)
    for dataset, line in LINES.items():
        assert place.run(dataset, line=line) == 1
    assert place.left() == place.champion() == []
    place.repair()
    for dataset, line in LINES.items():
        assert place.run(dataset, line=line) == 0
    yield place
    shutil.rmtree(place.root, ignore_errors=True)


def _params(*cases: Case) -> list[object]:
    return [pytest.param(case, id=case.what) for case in cases]


@pytest.mark.parametrize("case", _params(*IMAGES, *SOUNDS))
def test_one_sentence_names_the_file_and_the_champion_stays(
    case: Case, media: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    champions = media.champion()
    try:
        case.spoil(media.plant)
        status = media.run(case.dataset, line=LINES[case.dataset])
    finally:
        media.repair()
    told = capfd.readouterr().err
    assert status == 1, told
    assert len(told.splitlines()) == 1, told
    assert told.startswith("vae-pipeline: ")
    assert re.search(case.told, told), told
    assert media.left() == []
    assert media.champion() == champions
    assert len(champions) == len(LINES)
    assert "RUNNING" not in media.mlflow_states()
    assert "STARTED" not in media.dagster_states()
    REFUSED[case.dataset][case.what] = told_line(told, media.root)


@pytest.mark.parametrize("case", _params(*HANDLED_IMAGES, *HANDLED_SOUNDS))
def test_what_can_be_used_is_used(
    case: Case, media: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise TrainingError(FAR_ENOUGH)

    monkeypatch.setattr("vae_pipeline.models.train.train", stop)
    try:
        case.spoil(media.plant)
        status = media.run(case.dataset, line=LINES[case.dataset])
    finally:
        media.repair()
    out, err = capfd.readouterr()
    assert (status, err.strip()) == (1, f"vae-pipeline: {FAR_ENOUGH}"), err
    assert re.search(r"\[3/9\] features +[\d.]+ s$", out, re.MULTILINE), out
    warnings = [line.strip() for line in out.splitlines() if " fails in " in line]
    assert any(re.search(case.told, line) for line in warnings), out
    told = [line for line in warnings if not COUNTED.match(line)]
    WARNED[case.dataset][case.what] = told_line("; ".join(told), media.root) or "nothing"


@pytest.mark.parametrize("dataset", SPOILT)
def test_after_a_repair_everything_is_found_again(
    dataset: str, media: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    versions = media.versions()
    written(SPOILT[dataset], b"")(media.plant)
    assert media.run(dataset, line=LINES[dataset]) == 1
    media.repair()
    capfd.readouterr()
    assert media.run(dataset, line=LINES[dataset]) == 0
    out, err = capfd.readouterr()
    assert out.count("unchanged") == 8  # promoted decides anew
    assert err == ""
    assert media.versions() == versions
