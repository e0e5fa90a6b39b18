"""What crosses from stage to stage when two runs of a partition are at work at once."""

import dagster as dg
import pytest

from vae_pipeline.defs.artifact_io import ArtifactIOManager
from vae_pipeline.records import Artifact
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage

KEY = "artifacts/timeseries/features/FD001.json"
PARTITIONS = dg.StaticPartitionsDefinition(["FD001"])


def artifact(made):
    return Artifact(key=made, data_version=made, reused=False, facts={})


@pytest.fixture
def run():
    """Runs two stages, the first of which is overtaken by another run; gives what the second one read."""
    read = []

    @dg.asset(key=["timeseries", "features"], partitions_def=PARTITIONS)
    def features() -> Artifact:
        return artifact("own")

    @dg.asset(key=["timeseries", "meanwhile"], partitions_def=PARTITIONS, deps=[features])
    def meanwhile() -> None:
        open_storage(load_settings()).write_text(KEY, artifact("of another run").model_dump_json())

    @dg.asset(
        key=["timeseries", "trained"],
        partitions_def=PARTITIONS,
        ins={"features": dg.AssetIn(["timeseries", "features"])},
        deps=[meanwhile],
    )
    def trained(features: Artifact) -> None:
        read.append(features.key)

    manager = ArtifactIOManager()

    def runs(*stages):
        assets = [features, meanwhile, trained]
        chosen = dg.AssetSelection.assets(*(["timeseries", stage] for stage in stages))
        resources = {"io_manager": manager}
        dg.materialize(assets, selection=chosen, resources=resources, partition_key="FD001")
        return read[-1]

    return runs


def test_a_run_goes_on_with_what_it_made_itself(run):
    assert run("features", "meanwhile", "trained") == "own"


def test_a_later_run_begins_with_the_newest(run):
    run("features", "meanwhile", "trained")
    assert run("trained") == "of another run"
