"""An outbox: for jobs that must be carried by a transaction in a database where the app's jobs do not live.

1. `enqueue_many(jobs, connection=...)` writes jobs as rows of a table beside the caller's data, in his transaction
2. a relay (`run`) hands them to the app's store in their order, and removes them when the store has them
3. a relay that dies between the two hands them over again: a job's id is made before its row, so the store has it once
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewheel._batches import Sent, new_jobs, taken
from tidewheel._model.duration import Span, micros
from tidewheel._model.errors import ConfigError
from tidewheel._model.job import NewJob
from tidewheel._outbox.relay import Relay
from tidewheel._outbox.rows import Rows, Table, check_table
from tidewheel._prepared import PreparedJob
from tidewheel._store.caller import check_sync, drive
from tidewheel._stores import shown_url

if TYPE_CHECKING:
    from tidewheel._app import App

_CHUNK: Final = 1000
_encoder: Final = msgspec.json.Encoder()


class Outbox:
    """Jobs in a table of your own database, on their way to the app's store.

    Args:
        app: whose jobs they are; its store may be any.
        url: your database, for the relay and for `create_table`: `postgresql://user@host/database` (extra `postgres`)
            or `sqlite:///shop.db`. Writing needs only the connection you give.
        table: its name, with its schema if need be; default `tidewheel_outbox`.

    Raises:
        ConfigError: a URL or a name that cannot work, at once.
    """

    def __init__(self, app: App, url: str, *, table: str = "tidewheel_outbox") -> None:
        self.app = app
        self._shown = shown_url(url)
        problems = check_table(table)
        try:
            self._rows: Rows = _rows_of(url, table)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Outbox {self._table.name} in {self._shown}>"

    @property
    def _table(self) -> Table:
        return self._rows.table

    @property
    def ddl(self) -> str:
        """The statement that creates the table, for your own migrations."""
        return self._table.ddl

    async def create_table(self) -> None:
        """Create the table where it is not there yet.

        Raises:
            StoreError: the database cannot be reached, or refuses.
        """
        try:
            await self._rows.create()
        finally:
            await self._rows.close()

    async def enqueue_many(self, jobs: Iterable[PreparedJob[Any]], *, connection: object) -> list[str]:
        """Write jobs to the table in the transaction that is open on `connection`; gives their ids, in their order.

        A `delay` counts from now. A job exists for the app when a relay has brought it: until then `app.jobs.get(id)`
        knows nothing of it. Unique keys and the task's rules are looked at then, too, and a job that they refuse is
        dropped; the time in which it expires begins then.

        Raises:
            ConfigError: a job waits for others: relays may bring it before them.
            TypeError: something that is no prepared job, or no connection that is accepted (see `App.enqueue_many`).
            StoreError: the connection is closed, has no transaction open, or leads to a database without the table.
        """
        return await self._write(connection, jobs)

    def enqueue_in(self, connection: object, jobs: Iterable[PreparedJob[Any]]) -> list[str]:
        """`enqueue_many` over a sync `connection`, for sync code. Raises: as `enqueue_many`."""
        check_sync(connection)
        return drive(self._write(connection, jobs))

    async def _write(self, connection: object, jobs: Iterable[PreparedJob[Any]]) -> list[str]:
        ids: list[str] = []
        source = iter(jobs)
        while part := new_jobs(taken(source, _CHUNK, len(ids)), Sent())[0]:
            _check_alone(part)
            now = self.app.env.clock()
            rows = [(job.id, _encoder.encode(_timed(job, now)).decode()) for job in part]
            await self._rows.write(connection, rows)
            ids += [job.id for job in part]
        return ids

    async def relay(self, *, batch: int = 500) -> int:
        """Hand over what waits in the table now, and return: for tests and for programs with a timer of their own.

        Returns:
            The number of rows that were taken out.

        Raises:
            StoreError: a database cannot be used; what was handed over may be handed over again, to no effect.
        """
        relay = Relay(self._rows, self.app, batch)
        moved = 0
        try:
            while count := await relay.once():
                moved += count
        finally:
            await self._rows.close()
        return moved

    async def run(self, *, batch: int = 500, poll: Span = "1s") -> None:
        """Hand over rows as they come, until `stop` is called or the task is cancelled.

        Any number of relays may run; each row is handed over at least once and becomes one job. One relay keeps the
        order of the rows. Databases that are away are waited for.

        Args:
            batch: so many rows at a time, at most; 1 to 10000.
            poll: how often to look while nothing comes (seconds, or "1s"), give or take a quarter.

        Raises:
            StoreError: a database refuses, and would again.
        """
        pause = micros(poll) / 1_000_000
        if pause <= 0:
            raise ValueError(f"poll={poll!r} would never let the database rest. Give a time, such as '1s'.")
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            await Relay(self._rows, self.app, batch).run(self._stopping, pause)
        finally:
            self._stopping = None
            await self._rows.close()

    def stop(self) -> None:
        """Let `run` return when its batch is through. Safe from any thread; without effect when nothing runs."""
        if self._stopping is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)


def _check_alone(jobs: Iterable[NewJob]) -> None:
    for job in jobs:
        if job.after:
            raise ConfigError(
                f"{job.kind}: the job {job.id} waits for others, and an outbox cannot carry graphs: its relays may bring it "
                "before them. Enqueue a job that enqueues the graph, or the graph in a transaction of the app's database."
            )


def _timed(job: NewJob, now: int) -> NewJob:
    """The job with a moment in place of a delay: its row may wait, too."""
    if not job.delay or job.run_at is not None:
        return job
    return msgspec.structs.replace(job, run_at=now + job.delay, delay=0)


def _rows_of(url: str, table: str) -> Rows:
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        from tidewheel._outbox.sqlite import SqliteRows

        return SqliteRows(url, table)
    if scheme in {"postgresql", "postgres"}:
        try:
            from tidewheel._outbox.postgres import PostgresRows
        except ImportError as error:
            raise ConfigError(
                f"The relay of an outbox in PostgreSQL needs the package asyncpg ({error}). "
                "Install it: pip install 'tidewheel[postgres]'."
            ) from error

        return PostgresRows(url, table)
    raise ConfigError(
        f"{shown_url(url)!r} cannot hold an outbox: it must be postgresql://user@host/database or sqlite:///file.db."
    )
