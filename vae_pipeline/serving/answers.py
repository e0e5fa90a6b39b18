"""What a service answers, as OpenAPI describes it."""

from pydantic import BaseModel, Field

from vae_pipeline.detector.packed import PackedModel
from vae_pipeline.explanation.explanation import Explanation

__all__ = ["DriftAnswer", "ErrorAnswer", "ExplainAnswer", "ModelsAnswer", "PredictAnswer", "Result"]


class Result(BaseModel):
    """One sample: its score, whether it alarms, and which it is."""

    score: float = Field(description="higher is more anomalous")
    alarm: bool = Field(description="whether the score lies above the threshold")
    name: str | None = Field(description="the file, or unit and row, of the sample")
    unit: str | None = None
    row: int | None = Field(default=None, description="of a table, from 1: the last row of the window")


class _Answer(BaseModel):
    model: str
    version: int
    data_version: str


class PredictAnswer(_Answer):
    """Scores and decisions."""

    request: str = Field(description="identifies the request in log and prediction log")
    threshold: float
    method: str = Field(description="how the threshold came about")
    results: list[Result]
    notes: list[str] = Field(description="what was left out, and doubts about a threshold that was asked for")


class ExplainAnswer(_Answer):
    """Why."""

    explanations: list[Explanation]


class ModelsAnswer(BaseModel):
    """What this service carries."""

    models: list[PackedModel]


class DriftAnswer(_Answer):
    """What this process was asked since it started, beside the model's normal calibration samples."""

    samples: int = Field(description="recent ones that are compared")
    needed: int = Field(description="below which nothing is compared")
    alarms: float | None = Field(default=None, description="share of the recent samples that alarm")
    expected_alarms: float | None = Field(description="share of normal calibration samples that alarm")
    score_mean: float | None = None
    reference_mean: float
    statistic: float | None = Field(default=None, description="Kolmogorov-Smirnov, of the scores")
    p_value: float | None = None
    latent_shift: float | None = Field(
        default=None, description="largest shift of a latent's mean, in its standard deviations"
    )


class ErrorAnswer(BaseModel):
    """What is wrong and what to do."""

    error: str
    field: str | None = None
