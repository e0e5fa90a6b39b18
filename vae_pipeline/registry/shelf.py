"""Versions of registered detectors and their aliases."""

import datetime as dt
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from vae_pipeline.errors import RegistryError
from vae_pipeline.processes import locked
from vae_pipeline.records import Record
from vae_pipeline.registry.tracking import RunHandle, Tracker, told
from vae_pipeline.storage import claimed, flush_folder, open_storage, place_folder, work_folder
from vae_pipeline.storage import told as storage_told

__all__ = ["CHALLENGER", "CHAMPION", "Shelf", "ShelfEntry"]

CHAMPION = "champion"
CHALLENGER = "challenger"

_EVALUATION_VERSION = "evaluation_version"
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of a model, number or alias that it does not know."""

_REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pillow", "pydantic", "scipy", "soundfile")


class ShelfEntry(Record):
    """A version of a registered model.

    ``data_version`` is that of the features; ``dataset_version`` the number of the dataset's version it was made from,
    of pairs those of both sides (``2+1``).
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    line: str
    dataset: str
    data_version: str
    dataset_version: str = "1"
    evaluation_version: str
    created: str
    run_id: str
    metrics: dict[str, float]


class Shelf:
    """The registry of a tracking server."""

    def __init__(self, tracker: Tracker) -> None:
        """Use the server of ``tracker``."""
        self.tracker = tracker
        self._known: dict[tuple[str, int, int], ShelfEntry] = {}

    def find(self, name: str, evaluation_version: str) -> ShelfEntry | None:
        """The version registered from this very evaluation, if there is one."""
        return next((entry for entry in self.entries(name) if entry.evaluation_version == evaluation_version), None)

    def register(
        self,
        run: RunHandle,
        name: str,
        detector: Path,
        *,
        beside: Mapping[str, Path],
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        card: str = "",
    ) -> int:
        """Log a detector folder as a pyfunc, register it and call it challenger; gives the version's number.

        Args:
            run: the open run that the model belongs to.
            name: of the registered model, ``timeseries-FD001``.
            detector: the folder.
            beside: further folders kept with the model, such as the weights for warm starts.
            tags: of the version; ``line``, ``dataset``, ``data_version`` and ``evaluation_version`` among them.
            metrics: logged to the run and to the model.
            card: description of the version, Markdown.

        Raises:
            RegistryError: the registry refused.
        """
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ParamSchema, ParamSpec

        client = self.tracker.client
        with told(self.tracker.uri), warnings.catch_warnings():
            # MLflow asks for type hints and examples that would bind the input to one of its two forms
            warnings.filterwarnings("ignore", module="mlflow")
            info = mlflow.pyfunc.log_model(
                name=name,
                # MLflow drops parameters that no signature names; inputs are tables or windows, which one cannot say
                signature=ModelSignature(params=ParamSchema([ParamSpec("threshold", "double", None)])),
                python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                artifacts={"detector": str(detector), **{key: str(path) for key, path in beside.items()}},
                pip_requirements=[f"{package}=={package_version(package)}" for package in _REQUIREMENTS],
            )
            mlflow.log_metrics(dict(metrics), run_id=run.run_id, model_id=info.model_id)
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            created = client.create_model_version(
                name, info.model_uri, run.run_id, tags=dict(tags), description=card, model_id=info.model_id
            )
        version = self._one_of_equals(name, int(created.version), tags[_EVALUATION_VERSION])
        self.challenge(name, version)
        return version

    def _one_of_equals(self, name: str, version: int, evaluation_version: str) -> int:
        """The earliest version of an evaluation; a later one goes.

        A step that was thought lost and the one that took its place may register at once, each seeing no other.
        """
        first = min(entry.version for entry in self.entries(name) if entry.evaluation_version == evaluation_version)
        if first != version:
            with told(self.tracker.uri):
                self.tracker.client.delete_model_version(name, str(version))
        return first

    def challenge(self, name: str, version: int) -> None:
        """Call a version challenger."""
        client = self.tracker.client
        with told(self.tracker.uri):
            client.set_registered_model_alias(name, CHALLENGER, str(version))

    def decide(self, name: str, version: int, *, against: int | None, promote: bool, reason: str) -> bool:
        """Write the decision on a version, and if it won make it champion instead of challenger.

        Args:
            name: of the model.
            version: that was compared.
            against: the champion it was compared with; None where there was none.
            promote: whether it won.
            reason: for people.

        Returns:
            False where another version has become champion since: then nothing was done, and it is to be compared
            again. Processes that share a home or a storage decide one after the other.
        """
        client, lock = self.tracker.client, self.tracker.settings.home / "promotion.lock"
        with storage_told(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()
        with (
            locked(lock),  # spares those of one machine the waiting that claims need
            claimed(open_storage(self.tracker.settings), f"promotions/{name}"),
            told(self.tracker.uri),
        ):
            champion = self.find_champion(name)
            if (champion.version if champion else None) != against:
                return False
            client.set_model_version_tag(name, str(version), "decision", reason)
            if promote:
                client.set_registered_model_alias(name, CHAMPION, str(version))
                challenger = client.get_registered_model(name).aliases.get(CHALLENGER)
                if challenger is not None and int(challenger) == version:  # another may have become challenger since
                    client.delete_registered_model_alias(name, CHALLENGER)
        return True

    def promote(self, name: str, version: int) -> int | None:
        """Make a version champion by hand; gives the champion before, None where there was none or it is that.

        Raises:
            RegistryError: there is no such version.
        """
        self.version(name, version)
        while True:
            champion = self.find_champion(name)
            before = champion.version if champion else None
            if before == version:
                return None
            reason = f"made champion by hand{f' in place of version {before}' if before else ''}"
            if self.decide(name, version, against=before, promote=True, reason=reason):
                return before

    def entries(self, name: str | None = None) -> list[ShelfEntry]:
        """All versions, or those of one model, by name and then newest first."""
        client = self.tracker.client
        with told(self.tracker.uri):
            models = client.search_registered_models(f"name = '{name}'" if name else None, max_results=1000)
            found = []
            for model in models:
                aliases: dict[int, list[str]] = {}
                for alias, number in model.aliases.items():
                    aliases.setdefault(int(number), []).append(alias)
                found += [
                    self._entry(client, version, tuple(sorted(aliases.get(int(version.version), ()))))
                    for version in client.search_model_versions(f"name = '{model.name}'", max_results=1000)
                ]
        return sorted(found, key=lambda entry: (entry.name, -entry.version))

    def version(self, name: str, version: int) -> ShelfEntry:
        """A version by its number.

        Raises:
            RegistryError: there is none of that number.
        """
        entry = next((entry for entry in self.entries(name) if entry.version == version), None)
        if entry is None:
            msg = f"{name} has no version {version}; vae-pipeline models lists what there is"
            raise RegistryError(msg)
        return entry

    def number(self, name: str, reference: str) -> int:
        """The number of a version that is named by an alias or by its number.

        Raises:
            RegistryError: there is none.
        """
        if reference.isdigit():
            return self.version(name, int(reference)).version
        if reference == CHAMPION:
            return self.champion(name).version
        return int(self._version(name, reference).version)

    def champions(self, line: str) -> list[ShelfEntry]:
        """The champions of a line, by dataset; one request where none has changed since this shelf gave them last."""
        return sorted((entry for entry in self._champions() if entry.line == line), key=lambda entry: entry.dataset)

    def find_champion(self, name: str) -> ShelfEntry | None:
        """The version called champion, if there is one."""
        return next(iter(self._champions(name)), None)

    def _champions(self, name: str | None = None) -> list[ShelfEntry]:
        client = self.tracker.client
        found = []
        with told(self.tracker.uri):
            for model in client.search_registered_models(f"name = '{name}'" if name else None, max_results=1000):
                numbers = {alias: int(number) for alias, number in model.aliases.items()}
                if CHAMPION not in numbers:
                    continue
                number = numbers[CHAMPION]
                # what a version was registered with never changes; a model that was deleted and made anew is another
                key = (model.name, number, model.creation_timestamp)
                if key not in self._known:
                    self._known[key] = self._entry(client, client.get_model_version(model.name, str(number)), ())
                aliases = tuple(sorted(alias for alias, other in numbers.items() if other == number))
                found.append(self._known[key].model_copy(update={"aliases": aliases}))
        return found

    def champion(self, name: str) -> ShelfEntry:
        """The version called champion.

        Raises:
            RegistryError: there is none; the message says how to make one.
        """
        entry = self.find_champion(name)
        if entry is None:
            line, _, dataset = name.partition("-")
            msg = f"{name} has no champion yet; make one with: vae-pipeline run {line} {dataset}"
            raise RegistryError(msg)
        return entry

    def detector_folder(self, name: str, reference: str | int) -> Path:
        """A local copy of the detector folder of a version, given by alias or number."""
        return self.folder(name, reference, "detector")

    def folder(self, name: str, reference: str | int, kept: str) -> Path:
        """The local path of a folder that is kept with a version, given by alias or number.

        What lies on this machine is not copied; from elsewhere it is, once, into ``<home>/cache/models``.

        Raises:
            RegistryError: there is no such version, or nothing of that name is kept with it.
        """
        return self._local(self._version(name, reference), kept)

    def find_folder(self, name: str, reference: str | int, kept: str) -> Path | None:
        """As `folder`; None where nothing of that name is kept with the version."""
        from mlflow.artifacts import list_artifacts

        version = self._version(name, reference)
        with told(self.tracker.uri):
            there = self._copy(version, kept).exists() or any(
                item.path.rpartition("/")[2] == kept for item in list_artifacts(_artifacts(version))
            )
        return self._local(version, kept) if there else None

    def _version(self, name: str, reference: str | int) -> Any:
        """What the registry has written down of a version, given by alias or number.

        Raises:
            RegistryError: there is none.
        """
        from mlflow.exceptions import MlflowException

        client = self.tracker.client
        with told(self.tracker.uri):
            try:
                if isinstance(reference, int):
                    return client.get_model_version(name, str(reference))
                return client.get_model_version_by_alias(name, reference)
            except MlflowException as error:
                if error.error_code not in _NOT_THERE:
                    raise
                msg = f"no version of {name} is called {reference}; vae-pipeline models lists them"
                raise RegistryError(msg) from error

    def _copy(self, version: Any, kept: str) -> Path:
        """Where a copy of what is kept with a version lies, of this one and not of another of the same number."""
        folder = self.tracker.settings.home / "cache" / "models" / version.name
        return folder / f"{version.version}-{version.creation_timestamp}" / kept / kept

    def _local(self, version: Any, kept: str) -> Path:
        from mlflow.artifacts import download_artifacts

        copy, address = self._copy(version, kept), f"{_artifacts(version)}/{kept}"
        if copy.exists():
            return copy
        with told(self.tracker.uri):
            held = self.tracker.client.get_model_version_download_uri(version.name, version.version)
            if urlsplit(held).scheme in ("", "file"):
                return Path(download_artifacts(address))
        with storage_told(copy), work_folder(copy.parent.parent) as work:
            with told(self.tracker.uri):
                fetched = Path(download_artifacts(address, dst_path=str(work)))
            whole = work / "whole"
            whole.mkdir()
            fetched.rename(whole / kept)
            flush_folder(whole)
            place_folder(whole, copy.parent)
        return copy

    @contextmanager
    def network(self, entry: ShelfEntry) -> Iterator[Path]:
        """A folder with shape and weights of a version's network, while the block lasts.

        Raises:
            RegistryError: they were not kept with it.
        """
        with TemporaryDirectory() as work:
            for kept in ("network.json", "weights.npz"):
                file = self.find_folder(entry.name, entry.version, kept)
                if file is None:
                    msg = f"{entry.name} version {entry.version} keeps no network to begin with; train from scratch"
                    raise RegistryError(msg)
                shutil.copy(file, work)
            yield Path(work)

    @staticmethod
    def _entry(client: Any, version: Any, aliases: tuple[str, ...]) -> ShelfEntry:
        tags = version.tags
        run = client.get_run(version.run_id) if version.run_id else None
        created = dt.datetime.fromtimestamp(version.creation_timestamp / 1000, dt.UTC)
        return ShelfEntry(
            name=version.name,
            version=int(version.version),
            aliases=aliases,
            line=tags.get("line", ""),
            dataset=tags.get("dataset", ""),
            data_version=tags.get("data_version", ""),
            dataset_version=tags.get("dataset_version", "1"),
            evaluation_version=tags.get(_EVALUATION_VERSION, ""),
            created=created.isoformat(timespec="seconds"),
            run_id=version.run_id or "",
            metrics=dict(run.data.metrics) if run else {},
        )


def _artifacts(version: Any) -> str:
    """Where what is kept with a version lies."""
    return f"models:/{version.name}/{version.version}/artifacts"
