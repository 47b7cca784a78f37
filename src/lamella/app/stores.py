"""What a node keeps: opened at its start, closed at its end."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore
from lamella.adapters.filesystem.directory import SQLITE_FILE, DataDirectory
from lamella.adapters.logs import FileLogStore
from lamella.adapters.sandbox.overlays import KernelOverlays
from lamella.adapters.sql.aliases import SqlAliasStore
from lamella.adapters.sql.checkpoints import SqlCheckpointStore
from lamella.adapters.sql.credentials import SqlCredentialStore
from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.adapters.sql.queue import SqlEventQueue
from lamella.adapters.sql.records import SqlAccountRecordStore, SqlFunctionRecordStore
from lamella.adapters.traces import FileTraceStore
from lamella.config.settings import Settings
from lamella.images.allowed import Registry
from lamella.images.credentials import AuthFiles, default_files
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.invoke.recorders import Recorders
from lamella.ports.logs import LogStore
from lamella.ports.records import Records
from lamella.runtimes.catalog import PackCatalog

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """In the database: functions to queue. In the data directory: artifacts to recorders."""

    functions: SqlFunctionStore
    layers: SqlLayerStore
    aliases: SqlAliasStore
    records: Records
    credentials: SqlCredentialStore
    checkpoints: SqlCheckpointStore
    queue: SqlEventQueue
    artifacts: FilesystemArtifactStore
    packs: PackCatalog
    images: FilesystemImageStore
    logs: LogStore
    recorders: Recorders


async def open_stores(settings: Settings, directory: DataDirectory, stack: AsyncExitStack) -> Stores:
    """Open all of them, and make the runtime packs that are missing; the stack closes them.

    Raises:
        DirectoryError, UnavailableError: The database cannot be used, or does not go with the directory.
    """
    database = await asyncio.to_thread(_database, settings, directory)
    stack.callback(database.close)
    functions = SqlFunctionStore(database)
    artifacts = await asyncio.to_thread(FilesystemArtifactStore, settings.data / "artifacts")
    images = await asyncio.to_thread(_image_store, settings)
    stack.push_async_callback(asyncio.to_thread, images.close)
    packs = await asyncio.to_thread(PackCatalog, settings.data / "runtimes", images.root)
    await asyncio.to_thread(packs.ensure_defaults, progress=_log.info)
    # Nothing runs yet, so the only superseded packs in use are those that functions keep.
    await asyncio.to_thread(packs.prune, await functions.kept_runtimes())
    queue = SqlEventQueue(database, history=settings.async_history)
    stack.push_async_callback(queue.close)
    logs = FileLogStore(settings.data / "logs")
    stack.callback(logs.close)
    recorders = Recorders(FileTraceStore(settings.data / "traces") if settings.flight_recorder else None)
    stack.push_async_callback(recorders.close)
    return Stores(
        functions=functions,
        layers=SqlLayerStore(database),
        aliases=SqlAliasStore(database),
        records=Records(SqlFunctionRecordStore(database), SqlAccountRecordStore(database)),
        credentials=SqlCredentialStore(database),
        checkpoints=SqlCheckpointStore(database),
        queue=queue,
        artifacts=artifacts,
        packs=packs,
        images=images,
        logs=logs,
        recorders=recorders,
    )


def _image_store(settings: Settings) -> FilesystemImageStore:
    """Open the store of images; blocks.

    Raises:
        UnavailableError: It cannot be used.
    """
    named = settings.image_auth_file
    credentials = AuthFiles((named,), must_exist=True) if named else AuthFiles(default_files(os.environ))
    registries = [Registry.parse(text) for text in settings.image_registries]
    sources = Sources(registries, settings.image_paths, credentials.find)
    return FilesystemImageStore(settings.data / "images", sources, KernelOverlays())


def _database(settings: Settings, directory: DataDirectory) -> Database:
    """Open the database that goes with the data directory; blocks.

    Raises:
        DirectoryError, UnavailableError: It cannot be used, or does not go with it; nothing has changed.
    """
    if settings.database == "sqlite":
        directory.check_database("sqlite")
        database = Database.open(settings.data / SQLITE_FILE)
        directory.keep_database("sqlite")
    else:
        directory.check_database("postgresql")
        database = Database.open(settings.database, directory=directory.instance, known=bool(directory.database))
        directory.keep_database("postgresql")
    return database
