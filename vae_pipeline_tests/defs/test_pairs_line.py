"""Pairs from the two lines' networks to the champion, by the same stages."""

from pathlib import Path

import pytest

from vae_pipeline.defs.execute import PipelineFailedError
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline_tests.defs.conftest import CATALOG, MEDIA, new_home

ENTRIES = f"""
{CATALOG.strip()}
{MEDIA.strip().removeprefix("datasets:")}
  both:
    line: multimodal
    kind: pairs
    title: engines and parts
    licence: generated
    pairs: {{timeseries: tiny, vision: product, fit: 40, calibrate: 150, group: 10}}
    training: {{epochs: 1, pairs_per_epoch: 16}}
"""

STAGES = ["raw", "features", "trained", "calibrated", "evaluated", "explained", "registered", "promoted"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return new_home(tmp_path_factory.mktemp("pairs_home"), ENTRIES)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return new_home(tmp_path_factory.mktemp("untrained"), ENTRIES)


@pytest.fixture(scope="module")
def found(home):
    home.run("tiny", "timeseries")
    home.run("product", "vision")
    return home.run("both", "multimodal")


def test_every_stage_is_done_in_order(found):
    assert list(found) == STAGES


def test_the_registered_detector_scores_pairs(found, home):
    shelf = home.shelf()
    with home.entered():
        detector = Detector.load(shelf.detector_folder("multimodal-both", int(found["registered"]["version"])))
    assert isinstance(detector, PairDetector)
    assert found["evaluated"]["test_pairs"] == 40


def test_the_same_run_again_makes_nothing_anew(found, home):
    again = home.run("both", "multimodal")
    assert {stage for stage, facts in again.items() if not facts.get("reused")} <= {"promoted"}
    assert all(Path(again[stage]["folder"]) == Path(found[stage]["folder"]) for stage in STAGES[:6])


def test_without_the_two_lines_it_says_what_is_missing(untrained):
    with pytest.raises(PipelineFailedError, match=r"(tiny|product)\.json: nothing is kept there; materialize"):
        untrained.run("both", "multimodal")
