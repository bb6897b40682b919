"""Opening a connection, and saying in our words what SQLite says in its own."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from tidewheel._model.errors import StoreError, StoreFull, StoreUnavailable
from tidewheel._store.sqlite.filesystem import network_filesystem
from tidewheel._store.sqlite.options import SqliteOptions

_NEEDED: Final = (3, 38, 0)  # the ->> operator and generated columns in STRICT tables
_CACHE_KIB: Final = 65_536


def connect(options: SqliteOptions, *, reader: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended by hand.

    Raises:
        StoreError: SQLite is too old, the file cannot be opened, is no database or lies on a network share.
        StoreUnavailable: another process holds the lock that the first opening needs.
    """
    if sqlite3.sqlite_version_info < _NEEDED:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old: Tidewheel needs {'.'.join(map(str, _NEEDED))} or newer. "
            "Use a Python that was built with a newer SQLite."
        )
    _check_place(options)
    try:
        connection = sqlite3.connect(
            options.path,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=options.busy_timeout / 1_000_000,
        )
    except sqlite3.Error as error:
        raise translated(error, options) from error
    try:
        _use_wal(connection, options)
        connection.execute(f"PRAGMA synchronous = {'FULL' if options.durability == 'full' else 'NORMAL'}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if reader:
            connection.execute("PRAGMA query_only = ON")
        else:
            # Our own retry with jitter is fairer between processes than SQLite's growing sleeps.
            connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, options) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, options: SqliteOptions) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{options.path} cannot use write-ahead logging (SQLite answers {mode!r}). "
            "Put the file on a local disk that allows shared memory."
        )


def _check_place(options: SqliteOptions) -> None:
    path = options.path
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Name a file in it, such as {path / 'jobs.db'}.")
    if not path.parent.is_dir():
        raise StoreError(f"The folder {path.parent} of the store {path.name} does not exist. Create it first.")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path} cannot be read and written by this user. Change its owner or its rights.")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(
            f"The folder {path.parent} cannot be written by this user, and SQLite keeps its log beside the file. "
            "Change its owner or its rights, or choose another folder."
        )
    share = network_filesystem(path.parent) if options.network_fs == "refuse" else None
    if share is not None:
        raise StoreError(
            f"{path} lies on a network file system ({share}), where SQLite's locks cannot be trusted: jobs could be "
            "lost or run twice. Use a local disk, or PostgreSQL or Redis for several machines. "
            "To use it nevertheless add ?network_fs=allow to the store URL."
        )


def translated(error: sqlite3.Error, options: SqliteOptions) -> StoreError:
    """Our error for one of SQLite's, with the file and the remedy."""
    text, path = str(error), options.path
    if "locked" in text or "busy" in text:
        return StoreUnavailable(
            f"{path} stayed locked by another process for {options.busy_timeout / 1_000_000:g} s. "
            "Look for a program that keeps a transaction open; the operation may be repeated."
        )
    if "disk is full" in text or "full" in text.split():
        return StoreFull(
            f"No room left for {path} (SQLite: {text}). Nothing was lost; free some space, workers try again."
        )
    if "readonly" in text:
        return StoreError(f"{path} is read-only for this user (SQLite: {text}). Change its rights or its disk's.")
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"{path} is not a usable SQLite database (SQLite: {text}). Check the path; if the file was damaged, "
            "restore a backup or recover it with `sqlite3 FILE .recover`."
        )
    if "disk I/O error" in text:
        return StoreUnavailable(f"The disk under {path} failed an operation (SQLite: {text}). Check the disk.")
    if "unable to open" in text:
        return StoreUnavailable(f"{path} cannot be opened (SQLite: {text}). Check the path and the rights.")
    return StoreError(f"SQLite refused an operation on {path}: {text}")
