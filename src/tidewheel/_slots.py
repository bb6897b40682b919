"""Slots of a limit held by hand, for work that is no job: `async with app.limits.slot("api"): ...`.

What holds a slot is an attempt under a lease, because a lease gives it back when its holder dies. So a slot by hand is
one: a job of a private kind, one kind for each gate, which no worker knows and its caller claims himself. He waits in the
line of the limit like any job. His process extends the lease while the block runs, and settles the job at its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from tidewheel._model.duration import SECOND, human
from tidewheel._model.errors import LeaseLost, SlotTimeout, StoreError
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.job import Lease, NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._version import __version__

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._store.base import Store

QUEUE: Final = "tidewheel.slots"
"""Where slots by hand wait."""
LONGEST_WAIT: Final = 24 * 3600 * SECOND
_LEASE: Final = 30 * SECOND
_FIRST_POLL: Final = 0.1
_LONGEST_POLL: Final = 1.0
_PAUSE: Final = 0.02
"""Hints come for all jobs; a waiter looks no oftener than this, in seconds."""
_log: Final = logging.getLogger("tidewheel")


class Slot:
    """One slot of a limit, held from `acquire` to `release`, which is what `async with` does. Made by `app.limits.slot`."""

    def __init__(self, app: App, needs: Callable[[], Awaitable[Pass]], wait: int) -> None:
        self._app = app
        self._needs = needs
        self._wait = wait
        self._pass: Pass | None = None
        self._lease: Lease | None = None
        self._own = ""
        self.lost = False
        """True when the slot was taken away: this process did not get to extend its lease in time, or somebody cancelled
        the job that stands for it. Another one may hold it now."""

    def __repr__(self) -> str:
        return f"<Slot of {self._gate}, {'held' if self._lease else 'not held'}>"

    @property
    def _gate(self) -> str:
        return "a limit" if self._pass is None else self._pass.key

    def check(self) -> None:
        """Leave the block here when the slot is lost.

        Raises:
            LeaseLost: it is.
        """
        if self.lost:
            raise LeaseLost(f"The slot of {self._gate} was taken away; another one may hold it now.")

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def acquire(self) -> None:
        """Wait for a slot, and hold it.

        Raises:
            SlotTimeout: none became free in time.
            LimitNotFound, ConfigError: there is no such limit, or none whose slots can be held by hand.
            RuntimeError: it is held already.
            StoreError: the store cannot be used; nothing is held.
        """
        if self._lease is not None:
            raise RuntimeError(f"{self!r}: it holds one slot at a time. Make another one: app.limits.slot(...).")
        store = await self._app.ready()
        self._pass = await self._needs()
        holder = self._app.slot_holder
        self.lost = False
        try:
            async with asyncio.timeout(self._wait / SECOND if self._wait else None):
                self._lease = await self._take(store, holder)
        except TimeoutError:
            self._lease = None
        finally:
            if self._lease is None or self._lease.job_id != self._own:
                with suppress(StoreError):  # it goes by itself when its time is over
                    await store.alter([self._own], Action.DELETE)
        if self._lease is None:
            how = f"became free within {human(self._wait)}" if self._wait else "is free"
            raise SlotTimeout(f"No slot of {self._gate} {how}. Wait longer, or try again later.")
        holder.add(self._lease, self)

    async def release(self) -> None:
        """Give it back. Safe to call twice. When the store is away it comes back by itself, when its lease is over."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._app.slot_holder.remove(lease)
        try:
            await (await self._app.opened()).settle([Settlement(lease, Complete("null"))])
        except StoreError as error:
            if not error.retriable:
                raise
            _log.warning(
                "A slot of %s could not be given back (%s); it is free when its lease is over.", self._gate, error
            )

    async def _take(self, store: Store, holder: Holder) -> Lease | None:
        """Wait in the line of the limit until it is our turn. None: there is no slot, and nothing to wait for."""
        kind = _kind(self._gate)
        async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
            await self._line_up(store, kind)
            while True:
                if (lease := await self._claim(store, kind, holder.id)) is not None:
                    return lease
                if not self._wait:
                    return None
                await self._turn(store, kind, hints)

    async def _claim(self, store: Store, kind: str, holder: str) -> Lease | None:
        """One claim, brought to its end also when nobody waits for it any more: what it brings is given back then."""
        claiming = asyncio.create_task(store.claim([Want(QUEUE, 1)], kinds=[kind], worker=holder, lease=_LEASE))
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with suppress(StoreError):
                await store.settle([Settlement(one.lease, Complete("null")) for one in await claiming])
            raise
        return claimed[0].lease if claimed else None

    async def _line_up(self, store: Store, kind: str) -> None:
        self._own = self._app.env.ids()
        flow = flow_text(Flow((self._pass,) if self._pass is not None else ()))
        expires = (self._wait or _LEASE) + _LEASE
        new = NewJob(id=self._own, kind=kind, args="{}", queue=QUEUE, max_crashes=1, keep_completed=0, keep_failed=0,
                     flow=flow, expires_in=expires)  # fmt: skip
        await store.enqueue([new])

    async def _turn(self, store: Store, kind: str, hints: Any) -> None:
        """Wait until our place in the line has come."""
        poll = _FIRST_POLL
        while True:
            try:
                async with asyncio.timeout(poll):
                    await anext(hints)
                await asyncio.sleep(_PAUSE)
            except TimeoutError:
                if poll == _LONGEST_POLL:  # frees the slots of holders that died, also where no worker runs
                    await store.sweep(limit=100)
                poll = min(2 * poll, _LONGEST_POLL)
            (row,) = await store.get([self._own])
            if row is None or row.state.final or row.state is JobState.RUNNING:
                # Another one of this kind took it for his, when both were let in: he has no need of his own.
                await self._line_up(store, kind)
                return
            if row.state is JobState.AVAILABLE:
                return


class Holder:
    """The leases of the slots that this process holds in one event loop: a task extends them while there are any."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.id = app.env.ids()
        self._held: dict[Lease, Slot] = {}
        self._beating: asyncio.Task[None] | None = None
        self._started_at = app.env.clock()
        self._empty = asyncio.Event()

    def add(self, lease: Lease, slot: Slot) -> None:
        """Extend this one, too."""
        self._held[lease] = slot
        self._empty.clear()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name="tidewheel slots")

    def remove(self, lease: Lease) -> None:
        """Not any more."""
        self._held.pop(lease, None)
        if not self._held:
            self._empty.set()

    async def close(self) -> None:
        """Extend no more."""
        if self._beating is not None and not self._beating.done():
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        self._beating = None

    async def _beat(self) -> None:
        store = await self._app.opened()
        while self._held:
            held = dict(self._held)
            try:
                answers = await store.beat(self._info(), [LeaseBeat(lease) for lease in held], lease=_LEASE)
            except StoreError as error:
                _log.warning("The leases of %d slots could not be extended: %s", len(held), error)
                answers = []
            for (lease, slot), answer in zip(held.items(), answers, strict=False):
                if answer is not BeatAnswer.EXTENDED and lease in self._held and not slot.lost:
                    slot.lost = True
                    _log.warning("%r was taken away.", slot)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEASE / 3 / SECOND):
                    await self._empty.wait()
        with suppress(StoreError):
            await store.beat(self._info(stopped=True), [], lease=_LEASE)

    def _info(self, *, stopped: bool = False) -> WorkerInfo:
        return WorkerInfo(
            id=self.id, host=platform.node(), pid=os.getpid(), queues=(QUEUE,), kinds=("tidewheel.slot",),
            concurrency=len(self._held), running=len(self._held), version=__version__, started_at=self._started_at,
            stopped=stopped,
        )  # fmt: skip


def _kind(key: str) -> str:
    """The kind of the jobs that stand for slots of a gate. Who is let in by the gate takes any of its kind."""
    text = f"tidewheel.slot:{key}"
    return text if len(text) <= 200 else f"tidewheel.slot:{hashlib.sha256(key.encode()).hexdigest()}"
