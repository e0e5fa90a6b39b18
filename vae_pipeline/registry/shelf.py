"""Versions of registered detectors and their aliases."""

import datetime as dt
from collections.abc import Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from vae_pipeline.errors import RegistryError
from vae_pipeline.records import Record
from vae_pipeline.registry.tracking import RunHandle, Tracker, told

__all__ = ["CHALLENGER", "CHAMPION", "Shelf", "ShelfEntry"]

CHAMPION = "champion"
CHALLENGER = "challenger"

_DETECTOR_VERSION = "detector_version"
_REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pydantic", "scipy")


class ShelfEntry(Record):
    """A version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...]
    line: str
    dataset: str
    data_version: str
    detector_version: str
    created: str
    run_id: str
    metrics: dict[str, float]


class Shelf:
    """The registry of a tracking server."""

    def __init__(self, tracker: Tracker) -> None:
        """Use the server of ``tracker``."""
        self.tracker = tracker

    def find(self, name: str, detector_version: str) -> ShelfEntry | None:
        """The version registered from this very detector, if there is one."""
        return next((entry for entry in self.entries(name) if entry.detector_version == detector_version), None)

    def register(
        self,
        run: RunHandle,
        name: str,
        detector: Path,
        *,
        beside: Mapping[str, Path],
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> int:
        """Log a detector folder as a pyfunc, register it and call it challenger; gives the version's number.

        Args:
            run: the open run that the model belongs to.
            name: of the registered model, ``timeseries-FD001``.
            detector: the folder.
            beside: further folders kept with the model, such as the weights for warm starts.
            tags: of the version; ``line``, ``dataset``, ``data_version`` and ``detector_version`` among them.
            metrics: logged to the run and to the model.

        Raises:
            RegistryError: the registry refused.
        """
        import mlflow

        client = self.tracker.client
        with told(self.tracker.uri):
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                artifacts={"detector": str(detector), **{key: str(path) for key, path in beside.items()}},
                pip_requirements=[f"{package}=={package_version(package)}" for package in _REQUIREMENTS],
            )
            mlflow.log_metrics(dict(metrics), run_id=run.run_id, model_id=info.model_id)
            registered = mlflow.register_model(info.model_uri, name, tags=dict(tags))
            client.set_registered_model_alias(name, CHALLENGER, registered.version)
        return int(registered.version)

    def promote(self, name: str, version: int) -> None:
        """Make a version champion; it is challenger no longer."""
        client = self.tracker.client
        with told(self.tracker.uri):
            client.set_registered_model_alias(name, CHAMPION, str(version))
            self.dismiss(name, version)

    def dismiss(self, name: str, version: int) -> None:
        """Take the challenger alias off a version if it bears it."""
        client = self.tracker.client
        with told(self.tracker.uri):
            if client.get_registered_model(name).aliases.get(CHALLENGER) == str(version):
                client.delete_registered_model_alias(name, CHALLENGER)

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

    def champion(self, name: str) -> ShelfEntry:
        """The version called champion.

        Raises:
            RegistryError: there is none; the message says how to make one.
        """
        entry = next((entry for entry in self.entries(name) if CHAMPION in entry.aliases), None)
        if entry is None:
            line, _, dataset = name.partition("-")
            msg = f"{name} has no champion yet; make one with: vae-pipeline run {line} {dataset}"
            raise RegistryError(msg)
        return entry

    def detector_folder(self, name: str, reference: str | int) -> Path:
        """A local copy of the detector folder of a version, given by alias or number."""
        import mlflow

        _ = self.tracker.client
        uri = f"models:/{name}@{reference}" if isinstance(reference, str) else f"models:/{name}/{reference}"
        with told(self.tracker.uri):
            return Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts"

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
            detector_version=tags.get(_DETECTOR_VERSION, ""),
            created=created.isoformat(timespec="seconds"),
            run_id=version.run_id or "",
            metrics=dict(run.data.metrics) if run else {},
        )
