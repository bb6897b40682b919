"""A cache in memory: entries live for a time, their number is bounded, and one key is fetched once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CacheEntry(Generic[T]):
    """A cached value."""

    value: T
    expires_at: int
    """Microseconds since 1970."""


@dataclass(slots=True)
class _Flight:
    """A fetch under way, and how many callers wait for it."""

    task: asyncio.Task[Any]
    waiting: int = 0


class TimedCache:
    """At most `size` entries; the one unused for longest goes first. `clock` gives microseconds since 1970."""

    def __init__(self, size: int, clock: Callable[[], int]) -> None:
        self._size: Final = size
        self._clock: Final = clock
        self._entries: OrderedDict[Hashable, CacheEntry[Any]] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        """Entries that are still good."""
        now = self._clock()
        for key in [key for key, entry in self._entries.items() if entry.expires_at <= now]:
            del self._entries[key]
        return len(self._entries)

    def get(self, key: Hashable) -> CacheEntry[Any] | None:
        """The entry of `key`, if it is still good."""
        entry = self._entries.get(key)
        if entry is None or entry.expires_at <= self._clock():
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Hashable, value: T, ttl: int) -> None:
        """Keep `value` for `ttl` microseconds."""
        self._entries[key] = CacheEntry(value, self._clock() + ttl)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, key: Hashable) -> bool:
        """Drop `key`; True when there was an entry. A fetch under way answers its callers but is not kept."""
        self._flights.pop(key, None)
        return self._entries.pop(key, None) is not None

    def clear(self) -> None:
        """Drop everything, as `forget` does."""
        self._flights.clear()
        self._entries.clear()

    async def fetch(self, key: Hashable, ttl: int, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The value of `key`, from the cache or from `fetch()`.

        Callers that ask at the same time share one fetch. A caller that is cancelled leaves; the last one
        to leave cancels the fetch. An exception goes to all who wait and is not kept.
        """
        if (entry := self.get(key)) is not None:
            return cast("T", entry.value)
        flight = self._flights.get(key)
        if flight is None or flight.task.done() or flight.task.get_loop() is not asyncio.get_running_loop():
            flight = _Flight(asyncio.create_task(fetch()))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, ttl, task))
        flight.waiting += 1
        try:
            # Not `await task`: a cancelled caller must not take the fetch of the others along.
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._drop(key, flight.task)
                flight.task.cancel()
        return cast("T", flight.task.result())

    def _landed(self, key: Hashable, ttl: int, task: asyncio.Task[Any]) -> None:
        wanted = self._drop(key, task)
        # Reading the exception marks it as seen, also when the last caller left at this very moment.
        if not task.cancelled() and task.exception() is None and wanted:
            self.put(key, task.result(), ttl)

    def _drop(self, key: Hashable, task: asyncio.Task[Any]) -> bool:
        """Forget the flight if it is still this one: `forget` or a later fetch may have replaced it."""
        flight = self._flights.get(key)
        if flight is None or flight.task is not task:
            return False
        del self._flights[key]
        return True
