"""Recordings: what averages over whole normal clips look like, and the scores of clips that this was not taken from."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from vae_pipeline.calibration.clips import ClipScorer
from vae_pipeline.calibration.scorers import PARTS, Observation, Summary, averaged
from vae_pipeline.calibration.thresholds import choose
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.detector.sounds import SoundDetector, observed_units
from vae_pipeline.errors import CalibrationError
from vae_pipeline.explanation.sensors import NormalSensors
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.inputs import frame_means
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Calibration, Dataset

__all__ = ["FORM", "calibrate_clips"]

FORM = ("error", "level")
"""The latents said nothing of generated recordings, and the mean error less than the averaged one; see the docs."""

ENOUGH_CLIPS = 30
"""Normal calibration clips from which statistics are taken from these alone; below, the clips fitted on join them."""

FEWEST = 3
CROSSED = 10
"""Times at most that normal clips are left out in turn."""


def calibrate_clips(
    dataset: Dataset, data_version: str, features: FeatureSet, network: Path
) -> tuple[SoundDetector, CalibrationReport]:
    """Fit the score on normal clips, standardise and threshold it on scores of clips that were left out.

    Args:
        dataset: its ``calibration`` says which parts are summed and which threshold is asked for.
        data_version: version of the data the network was fitted on.
        features: the opened features folder.
        network: the exported ``model.onnx``.

    Raises:
        CalibrationError: too few clips, or scores that are not finite.
    """
    session = NetworkSession(network)
    stated = cast("Calibration", dataset.calibration)
    late = min(stated.late or features.length, features.length)  # all frames of a recording are alike
    scorer, parts, latents, labels, clips = _observed(session, features, late)
    normal = labels != 1
    scorer = replace(scorer.standardised(parts[normal]), form=stated.score or FORM)
    scores = scorer.combine(parts)
    threshold = choose(scores, labels, stated)
    detector = SoundDetector(
        WindowDescription(
            medium="sound",
            line=dataset.line,
            dataset=dataset.name,
            data_version=data_version,
            sensors=features.sensors,
            settings=(),
            window=features.length,
            stride=features.stride,
            sound=dataset.sound,
            late=scorer.late,
            form=scorer.form,
            threshold=threshold,
        ),
        features.scaler,
        scorer,
        session,
        {
            "scores": scores[normal],
            "latents": latents[normal],
            "inputs": np.stack([_band_means(features, clip) for clip in clips.tolist()]),
            "units": np.arange(len(clips)),
        },
        NormalSensors.of_units(_normal_batches(session, features, int(normal.sum())), late),
    )
    return detector, CalibrationReport.of(normal, "nothing", (), "clips")


def _band_means(features: FeatureSet, clip: int) -> np.ndarray:
    """Mean level of each mel band of a clip, shape (bands,)."""
    segment = features.segments[clip]
    return frame_means(np.asarray(features.rows[segment.start : segment.stop]), features.scaler)


def _normal_batches(
    session: NetworkSession, features: FeatureSet, clips: int
) -> Iterator[tuple[Observation, np.ndarray]]:
    """Observations of the ``clips`` normal clips that the score was fitted on, whichever parts they are of."""
    calibrate = features.windows("calibrate")
    normal = calibrate.subset(features.labels(calibrate) != 1)
    yield from observed_units(session, normal, features.units(normal))
    if clips > len(np.unique(features.units(normal))):
        fitted = features.windows("fit", healthy_only=True)
        yield from observed_units(session, fitted, features.units(fitted))


def _observed(
    session: NetworkSession, features: FeatureSet, late: int
) -> tuple[ClipScorer, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A scorer with the statistics of normal clips; parts (n, 4), latents (n, latent) and labels (n,) of clips.

    The last are the codes of the normal clips, which come first.


    The spread between clips is what counts: that between the windows of one clip is far larger and averages out. Each
    normal clip's parts come from statistics of the other clips. With few calibration clips those fitted on are used
    too: their residuals are a little too small, which moves the threshold less than four clips would.
    """

    def observed(windows: Windows) -> Iterator[tuple[Observation, np.ndarray]]:
        return observed_units(session, windows, features.units(windows))

    codes, summary = averaged(observed(features.windows("calibrate")), late)
    labels = features.row_label[[features.segments[code].start for code in codes]]
    normal, clips = _taken(summary, labels != 1), np.asarray(codes)[labels != 1]
    if len(normal.latent) < ENOUGH_CLIPS:
        others, fitted = averaged(observed(features.windows("fit", healthy_only=True)), late)
        normal = Summary(*(np.concatenate(pair) for pair in zip(normal, fitted, strict=True)))
        clips = np.concatenate([clips, others])
    if len(normal.latent) < FEWEST:
        msg = f"{len(normal.latent)} normal clips to calibrate on, {FEWEST} are needed; add some"
        raise CalibrationError(msg)
    scorer = ClipScorer.fit(normal, late)
    anomalous = _taken(summary, labels == 1)
    parts = np.concatenate([_crossed(normal, late), scorer.parts(anomalous)])
    latents = np.concatenate([normal.latent, anomalous.latent])
    known = np.repeat(np.array([0, 1], dtype=np.int8), [len(normal.latent), len(anomalous.latent)])
    return scorer, parts, latents, known, clips


def _crossed(normal: Summary, late: int) -> np.ndarray:
    """Parts of every clip by the statistics of the others, left out in turn or in tenths, shape (n, 4)."""
    count = len(normal.latent)
    parts = np.empty((count, len(PARTS)))
    turn = np.arange(count) % min(count, CROSSED)
    for number in range(turn.max() + 1):
        rest = ClipScorer.fit(_taken(normal, turn != number), late)
        parts[turn == number] = rest.parts(_taken(normal, turn == number))
    return parts


def _taken(summary: Summary, chosen: np.ndarray) -> Summary:
    return Summary(*(values[chosen] for values in summary))
