"""What a store holds while it is open in one event loop: connections, hints, and the calls under way.

A session ends with its loop, also when nobody closes the store: the connections of a loop that is gone are of no use
in another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from tidewheel._env import Env
from tidewheel._model.errors import StoreError
from tidewheel._model.worker import Wakeup
from tidewheel._store.hints import Hints
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.connect import AGAIN, BROKEN, ERRORS, make_pool, translated
from tidewheel._store.postgres.habit import Habit
from tidewheel._store.postgres.listen import Ear, Teller
from tidewheel._store.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection
    from tidewheel._store.postgres.pool import Pool

T = TypeVar("T")
_TRIES: Final = 6
_PAUSE: Final = 0.005
_CLOSE: Final = 5.0


class Session:
    """The pool of one event loop and what goes with it."""

    def __init__(
        self, options: PostgresOptions, env: Env, hints: Hints, sender: str, pool: Pool, *, pooled: bool
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self.open = True
        self.pooled = pooled
        """A pooler such as PgBouncer stands before the server."""
        self._options = options
        self._random = env.random
        self._new_id = env.ids
        self._hints = hints
        self._pool = pool
        self._under_way = 0
        self._habit = Habit(pooled=pooled)
        self._idle = asyncio.Event()
        self._voice = options.channel(Wakeup.WORK), sender
        self._teller = Teller(lambda kinds: self._notify(kinds, sender)) if options.listen == "auto" else None
        self.ear = Ear(options, hints, sender, env.random, self._notify) if options.listen == "auto" else None
        self._guard = self._until_the_loop_ends()

    @classmethod
    async def start(cls, options: PostgresOptions, env: Env, hints: Hints, sender: str) -> Session:
        """A session of the running event loop.

        Raises:
            StoreUnavailable, StoreError: see `make_pool`.
        """
        pool, pooled = await make_pool(options)
        session = cls(options, env, hints, sender, pool, pooled=pooled)
        await anext(session._guard)
        return session

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Asyncio closes its generators before it closes a loop: the last moment at which connections can be closed."""
        try:
            yield
        finally:
            await self._finish()

    async def close(self) -> None:
        """Finish what was handed over, then let go."""
        self.open = False
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        await self._guard.aclose()

    async def _finish(self) -> None:
        self.open = False
        if self._teller is not None:
            await self._teller.finish()
        if self.ear is not None:
            await self.ear.close()
        try:
            async with asyncio.timeout(_CLOSE):
                await self._pool.close()
        except (TimeoutError, *ERRORS):
            self._pool.terminate()

    def abandon(self) -> None:
        """Let go of a session whose loop does not run any more."""
        self.open = False
        if self.pid == os.getpid() and not self.loop.is_closed():  # after a fork they are the parent's
            with contextlib.suppress(*ERRORS, RuntimeError):
                self._pool.terminate()

    async def run(
        self,
        work: Callable[[Call], Awaitable[T]],
        *,
        tell: bool = False,
        again: tuple[type[Exception], ...] = (),
    ) -> T:
        """Do something with a connection, again when another transaction was in the way; then pass on its hints.

        With `tell` a lone hint is out when this returns: the caller may be a script that ends at once. If nobody else
        is speaking, that there is work is said in the transaction itself, which saves a round trip.

        Raises:
            StoreUnavailable, StoreFull, StoreError: see `WorkStore`.
        """
        if asyncio.get_running_loop() is not self.loop:
            raise StoreError(
                "This store is open in another event loop. Close it there and open it here, or use `sibling()`."
            )
        self._under_way += 1
        tries = 0
        try:
            while True:
                voice = self._voice if tell and self._teller is not None and self._teller.free else None
                try:
                    answer, call = await self._pool.lend(partial(self._attempt, work, voice))
                except ERRORS as error:
                    tries += 1
                    if tries == _TRIES or not isinstance(error, (*AGAIN, *again)):
                        raise translated(error, self._options) from error
                else:
                    if call.hints:
                        self._hints.ring(call.hints)
                        await self._tell(call, wait=tell)
                    return answer
                await asyncio.sleep(_PAUSE * tries * self._random.uniform(0.5, 1.5))
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    async def _tell(self, call: Call, *, wait: bool) -> None:
        if self._teller is None:
            return
        if call.said:
            self._teller.spoken()
            call.hints.discard(Wakeup.WORK)
        out = self._teller.tell(call.hints)
        if wait and out is not None:
            await asyncio.shield(out)

    async def _attempt(
        self, work: Callable[[Call], Awaitable[T]], voice: tuple[str, str] | None, connection: Connection
    ) -> tuple[T, Call]:
        call = Call(connection, self._options.schema, voice, self._habit, self._new_id)
        try:
            return await work(call), call
        except BROKEN:
            connection.terminate()
            raise

    async def _notify(self, kinds: Iterable[Wakeup], payload: str) -> None:
        channels = sorted(self._options.channel(kind) for kind in kinds)
        # A hint may be lost, so its commit need not wait for the disk.
        sql = (
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, $2) "
            "FROM unnest($1::text[]) AS channel"
        )
        await self._pool.lend(lambda connection: connection.execute(sql, channels, payload))
