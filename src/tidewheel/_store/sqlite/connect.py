"""Opening a connection, and saying in our words what SQLite says in its own."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tidewheel._model.errors import StoreError, StoreFull, StoreUnavailable
from tidewheel._store.sqlite.filesystem import network_filesystem
from tidewheel._store.sqlite.options import SqliteOptions

T = TypeVar("T")
_NEEDED: Final = (3, 38, 0)  # the ->> operator and generated columns in STRICT tables
_CACHE_KIB: Final = 65_536
_holders: Final[dict[Path, list[int]]] = {}
"""Which processes have a file open: this one, and those it was forked from."""


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
    # Text that is no UTF-8 must not hide its row, nor the rows beside it: its bad bytes are shown as \\xff.
    connection.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")
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
    # SQLite itself does not wait when two processes switch a new file at once.
    mode = patiently(options, lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    if mode != "wal":
        raise StoreError(
            f"{options.path} cannot use write-ahead logging (SQLite answers {mode!r}). "
            "Put the file on a local disk that allows shared memory."
        )


class SameFile:
    """Notices that a database file was deleted or replaced while it is open.

    SQLite goes on with a file that has no name any more, and what it writes there is gone with the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._first = self._now()

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 -- looked at before every transaction
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check(self) -> None:
        """Raise a StoreError unless the path still leads to the same file."""
        if (now := self._now()) != self._first or now is None:
            what = "is gone" if now is None else "is another file now"
            raise StoreError(
                f"{self._path} {what}: it was deleted, moved or replaced while it was open, and what is written to the "
                "open one would be lost. Put it back (or leave it: a new one is made), and start this program again."
            )


def hold(path: Path) -> None:
    """Note that this process has the file open.

    Raises:
        StoreError: it was forked from one that has; SQLite's locks do not survive that.
    """
    holders = _holders.setdefault(path.resolve(), [])
    if any(pid != os.getpid() for pid in holders):
        raise StoreError(
            f"This process was forked from one that has {path} open, and SQLite files cannot be used on both sides of a "
            "fork: jobs could be lost. Use the start method 'spawn', or close the app before the fork."
        )
    holders.append(os.getpid())


def let_go(path: Path) -> None:
    """The file is closed again (by this process; what is open in a parent stays noted)."""
    holders = _holders.get(path.resolve(), [])
    if os.getpid() in holders:
        holders.remove(os.getpid())


def patiently(options: SqliteOptions, step: Callable[[], T]) -> T:
    """The answer of `step`, repeated while another process holds the lock it needs, up to `busy_timeout`."""
    deadline, pause = 0.0, 0.0002
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not _locked(str(error)):
                raise
            now = time.monotonic()
            deadline = deadline or now + options.busy_timeout / 1_000_000
            if now > deadline:
                raise
        # Jitter: processes that wait for the same lock must not try in step.
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 1.5, 0.01)


def _locked(text: str) -> bool:
    return "locked" in text or "busy" in text


def _check_place(options: SqliteOptions) -> None:
    path = options.path
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Name a file in it, such as {path / 'jobs.db'}.")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is no regular file, so it cannot hold a database. Name another file.")
    if path.parent.exists() and not path.parent.is_dir():
        raise StoreError(f"{path.parent}, the folder of the store {path.name}, is a file. Name a folder.")
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
    if _locked(text):
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
    if "not a database" in text or "image is malformed" in text:
        return StoreError(
            f"{path} is not a usable SQLite database (SQLite: {text}). Check the path; if the file was damaged, "
            "restore a backup or recover it with `sqlite3 FILE .recover`."
        )
    if "disk I/O error" in text:
        return StoreUnavailable(f"The disk under {path} failed an operation (SQLite: {text}). Check the disk.")
    if "unable to open" in text:
        return StoreUnavailable(f"{path} cannot be opened (SQLite: {text}). Check the path and the rights.")
    return StoreError(f"SQLite refused an operation on {path}: {text}")
