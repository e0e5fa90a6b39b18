"""The registry's tables, copied from one database to another; MLflow itself makes and migrates them.

A back-up holds them as a SQLite file whatever they were kept in, so that it can be restored into any kind.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_pipeline.addresses import shown
from vae_pipeline.errors import BackUpError, SettingError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

__all__ = ["copy_in", "copy_out", "found_in", "latest_revision", "make_tables", "migrated", "opened"]

_ROWS = 1000  # at a time
_REVISION = "alembic_version"
# a server that has just been started writes these by itself
_OWN = {_REVISION, "workspaces", "scheduler_leases", "job_locks"}

Change = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Gives a row, of a table of that name, as it is to be written."""


@contextmanager
def opened(url: str) -> "Iterator[Engine]":
    """A database while the block lasts.

    Raises:
        SettingError: the address is none, or its driver is not installed.
        BackUpError: it does not answer or refuses.
    """
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(url, poolclass=NullPool)
    except (ArgumentError, ImportError) as error:
        msg = (
            f"the database of the registry cannot be used ({str(error).splitlines()[0]}); check --database or "
            "VAE_PIPELINE_REGISTRY_DATABASE (for postgresql:// install the extra 'postgresql')"
        )
        raise SettingError(msg) from error
    try:
        yield engine
    except (SQLAlchemyError, MlflowException, CommandError) as error:
        msg = shown(f"{url}: {str(error).splitlines()[0]}; check the database and its address")
        raise BackUpError(msg) from error
    finally:
        engine.dispose()


def latest_revision() -> str:
    """The revision of the tables that the installed MLflow makes."""
    from mlflow.store.db import utils

    return utils._get_latest_schema_revision()


def make_tables(engine: "Engine") -> None:
    """Have MLflow make its tables in an empty database; in another, refuse those of another MLflow.

    Raises:
        BackUpError: its tables are of another revision.
    """
    from mlflow.store.db import utils

    _be_quiet()
    if utils._is_empty_database(engine):
        utils._initialize_tables(engine)
    _require_latest(engine)


def migrated(file: Path) -> None:
    """Bring a SQLite copy of the tables to the revision of the installed MLflow.

    Raises:
        BackUpError: its tables are of a revision that this MLflow does not know.
    """
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    _be_quiet()
    with opened(f"sqlite:///{file}") as engine:
        found = utils._get_schema_version(engine)
        if found == latest_revision():
            return
        try:
            ScriptDirectory.from_config(utils._get_alembic_config("")).get_revision(found or "none")
        except CommandError as error:
            raise BackUpError(_other(found)) from error
        utils._upgrade_db(engine)


def copy_out(url: str, file: Path) -> str:
    """Copy the tables into a new SQLite file as they are at one moment, while others write; gives their revision.

    Raises:
        BackUpError: there are none, the database does not answer, or another MLflow made them.
        SettingError: its address cannot be used.
    """
    from mlflow.store.db import utils

    with opened(url) as engine:
        if engine.dialect.name == "sqlite":
            _copy_file(Path(engine.url.database or ""), file)
            with opened(f"sqlite:///{file}") as copy:
                return utils._get_schema_version(copy) or "none"
        _require_latest(engine)
        with opened(f"sqlite:///{file}") as copy:
            make_tables(copy)
            with engine.connect() as source, copy.begin() as target:
                source.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                _copy_rows(source, target, lambda _, row: dict(row))
    return latest_revision()


def copy_in(file: Path, engine: "Engine", change: Change) -> None:
    """Write all rows of a SQLite copy into a database that has MLflow's tables, in one transaction."""
    with opened(f"sqlite:///{file}") as copy, copy.connect() as source, engine.begin() as target:
        tables = _copy_rows(source, target, change)
        if engine.dialect.name == "postgresql":
            _set_sequences(target, tables)


def found_in(url: str) -> str | None:
    """The first table of a database with rows that somebody wrote; None where it is empty, new or not there."""
    from sqlalchemy import func, inspect, select

    with opened(url) as engine:
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
            return None
        if _REVISION not in (names := inspect(engine).get_table_names()):
            return names[0] if names else None
        with engine.connect() as connection:
            for table in _reflected(connection).sorted_tables:
                rows = select(func.count()).select_from(table)
                if table.name == "experiments":
                    rows = rows.where(table.c.experiment_id != 0)  # 0 is Default, which MLflow makes
                if table.name not in _OWN and connection.scalar(rows):
                    return table.name
    return None


def _copy_file(source: Path, file: Path) -> None:
    if not source.exists():
        msg = f"{source}: there is no registry yet; make a first model with: vae-pipeline run timeseries FD001"
        raise BackUpError(msg)
    try:
        with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old:  # noqa: SIM117 - opened in order
            with closing(sqlite3.connect(file)) as new:
                old.backup(new)
                new.execute("PRAGMA journal_mode=DELETE")  # one file, and readable where nobody may write
    except sqlite3.Error as error:
        msg = f"{source}: {error}; check the database"
        raise BackUpError(msg) from error


def _copy_rows(source: "Connection", target: "Connection", change: Change) -> "MetaData":
    from sqlalchemy import insert, select

    old, new = _reflected(source), _reflected(target)
    for table in reversed(new.sorted_tables):
        if table.name != _REVISION:
            target.execute(table.delete())
    for table in new.sorted_tables:
        if table.name == _REVISION:
            continue
        names = [column.name for column in table.columns if column.computed is None]
        rows = select(*(old.tables[table.name].c[name] for name in names))
        found = source.execution_options(yield_per=_ROWS).execute(rows)
        for part in found.mappings().partitions(_ROWS):
            target.execute(insert(table), [change(table.name, dict(row)) for row in part])  # type: ignore[arg-type]
    return new


def _reflected(connection: "Connection") -> "MetaData":
    """The tables as they are, not as MLflow's classes see them, which decrypt what they read."""
    from sqlalchemy import JSON, MetaData

    tables = MetaData()
    tables.reflect(connection)
    for table in tables.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return tables


def _set_sequences(target: "Connection", tables: "MetaData") -> None:
    """Let PostgreSQL count on from the rows that were written with their numbers."""
    from sqlalchemy import func, select

    for table in tables.sorted_tables:
        for column in table.primary_key.columns:
            sequence = target.scalar(select(func.pg_get_serial_sequence(f'"{table.name}"', column.name)))
            highest = target.scalar(select(func.max(column))) if sequence else None
            if highest:
                target.execute(select(func.setval(sequence, highest)))


def _require_latest(engine: "Engine") -> None:
    from mlflow.store.db import utils

    found = utils._get_schema_version(engine)
    if found != latest_revision():
        msg = f"{shown(str(engine.url))}: {_other(found)}"
        raise BackUpError(msg)


def _other(found: str | None) -> str:
    from importlib.metadata import version

    return (
        f"the registry's tables are of MLflow's revision {found}, those of MLflow {version('mlflow')} here of "
        f"{latest_revision()}; install the MLflow that made them here, or run mlflow db upgrade"
    )


def _be_quiet() -> None:
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
