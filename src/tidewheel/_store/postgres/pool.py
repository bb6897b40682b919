"""The connections of one event loop: the one that was used last is the next to be used.

The driver's own pool takes as long to hand out a connection and to take it back as a short statement takes the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection

T = TypeVar("T")
_IDLE: Final = 300.0
"""After so long unused a connection is closed: whoever stands between may have forgotten it."""
_CALM: Final = 10.0


class Pool:
    """At most `most` connections, opened when they are needed."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], most: int) -> None:
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(most)
        self._free: list[tuple[Connection, float]] = []
        """With when they came back; the longest unused first."""
        self._out: set[Connection] = set()
        self._calming = set[asyncio.Task[None]]()

    def add(self, connection: Connection) -> None:
        """Let it use one that is open already."""
        self._free.append((connection, self._loop.time()))

    async def lend(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something with a connection.

        Raises:
            asyncpg.PostgresError, OSError, ValueError: a new one was needed and could not be opened.
        """
        await self._places.acquire()
        try:
            connection = self._usable() or await self._connect()
        except BaseException:
            self._places.release()
            raise
        self._out.add(connection)
        broken_off = False
        try:
            return await use(connection)
        except (asyncio.CancelledError, TimeoutError):
            broken_off = True
            raise
        finally:
            self._give(connection, broken_off=broken_off)

    def _usable(self) -> Connection | None:
        old = self._loop.time() - _IDLE
        while self._free and self._free[0][1] < old:
            self._free.pop(0)[0].terminate()
        while self._free:
            connection, _ = self._free.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give(self, connection: Connection, *, broken_off: bool = False) -> None:
        """Take it back. We leave no session state behind; only a call that was cancelled while it ended its transaction may
        have left that open. After one that was broken off the driver may still be telling the server so.
        """
        if broken_off and not connection.is_closed():
            task = self._loop.create_task(self._calm(connection), name="tidewheel connection")
            self._calming.add(task)
            task.add_done_callback(self._calming.discard)
            return
        self._out.discard(connection)
        if not connection.is_closed():
            if connection.is_in_transaction():
                connection.terminate()
            else:
                self.add(connection)
        self._places.release()

    async def _calm(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_CALM):
                await connection.execute("ROLLBACK" if connection.is_in_transaction() else "SELECT 1")
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            connection.terminate()
        finally:
            self._give(connection)

    async def close(self) -> None:
        """Close what is open. Nobody uses it any more."""
        while self._calming:
            await asyncio.wait(set(self._calming))
        while self._free:
            await self._free.pop()[0].close()

    def terminate(self) -> None:
        """Close all at once."""
        for task in self._calming:
            task.cancel()
        for connection in [*self._out, *(connection for connection, _ in self._free)]:
            connection.terminate()
        self._free.clear()
