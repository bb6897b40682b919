"""Wake-ups by publish and subscribe, over one connection of its own that comes back by itself.

What is published while it is away is lost; so after each return everybody is told to look. The nodes of a cluster tell
one another what is published, and masters tell their replicas: a connection hears all wherever the keys have gone since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from tidewheel._model.errors import StoreError
from tidewheel._model.worker import Wakeup
from tidewheel._store.hints import Hints, Listener
from tidewheel._store.redis.address import Address
from tidewheel._store.redis.connect import connected, messages
from tidewheel._store.redis.errors import FAILURES, translated
from tidewheel._store.redis.keys import key
from tidewheel._store.redis.links import route_to
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.wire import Wire

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


class Radio:
    """The listening side of one store in one event loop. It is on while somebody listens."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._route = route_to(options)
        self._hints = Hints()
        self._channels = {key(options.namespace, f"hint:{kind}").encode(): kind for kind in Wakeup}
        self._listeners = 0
        self._wanted: set[Wakeup] = set()
        self._tuned: set[Wakeup] = set()
        """What the server has confirmed to send."""
        self._failure: StoreError | None = None
        self._news = asyncio.Condition()
        self._at: Address | None = None
        self._link: Wire | None = None
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
                self._subscribe(self._link, fresh)
        async with self._news:
            await self._news.wait_for(lambda: interest <= self._tuned or self._failure is not None)
        if not interest <= self._tuned and self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        watch = asyncio.create_task(self._route.watch(self._look_again), name="tidewheel redis hints follow the master")
        try:
            await self._listen()
        finally:
            watch.cancel()

    async def _listen(self) -> None:
        pause, back = _FIRST_PAUSE, False
        while True:
            try:
                self._at = await self._route.find()
                if await self._listen_once(self._at, back=back):
                    pause = _FIRST_PAUSE
            except StoreError as error:  # nobody knows the way
                await self._tell(error)
            back = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _look_again(self) -> None:
        """Listen to another server when the keys have moved: `_listen` finds it as soon as this one is silent."""
        link = self._link  # it may be gone when the way is known
        if link is not None and await self._route.find() != self._at:
            link.abort()

    async def _listen_once(self, at: Address, *, back: bool) -> bool:
        """Listen until the connection breaks; gives whether there was one."""
        link: Wire | None = None
        try:
            link = await connected(self._options, at)
            self._link = link  # first: who wants more while this subscription is on its way sends one of his own
            self._subscribe(link, self._wanted)
            await self._receive(link, back=back)
        except FAILURES as error:
            self._route.astray(error, at)
            await self._tell(translated(error, self._options, self._options.at(at)))
            return link is not None
        finally:
            self._link = None
            self._tuned.clear()
            if link is not None:
                link.abort()
        return True

    def _subscribe(self, link: Wire, kinds: set[Wakeup] | frozenset[Wakeup]) -> None:
        channels = [channel for channel, kind in self._channels.items() if kind in kinds]
        link.send(("SUBSCRIBE", *channels))

    async def _receive(self, link: Wire, *, back: bool) -> None:
        async for message in messages(link, self._options.timeout / 1_000_000):
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
