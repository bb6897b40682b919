"""Opening connections, and saying in our words what PostgreSQL and its driver say in theirs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from tidewheel._model.errors import SchemaMismatch, StoreError, StoreFull, StoreUnavailable
from tidewheel._store.postgres.options import PostgresOptions
from tidewheel._store.postgres.pool import Pool
from tidewheel._store.tls import remedy

if TYPE_CHECKING:
    from typing import TypeAlias

    Record: TypeAlias = asyncpg.Record
    Connection: TypeAlias = asyncpg.Connection[Record]
    _Plain = asyncpg.Connection[Record]
else:
    _Plain = asyncpg.Connection

OLDEST: Final = 15
_SETTINGS: Final = {
    "jit": "off",
    # All hot statements are nested loops over indexes, at any size of the table. A plan made while it was empty or
    # its statistics were old must not be another one: with these off there is no other.
    **dict.fromkeys(
        ("enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_sort"), "off"
    ),
}
_CACHE: Final = 256
_CONNECT: Final = 10.0
_COMMAND: Final = 60.0

ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)
"""What the driver may raise. `OSError` has time-outs and TLS errors among it."""
AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,  # somebody migrated: the next try prepares the statement anew
)
"""Errors after which nothing was written and the same call is worth another try at once."""

BROKEN: Final = (asyncpg.InternalClientError, asyncpg.ProtocolViolationError)
"""Errors that say that driver and server are out of step: the server said its last words while nobody asked. Such a
connection must not be used again.
"""
_WRONG_USER: Final = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
_NO_TABLES: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)
_NOT_PREPARED: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_FULL: Final = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError)
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InternalClientError,
    OSError,
)


class PooledConnection(_Plain):
    """A connection through a pooler that may hand out another server connection after each transaction.

    A statement with parameters takes two messages, and what the first prepared must still be there at the second. So
    each runs in a transaction, its own if there is none. That costs two round trips.
    """

    async def fetch(self, *words: Any, **options: Any) -> Any:
        return await self._whole(super().fetch, words, options)

    async def fetchrow(self, *words: Any, **options: Any) -> Any:
        return await self._whole(super().fetchrow, words, options)

    async def fetchval(self, *words: Any, **options: Any) -> Any:
        return await self._whole(super().fetchval, words, options)

    async def execute(self, query: str, *words: Any, **options: Any) -> str:
        if not words:  # one message; BEGIN is among these
            return await super().execute(query, **options)
        return str(await self._whole(super().execute, (query, *words), options))

    async def _whole(self, run: Callable[..., Awaitable[Any]], words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self.is_in_transaction():
            return await run(*words, **options)
        async with self.transaction():
            return await run(*words, **options)


def _arguments(options: PostgresOptions, cache: int) -> dict[str, Any]:
    named = {} if "application_name=" in options.dsn else {"application_name": "tidewheel"}
    return {
        "timeout": _CONNECT,
        "command_timeout": _COMMAND,
        "statement_cache_size": cache,
        "max_cached_statement_lifetime": 0,
        "server_settings": {**named, **_SETTINGS},
    }


async def _connect(*words: Any, server_settings: dict[str, str], **arguments: Any) -> asyncpg.Connection[Record]:
    """Connect with our settings; a pooler that does not pass them on is connected to without."""
    try:
        return await asyncpg.connect(*words, server_settings=server_settings, **arguments)
    except asyncpg.ProtocolViolationError:
        return await asyncpg.connect(*words, **arguments)


async def make_pool(options: PostgresOptions) -> tuple[Pool, bool]:
    """A pool for the running event loop, and whether a pooler such as PgBouncer stands before the server.

    Raises:
        StoreUnavailable, StoreError: the driver does not understand the URL; the server cannot be reached or does not
            let us in.
    """
    cache = options.statement_cache_size
    try:
        first = await _connect(options.dsn, connection_class=asyncpg.Connection, **_arguments(options, _CACHE))
        try:
            pooled = await _through_a_pooler(first)
        except BaseException:
            first.terminate()
            raise
        if pooled or cache is not None:
            first.terminate()
    except ERRORS as error:
        raise translated(error, options) from error
    # Who names a number knows his pooler: prepared statements pass through PgBouncer since 1.21.
    size = (0 if pooled else _CACHE) if cache is None else cache
    arguments = _arguments(options, size)
    kind = asyncpg.Connection if size else PooledConnection

    async def open_one() -> asyncpg.Connection[Record]:
        return await _connect(options.dsn, connection_class=kind, **arguments)

    pool = Pool(open_one, options.pool_size)
    if not first.is_closed():
        pool.add(first)
    return pool, pooled


async def _through_a_pooler(connection: Connection) -> bool:
    """Whether the process that greeted us is another one than that which works for us. Poolers invent the first."""
    async with connection.transaction():
        asked = await connection.prepare("SELECT pg_backend_pid()", name="")  # one with a name might be there already
        return bool(await asked.fetchval() != connection.get_server_pid())


async def connect(options: PostgresOptions) -> asyncpg.Connection[Record]:
    """A connection of its own, for little work of any sort.

    Raises:
        StoreUnavailable, StoreError: the server cannot be reached or does not let us in.
    """
    try:
        return await _connect(options.dsn, connection_class=PooledConnection, **_arguments(options, 0))
    except ERRORS as error:
        raise translated(error, options) from error


async def check_server(connection: Connection, options: PostgresOptions) -> None:
    """Refuse servers that cannot hold our data.

    Raises:
        StoreError: the server is too old, or the database does not hold UTF-8.
    """
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise StoreError(
            f"{options.shown} is PostgreSQL {version.major}.{version.minor}; Tidewheel needs {OLDEST} or newer. "
            "Upgrade the server."
        )
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise StoreError(
            f"The database of {options.shown} has the encoding {encoding}, and jobs are UTF-8. "
            "Use one made with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        )


def translated(error: BaseException, options: PostgresOptions) -> StoreError:  # noqa: C901, PLR0912 -- one case each
    """Our error for one of the driver's, with the place and the remedy, and without the password."""
    text = _first_line(error)
    place, schema = options.shown, options.schema
    if isinstance(error, StoreError):
        return error
    if isinstance(error, _WRONG_USER):
        return StoreError(
            f"{place} does not let the user {options.user} in (PostgreSQL: {text}). Check user and password in the "
            "URL, PGPASSWORD or the passfile, and the server's pg_hba.conf."
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StoreError(
            f"{place} has no database {options.database} (PostgreSQL: {text}). Check the name in the URL, or create "
            f"it: createdb {options.database}."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StoreError(
            f"The user {options.user} may not do this in {place} (PostgreSQL: {text}). Let an administrator run: "
            f'CREATE SCHEMA "{schema}" AUTHORIZATION "{options.user}", or grant the rights on its tables.'
        )
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return StoreUnavailable(
            f"{place} is read-only (PostgreSQL: {text}): a replica, a primary that lost its office, or "
            "default_transaction_read_only. Use the primary's address, or name all and add ?target_session_attrs=primary."
        )
    if isinstance(error, _NO_TABLES):
        return SchemaMismatch(
            f'The schema "{schema}" of {place} has not the tables this version needs (PostgreSQL: {text}). '
            f"Run `tidewheel migrate --store {place}`."
        )
    if isinstance(error, _NOT_PREPARED):
        return StoreError(
            f"A pooler before {place} does not carry prepared statements (PostgreSQL: {text}). Leave out "
            "?statement_cache_size= from the store URL, or set max_prepared_statements in PgBouncer 1.21 or newer."
        )
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StoreUnavailable(
            f'Somebody holds a lock on the tables of the schema "{schema}" of {place} (PostgreSQL: {text}). End the long '
            "transaction (pg_stat_activity, pg_locks), then try again; nothing was changed."
        )
    if isinstance(error, _FULL):
        return StoreFull(f"{place} has no room left (PostgreSQL: {text}). Free some; workers try again.")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return StoreUnavailable(
            f"{place} has no connection left (PostgreSQL: {text}). Raise max_connections, or lower ?pool_size= "
            f"({options.pool_size}) of its users."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = remedy(error, trust="?sslrootcert=FILE", unchecked="?sslmode=require")
        return StoreError(f"No TLS connection to {place} ({text}). {advice}")
    if isinstance(error, ssl.SSLError) or "SSL" in text or "certificate" in text:
        return StoreError(
            f"No TLS connection to {place} ({text}). Check ?sslmode= (disable, prefer, require, verify-full) and "
            "?sslrootcert= in the URL, and the certificate and `ssl = on` of the server."
        )
    if isinstance(error, FileNotFoundError | PermissionError) and (files := options.unreadable()):
        return StoreError(f"No TLS connection to {place}: cannot read {', '.join(files)} ({text}). Correct the URL.")
    if isinstance(error, socket.gaierror):
        return StoreUnavailable(f"The host of {place} is not known ({text}). Check its name and the name server.")
    if isinstance(error, TimeoutError):
        return StoreUnavailable(
            f"{place} did not answer in time. Check that it is PostgreSQL and runs, the network and long locks."
        )
    if isinstance(error, _AWAY) or (isinstance(error, asyncpg.InterfaceError) and "clos" in text):
        return StoreUnavailable(f"{place} cannot be reached ({text}). Check that it runs, host, port and firewall.")
    return StoreError(f"PostgreSQL refused an operation on {place}: {text}")


def _first_line(error: BaseException) -> str:
    """What the driver says; never a whole statement with its parameters."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:300]
