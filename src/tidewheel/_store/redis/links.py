"""Connections to the server that has our keys, for one event loop: a few that ask, each one question at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec

from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._store.redis.address import Address
from tidewheel._store.redis.cluster import ClusterRoute
from tidewheel._store.redis.connect import connected
from tidewheel._store.redis.errors import FAILURES, LOST, translated
from tidewheel._store.redis.keys import key
from tidewheel._store.redis.options import CLUSTER, SENTINEL, RedisOptions
from tidewheel._store.redis.route import Route
from tidewheel._store.redis.scripts import Script, script
from tidewheel._store.redis.sentinel import SentinelRoute
from tidewheel._store.redis.wire import Garbled, Late, Refused, Wire, Words

_WAYS: Final = 6
"""So often one call looks for the server anew: a slot that moves while it is looked for is followed, a circle is left."""
_ASTRAY: Final = ("READONLY", "MOVED", "CLUSTERDOWN", "MASTERDOWN", "LOADING")
"""How a server begins that may not have our keys any more."""
_GOODBYE: Final = 1.0
"""Seconds that closing the store waits for connections to be closed by the server, too."""
_READS: Final = frozenset({"get", "history", "limits", "list_gates", "now", "queues", "scan", "workers"})
_encode: Final = msgspec.msgpack.Encoder().encode


def route_to(options: RedisOptions) -> Route:
    """The way for a URL."""
    kinds: dict[str, type[Route]] = {SENTINEL: SentinelRoute, CLUSTER: ClusterRoute}
    return kinds.get(options.topology, Route)(options)


class Links:
    """The connections of one store in the event loop that made them."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self._route = route_to(options)
        self._at: Address | None = None
        """Where the idle connections lead."""
        names = ["meta", "gate"] if options.topology == CLUSTER else ["meta"]  # why `gate`: see keys.py
        self._keys: Words = (len(names), *(key(options.namespace, name) for name in names))
        self._room = asyncio.Semaphore(options.connections)
        self._idle: list[Wire] = []
        self._lagging = False
        """Whether the last write has reached too few replicas."""
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def place(self) -> str:
        """The server in use, for messages."""
        return self.options.place if self._at is None else self.options.at(self._at)

    async def run(self, name: str, *ask: Any) -> Any:
        """Call the script `name` with the question `ask`; gives its answer as the server sent it.

        Raises:
            StoreError: any of them; see `errors.py`.
        """
        wanted = script(name)
        question = _encode(ask)
        words: Words = ("EVALSHA", wanted.digest, *self._keys, question)
        copies = 0 if name in _READS else self.options.wait_replicas
        try:
            try:
                return await self._call(words, copies)
            except Refused as refusal:
                if refusal.code != "NOSCRIPT":
                    raise
                await self._load(wanted)  # a new server, or one that was told to forget its scripts
                return await self._call(words, copies)
        except FAILURES as error:
            raise translated(error, self.options, self.place) from error

    async def call(self, *words: str | bytes | int) -> Any:
        """Send a plain command; gives its answer as the server sent it.

        Raises:
            StoreError: any of them; see `errors.py`.
        """
        try:
            return await self._call(words)
        except FAILURES as error:
            raise translated(error, self.options, self.place) from error

    async def _load(self, wanted: Script) -> None:
        digest = await self._call(("SCRIPT", "LOAD", wanted.text))
        if digest != wanted.digest.encode():
            raise StoreError(f"{self.place} loaded another script than it was sent: {digest!r}.")

    async def _call(self, words: Words, copies: int = 0) -> Any:
        """Ask the server that has our keys. Every operation may be repeated, so one whose answer was lost is."""
        async with self._room:
            at: Address | None = None
            ways = 0
            while True:
                ways += 1
                if self._closed:
                    raise StoreError("The store is closed. Open it first.")
                rested = self._rested()
                at = rested.address if rested is not None else at or await self._route.find()
                try:
                    return await self._ask(rested or await self._new(at), words, copies)
                except FAILURES as error:
                    if isinstance(error, Garbled) or (isinstance(error, Refused) and error.code not in _ASTRAY):
                        raise
                    at = await self._elsewhere(error, at, rested=rested is not None)
                    if at is None or ways == _WAYS:
                        raise

    def _rested(self) -> Wire | None:
        """A connection that is idle. One that has said something unasked would go on answering other questions."""
        while self._idle:
            link = self._idle.pop()
            if not link.unread:
                return link
            link.abort()
        return None

    async def _elsewhere(self, error: Exception, at: Address, *, rested: bool) -> Address | None:
        """Where to ask instead of `at`, or None where nobody knows better."""
        if self._at == at:
            await self._let_go()
        self._route.astray(error, at)
        if isinstance(error, Late):
            return None  # the time of this call is over; the next one looks
        there = await self._route.find()
        if there != at:
            return there
        return at if rested and isinstance(error, LOST) else None  # it went away while the connection rested

    async def _new(self, at: Address) -> Wire:
        await self._turn_to(at)
        if self._watch is None:
            self._watch = asyncio.create_task(
                self._route.watch(self._look_again), name="tidewheel redis follows the master"
            )
        return await connected(self.options, at)

    async def _look_again(self) -> None:
        await self._turn_to(await self._route.find())

    async def _turn_to(self, at: Address) -> None:
        if self._at != at:
            self._at = at
            await self._let_go()

    async def _ask(self, link: Wire, words: Words, copies: int) -> Any:
        """Ask, and wait until so many replicas have what was written, too."""
        end = self.loop.time() + self.options.timeout / 1_000_000
        # In ms, and so that WAIT ends before the call does.
        wait = ("WAIT", copies, self.options.timeout // 3000)
        try:
            if copies and self._lagging:
                # Nothing is written while the replicas are away: a claim, for one, would count as a crash.
                self._check_copies(await link.ask(end, *wait), copies)
            link.send(words, *[wait] * bool(copies))
            answer = await link.answer(end)
            reached = await link.answer(end) if copies else 0
        except BaseException:  # also when cancelled: the answer would be taken for that of the next question
            link.abort()
            raise
        if link.address == self._at and not self._closed:
            self._idle.append(link)
        else:  # the others found another server meanwhile
            link.abort()
        for one in (answer, reached):
            if isinstance(one, Refused):
                raise one
        self._check_copies(reached, copies)
        return answer

    def _check_copies(self, reached: int, copies: int) -> None:
        self._lagging = reached < copies
        if self._lagging:
            raise StoreUnavailable(
                f"Only {reached} of {copies} replicas of {self.place} keep up (?wait_replicas={copies}). "
                "Are they running and following? The operation may be repeated."
            )

    async def close(self) -> None:
        """Wait for the calls under way, then close all connections."""
        for _ in range(self.options.connections):
            await self._room.acquire()  # in turn: behind whoever called before
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        await self._let_go(_GOODBYE)
        for _ in range(self.options.connections):
            self._room.release()

    async def _let_go(self, patience: float = 0) -> None:
        """Close what is idle, and wait so many seconds for goodbyes: over TLS the server says one, too."""
        idle, self._idle = self._idle, []
        try:
            if patience:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await asyncio.gather(*(link.close() for link in idle))
        finally:
            for link in idle:
                link.abort()
