"""The catalogue finds datasets by name, takes a user's own files, and says what is wrong with them."""

from pathlib import Path
from textwrap import dedent

import pytest

from vae_pipeline.catalog import catalog, dataset, read_catalog
from vae_pipeline.errors import CatalogError, UnknownDatasetError

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
