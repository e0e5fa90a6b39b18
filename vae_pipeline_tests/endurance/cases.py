"""What can be wrong with the input: each case spoils a good plant in one way and says what a person is told."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from vae_pipeline_tests.endurance.plant import HEADER, pump, write_catalog

P0 = "normal/p0.csv"
ZIP = "engines.zip"


@dataclass(frozen=True)
class Case:
    """A way to spoil the plant: what a person did, the doing, and words of the sentence that must be told."""

    what: str
    spoil: Callable[[Path], object]
    told: str
    dataset: str = "pumps"
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def lines(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    """Change the lines of a file."""

    def spoil(plant: Path) -> None:
        path = plant / name
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return spoil


def cell(row: int, column: int, value: str, name: str = P0, separator: str | None = ",") -> Callable[[Path], object]:
    """Replace a field; rows count from 0, the header is one."""

    def change(text: list[str]) -> list[str]:
        fields = text[row].split(separator)
        fields[column] = value
        return [*text[:row], (separator or " ").join(fields), *text[row + 1 :]]

    return lines(name, change)


def column(first: int, last: int, number: int, value: str, name: str = P0) -> Callable[[Path], object]:
    """The same value in the rows from ``first`` to before ``last``."""

    def spoil(plant: Path) -> None:
        for row in range(first, last):
            cell(row, number, value, name)(plant)

    return spoil


def everywhere(change: Callable[[list[str]], list[str]], pattern: str = "normal/*.csv") -> Callable[[Path], object]:
    """Change the lines of all files of a pattern."""

    def spoil(plant: Path) -> None:
        for path in plant.glob(pattern):
            lines(path.relative_to(plant).as_posix(), change)(plant)

    return spoil


def flipped(plant: Path) -> None:
    """Turn bytes in the middle of the archive."""
    path = plant / ZIP
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    path.write_bytes(bytes(content))


def member(name: str, content: str = "x", *, link: bool = False) -> Callable[[Path], object]:
    """Add a member to the archive."""

    def spoil(plant: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if link else 0o100644) << 16
        with zipfile.ZipFile(plant / ZIP, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr(info, content)

    return spoil


def without(name: str) -> Callable[[Path], object]:
    """Take a member out of the archive."""
    return repacked(name, lambda _: None)


def repacked(name: str, change: Callable[[str], str | None]) -> Callable[[Path], object]:
    """Change the text of a member; None takes it out."""

    def spoil(plant: Path) -> None:
        with zipfile.ZipFile(plant / ZIP) as file:
            content = {item: file.read(item).decode() for item in file.namelist()}
        with zipfile.ZipFile(plant / ZIP, "w", zipfile.ZIP_DEFLATED) as file:
            for item, text in content.items():
                changed = change(text) if item == name else text
                if changed is not None:
                    file.writestr(item, changed)

    return spoil


def engine_lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    """Change the lines of the training file in the archive."""
    return repacked("train_engines.txt", lambda text: "\n".join(change(text.splitlines())) + "\n")


def engine_cell(row: int, number: int, value: str) -> Callable[[Path], object]:
    """Replace a field of a line of the training file in the archive."""

    def change(text: list[str]) -> list[str]:
        fields = text[row].split()
        fields[number] = value
        return [*text[:row], " ".join(fields), *text[row + 1 :]]

    return engine_lines(change)


def nothing(plant: Path) -> None:
    """Leave the plant as it is."""


def _constant(text: list[str]) -> list[str]:
    return [HEADER, *(f"{line.split(',')[0]},{line.split(',')[1]},6,40,300,0" for line in text[1:])]


def _gap(line: str) -> str:
    fields = line.split(",")
    return ",".join([*fields[:3], "", *fields[4:]])


def decimal_commas(plant: Path) -> None:
    """Write all tables as a program set to German does, and leave the sensors out of the catalogue."""
    catalog = yaml.safe_load((plant / "plant.yaml").read_text())
    del catalog["datasets"]["pumps"]["columns"]["sensors"]
    catalog["datasets"]["pumps"]["files"]["separator"] = ";"
    (plant / "plant.yaml").write_text(yaml.safe_dump(catalog))
    everywhere(lambda text: [line.replace(",", ";").replace(".", ",") for line in text], "**/*.csv")(plant)


ARCHIVE = (
    Case("bytes of the archive are damaged", flipped, r"engines\.zip: damaged or cut off", "engines"),
    Case(
        "the archive is cut off",
        lambda plant: (plant / ZIP).write_bytes((plant / ZIP).read_bytes()[:5000]),
        r"engines\.zip: damaged or cut off",
        "engines",
    ),
    Case("the archive is empty", lambda plant: (plant / ZIP).write_bytes(b""), r"engines\.zip: .*empty", "engines"),
    Case(
        "the archive is missing",
        lambda plant: (plant / ZIP).unlink(),
        r"engines\.zip: there is no such file",
        "engines",
    ),
    Case(
        "its sha256 is not the stated one",
        lambda plant: write_catalog(plant, sha256="0" * 64),
        r"engines\.zip: the sha256 is",
        "engines",
    ),
    Case("a member leaves the folder", member("../../outside.txt"), r"member '\.\./\.\./outside\.txt'", "engines"),
    Case("a member has an absolute path", member("/tmp/outside.txt"), r"its path is absolute", "engines"),  # noqa: S108
    Case("a member is a link", member("train.txt", "/etc/passwd", link=True), r"it is a link", "engines"),
    Case(
        "more comes out than allowed",
        lambda plant: write_catalog(plant, max_unpacked_bytes=1000),
        r"more than max_unpacked_bytes = 1000",
        "engines",
    ),
    Case("a file is missing in the archive", without("RUL_engines.txt"), r"RUL_engines\.txt is missing", "engines"),
    Case("text in a C-MAPSS file", engine_cell(7, 9, "abc"), r"line 8, column 'sensor_5': 'abc'", "engines"),
    Case(
        "a line of it is cut off",
        engine_lines(lambda text: [*text[:-1], text[-1][:50]]),
        r"line 300: \d+ fields instead of 26",
        "engines",
    ),
    Case(
        "cycles are out of order",
        engine_lines(lambda text: [*text[:10], text[11], text[10], *text[12:]]),
        r"cycles_are_consecutive fails in train.*row 11",
        "engines",
    ),
    Case(
        "a cycle is there twice",
        engine_lines(lambda text: [*text[:10], text[9], *text[10:]]),
        r"keys_are_unique fails in train.*row 10",
        "engines",
    ),
    Case(
        "a cycle is missing",
        engine_lines(lambda text: [*text[:10], *text[11:]]),
        r"cycles_are_consecutive fails in train.*row 11",
        "engines",
    ),
    Case(
        "a remaining life too few",
        repacked("RUL_engines.txt", lambda text: text.split("\n", 1)[1]),
        r"RUL_engines\.txt: 3 values, but test_engines\.txt has 4 units",
        "engines",
    ),
    Case("its training file is empty", repacked("train_engines.txt", lambda _: ""), r"the file is empty", "engines"),
)

TABLE = (
    Case(
        "a column is missing in a file",
        lines("normal/p3.csv", lambda text: [line.rsplit(",", 2)[0] for line in text]),
        r"p3\.csv: the column 'temperature' is missing",
    ),
    Case("text in a number column", cell(17, 3, "n/k"), r"p0\.csv, line 18, column 'flow': 'n/k' is no number"),
    Case("a decimal comma", cell(17, 3, '"40,1"'), r"p0\.csv, line 18, column 'flow': '40,1' is no number"),
    Case(
        "decimal commas, and no sensors stated", decimal_commas, r"p0\.csv, line 2, column '.*' is no number with the"
    ),
    Case("a field too many", cell(17, 3, "40,1"), r"p0\.csv.*line 18"),
    Case("values missing for longer than a window", column(20, 33, 2, ""), r"unit p0, row 30.*pressure"),
    Case(
        "more than one value in twenty missing",
        everywhere(lambda text: [_gap(line) if row % 12 == 5 else line for row, line in enumerate(text)]),
        r"column flow: missing",
    ),
    Case("a value is infinite", cell(5, 2, "inf"), r"values_are_finite fails in train.*row 5.*pressure"),
    Case("all sensors are constant", everywhere(_constant), r"sensors_vary fails in train"),
    Case("all units are shorter than a window", everywhere(lambda text: text[:8]), r"units_are_long_enough fails"),
    Case(
        "times are out of order",
        lines(P0, lambda text: [*text[:10], text[11], text[10], *text[12:]]),
        r"time_increases fails in train.*unit p0, row 11",
    ),
    Case(
        "a time is there twice",
        lines(P0, lambda text: [*text[:10], text[9], *text[10:]]),
        r"keys_are_unique fails in train.*unit p0, row 9",
    ),
    Case("a time is missing", cell(5, 0, ""), r"unit p0, row 5"),
    Case("a time is text", cell(5, 0, "noon"), r"p0\.csv, line 6, column 'time': 'noon'"),
    Case("a unit has no name", cell(5, 1, ""), r"p0\.csv, line 6, column 'pump': the unit is empty"),
    Case("a label is 2", cell(5, 5, "2", "labelled.csv"), r"labelled\.csv, line 6, column 'fault'"),
    Case("a file is empty", lambda plant: (plant / P0).write_text(""), r"p0\.csv: the file has no rows"),
    Case("a file has a header only", lambda plant: (plant / P0).write_text(HEADER + "\n"), r"p0\.csv: .*no rows"),
    Case("a file is no text", lambda plant: (plant / P0).write_bytes(bytes(range(256)) * 9), r"p0\.csv: "),
    Case("no training file is there", lambda plant: [path.unlink() for path in plant.glob("normal/*")], r"normal/\*"),
    Case("the test file is missing", lambda plant: (plant / "labelled.csv").unlink(), r"'labelled\.csv'"),
    Case(
        "one unit only, and short",
        lambda plant: (
            [(plant / f"normal/p{n}.csv").unlink() for n in range(1, 5)]
            and (plant / P0).write_text("\n".join(pump(0, 15)) + "\n")
        ),
        r"units_are_enough fails in train",
    ),
)


SETTINGS = (
    Case("unknown dataset", nothing, r"unknown dataset 'pump' .* the catalogue has: .*pumps", "pump"),
    Case("the catalogue is missing", lambda plant: (plant / "plant.yaml").unlink(), r"VAE_PIPELINE_CATALOG"),
    Case("the catalogue is no YAML", lambda plant: (plant / "plant.yaml").write_text("a: ["), r"plant\.yaml: no valid"),
    Case(
        "a field of it is misspelt",
        lambda plant: (plant / "plant.yaml").write_text((plant / "plant.yaml").read_text().replace("unit:", "units:")),
        r"plant\.yaml: dataset 'pumps', columns\.units",
    ),
    Case("an option is misspelt", nothing, r"--set epoch=2", options=("--set", "epoch=2")),
    Case("an option is no number", nothing, r"epochs", options=("--set", "epochs=two")),
    Case("an option is out of range", nothing, r"epochs.*greater than or equal to 1", options=("--set", "epochs=0")),
    Case("an encoder there is not", nothing, r"encoder", options=("--set", "encoder=gru")),
    Case("a variable is no number", nothing, r"VAE_PIPELINE_THREADS", environment={"VAE_PIPELINE_THREADS": "many"}),
    Case("the home is a file", nothing, r"VAE_PIPELINE_HOME", environment={"VAE_PIPELINE_HOME": "{plant}/plant.yaml"}),
    Case("the storage is a file", nothing, r"plant\.yaml", environment={"VAE_PIPELINE_STORAGE": "{plant}/plant.yaml"}),
    Case(
        "the storage has an unknown address",
        nothing,
        r"VAE_PIPELINE_STORAGE",
        environment={"VAE_PIPELINE_STORAGE": "s4://a"},
    ),
    Case(
        "no MLflow server answers",
        nothing,
        r"MLFLOW_TRACKING_URI",
        options=("--set", "epochs=2"),
        environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
    ),
    Case(
        "no S3 server answers",
        nothing,
        r"VAE_PIPELINE_STORAGE",
        environment={
            "VAE_PIPELINE_STORAGE": "s3://bucket/prefix",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        },
    ),
)
