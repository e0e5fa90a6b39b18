"""The nouns that cross rooms: frozen, validated, written as JSON or YAML."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

Line = Literal["timeseries", "vision", "multimodal"]
Part = Literal["fit", "calibrate", "test"]
Kind = Literal[
    "cmapss",
    "sample_turbofan",
    "table",
    "mimii",
    "sample_machine_sound",
    "recordings",
    "mvtec",
    "sample_product",
    "images",
    "pairs",
]
Medium = Literal["table", "sound", "image", "pair"]
MEDIA: dict[Kind, Medium] = {
    "cmapss": "table",
    "sample_turbofan": "table",
    "table": "table",
    "mimii": "sound",
    "sample_machine_sound": "sound",
    "recordings": "sound",
    "mvtec": "image",
    "sample_product": "image",
    "images": "image",
    "pairs": "pair",
}
LINE_OF: dict[Medium, Line] = {"table": "timeseries", "sound": "timeseries", "image": "vision", "pair": "multimodal"}
Pose = Literal["aligned", "free", "texture"]
Fusion = Literal["product", "mixture", "mean", "concatenation"]
EncoderName = Literal["cnn", "transformer", "lstm", "mlp"]
ThresholdMethod = Literal[
    "percentile", "mad", "gaussian", "peaks_over_threshold", "block_maxima", "conformal", "best_f1", "auto"
]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Record(BaseModel):
    """Base of all records: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Archive(Record):
    """One downloadable file and how to open it.

    ``path`` is where a mirror (``VAE_PIPELINE_DATA_MIRROR``) keeps it; ``inner`` names a zip inside the zip.
    """

    path: str
    url: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="where the authors publish no sha256")
    inner: str | None = None
    max_unpacked_bytes: int = Field(default=4 * 2**30, gt=0)


class TableFiles(Record):
    """Where a user's own table lies: paths or globs, relative to the catalogue file or, with an archive, to its root.

    ``labels`` and ``test_labels`` name files of one 0/1 value a row, for sets that keep labels apart.
    """

    train: str
    test: str | None = None
    train_labels: str | None = None
    test_labels: str | None = None
    header: bool = True
    separator: str = ","
    decimal: Literal[".", ","] = "."

    @model_validator(mode="after")
    def _told_apart(self) -> "TableFiles":
        if self.separator == self.decimal:
            msg = f"separator and decimal are both {self.decimal!r}; state the one that stands between the columns"
            raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a point as decimal mark: what was made before there was a choice keeps its data version."""
        return {name: value for name, value in handler(self).items() if (name, value) != ("decimal", ".")}


class Columns(Record):
    """The roles of a table's columns; without ``unit`` every file is one unit, without ``time`` the row number is."""

    unit: str | None = None
    time: str | None = None
    sensors: tuple[str, ...] | None = Field(default=None, description="all remaining numeric columns when left out")
    settings: tuple[str, ...] = ()
    label: str | None = Field(
        default=None, description="1 where the row is anomalous, 0 where it is not, empty where unknown"
    )
    key: str | None = Field(
        default=None, description="names what belongs to the row elsewhere, such as its image; text, and no sensor"
    )

    @model_serializer(mode="wrap")
    def _as_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a key that is not stated: what was made before there was one keeps its data version."""
        return {name: value for name, value in handler(self).items() if (name, value) != ("key", None)}


class Labels(Record):
    """The rule that makes rows normal or anomalous.

    With ``healthy_from`` and ``anomalous_below`` (cycles of remaining life) units run to failure; without them the
    label column speaks, and where there is none every training row counts as normal.
    """

    healthy_from: int | None = Field(default=None, gt=0)
    anomalous_below: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Labels":
        if (self.healthy_from is None) != (self.anomalous_below is None):
            msg = "labels: state both healthy_from and anomalous_below, or neither"
            raise ValueError(msg)
        if (
            self.healthy_from is not None
            and self.anomalous_below is not None
            and self.healthy_from < self.anomalous_below
        ):
            msg = "labels: healthy_from must not be smaller than anomalous_below"
            raise ValueError(msg)
        return self

    @property
    def run_to_failure(self) -> bool:
        """Whether labels come from remaining life."""
        return self.healthy_from is not None


class Window(Record):
    """Windows of ``length`` consecutive rows of one unit, one every ``stride`` rows."""

    length: int = Field(default=50, ge=1, le=4096)
    stride: int = Field(default=1, ge=1)


class Split(Record):
    """The share of training units that calibrates, drawn with ``seed``; without a test file ``test`` is cut off too."""

    calibrate: Share = 0.3
    test: Share = 0.2
    folds: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="recordings: leave-out folds over the normal clips, 0 for none; where clips are few one for each, "
        "at most 20",
    )
    seed: int = 0

    @staticmethod
    def rows_needed(length: int, *, has_test: bool) -> int:
        """Rows of a unit that can be cut by time: a window of ``length`` rows each part, and one between two parts."""
        parts = 2 if has_test else 3
        return (2 * parts - 1) * length


class Imaging(Record):
    """How images are brought to one form.

    ``pose`` says how objects lie: ``aligned`` in the same place and turn in every image, ``free`` turned or shifted at
    will, so that they are brought to one place and turn first, ``texture`` a surface without any place of its own.
    """

    size: int | None = Field(
        default=None, ge=32, le=1024, multiple_of=32, description="pixels on a side; 256 with a GPU, else 128"
    )
    pose: Pose = "aligned"
    max_pixels: int = Field(default=50_000_000, gt=0, description="larger images are refused before they are decoded")


class Pairs(Record):
    """Which windows and images belong together.

    With ``key`` a window belongs to the image that is called (without folder and suffix) as its last row's value in
    that column says. Without it there is no natural pairing: normal windows are drawn to normal images, and test pairs
    in four groups of one size: both normal, the window anomalous, the image, both.
    """

    timeseries: str = Field(description="dataset of the line timeseries")
    vision: str = Field(description="dataset of the line vision")
    key: str | None = Field(
        default=None,
        description="column of the table that names the image, an id or a timestamp: columns.key, or unit or time",
    )
    fit: int = Field(default=4096, ge=16, description="pairs drawn to fit on")
    calibrate: int = Field(default=2000, ge=100, description="normal pairs drawn to calibrate on")
    group: int = Field(default=400, ge=10, description="test pairs drawn of each group")


class Sound(Record):
    """How recordings are brought to log-mel frames."""

    rate: int = Field(default=16_000, ge=1000, description="samples a second; other rates are refused")
    channel: int = Field(default=0, ge=0, description="the one that is used, counted from 0")
    segment: int = Field(default=1024, ge=16, description="samples of one short-time Fourier transform")
    hop: int = Field(default=512, ge=1, description="samples from one frame to the next")
    bands: int = Field(default=64, ge=4, le=512, description="mel bands")


class Published(Record):
    """Row and unit counts as the dataset's authors publish them; a subset of units is a warning, not a failure."""

    train_rows: int
    test_rows: int
    train_units: int
    test_units: int


class Optimisation(Record):
    """What fitting any of the networks takes."""

    latent: int = Field(default=16, ge=1)
    beta: float = Field(default=0.1, ge=0.0)
    warmup_share: float = Field(
        default=0.3, ge=0.0, le=1.0, description="share of the epochs over which beta rises from 0"
    )
    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    gradient_clip: float = Field(default=1.0, gt=0.0)
    patience: int = Field(default=8, ge=1, description="epochs without improvement before training stops")
    seed: int = 0


class Training(Optimisation):
    """How the network of windows is built and fitted: the defaults of the launchpad."""

    encoder: EncoderName = "cnn"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64, 128, 256), min_length=1)
    error: Literal["mse", "mae"] = "mse"
    max_windows_per_epoch: int = Field(default=6000, ge=1)
    noise: float = Field(default=0.0, ge=0.0, description="augmentation: sd of added noise")
    magnitude: float = Field(default=0.0, ge=0.0, description="augmentation: sd of a channel's factor around 1")
    time_warp: float = Field(default=0.0, ge=0.0, lt=1.0, description="augmentation: strength of the time warp")


class ImageTraining(Optimisation):
    """How the network of images is built and fitted: the defaults of the launchpad."""

    width: int = Field(default=16, ge=4, multiple_of=4, description="channels of the first convolution")
    latent: int = Field(default=64, ge=1)
    head: bool = Field(default=True, description="a segmentation head on image and reconstruction")
    beta: float = Field(default=1.0, ge=0.0)
    pixel_noise: float = Field(
        default=0.05, gt=0.0, description="sd of a pixel around its reconstruction, of full scale"
    )
    structure: float = Field(default=4.0, ge=0.0, description="weight of 1 - SSIM in the reconstruction error")
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=20, ge=1, description="epochs without improvement before training stops")
    batch_size: int = Field(default=16, ge=1)
    images_per_epoch: int = Field(default=512, ge=1, description="drawn anew every epoch")
    workers: int | None = Field(
        default=None, ge=0, description="processes that make training examples; none below 4 cores when left out"
    )
    averaging: float = Field(
        default=0.99, ge=0.0, lt=1.0, description="decay of the moving average of the weights, which is kept"
    )
    anomalous_share: float = Field(default=0.7, ge=0.0, le=1.0, description="training images with a synthetic anomaly")
    flip: bool = Field(default=False, description="augmentation: mirrored both ways")
    rotation: float | None = Field(
        default=None,
        ge=0.0,
        le=180.0,
        description="augmentation: turned up to so many degrees; 2 when left out, 180 where objects lie anyhow and "
        "could not be brought to one turn",
    )
    shift: float = Field(default=0.01, ge=0.0, lt=0.5, description="augmentation: moved up to this share of the side")
    jitter: float = Field(default=0.05, ge=0.0, lt=1.0, description="augmentation: brightness, contrast, saturation")
    blur: float = Field(default=0.1, ge=0.0, le=1.0, description="augmentation: share of images blurred a little")


class FusionTraining(Optimisation):
    """How the network of pairs is built and fitted, from the networks of the two lines."""

    latent: int | None = Field(  # type: ignore[assignment]
        default=None, ge=2, description="as many dimensions as both encoders have together when left out"
    )
    fusion: Fusion = Field(
        default="product",
        description="of the experts: their product with the prior, their mixture, a projection of both "
        "(concatenation), or the mean of their parameters for comparison",
    )
    attention: bool = Field(default=True, description="cross-modal attention between the encoders")
    missing: float = Field(
        default=0.4, ge=0.0, lt=1.0, description="share of training pairs of which one modality is left out"
    )
    beta: float = Field(default=1.0, ge=0.0, description="factor on the two lines' own beta")
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=16, ge=1)
    pairs_per_epoch: int = Field(default=512, ge=1, description="drawn anew every epoch")
    learning_rate: float = Field(default=3e-4, gt=0.0)
    averaging: float = Field(
        default=0.99, ge=0.0, lt=1.0, description="decay of the moving average of the weights, which is kept"
    )


class Beginning(Record):
    """What a training begins with; no part of the training parameters, since one dataset may see both."""

    warm_start: bool = Field(
        default=False, description="begin with the champion's weights instead of from scratch, where there is one"
    )


class Thresholding(Record):
    """How scores become decisions."""

    threshold: ThresholdMethod = Field(
        default="auto", description="auto: best_f1 where the calibration part has both labels, else conformal"
    )
    false_alarm_rate: Share = 0.01


class Calibration(Thresholding):
    """How errors of windows become a score and the score a decision."""

    score: tuple[Literal["error", "level", "latent", "mean_error"], ...] | None = Field(
        default=None,
        description="parts that are summed; when left out error, level, latent, or another form where labels of "
        "calibration units show it clearly better, and all four parts where there are no labels",
    )
    late: int | None = Field(
        default=None,
        ge=1,
        description="rows at the window's end that are averaged; a fifth of the window when left out",
    )


class ImageCalibration(Thresholding):
    """How maps of an image become a score and the score a decision."""

    score: tuple[Literal["residual", "structure", "head"], ...] | None = Field(
        default=None,
        description="maps that are summed; when left out chosen on calibration images with synthetic anomalies",
    )
    placement: Literal["pixel", "image"] | None = Field(
        default=None,
        description="whether maps are standardised pixel by pixel, for aligned objects, or over the whole image; "
        "chosen for each map when left out",
    )
    smoothing: float = Field(default=0.012, ge=0.0, le=0.2, description="sd of the maps' blur, a share of the side")
    top: Share = Field(default=0.005, description="share of a map's pixels, the highest, whose mean counts")


class FusionCalibration(Thresholding):
    """How the scores of window and image become one."""

    form: Literal["sum", "largest"] | None = Field(
        default=None,
        description="of the two surprises; chosen on calibration pairs with one anomalous modality when left out",
    )


class Explaining(Record):
    """What is said of the highest alarms of a test part."""

    attribution: Literal["gradients", "shap"] = Field(
        default="gradients",
        description="of the score: integrated gradients to inputs, or, for tables alone, SHAP to window statistics",
    )
    most: int = Field(default=8, ge=1, le=100, description="alarms that are explained")


def _record_of(line: str, records: dict[str, type[Record]], value: Any) -> Any:
    """A field's value as the record of the dataset's line, with the place of an error in its message."""
    if isinstance(value, Record):
        value = value.model_dump()
    try:
        return records.get(line, records["timeseries"]).model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{'.'.join(str(item) for item in first['loc'])}: {first['msg']}"
        raise ValueError(msg) from error


TRAININGS: dict[str, type[Training | ImageTraining | FusionTraining]] = {
    "timeseries": Training,
    "vision": ImageTraining,
    "multimodal": FusionTraining,
}
CALIBRATIONS: dict[str, type[Calibration | ImageCalibration | FusionCalibration]] = {
    "timeseries": Calibration,
    "vision": ImageCalibration,
    "multimodal": FusionCalibration,
}


Choice = bool | int | float | str | tuple[int | float | str, ...]


class SearchRange(Record):
    """Where tuning looks for a hyperparameter: from ``low`` to ``high``, evenly or in factors, or among ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = Field(default=False, description="in factors: as much between 0.01 and 0.1 as between 0.1 and 1")
    choices: tuple[Choice, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _range_or_choices(self) -> "SearchRange":
        if self.choices is not None:
            if (self.low, self.high, self.log) != (None, None, False):
                msg = "state either choices, or low and high"
                raise ValueError(msg)
        elif self.low is None or self.high is None:
            msg = "state low and high, or choices"
            raise ValueError(msg)
        elif self.low >= self.high:
            msg = f"low = {self.low} must be smaller than high = {self.high}"
            raise ValueError(msg)
        elif self.log and self.low <= 0:
            msg = f"low = {self.low} must be above 0 where log is stated"
            raise ValueError(msg)
        return self


class Tuning(Record):
    """How hyperparameters are searched, and how long: whichever of the budgets is used up first ends it."""

    space: dict[str, SearchRange] | None = Field(default=None, description="of its line when left out")
    trials: int = Field(default=20, ge=1, description="trainings, that with the catalogue's values among them")
    minutes: float = Field(default=60.0, gt=0.0, description="of all commands that went on with the study")
    workers: int = Field(default=1, ge=1, le=64, description="processes that train at a time")
    seed: int = 0


TUNED: tuple[Line, ...] = ("timeseries", "vision")
"""Lines whose hyperparameters are searched and that are cross-validated; pairs stand on the networks of both."""

NEVER_SEARCHED = {"seed", "workers"}
"""What decides nothing but chance or speed."""


def _limits(searched: SearchRange, kind: Any) -> dict[str, Any]:
    """Values that must be allowed for all of the range to be, by their place in the entry."""
    if searched.choices is not None:
        return {f"choices.{number}": value for number, value in enumerate(searched.choices)}
    between = {"low + 1": searched.low + 1} if kind is int and searched.low is not None else {}
    return {"low": searched.low, "high": searched.high, **between}


def _require_searchable(training: Optimisation, space: dict[str, SearchRange]) -> None:
    """Refuse a name that is no hyperparameter and a value that it may not take."""
    for name, searched in space.items():
        if name not in type(training).model_fields or name in NEVER_SEARCHED:
            known = ", ".join(known for known in type(training).model_fields if known not in NEVER_SEARCHED)
            msg = f"space.{name}: no hyperparameter; the line has: {known}"
            raise ValueError(msg)
        for place, value in _limits(searched, type(training).model_fields[name].annotation).items():
            try:
                type(training).model_validate({**training.model_dump(), name: value})
            except ValidationError as error:
                msg = f"space.{name}.{place}: {error.errors()[0]['msg']} (got {value!r})"
                raise ValueError(msg) from error


POSE_TRAINING: dict[Pose, dict[str, Any]] = {
    "aligned": {},
    "free": {},
    "texture": {"flip": True, "shift": 0.0},
}
"""Augmentation that an object's pose asks for, where the catalogue does not state it."""


class Dataset(Record):
    """An entry of the catalogue."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    title: str
    line: Line
    kind: Kind
    licence: str
    citation: str = ""
    archive: Archive | None = None
    alternatives: tuple[Archive, ...] = Field(
        default=(), description="other archives that hold the dataset too, tried in order where the first is not there"
    )
    members: tuple[str, ...] = Field(
        default=(), description="patterns of what to unpack of the archive, such as fan/id_00/*; all when left out"
    )
    folder: str | None = Field(default=None, description="an already extracted folder, used as it is")
    files: TableFiles | None = None
    columns: Columns = Field(default=Columns(), validate_default=True)
    labels: Labels = Labels()
    window: Window = Window()
    imaging: Imaging = Imaging()
    sound: Sound = Sound()
    pairs: Pairs | None = None
    split: Split = Split()
    regimes: int = Field(default=1, ge=1, le=64)
    published: Published | None = None
    ranges: dict[str, tuple[float, float]] = Field(
        default={}, description="stated limits of a column; learnt from the training rows where left out"
    )
    generator: dict[str, int] = Field(default={}, description="size and seed of a sample_* dataset")
    training: Training | ImageTraining | FusionTraining = Field(default={}, validate_default=True)  # type: ignore[assignment]
    calibration: Calibration | ImageCalibration | FusionCalibration = Field(default={}, validate_default=True)  # type: ignore[assignment]
    explanation: Explaining = Explaining()
    tuning: Tuning = Tuning()
    base: str = Field(default=".", description="folder of the catalogue file; relative paths start there")

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: Columns, info: ValidationInfo) -> Columns:
        """Of a layout that has a unit and a time the roles are known, stated or not."""
        if info.data.get("kind") not in ("cmapss", "sample_turbofan"):
            return value
        return value.model_copy(update={"unit": value.unit or "unit", "time": value.time or "cycle"})

    @field_validator("training", mode="before")
    @classmethod
    def _training(cls, value: Any, info: ValidationInfo) -> Any:
        imaging = info.data.get("imaging")
        if info.data.get("line") == "vision" and imaging and isinstance(value, dict):
            value = {**POSE_TRAINING[imaging.pose], **value}
        return _record_of(info.data.get("line", ""), TRAININGS, value)  # type: ignore[arg-type]

    @field_validator("calibration", mode="before")
    @classmethod
    def _calibration(cls, value: Any, info: ValidationInfo) -> Any:
        return _record_of(info.data.get("line", ""), CALIBRATIONS, value)  # type: ignore[arg-type]

    @field_validator("tuning")
    @classmethod
    def _tuning(cls, value: Tuning, info: ValidationInfo) -> Tuning:
        if value.space is not None and "training" in info.data:
            _require_searchable(info.data["training"], value.space)
        return value

    @model_validator(mode="after")
    def _line_fits_medium(self) -> "Dataset":
        if LINE_OF[self.medium] != self.line:
            msg = f"line: data of kind {self.kind} do not run on the line {self.line}"
            raise ValueError(msg)
        if (self.medium == "pair") != (self.pairs is not None):
            msg = "pairs: state the two datasets, pairs: {timeseries: …, vision: …}, of kind: pairs and of no other"
            raise ValueError(msg)
        if self.columns.key is not None and self.kind != "table":
            msg = f"columns.key: only data of kind: table may have one, and these are of kind: {self.kind}"
            raise ValueError(msg)
        return self

    @property
    def medium(self) -> Medium:
        """What the raw data are: tables, recordings or images."""
        return MEDIA[self.kind]


class Artifact(Record):
    """A stage's finished output: where its folder is, which version of the data it holds, what to show of it."""

    key: str
    data_version: str
    reused: bool = False
    facts: dict[str, float | int | str | bool | None] = {}
