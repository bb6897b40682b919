"""What a driver says about the caller's connection, in our words."""

from __future__ import annotations

from typing import Final

from tidewheel._model.errors import SchemaMismatch, StoreError, StoreFull, StoreUnavailable

DRIVERS: Final = ("asyncpg", "psycopg", "sqlalchemy", "sqlite3")
_AGAIN: Final = ("40001", "40P01", "55P03", "57014")
_AWAY: Final = (("psycopg", "OperationalError"), ("asyncpg", "InternalClientError"))
"""What the drivers say of a connection that broke while nobody asked it anything."""
_NO_TABLES: Final = ("42P01", "42703", "3F000")


def closed(driver: str) -> StoreError:
    """The error for a connection that cannot be used any more."""
    return StoreError(
        f"The {driver} connection given as connection= is closed, was given back to its pool, or belongs to another "
        "thread. Nothing was enqueued. Enqueue before it is closed, in its own thread (sync code: app.enqueue_in)."
    )


def no_transaction(driver: str, remedy: str) -> StoreError:
    """The error for a connection on which every statement commits by itself."""
    return StoreError(
        f"The connection given as connection= ({driver}) has no transaction open, so there is nothing that a commit or a "
        f"rollback could carry the job with. Nothing was enqueued. Begin one: {remedy} (or leave out connection=)."
    )


def elsewhere(where: str, ours: object, what: str) -> StoreError:
    """The error for a connection to another database than `ours`, where `what` is ("this app's jobs live")."""
    return StoreError(
        f"The connection given as connection= leads to {where}, and {what} in {ours}. Nothing was enqueued. "
        "Use a connection to that database, or an outbox (tidewheel.Outbox) in yours."
    )


def of_a_driver(error: BaseException) -> bool:
    """Whether it is a driver's error, or the network's below it, and not one of ours."""
    return isinstance(error, OSError) or any(one.__module__.partition(".")[0] in DRIVERS for one in type(error).__mro__)


def translated(error: BaseException, *, missing: str) -> StoreError:
    """Our error for a driver's; `missing` is the remedy when the tables are not there.

    Where the same call may succeed later the whole transaction is to be repeated, so that is what it says.
    """
    said = _first_line(error)
    state = str(getattr(error, "sqlstate", None) or "")
    if state in _NO_TABLES or "no such table" in said or "has no column" in said:
        return SchemaMismatch(f"The caller's connection leads to no tables of Tidewheel's ({said}). {missing}")
    if state == "42501":
        return StoreError(
            f"The user of the caller's connection lacks a right ({said}). Grant it USAGE on the schema, SELECT and INSERT "
            "on its tables."
        )
    if state == "25P02":
        return StoreError(
            f"A statement failed in this transaction before, so PostgreSQL takes no other ({said}). Roll it back first."
        )
    away = isinstance(error, OSError) or (not state and _named(error) in _AWAY)
    if away or state in _AGAIN or state.startswith(("08", "57P")) or "locked" in said or "busy" in said:
        return StoreUnavailable(
            f"Another transaction was in the way, or the database went away ({said}). Nothing was enqueued: roll back "
            "and repeat the whole transaction."
        )
    if state.startswith("53") or "disk is full" in said:
        return StoreFull(f"The database of the caller's connection has no room left ({said}). Free some and repeat.")
    if "thread" in said and "SQLite" in said:
        return closed("sqlite3")
    return StoreError(f"The job could not be enqueued over the caller's connection: {said}")


def _named(error: BaseException) -> tuple[str, str]:
    """Package and class of an error."""
    return type(error).__module__.partition(".")[0], type(error).__name__


def _first_line(error: BaseException) -> str:
    """What the driver says; never a whole statement with its parameters."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:300]
