"""received: what lay complete in incoming, in the dataset's next version or in quarantine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.partitions import dataset_of, line_partitions
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.raw import bring_in
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Dataset, Line
from vae_pipeline.storage import Storage

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector
    from vae_pipeline.intake.receive import Received

__all__ = ["ReceivedConfig", "received_asset"]


class ReceivedConfig(dg.Config):
    """What is taken."""

    looks: dict[str, str] = Field(
        default={},
        description="batch to its state as the sensor saw it; what has changed since is left for a later look. What "
        "has not changed for a minute when left out",
    )


def received_asset(line: Line) -> dg.AssetsDefinition:
    """Takes the complete batches of the partition's dataset out of incoming."""

    @dg.asset(
        key=[line, "received"],
        group_name=line,
        partitions_def=line_partitions(line),
        kinds={"greatexpectations"},
        retry_policy=RETRY,
        description="New data that arrived: in the dataset's next version, or in quarantine with the report beside it.",
    )
    def received(
        context: dg.AssetExecutionContext, config: ReceivedConfig, storage: StorageResource, mlflow: MlflowResource
    ) -> dg.MaterializeResult:
        from vae_pipeline.intake.arrive import arrivals
        from vae_pipeline.intake.receive import receive
        from vae_pipeline.sources.batches import newest_version
        from vae_pipeline.storage import open_incoming

        with told_to_dagster():
            dataset, settings, store = dataset_of(context, line), storage.settings, storage.open()
            incoming = open_incoming(settings)
            there = arrivals(incoming, line, dataset.name)
            before = {f"{dataset.name}/{name}": look for name, look in config.looks.items()}
            taken = [each.name for each in there if (each.complete(before) if before else each.settled(time.time()))]
            for each in there:
                if each.name not in taken:
                    context.log.info(f"{each.key}: not complete, left for a later look")
            found: list[Received] = []
            stopped: Exception | None = None
            if taken:
                raw = store.folder(bring_in(dataset, settings, store).key)
                champion, without = _champion(dataset, mlflow)
                for name in taken:
                    try:
                        found.append(
                            receive(
                                dataset,
                                name,
                                storage=store,
                                incoming=incoming,
                                raw=raw,
                                scratch=settings.home / "cache" / "intake",
                                champion=champion,
                                without=without,
                            )
                        )
                    except VaePipelineError as error:  # what was received before is told all the same
                        stopped = error
                        break
                    except Exception as error:  # of this batch alone: it holds up none behind it
                        stopped = stopped or error
                        context.log.exception(f"{name}: could not be received, and stays in incoming")
            for each in found:
                (context.log.warning if each.outcome == "refused" else context.log.info)(each.reason)
            if stopped is not None and all(each.outcome == "waiting" for each in found):
                raise stopped
            if stopped is not None:
                context.log.error(f"what was not received stays in incoming: {stopped}")
            version = newest_version(store, dataset).number
        return dg.MaterializeResult(
            metadata=_metadata(found, store, version), data_version=dg.DataVersion(f"{dataset.name}:{version}")
        )

    return received


def _champion(dataset: Dataset, mlflow: MlflowResource) -> "tuple[Detector | None, str]":
    """The champion that tests labels; without one the reason."""
    from vae_pipeline.detector.detector import Detector

    name = f"{dataset.line}-{dataset.name}"
    entry = mlflow.shelf.find_champion(name)
    if entry is None:
        return None, f"{name} has no champion yet"
    return Detector.load(mlflow.shelf.detector_folder(name, entry.version)), ""


def _metadata(found: "list[Received]", store: Storage, version: int) -> dict[str, Any]:
    def count(outcome: str) -> int:
        return sum(each.outcome == outcome for each in found)

    rows = [
        {
            "batch": each.name,
            "outcome": each.outcome,
            "rows": each.rows,
            "labelled": each.labelled,
            "why": each.reason,
            "report": _link(store, each),
        }
        for each in found
    ]
    return {
        "batches": table(rows),
        "accepted": count("accepted"),
        "refused": count("refused"),
        "known": count("known"),
        "waiting": count("waiting"),
        "rows": sum(each.rows for each in found if each.accepted),
        "version": version,
        "reason": "; ".join(each.reason for each in found if each.outcome == "refused"),
    }


def _link(store: Storage, each: "Received") -> str:
    if not each.report:
        return ""
    key, _, page = each.report.rpartition("/")
    return f"[report]({Path(store.folder(key), page).as_uri()})"
