"""Enqueue over the caller's own connection, in his transaction: the commit makes the jobs, the rollback makes none.

1. see that the connection leads to our tables, once for each connection
2. enqueue with the statements of every enqueue, all inside a savepoint: an error leaves the transaction usable
3. NOTIFY in the same transaction: nobody else sees the commit, and PostgreSQL delivers it then (and not after a rollback)
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.worker import Wakeup
from tidewheel._store.caller import reach_postgres
from tidewheel._store.caller.base import PostgresCaller
from tidewheel._store.caller.errors import elsewhere, of_a_driver, translated
from tidewheel._store.postgres import work
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.options import PostgresOptions
from tidewheel._store.postgres.sql import with_schema

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection

_WHAT: Final = "this app's jobs live"
PAYLOAD: Final = "caller"
"""Unlike that of a hint behind the commit: the process that sent it has not heard it yet."""
_PLACE: Final = "SELECT current_database()::text, (SELECT applied_at FROM {schema}.migrations WHERE version = 1)"
_NOTIFY: Final = "SELECT pg_notify(channel, $2::text) FROM unnest($1::text[]) AS channel"


class Joined:
    """Enqueue for one store over any connection to its database."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self._place: tuple[str, int] | None = None
        """Our database and when our tables were made in it, as the store's own connection has seen them."""

    async def look(self, connection: Connection) -> None:
        """Note where the store's own connection leads to."""
        row = await connection.fetchrow(with_schema(_PLACE, self._options.schema))
        self._place = None if row is None else (row[0], row[1])

    async def enqueue(self, connection: object, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
        """See `JoiningStore.enqueue_in`."""
        with self._speaking():
            caller = await reach_postgres(connection, self._options.shown, _WHAT)
            async with caller.savepoint():
                await self._check(caller)
                call = Call(cast("Connection", caller), self._options.schema)
                answers = await work.enqueue(call, jobs, now)
                await self._notify(caller, call.hints)
        self._remember(caller)
        return answers

    async def _check(self, caller: PostgresCaller) -> None:
        if caller.driver in self._seen:
            return
        database, made = await caller.fetchrow(with_schema(_PLACE, self._options.schema))
        ours = self._place or (self._named() or database, made)
        if (database, made) != ours:
            there = f"the database {database}" if database != ours[0] else f"another database named {database}"
            raise elsewhere(there, self._options.shown, _WHAT)

    def _named(self) -> str:
        """The database in our URL, for an app that was never open; the user's own one has no name there."""
        return unquote(urlsplit(self._options.dsn).path.removeprefix("/"))

    def _remember(self, caller: PostgresCaller) -> None:
        with contextlib.suppress(TypeError):  # one that takes no weak reference is asked again
            self._seen.add(caller.driver)

    async def _notify(self, caller: PostgresCaller, hints: Iterable[Wakeup]) -> None:
        channels = sorted(self._options.channel(kind) for kind in hints)
        if channels and self._options.listen == "auto":
            await caller.fetch(_NOTIFY, channels, PAYLOAD)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Say what a driver says in our words."""
        try:
            yield
        except Exception as error:
            if not of_a_driver(error):
                raise
            remedy = (
                f"Connect it to the database of {self._options.shown}, open the app once, or run "
                f"`tidewheel migrate --store {self._options.shown}`; or use an outbox (tidewheel.Outbox)."
            )
            raise translated(error, missing=remedy) from error
