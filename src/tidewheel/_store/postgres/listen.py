"""Hints between processes: NOTIFY after a commit, LISTEN on one connection of its own.

* A hint is sent behind the commit, not inside: a transaction that notifies takes a lock of the whole database while
  it commits, and waits for the disk under it. So hints of many calls go out as one, and a lost one costs a poll.
  Only the first enqueue after a silence carries its hint itself: a worker hears of it one round trip earlier.
* One channel for each kind, so nobody is woken for what he does not want to hear.
* What this process sends itself it has heard already; the payload says who sent.
* A pooler that hands out connections by the transaction swallows notifications. So whoever begins to listen sends
  himself one; when it does not come, polling must do, and `info` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tidewheel._model.errors import StoreError
from tidewheel._model.worker import Wakeup
from tidewheel._store.hints import Hints
from tidewheel._store.postgres.connect import ERRORS, connect
from tidewheel._store.postgres.options import PostgresOptions

if TYPE_CHECKING:
    import asyncpg

_log: Final = logging.getLogger("tidewheel")
_GATHER: Final = 0.002
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_CHECK: Final = 30.0
_PATIENCE: Final = 10.0
_PROBE: Final = 3.0


class Teller:
    """Sends hints to other processes: the first at once, then whatever gathers, every few milliseconds."""

    def __init__(self, send: Callable[[frozenset[Wakeup]], Awaitable[object]]) -> None:
        self._send = send
        self._waiting: set[Wakeup] = set()
        self._sending: asyncio.Task[None] | None = None
        self._spoken = -math.inf

    @property
    def free(self) -> bool:
        """Nothing is going out, nor was just now."""
        return self._sending is None and self._pause() <= 0

    def spoken(self) -> None:
        """A hint went out another way: what comes next gathers behind it."""
        self._spoken = asyncio.get_running_loop().time()

    def tell(self, kinds: Iterable[Wakeup]) -> asyncio.Future[None] | None:
        """Send soon. What can be awaited is done when the hint is out; None means that others are going out."""
        self._waiting |= set(kinds)
        if self._sending is not None or not self._waiting:
            return None
        loop = asyncio.get_running_loop()
        pause, first = self._pause(), loop.create_future()
        self._sending = loop.create_task(self._run(pause, first), name="tidewheel hints")
        return None if pause > 0 else first

    def _pause(self) -> float:
        return self._spoken + _GATHER - asyncio.get_running_loop().time()

    async def _run(self, pause: float, first: asyncio.Future[None]) -> None:
        try:
            if pause > 0:
                await asyncio.sleep(pause)
            while self._waiting:
                kinds, self._waiting = frozenset(self._waiting), set()
                with contextlib.suppress(*ERRORS):  # hints may be lost
                    await self._send(kinds)
                if not first.done():
                    first.set_result(None)
                await asyncio.sleep(_GATHER)
        finally:
            self._sending = None
            if not first.done():
                first.set_result(None)

    async def finish(self) -> None:
        """Send what waits."""
        while self._sending is not None:
            await asyncio.wait([self._sending])


class Ear:
    """The listening connection of one event loop; it is opened when somebody listens and opened again when it breaks."""

    def __init__(
        self,
        options: PostgresOptions,
        hints: Hints,
        sender: str,
        random: Random,
        send: Callable[[Iterable[Wakeup], str], Awaitable[object]],
    ) -> None:
        self.deaf = False
        """True when what this process sent itself did not come back."""
        self._options = options
        self._hints = hints
        self._sender = sender
        self._random = random
        self._send = send
        self._probe = f"probe {uuid.uuid4().hex}"
        self._answered = asyncio.Event()
        self._judged = asyncio.Event()
        self._wanted: Counter[Wakeup] = Counter()
        self._on: set[Wakeup] = set()
        self._changed = asyncio.Event()
        self._ready = asyncio.Condition()
        self._tries = 0
        self._missed = False
        self._task: asyncio.Task[None] | None = None

    async def want(self, interest: frozenset[Wakeup]) -> None:
        """Hear these kinds, too. Returns when it does, or when the server is away: then polling must do for a while."""
        self._wanted.update(interest)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="tidewheel listener")
        if interest <= self._on:
            return
        tries = self._tries
        self._changed.set()
        if self._missed:  # it is being tried again, at its own pace
            return
        async with self._ready:
            await self._ready.wait_for(lambda: interest <= self._on or self._tries > tries)

    def leave(self, interest: frozenset[Wakeup]) -> None:
        """These are not needed any more by one who wanted them. The connection forgets them at leisure."""
        self._wanted.subtract(interest)

    async def hears(self) -> bool:
        """Whether what this process sends itself comes back; asks a first time if nobody listened yet."""
        if not self._judged.is_set():
            interest = frozenset({Wakeup.CONTROL})
            await self.want(interest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE + _PATIENCE):
                    await self._judged.wait()
            self.leave(interest)
        return not self.deaf

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        await self._tell_waiting()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen()
                pause = _FIRST_PAUSE
            except (StoreError, *ERRORS):
                self._missed = True
                await self._tell_waiting()
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _tell_waiting(self) -> None:
        self._tries += 1
        async with self._ready:
            self._ready.notify_all()

    async def _listen(self) -> None:
        connection = await connect(self._options)
        broken = asyncio.Event()

        def lost(_: object) -> None:
            broken.set()
            self._changed.set()

        connection.add_termination_listener(lost)
        try:
            while not broken.is_set():
                self._changed.clear()
                await self._agree(connection)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK):
                        await self._changed.wait()
            self._missed = True
        finally:
            self._on.clear()
            connection.remove_termination_listener(lost)
            connection.terminate()

    async def _agree(self, connection: asyncpg.Connection[Any]) -> None:
        """Listen to what is wanted, no more; a connection that does not answer any more shows itself here."""
        wanted = {kind for kind, number in self._wanted.items() if number > 0}
        for kind in self._on - wanted:
            await connection.remove_listener(self._options.channel(kind), self._heard)
            self._on.discard(kind)
        new = wanted - self._on
        for kind in new:
            await connection.add_listener(self._options.channel(kind), self._heard)
        if new:
            self._on |= new
            if self._missed:  # what was hinted while there was no connection
                self._missed = False
                self._hints.ring(self._on)
            await self._tell_waiting()
            if self._on == new:  # a new connection
                await self._listen_to_myself(next(iter(new)))
        else:
            await connection.execute("SELECT 1", timeout=_PATIENCE)

    async def _listen_to_myself(self, kind: Wakeup) -> None:
        self._answered.clear()
        await self._send((kind,), self._probe)
        try:
            async with asyncio.timeout(_PROBE):
                await self._answered.wait()
        except TimeoutError:
            self.deaf = True
            _log.warning(
                "%s does not deliver notifications: a pooler stands between that hands out connections by the "
                "transaction. Other processes are noticed by polling. Name the server itself in the URL, or say "
                "?listen=off.",
                self._options.shown,
            )
        else:
            self.deaf = False
        self._judged.set()

    def _heard(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        if payload == self._probe:
            self._answered.set()
        elif payload != self._sender and not str(payload).startswith("probe "):
            self._hints.ring((Wakeup(channel.rpartition(":")[2]),))
