"""The command line: ``vae-pipeline run | tune | datasets | connect | models | score | serve | alerts | …``."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import SecretStr, ValidationError

from vae_pipeline.addresses import shown
from vae_pipeline.environment import prepare_environment
from vae_pipeline.errors import SettingError, VaePipelineError
from vae_pipeline.records import CALIBRATIONS, TRAININGS, TUNED, Beginning, Dataset, Explaining, Line, Record
from vae_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from vae_pipeline.backup.record import BackUp
    from vae_pipeline.detector.detector import Detector

__all__ = ["main"]

_LINES = get_args(Line)
_LAST_PORT = 65535
_DEMO = {
    "sample_turbofan": ("timeseries", "generated engines, two fault modes, six operating regimes"),
    "sample_machine_sound": ("timeseries", "generated recordings of a fan, three kinds of fault"),
    "sample_product": ("vision", "generated pictures of a part, four kinds of defect"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status: 0 well, 1 an error told in one sentence, 2 wrong usage."""
    prepare_environment()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    if not sys.warnoptions:  # the variable reaches only processes that begin later
        warnings.simplefilter("ignore")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except VaePipelineError as error:
        print(f"vae-pipeline: {' '.join(str(error).split())}", file=sys.stderr)  # causes may have lines of their own
        return 1
    except KeyboardInterrupt:
        print("vae-pipeline: stopped; finished stages are kept, run it again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vae-pipeline", description="Calibrated anomaly detectors for machines.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {package_version('vae-pipeline')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_making(commands)
    _add_registry(commands)
    _add_using(commands)
    return parser


def _add_making(commands: Any) -> None:
    """Commands that make models."""
    run = commands.add_parser("run", help="from raw data to the champion, for one dataset")
    run.add_argument("line", choices=_LINES, help="kind of data")
    run.add_argument("dataset", help="a name of the catalogue: vae-pipeline datasets lists them")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter or calibration setting; an unknown NAME lists those of the line",
    )
    run.add_argument("--folds", type=int, metavar="K", help="then cross-validate: hold out every unit once, in K folds")
    run.set_defaults(command=_run)

    tune = commands.add_parser("tune", help="search hyperparameters on calibration data; the next run trains with them")
    tune.add_argument("line", choices=TUNED, help="kind of data")
    tune.add_argument("dataset", help="a name of the catalogue")
    tune.add_argument("--trials", type=int, help="trainings, those of earlier commands among them (20)")
    tune.add_argument("--minutes", type=float, help="of all commands that went on with the study (60)")
    tune.add_argument("--workers", type=int, help="processes that train at a time (1)")
    tune.add_argument("--fresh", action="store_true", help="forget the trials there are and begin anew")
    tune.set_defaults(command=_tune)

    datasets = commands.add_parser("datasets", help="what can be trained on")
    datasets.add_argument("line", choices=_LINES, nargs="?", help="those of one line")
    datasets.add_argument("--json", action="store_true", help="machine-readable")
    datasets.set_defaults(command=_datasets)

    connect = commands.add_parser("connect", help="fill incoming/ from a database, address or topic")
    connect.add_argument("name", help="of a connector in the files of VAE_PIPELINE_CONNECTORS")
    how = connect.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="until the source has no more (as without options)")
    how.add_argument("--forever", action="store_true", help="again and again; waits for a source that does not answer")
    how.add_argument("--flush", action="store_true", help="once, with the rows that are held back")
    connect.set_defaults(command=_connect)

    demo = commands.add_parser("demo", help="train on generated engines, recordings and pictures, and show the results")
    demo.set_defaults(command=_demo)


def _add_registry(commands: Any) -> None:
    """Commands on the registry."""
    models = commands.add_parser("models", help="registered versions, their aliases and metrics")
    models.add_argument("--json", action="store_true", help="machine-readable, with all metrics")
    models.set_defaults(command=_models)

    promote = commands.add_parser("promote", help="make a version champion by hand, such as an earlier one again")
    promote.add_argument("line", choices=_LINES, help="whose model")
    promote.add_argument("dataset", help="that the version was made from")
    promote.add_argument("version", type=int, help="number of the version: vae-pipeline models lists them")
    promote.set_defaults(command=_promote)


def _add_using(commands: Any) -> None:
    """Commands that use what was made."""
    score = commands.add_parser(
        "score", help="score a CSV or Parquet file, a wav file or image, or a folder of these, with the champion"
    )
    score.add_argument("line", choices=_LINES, help="kind of data")
    score.add_argument("dataset", help="a name of the catalogue")
    score.add_argument("file", type=Path, nargs="+", help="several, or a folder of tables, are scored each by itself")
    score.add_argument(
        "--out", type=Path, help="CSV or Parquet, of several files a folder; FILE.scores.csv when left out"
    )
    score.add_argument(
        "--maps",
        type=Path,
        help="of images: a folder for maps as PNG, where grey 128 is the level that normal images stay below",
    )
    score.add_argument("--model", default="champion", help="alias or version number (champion)")
    score.set_defaults(command=_score)

    explain = commands.add_parser("explain", help="say why: sensors, when, regions, latents, with the champion")
    explain.add_argument("line", choices=_LINES, help="kind of data")
    explain.add_argument("dataset", help="a name of the catalogue")
    explain.add_argument("file", type=Path, help="as score takes it")
    which = explain.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, help="of a table, from 1: the window that ends there")
    which.add_argument("--top", type=int, default=1, help="how many of the highest scores (1)")
    explain.add_argument("--out", type=Path, help="folder for JSON and HTML; FILE.explained when left out")
    explain.add_argument("--sensors", default="", metavar="A,B", help="tell of these alone")
    explain.add_argument("--model", default="champion", help="alias or version number (champion)")
    explain.set_defaults(command=_explain)

    serve = commands.add_parser("serve", help="answer over HTTP with the champions of a line, and follow them")
    serve.add_argument("line", choices=_LINES, help="kind of data")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    serve.add_argument("--port", type=_port, default=3100, help="to listen at (3100)")
    serve.add_argument("--workers", type=int, default=2, help="processes (2)")
    serve.add_argument("--follow", type=float, default=5.0, metavar="SECONDS", help="between looks at the registry (5)")
    serve.add_argument("--stay", action="store_true", help="keep the champions of now")
    serve.set_defaults(command=_serve)

    alerts = commands.add_parser("alerts", help="what people were told, and what waits")
    alerts.add_argument("--last", type=int, default=20, metavar="N", help="how many (20)")
    sending = alerts.add_mutually_exclusive_group()
    sending.add_argument("--test", action="store_true", help="send a test alert to every channel and say which work")
    sending.add_argument("--deliver", action="store_true", help="deliver what waits, as the sensor alerts does")
    alerts.set_defaults(command=_alerts)

    metrics = commands.add_parser("metrics", help="answer /metrics for Prometheus: runs, freshness, champions, alerts")
    metrics.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    metrics.add_argument("--port", type=_port, default=9110, help="to listen at (9110)")
    metrics.set_defaults(command=_metrics)

    _add_keeping(commands)

    ui = commands.add_parser("ui", help="open the Dagster UI")
    ui.add_argument("--port", type=_port, default=3000, help="to listen at (3000)")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    ui.set_defaults(command=_ui)


def _add_keeping(commands: Any) -> None:
    """Commands that keep what was made."""
    made = commands.add_parser("back-up", help="copy the registry and the storage, while others work")
    made.add_argument("folder", type=Path, help="gets a folder named by the time, which appears whole or not at all")
    made.set_defaults(command=_back_up)
    back = commands.add_parser("restore", help="bring a back-up into an empty installation, also of another kind")
    back.add_argument("folder", type=Path, help="a back-up: FOLDER/<time>")
    back.set_defaults(command=_restore)
    for command in (made, back):
        command.add_argument(
            "--database",
            metavar="URL",
            help="behind the MLflow server: postgresql+psycopg2://… (VAE_PIPELINE_REGISTRY_DATABASE)",
        )
        command.add_argument(
            "--artifacts",
            metavar="ROOT",
            help="where the MLflow server keeps them: folder or s3://… (VAE_PIPELINE_REGISTRY_ARTIFACTS)",
        )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        msg = f"{text} is no port; give a number up to {_LAST_PORT}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _run(options: argparse.Namespace) -> int:
    config, settings = _stage_config(options.line, options.set), load_settings()
    if options.folds is not None and options.folds < 2:
        msg = f"--folds {options.folds}: at least 2 are needed, one to hold out and one to fit on"
        raise SettingError(msg)
    if options.folds is not None and options.line not in TUNED:
        msg = f"--folds {options.folds}: pairs stand on the networks of both lines; cross-validate these instead"
        raise SettingError(msg)
    if options.line == "multimodal":
        _train_sides(options.dataset, settings)
    _train(options.line, options.dataset, config, settings)
    if options.folds is not None:
        _cross_validate(options.line, options.dataset, options.folds, config, settings)
    return 0


def _cross_validate(line: Line, name: str, folds: int, config: dict[str, Any], settings: Settings) -> None:
    from vae_pipeline.console import StageLog, folds_table
    from vae_pipeline.defs.execute import open_instance, run_partition
    from vae_pipeline.experiments.cross_validate import read_folds

    print()
    given = {**config.get("calibrated", {}).get("config", {}), "folds": folds}
    stage = "cross_validated"
    log = StageLog((stage,))
    made = run_partition(line, name, {stage: {"config": given}}, open_instance(settings), log, f"{line}_folds")[stage]
    found = read_folds(Path(made["folder"]))
    print(f"\n{folds_table(found.folds, found.mean, found.spread)}\n")
    print(f"scored      {found.scored}")
    print(f"table       {Path(made['folder']) / 'folds.csv'}")


def _tune(options: argparse.Namespace) -> int:
    from vae_pipeline.catalog import dataset
    from vae_pipeline.console import StageLog, trials_table
    from vae_pipeline.defs.execute import open_instance, run_partition
    from vae_pipeline.experiments.best import read_best
    from vae_pipeline.registry.tracking import Tracker

    line, name, settings = options.line, options.dataset, load_settings()
    entry = dataset(name, line, settings.catalog_files)
    given = {key: getattr(options, key) for key in ("trials", "minutes", "workers")}
    given = {key: value for key, value in given.items() if value is not None}
    for key, value in given.items():
        _require_allowed(f"--{key} {value}", entry.tuning, {key: value})
    instance = open_instance(settings)
    Tracker(settings).end_orphans(line)
    log = StageLog(("raw", "validated", "features", "tuned"))
    config = {"tuned": {"config": {**given, "fresh": options.fresh}}}
    found = run_partition(line, name, config, instance, log, f"{line}_tune")["tuned"]
    best = read_best(Path(found["folder"]))
    print(f"\n{trials_table(best.trials)}\n")
    default = "failed" if best.default_value is None else f"{best.default_value:.4f}"
    print(f"best        {best.value:.4f}, trial {best.trial}; the catalogue's values {default} (by {best.criterion})")
    print(f"took        {len(best.trials)} trials, {best.seconds / 60:.1f} minutes; ended by {best.within}")
    print(f"pictures    {found['folder']}")
    if best.default:
        print("result      no trial beats the catalogue's values: training stays as it is")
    else:
        print(f"result      vae-pipeline run {line} {name} trains with it from now on")
    return 0


def _require_allowed(option: str, record: Record, given: dict[str, Any]) -> None:
    try:
        type(record).model_validate({**record.model_dump(), **given})
    except ValidationError as error:
        msg = f"{option}: {error.errors()[0]['msg']}"
        raise SettingError(msg) from error


def _train_sides(name: str, settings: Settings) -> None:
    """Run the two lines that a pair stands on; what is made already is found in a moment."""
    from vae_pipeline.catalog import dataset

    pairs = dataset(name, "multimodal", settings.catalog_files).pairs
    for line in ("timeseries", "vision"):
        side = getattr(pairs, line)
        print(f"{line} {side}, which {name} stands on\n")
        _train(cast("Line", line), side, {}, settings)
        print()
    print(f"multimodal {name}\n")


def _train(line: Line, name: str, config: dict[str, Any], settings: Settings) -> None:
    from vae_pipeline.artifacts import chain
    from vae_pipeline.catalog import dataset
    from vae_pipeline.console import StageLog, detector_table
    from vae_pipeline.defs.execute import open_instance, run_partition
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    dataset(name, line, settings.catalog_files)
    instance, tracker = open_instance(settings), Tracker(settings)
    tracker.end_orphans(line)  # and a server that does not answer is told before the work, not after it
    found = run_partition(line, name, config, instance, StageLog(chain(line)))
    version = found["registered"]["version"]
    metrics = Shelf(tracker).version(f"{line}-{name}", int(version)).metrics
    calibrated, evaluated = found["calibrated"], found["evaluated"]
    print()
    print(detector_table(metrics) if "test_pr_auc" in metrics else f"{line}-{name}: test part without both labels")
    print()
    print(f"threshold   {calibrated['threshold']:.3f} by {calibrated['method']}: {calibrated['guarantee']}")
    if "test_false_alarms_per_1000" in metrics:
        noun = next(noun for noun in ("windows", "clips", "images", "pairs") if f"test_{noun}" in metrics)
        print(f"alarms      {metrics['test_false_alarms_per_1000']:.1f} false per 1,000 healthy {noun}")
    if "test_lead_time_median" in metrics:
        share = metrics["test_lead_time_share"]
        print(
            f"lead time   {metrics['test_lead_time_median']:.0f} cycles before failure (median), {share:.0%} of units"
        )
    for warning in evaluated.get("cannot_compute", "").splitlines():
        print(f"note        {warning}")
    print(f"version     {line}-{name} version {version}: {found['promoted']['reason']}")
    print(f"model card  {Path(evaluated['folder']) / 'card.md'}")


def _stage_config(line: Line, settings: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` options as run config of the stages they belong to.

    Raises:
        SettingError: a name is unknown or a value not allowed, told before any stage begins.
    """
    config: dict[str, Any] = {}
    records: tuple[tuple[str, type[Record]], ...] = (
        ("trained", TRAININGS[line]),
        ("trained", Beginning),
        ("calibrated", CALIBRATIONS[line]),
        ("explained", Explaining),
    )
    for item in settings:
        name, given, value = item.partition("=")
        known = next(((stage, record) for stage, record in records if name in record.model_fields), None)
        if not given or known is None:
            names = ", ".join(name for _, record in records for name in record.model_fields)
            msg = f"--set {item}: write NAME=VALUE with a name of: {names}"
            raise SettingError(msg)
        stage, record = known
        try:
            valid = record.model_validate({name: _value(value, record.model_fields[name].annotation)})
        except ValidationError as error:
            msg = f"--set {item}: {error.errors()[0]['msg']}"
            raise SettingError(msg) from error
        config.setdefault(stage, {"config": {}})["config"][name] = valid.model_dump(mode="json")[name]
    return config


def _value(text: str, annotation: Any) -> Any:
    """The text as the launchpad would take it: a list after commas, a number where it is one."""
    if any(str(option).startswith("tuple") for option in (annotation, *get_args(annotation))):
        return [_value(item, None) for item in text.split(",")]
    try:
        number = json.loads(text)
    except json.JSONDecodeError:
        return text
    return float(number) if annotation is float and isinstance(number, int) else number


def _datasets(options: argparse.Namespace) -> int:
    from vae_pipeline.catalog import catalog
    from vae_pipeline.console import grid

    known = [entry for entry in catalog(load_settings().catalog_files).values() if options.line in (None, entry.line)]
    names = ["name", "line", "data", "title", "licence"]
    rows = [[entry.name, entry.line, entry.medium, entry.title, entry.licence] for entry in known]
    if options.json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
    else:
        print(grid([names, *rows]))
    return 0


def _connect(options: argparse.Namespace) -> int:
    from vae_pipeline.connectors.connect import connect
    from vae_pipeline.connectors.pull import Pulled

    def tell(pulled: Pulled) -> None:
        for note in pulled.notes:
            print(f"note        {note}")
        if pulled.batches or not options.forever:
            print(
                f"pulled      {pulled.received} rows, {pulled.repeated} of them known; {pulled.rows} rows in "
                f"{len(pulled.batches)} batches, {pulled.held} held back",
                flush=True,
            )

    def warn(reason: str) -> None:
        print(f"vae-pipeline: {' '.join(reason.split())}", file=sys.stderr, flush=True)

    settings = load_settings()
    connect(options.name, settings, forever=options.forever, flush=options.flush, tell=tell, warn=warn)
    return 0


def _models(options: argparse.Namespace) -> int:
    from vae_pipeline.console import grid
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    entries = Shelf(Tracker(load_settings())).entries()
    if options.json:
        print(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
        return 0
    if not entries:
        print("no model is registered yet; make one with: vae-pipeline run timeseries sample_turbofan")
        return 0
    rows = [["name", "version", "aliases", "ROC-AUC", "PR-AUC", "F1", "data", "registered"]]
    for entry in entries:
        figures = [
            f"{entry.metrics[name]:.3f}" if name in entry.metrics else "–"
            for name in ("test_roc_auc", "test_pr_auc", "test_f1")
        ]
        number = str(entry.version)
        rows.append([entry.name, number, ", ".join(entry.aliases), *figures, entry.data_version, entry.created])
    print(grid(rows))
    return 0


def _promote(options: argparse.Namespace) -> int:
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    name = f"{options.line}-{options.dataset}"
    before = Shelf(Tracker(load_settings())).promote(name, options.version)
    print(f"{name} version {options.version} is champion{f', in place of version {before}' if before else ''}")
    return 0


def _score(options: argparse.Namespace) -> int:
    from vae_pipeline.score_files import score_file

    if len(options.file) > 1 or (options.file[0].is_dir() and _dataset(options).medium == "table"):
        return _score_batch(options)
    detector, entry = _detector(options)
    print(score_file(detector, entry, options.file[0], options.out, options.maps, readings=_readings_of(entry)))
    return 0


def _score_batch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker
    from vae_pipeline.score_batch import score_batch

    settings, name = load_settings(), f"{options.line}-{options.dataset}"
    version = Shelf(Tracker(settings)).number(name, options.model)

    def warn(reason: str) -> None:
        tqdm.write(f"vae-pipeline: {' '.join(reason.split())}", file=sys.stderr)

    given, entry = (options.file, options.out, options.maps), _dataset(options)
    failed = score_batch(name, version, entry, *given, settings, tqdm.write, warn, _readings_of(entry))
    if failed:
        warn(f"{failed} files could not be scored, the others were")
    return int(failed > 0)


def _dataset(options: argparse.Namespace) -> "Dataset":
    from vae_pipeline.catalog import dataset

    return dataset(options.dataset, options.line, load_settings().catalog_files)


def _readings_of(entry: "Dataset") -> "Dataset | None":
    """Of pairs the dataset of their tables."""
    from vae_pipeline.catalog import dataset

    return dataset(entry.pairs.timeseries, "timeseries", load_settings().catalog_files) if entry.pairs else None


def _explain(options: argparse.Namespace) -> int:
    from vae_pipeline.explain_files import explain_file

    sensors = [name.strip() for name in options.sensors.split(",") if name.strip()]
    given = {"row": options.row, "top": options.top, "out": options.out, "sensors": sensors}
    detector, entry = _detector(options)
    print(explain_file(detector, entry, options.file, **given, readings=_readings_of(entry)))
    return 0


def _detector(options: argparse.Namespace) -> "tuple[Detector, Dataset]":
    """The detector that was asked for, and the catalogue's entry of its dataset."""
    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    entry = _dataset(options)
    shelf, name = Shelf(Tracker(load_settings())), f"{options.line}-{options.dataset}"
    reference = int(options.model) if options.model.isdigit() else options.model
    if reference == "champion":
        shelf.champion(name)
    return Detector.load(shelf.detector_folder(name, reference)), entry


def _serve(options: argparse.Namespace) -> int:
    from vae_pipeline.packing.serve import serve
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker

    if options.workers < 1 or options.follow <= 0:
        msg = f"--workers {options.workers} --follow {options.follow}: at least one worker, and more than 0 seconds"
        raise SettingError(msg)
    settings = load_settings()
    serve(
        settings,
        Shelf(Tracker(settings)),
        options.line,
        host=options.host,
        port=options.port,
        workers=options.workers,
        follow=None if options.stay else options.follow,
    )
    return 0


def _alerts(options: argparse.Namespace) -> int:
    from vae_pipeline.alerts.deliver import deliver, try_channels
    from vae_pipeline.alerts.outbox import open_outbox
    from vae_pipeline.console import alerts_table

    settings = load_settings()
    if options.test:
        tried, wrong = try_channels(settings)
        for label, reason in tried:
            print(f"{label}: {'took the test alert' if reason is None else f'did not take the test alert: {reason}'}")
        for sentence in wrong or ([] if tried else ["no channel is set: set VAE_PIPELINE_ALERTS, see docs/alerts.md"]):
            print(sentence)
        return int(bool(wrong) or not tried or any(reason is not None for _, reason in tried))
    if options.deliver:
        found = deliver(settings)
        print(found.told())
        return int(bool(found.failed))
    if options.last < 1:
        msg = f"--last {options.last}: at least 1"
        raise SettingError(msg)
    outbox = open_outbox(settings)
    kept, channels = outbox.last(options.last), outbox.channels().values()
    print(alerts_table(kept) if kept else "nothing was told yet")
    for channel in channels:
        trouble = f"; {channel.failures} attempts in vain since: {channel.reason}" if channel.failures else ""
        print(f"{channel.label}: took {channel.delivered} messages, {channel.waiting} alerts wait{trouble}")
    return 0


def _metrics(options: argparse.Namespace) -> int:
    from vae_pipeline.alerts.outbox import open_outbox
    from vae_pipeline.defs.execute import open_instance
    from vae_pipeline.defs.run_metrics import RunMetrics
    from vae_pipeline.metrics.alerts import alert_metrics
    from vae_pipeline.metrics.champions import champion_metrics
    from vae_pipeline.metrics.drift import drift_metrics
    from vae_pipeline.metrics.serve import serve_metrics
    from vae_pipeline.metrics.source import Source
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker
    from vae_pipeline.storage import open_storage

    settings = load_settings()
    instance = open_instance(settings)
    sources = [
        Source("dagster", RunMetrics(instance)),
        Source("registry", lambda: champion_metrics(Shelf(Tracker(settings)))),
        Source("drift", lambda: drift_metrics(open_storage(settings))),
        Source("alerts", lambda: alert_metrics(open_outbox(settings)), keep=5.0),
    ]
    print(f"http://{options.host}:{options.port}/metrics", flush=True)
    serve_metrics(sources, options.host, options.port)
    return 0


def _back_up(options: argparse.Namespace) -> int:
    from vae_pipeline.backup.make import back_up

    made, record = back_up(_with_places(options), options.folder)
    if record.elsewhere:
        print(f"note        {record.elsewhere} runs or versions keep artifacts elsewhere, which are not backed up")
    print(f"backed up   {_counted(record)}")
    print(f"in          {made}")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from vae_pipeline.backup.restore import restore

    settings = _with_places(options)
    record = restore(settings, options.folder)
    print(f"restored    {_counted(record)}")
    print(f"into        {settings.storage_root} and {shown(settings.mlflow_uri)}")
    return 0


def _counted(record: "BackUp") -> str:
    counts = record.counts
    return (
        f"{counts.models} models, {counts.versions} versions, {counts.runs} runs, {counts.files:,} files, "
        f"{counts.bytes / 1e6:,.1f} MB"
    )


def _with_places(options: argparse.Namespace) -> Settings:
    """The settings, with the places of an MLflow server that the command was given."""
    given = {
        "registry_database": SecretStr(options.database) if options.database else None,
        "registry_artifacts": options.artifacts,
    }
    return load_settings().model_copy(update={name: value for name, value in given.items() if value is not None})


def _demo(_options: argparse.Namespace) -> int:
    settings = load_settings()
    for number, (name, (line, words)) in enumerate(_DEMO.items(), start=1):
        print(f"{number} of {len(_DEMO)}: training a detector for {name}: {words}.\n")
        _train(cast("Line", line), name, {}, settings)
        print()
    print("See every stage with its pictures: make ui, then open http://127.0.0.1:3000 and choose Assets.")
    return 0


def _ui(options: argparse.Namespace) -> int:
    from vae_pipeline.defs.execute import open_instance

    settings = load_settings()
    open_instance(settings)
    os.environ["VAE_PIPELINE_HOME"] = str(settings.home)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "vae_pipeline.definitions"]
    os.execv(sys.executable, [*command, "--host", options.host, "--port", str(options.port)])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
