"""The three places of an installation: the registry's database, MLflow's artifacts and the storage."""

from dataclasses import dataclass
from pathlib import Path

from vae_pipeline.addresses import shown
from vae_pipeline.backup.locations import addresses
from vae_pipeline.errors import SettingError
from vae_pipeline.registry.tracking import artifact_root
from vae_pipeline.settings import Settings
from vae_pipeline.storage import Storage, open_storage

__all__ = ["PROXIED", "Places", "open_places"]

PROXIED = "mlflow-artifacts:"
"""What locations begin with where clients send artifacts through the MLflow server."""


@dataclass(frozen=True)
class Places:
    """Where an installation keeps things.

    Attributes:
        database: address of the registry's database, password and all.
        storage: what the stages keep.
        artifacts: what MLflow keeps; may lie inside the storage.
        inside: the key in ``storage`` below which artifacts lie; None where they lie elsewhere.
        addresses: what locations in the registry begin with.
        address: what new locations begin with; None where the server decides it.
    """

    database: str
    storage: Storage
    artifacts: Storage
    inside: str | None
    addresses: tuple[str, ...]
    address: str | None


def open_places(settings: Settings) -> Places:
    """The places that settings name.

    Raises:
        SettingError: behind an MLflow server, its database or place of artifacts is not named; or one is named and
            there is no server.
    """
    stated, kept = settings.registry_database, settings.registry_artifacts
    uri = settings.tracking_uri
    root = settings.storage_root.rstrip("/")
    if uri is None:
        if stated or kept:
            msg = (
                "--database and --artifacts (VAE_PIPELINE_REGISTRY_…) describe an MLflow server: set "
                "MLFLOW_TRACKING_URI too, or leave them out"
            )
            raise SettingError(msg)
        database, artifacts, known = settings.mlflow_uri, f"{root}/mlflow", ()
    else:
        served = uri.startswith(("http://", "https://"))
        if stated is None and served:
            msg = (
                f"MLFLOW_TRACKING_URI={shown(uri)} is a server: name the database behind it with "
                "--database postgresql+psycopg2://… or VAE_PIPELINE_REGISTRY_DATABASE"
            )
            raise SettingError(msg)
        if kept is None:
            msg = (
                f"MLFLOW_TRACKING_URI={shown(uri)}: name the place of its artifacts with --artifacts s3://… "
                "or VAE_PIPELINE_REGISTRY_ARTIFACTS"
            )
            raise SettingError(msg)
        database = stated.get_secret_value() if stated else uri
        artifacts = kept.rstrip("/") if "://" in kept else str(Path(kept).expanduser().resolve())
        known = (PROXIED,) if served else ()
    home = "VAE_PIPELINE_HOME" if settings.storage is None else "VAE_PIPELINE_STORAGE"
    inside = artifacts.removeprefix(f"{root}/") if artifacts.startswith(f"{root}/") else None
    return Places(
        database=database,
        storage=open_storage(settings),
        artifacts=Storage(artifacts, settings.home / "cache", "VAE_PIPELINE_REGISTRY_ARTIFACTS" if uri else home),
        inside=inside,
        addresses=(*known, *addresses(artifacts)),
        address=artifact_root(settings) if uri is None else None if known else addresses(artifacts)[0],
    )
