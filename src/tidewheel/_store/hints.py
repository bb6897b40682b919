"""Hints inside one process: whoever changed something rings, every listener of any event loop hears it once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NoReturn

from tidewheel._model.worker import Wakeup


class Listener:
    """An endless iterator of merged hints, for one task of one loop."""

    def __init__(self, interest: frozenset[Wakeup]) -> None:
        self.interest = interest
        self._loop = asyncio.get_running_loop()
        self._heard: set[Wakeup] = set()
        self._rung = asyncio.Event()
        self._tell: Callable[[frozenset[Wakeup]], None] | None = None

    def ring(self, kinds: frozenset[Wakeup], here: asyncio.AbstractEventLoop | None) -> None:
        """Tell the listener, from the loop that runs `here`, or from a thread without one. A loop that is closed hears nothing
        any more.
        """
        wanted = kinds & self.interest
        if not wanted:
            return
        if here is self._loop:  # it hears without another round of the loop
            self.hear(wanted)
            return
        try:
            self._loop.call_soon_threadsafe(self.hear, wanted)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def hear(self, kinds: frozenset[Wakeup]) -> None:
        """Tell the listener, from its own loop."""
        if self._tell is not None:
            self._tell(kinds)
        else:
            self._heard |= kinds
            self._rung.set()

    async def tell(self, who: Callable[[frozenset[Wakeup]], None]) -> NoReturn:
        """See `Heard.tell`."""
        self._tell = who
        if self._heard:
            who(frozenset(self._heard))
        await self._loop.create_future()
        raise AssertionError  # nobody ends it

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> frozenset[Wakeup]:
        await self._rung.wait()
        self._rung.clear()
        heard = frozenset(self._heard)
        self._heard.clear()
        return heard


class Hints:
    """The listeners of one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()

    def ring(self, kinds: Iterable[Wakeup]) -> None:
        """Give hints to everyone who listens. Safe from any thread."""
        told = frozenset(kinds)
        if not told:
            return
        with self._lock:
            listeners = tuple(self._listeners)
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for listener in listeners:
            listener.ring(told, here)

    @asynccontextmanager
    async def listen(self, interest: frozenset[Wakeup]) -> AsyncIterator[Listener]:
        """Hear what is rung from now on until the block ends."""
        listener = Listener(interest)
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
