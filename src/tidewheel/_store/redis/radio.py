"""Wake-ups by publish and subscribe, over one connection of its own that comes back by itself.

What is published while it is away is lost; so after each return everybody is told to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as LinkError

from tidewheel._model.errors import StoreError
from tidewheel._model.worker import Wakeup
from tidewheel._store.hints import Hints, Listener
from tidewheel._store.redis.errors import FAILURES, translated
from tidewheel._store.redis.keys import key
from tidewheel._store.redis.links import new_link
from tidewheel._store.redis.options import RedisOptions

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_QUIET: Final = 15.0
"""Seconds without a message after which the server is asked whether it is still there."""


class Radio:
    """The listening side of one store in one event loop. It is on while somebody listens."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._hints = Hints()
        self._channels = {key(options.namespace, f"hint:{kind}").encode(): kind for kind in Wakeup}
        self._listeners = 0
        self._wanted: set[Wakeup] = set()
        self._tuned: set[Wakeup] = set()
        """What the server has confirmed to send."""
        self._failure: StoreError | None = None
        self._news = asyncio.Condition()
        self._link: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self, interest: frozenset[Wakeup]) -> AsyncIterator[Listener]:
        """Hear what is published from now on until the block ends.

        Raises:
            StoreError: the server cannot be listened to.
        """
        async with self._hints.listen(interest) as listener:
            self._listeners += 1
            try:
                await self._tune(interest)
                yield listener
            finally:
                self._listeners -= 1
                if not self._listeners:
                    await self.off()

    async def off(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._wanted.clear()

    async def _tune(self, interest: frozenset[Wakeup]) -> None:
        """Return when the server sends what is wanted."""
        self._failure = None
        fresh = interest - self._wanted
        self._wanted |= interest
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tidewheel redis hints")
        elif self._link is not None and fresh:
            with suppress(*FAILURES):  # the loop of `_run` notices it, too, and comes back
                await self._subscribe(self._link, fresh)
        async with self._news:
            await self._news.wait_for(lambda: interest <= self._tuned or self._failure is not None)
        if not interest <= self._tuned and self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        pause, back = _FIRST_PAUSE, False
        while True:
            link = new_link(self._options)
            try:
                await link.connect()  # type: ignore[no-untyped-call]
                await self._subscribe(link, self._wanted)
                self._link = link
                pause = _FIRST_PAUSE
                await self._receive(link, back=back)
            except FAILURES as error:
                await self._tell(translated(error, self._options))
            finally:
                self._link = None
                self._tuned.clear()
                with suppress(*FAILURES):
                    await link.disconnect(nowait=True)
            back = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _subscribe(self, link: Connection, kinds: set[Wakeup] | frozenset[Wakeup]) -> None:
        channels = [channel for channel, kind in self._channels.items() if kind in kinds]
        await link.send_command("SUBSCRIBE", *channels)

    async def _receive(self, link: Connection, *, back: bool) -> None:
        while True:
            message = await link.read_response(timeout=_QUIET)
            if message is None:
                await link.send_command("PING")
                message = await link.read_response(timeout=self._options.timeout / 1_000_000)
                if message is None:
                    raise LinkError("it does not answer any more")
            kind = self._channels.get(message[1])
            if kind is None:
                continue
            if message[0] == b"message":
                self._hints.ring((kind,))
            elif message[0] == b"subscribe":
                self._tuned.add(kind)
                await self._tell(None)
                if back:
                    self._hints.ring((kind,))

    async def _tell(self, failure: StoreError | None) -> None:
        async with self._news:
            self._failure = failure
            self._news.notify_all()
