"""The catalogue finds datasets by name, takes a user's own files, and says what is wrong with them."""

from pathlib import Path
from textwrap import dedent

import pytest

from vae_pipeline.catalog import catalog, dataset, read_catalog
from vae_pipeline.errors import CatalogError, UnknownDatasetError
from vae_pipeline.records import (
    Calibration,
    Dataset,
    FusionCalibration,
    FusionTraining,
    ImageCalibration,
    ImageTraining,
    Training,
)

PUMP = """
datasets:
  pump_3: {line: timeseries, kind: table, title: Pump 3, licence: own, files: {train: "train/*.csv"}}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def test_the_built_in_catalogue_is_complete() -> None:
    assert {"FD001", "FD002", "FD003", "FD004", "sample_turbofan"} <= set(catalog())
    for name, entry in catalog().items():
        assert entry.name == name
        assert entry.licence
        for archive in filter(None, (entry.archive, *entry.alternatives)):
            # without an address only a mirror delivers, and that has hashes of its own; for bottle alone MVTec has none
            published = archive.url and archive.path != "mvtec/bottle.tar.xz"
            assert archive.sha256 or archive.md5 or not published


def test_shared_defaults_and_archives_are_filled_in() -> None:
    entry = dataset("FD002", "timeseries")
    assert entry.regimes == 6
    assert entry.archive is not None
    assert entry.archive.path == "cmapss/CMAPSSData.zip"
    assert entry.labels.run_to_failure


def test_a_user_adds_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, PUMP)
    entry = dataset("pump_3", "timeseries", (path,))
    assert entry.base == str(tmp_path)
    assert "pump_3" not in catalog()


def test_own_fields_win_over_the_defaults(tmp_path: Path) -> None:
    text = """
    defaults:
      pump: {line: timeseries, kind: table, title: Pump, licence: own, regimes: 2}
    datasets:
      pump_3: {use: pump}
      pump_4: {use: pump, regimes: 3}
    """
    found = read_catalog(written(tmp_path, text))
    assert [entry.regimes for entry in found.values()] == [2, 3]


def test_an_unknown_dataset_lists_those_there_are() -> None:
    with pytest.raises(UnknownDatasetError, match=r"'FD009'.*'timeseries'.*FD001, FD002.*sample_turbofan"):
        dataset("FD009", "timeseries")
    with pytest.raises(UnknownDatasetError, match="on the line 'vision'"):
        dataset("FD001", "vision")


BROKEN = {
    "no YAML": ("datasets: {a: [", "no valid YAML"),
    "empty": ("", "a mapping with 'datasets:'"),
    "a list": ("- a", "a mapping with 'datasets:'"),
    "datasets is a list": ("datasets: [a]", "a mapping with 'datasets:'"),
    "entry is text": ("datasets: {pump: yes please}", "dataset 'pump' must be a mapping"),
    "unknown field": (PUMP.replace("title:", "titel:"), "dataset 'pump_3', (title|titel): "),
    "unknown nested field": (
        PUMP.replace('files: {train: "train/*.csv"}', "window: {lenght: 5}"),
        "dataset 'pump_3', window.lenght: Extra inputs",
    ),
    "wrong value": (
        PUMP.replace('files: {train: "train/*.csv"}', "window: {length: long}"),
        "dataset 'pump_3', window.length: .*integer",
    ),
    "unusable name": (PUMP.replace("pump_3", "pump/3"), "dataset 'pump/3', name: "),
    "unknown archive": (
        PUMP.replace("kind: table", "kind: table, archive: pumps"),
        "dataset 'pump_3' refers to archives.pumps, which the file does not have",
    ),
    "unknown defaults": (PUMP.replace("kind: table", "use: pumps"), "refers to defaults.pumps"),
    "defaults by a list": (PUMP.replace("kind: table", "use: [pumps]"), "refers to defaults"),
    "defaults is a list": ("defaults: [a]" + PUMP.replace("kind: table", "use: a"), "refers to defaults.a"),
    "name twice": (PUMP + PUMP.splitlines()[-1], "'pump_3' is given twice.*line 4"),
    "label rule in halves": (
        PUMP.replace('files: {train: "train/*.csv"}', "labels: {healthy_from: 5}"),
        "dataset 'pump_3', labels: .*both healthy_from and anomalous_below",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_with_the_place(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CatalogError, match=message) as caught:
        catalog((path,))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.yaml: cannot be read .*VAE_PIPELINE_CATALOG"):
        catalog((tmp_path / "none.yaml",))


def test_a_folder_and_a_binary_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        read_catalog(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00datasets")
    with pytest.raises(CatalogError, match="UTF-8"):
        read_catalog(tmp_path / "binary.yaml")


def test_a_name_stands_once_in_all_files(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="'FD001' is already in the catalogue"):
        catalog((written(tmp_path, PUMP.replace("pump_3", "FD001")),))
    with pytest.raises(CatalogError, match=r"again\.yaml: dataset 'pump_3' is already"):
        catalog((written(tmp_path, PUMP), written(tmp_path, PUMP, "again.yaml")))


MVTEC = {
    "aligned": "bottle cable capsule pill toothbrush transistor zipper",
    "free": "hazelnut metal_nut screw",
    "texture": "carpet grid leather tile wood",
}


@pytest.mark.parametrize(
    ("name", "pose"), [(name, pose) for pose, names in MVTEC.items() for name in names.split()], ids=str
)
def test_every_category_of_mvtec_is_there_with_its_pose_licence_and_citation(name: str, pose: str) -> None:
    entry = dataset(name, "vision")
    assert entry.kind == "mvtec"
    assert entry.medium == "image"
    assert entry.imaging.pose == pose
    assert "CC BY-NC-SA 4.0" in entry.licence
    assert "Bergmann" in entry.citation
    assert entry.members == (f"{name}/*", f"*/{name}/*")
    # its own archive first, then that of all categories
    assert entry.archive is not None
    assert entry.archive.path == f"mvtec/{name}.tar.xz"
    assert [archive.path for archive in entry.alternatives] == ["mvtec/mvtec_anomaly_detection.tar.xz"]


def test_there_are_no_other_categories() -> None:
    found = {name for name, entry in catalog().items() if entry.kind == "mvtec"}
    assert found == {name for names in MVTEC.values() for name in names.split()}
    assert len(found) == 15


@pytest.mark.parametrize("noise", ["-6", "0", "6"])
@pytest.mark.parametrize("machine", ["fan", "pump", "slider", "valve"])
def test_every_machine_of_mimii_is_there_at_every_level_of_noise(machine: str, noise: str) -> None:
    for number in ("00", "02", "04", "06"):
        end = "" if noise == "0" else f"_{noise}_dB"
        entry = dataset(f"{machine}_id_{number}{end}", "timeseries")
        assert entry.kind == "mimii"
        assert entry.medium == "sound"
        assert entry.licence == "CC BY-SA 4.0"
        assert "Purohit" in entry.citation
        assert entry.archive is not None
        assert entry.archive.path == f"mimii/{noise}_dB_{machine}.zip"
        assert entry.archive.url is not None
        assert f"{noise}_dB_{machine}.zip" in entry.archive.url
        assert entry.archive.md5
        assert entry.members == (f"{machine}/id_{number}/*", f"*/{machine}/id_{number}/*")


def test_there_are_48_datasets_of_mimii_and_no_two_of_their_archives_have_the_same_hash() -> None:
    found = [entry for entry in catalog().values() if entry.kind == "mimii"]
    assert len(found) == 48
    archives = {entry.archive.path: entry.archive.md5 for entry in found if entry.archive}
    assert len(archives) == len(set(archives.values())) == 12


@pytest.mark.parametrize("name", ["sample_product", "sample_product_rotated", "sample_product_textured"])
def test_generated_products_are_there(name: str) -> None:
    entry = dataset(name, "vision")
    assert entry.medium == "image"
    assert entry.archive is None
    assert entry.licence == "generated, no restrictions"


def test_a_pose_asks_for_its_augmentation_and_what_is_stated_wins(tmp_path: Path) -> None:
    text = """
    datasets:
      aligned: &aligned {line: vision, kind: images, title: caps, licence: own}
      free: {<<: *aligned, imaging: {pose: free}}
      texture: {<<: *aligned, imaging: {pose: texture}}
      stated: {<<: *aligned, imaging: {pose: free}, training: {rotation: 5.0}}
    """
    found = read_catalog(written(tmp_path, text))
    training = {name: entry.training for name, entry in found.items()}
    assert all(isinstance(entry, ImageTraining) for entry in training.values())
    assert training["aligned"] == ImageTraining()
    assert training["free"] == ImageTraining()
    assert training["texture"] == ImageTraining(flip=True, shift=0.0)
    assert training["stated"] == ImageTraining(rotation=5.0)


def test_the_line_says_what_training_and_calibration_state() -> None:
    for entry in catalog().values():
        training, calibration = {
            "timeseries": (Training, Calibration),
            "vision": (ImageTraining, ImageCalibration),
            "multimodal": (FusionTraining, FusionCalibration),
        }[entry.line]
        assert isinstance(entry.training, training)
        assert isinstance(entry.calibration, calibration)


def test_an_entry_survives_being_written_and_read() -> None:
    for name in ("FD001", "fan_id_00", "screw", "sample_product_textured"):
        entry = catalog()[name]
        again = Dataset.model_validate_json(entry.model_dump_json())
        assert again == entry
        assert type(again.training) is type(entry.training)


CAPS = "datasets: {{caps: {{line: {line}, kind: {kind}, title: t, licence: own{more}}}}}"


@pytest.mark.parametrize(
    ("line", "kind"), [("timeseries", "images"), ("timeseries", "mvtec"), ("vision", "table"), ("vision", "recordings")]
)
def test_a_kind_that_does_not_run_on_the_line_is_refused(line: str, kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, CAPS.format(line=line, kind=kind, more=""))
    with pytest.raises(
        CatalogError, match=f"dataset 'caps', entry: .*data of kind {kind} do not run on the line {line}"
    ):
        read_catalog(path)


@pytest.mark.parametrize(
    ("line", "kind", "more", "message"),
    [
        ("vision", "images", "training: {hidden: [3]}", "training: .*hidden: Extra inputs"),
        ("timeseries", "recordings", "training: {rotation: 3}", "training: .*rotation: Extra inputs"),
        ("vision", "images", "calibration: {score: [latent]}", "calibration: .*score"),
        ("vision", "images", "imaging: {size: 100}", "imaging.size: .*multiple of 32"),
        ("vision", "images", "imaging: {pose: upright}", "imaging.pose: .*'aligned', 'free' or 'texture'"),
        ("timeseries", "recordings", "sound: {bands: 2}", "sound.bands: .*greater than or equal to 4"),
        ("timeseries", "recordings", "split: {folds: -1}", "split.folds: "),
        ("timeseries", "table", "training: {hidden: []}", "training: .*hidden: .*at least 1 item"),
        ("timeseries", "table", "training: {hidden: [8, 0]}", "training: .*hidden.1: .*greater than or equal to 1"),
        ("timeseries", "table", "training: {hidden: [-3]}", "training: .*hidden.0: .*greater than or equal to 1"),
        (
            "timeseries",
            "table",
            "tuning: {space: {hidden: {choices: [[8], [0]]}}}",
            "tuning: .*hidden.choices.1.*greater than or equal to 1",
        ),
    ],
    ids=lambda value: value if ":" in value and "{" in value else "",
)
def test_a_setting_of_another_line_or_out_of_range_is_named(
    line: str, kind: str, more: str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, CAPS.format(line=line, kind=kind, more=f", {more}"))
    with pytest.raises(CatalogError, match=f"dataset 'caps', {message}") as told:
        read_catalog(path)
    assert "\n" not in str(told.value)


def test_an_unknown_alternative_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, CAPS.format(line="vision", kind="images", more=", alternatives: [caps_of_all]"))
    with pytest.raises(CatalogError, match=r"refers to archives\.caps_of_all, which the file does not have"):
        read_catalog(path)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{depth: {low: 1, high: 2}}", "space.depth: no hyperparameter; the line has: latent, beta"),
        ("{seed: {low: 1, high: 2}}", "space.seed: no hyperparameter"),
        ("{beta: {low: 2, high: 1}}", "tuning.space.beta: Value error, low = 2 must be smaller than high = 1"),
        ("{beta: {low: 0, high: 1, log: true}}", "low = 0 must be above 0 where log is stated"),
        ("{beta: {low: 1}}", "tuning.space.beta: Value error, state low and high, or choices"),
        ("{beta: {low: 1, high: 2, choices: [1]}}", "state either choices, or low and high"),
        ("{beta: {low: -1, high: 2}}", "space.beta.low: Input should be greater than or equal to 0 (got -1)"),
        ("{latent: {low: 2.5, high: 4}}", "space.latent.low: Input should be a valid integer"),
        ("{encoder: {choices: [cnn, gru]}}", "space.encoder.choices.1: Input should be 'cnn', 'transformer'"),
    ],
)
def test_a_search_space_that_cannot_be_searched_is_refused_in_one_sentence(tmp_path, space, told):
    entry = "line: timeseries, kind: table, title: t, licence: l"
    file = tmp_path / "own.yaml"
    file.write_text(f"datasets: {{pumps: {{{entry}, tuning: {{space: {space}}}}}}}")
    with pytest.raises(CatalogError) as error:
        read_catalog(file)
    assert "dataset 'pumps', tuning" in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_range_with_values_between_that_are_not_allowed_is_refused(tmp_path):
    file = tmp_path / "own.yaml"
    entry = "line: vision, kind: images, title: t, licence: l"
    file.write_text(f"datasets: {{parts: {{{entry}, tuning: {{space: {{width: {{low: 8, high: 16}}}}}}}}}}")
    with pytest.raises(CatalogError, match=r"space\.width\.low \+ 1: Input should be a multiple of 4"):
        read_catalog(file)


@pytest.mark.parametrize(("budget", "told"), [("trials: 0", "tuning.trials"), ("minutes: 0", "tuning.minutes")])
def test_a_budget_of_nothing_is_refused(tmp_path, budget, told):
    file = tmp_path / "own.yaml"
    entry = "line: timeseries, kind: table, title: t, licence: l"
    file.write_text(f"datasets: {{pumps: {{{entry}, tuning: {{{budget}}}}}}}")
    with pytest.raises(CatalogError, match=told):
        read_catalog(file)
