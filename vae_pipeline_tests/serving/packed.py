"""Packed models of every medium, with an example of each, and apps that serve them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.packed import DETECTOR, EXAMPLE, PACKED, PackedModel, read_example
from vae_pipeline.evaluation.example import write_example
from vae_pipeline.records import Dataset, Line
from vae_pipeline.serving.app import line_app
from vae_pipeline.serving.model_server import ModelServer
from vae_pipeline.serving.served import Served
from vae_pipeline.serving.settings import ServiceSettings
from vae_pipeline.storage import write_json
from vae_pipeline_tests.detector.examples import Example, made
from vae_pipeline_tests.detector.image_examples import ImageExample
from vae_pipeline_tests.detector.pair_examples import made_pairs
from vae_pipeline_tests.detector.sound_examples import SoundExample


@dataclass(frozen=True)
class Packed:
    """A packed folder and what it was made of: features, raw folder and the scores of evaluation."""

    dataset: Dataset
    detector: Detector
    features: Path
    raw: Path
    evaluation: Path
    folder: Path

    @property
    def example(self) -> bytes:
        """The body that was packed."""
        return (self.folder / EXAMPLE / self.model.example.file).read_bytes()

    @property
    def model(self) -> PackedModel:
        return PackedModel.model_validate_json((self.folder / PACKED).read_text())

    def served(self, **settings) -> Served:
        return Served.open(self.folder, ServiceSettings(**settings))


def pack(dataset: Dataset, detector: Detector, features: Path, raw: Path, evaluation: Path, folder: Path) -> Packed:
    """Write ``model.json``, ``detector/`` and ``example/`` below ``folder``."""
    detector.save(folder / DETECTOR)
    write_example(dataset, features, raw=raw, evaluation=evaluation, detector=detector, folder=folder / EXAMPLE)
    model = PackedModel(
        name=f"{dataset.line}-{dataset.name}",
        line=dataset.line,
        dataset=dataset.name,
        medium=dataset.medium,
        version=3,
        data_version="0a1b",
        trained="2026-01-01T00:00:00+00:00",
        metrics={"test_pr_auc": 0.9},
        example=read_example(folder / EXAMPLE),
    )
    write_json(folder / PACKED, model)
    return Packed(dataset, detector, features, raw, evaluation, folder)


def scored(folder: Path, score: np.ndarray, row: np.ndarray) -> Path:
    """``scores.npz`` of a test part, as evaluation leaves it; labels and times say nothing."""
    folder.mkdir(parents=True)
    nothing = np.zeros(len(score))
    parts = {"label": nothing.astype(np.int8), "unit": nothing.astype(int), "time": nothing, "remaining_life": nothing}
    np.savez(folder / "scores.npz", score=score, row=row, **parts)
    return folder


def pack_table(folder: Path, example: Example | None = None, **options) -> Packed:
    example = example or made(folder / "made", **options)
    windows = example.features.windows("test")
    evaluation = scored(folder / "evaluation", example.detector.score_scaled(windows).score, windows.ends)
    return pack(example.dataset, example.detector, example.features.folder, example.raw, evaluation, folder / "packed")


def pack_sound(folder: Path, example: SoundExample) -> Packed:
    features = example.features
    windows = features.windows("test")
    codes, scores = example.detector.score_units(windows, features.units(windows))
    evaluation = scored(folder / "evaluation", scores, codes)
    return pack(example.dataset, example.detector, features.folder, example.raw, evaluation, folder / "packed")


def pack_image(folder: Path, example: ImageExample) -> Packed:
    places = example.images.index("test")
    score = example.detector.score_images(example.images.pixels, places).score
    evaluation = scored(folder / "evaluation", score, places)
    return pack(example.dataset, example.detector, example.images.folder, example.raw, evaluation, folder / "packed")


def pack_pair(folder: Path) -> Packed:
    example = made_pairs(folder / "made")
    score = example.detector.score_paired(example.pairs.paired("test")).score
    evaluation = scored(folder / "evaluation", score, np.arange(len(score)))
    (folder / "raw").mkdir()
    (folder / "raw/windows").symlink_to(example.folder / "table/raw")
    return pack(example.dataset, example.detector, example.pairs.folder, folder / "raw", evaluation, folder / "packed")


@contextmanager
def service(line: Line, *packed: Packed, **settings) -> Iterator[TestClient]:
    """The app of a line with these models, as a client sees it; what it does not expect is answered with 500."""
    app = line_app(line)
    server = ModelServer(line, [each.folder for each in packed], ServiceSettings(**{"log": "off", **settings}))
    app.state.server = server
    try:
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client
    finally:
        server.close()
