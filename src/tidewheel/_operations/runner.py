"""Tries, timeouts, waits, batches and the cache put together."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar, overload
from weakref import WeakKeyDictionary

from tidewheel._env import Env
from tidewheel._model.duration import SECOND, Span, human, micros
from tidewheel._model.error_class import qualified_name
from tidewheel._model.retry import GiveUp
from tidewheel._operations.cache import CacheEntry, TimedCache
from tidewheel._operations.config import OperationConfig
from tidewheel._operations.result import BatchResult, OperationMetrics, OperationResult
from tidewheel._operations.thread import in_thread

P = ParamSpec("P")
T = TypeVar("T")
ItemT = TypeVar("ItemT")

log: Final = logging.getLogger("tidewheel.operations")


class OperationRunner:
    """Runs operations with retries, a timeout for each try and a growing delay between them.

    Coroutine functions run in the event loop, plain functions in a thread. A runner may be kept for
    long and used by many tasks of one event loop at a time; it is not for several threads.

    Args:
        config: retries, timeout, batch size and the rest.
        env: clock and dice, for tests.
        sleep: waits for so many seconds, for tests.
    """

    def __init__(
        self,
        config: OperationConfig | None = None,
        *,
        env: Env | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.config: Final = config or OperationConfig()
        self._env: Final = env or Env()
        self._sleep: Final = sleep
        self._cache: Final = TimedCache(self.config.cache_size, self._env.clock)
        # A semaphore belongs to the loop that first waited on it, a runner may outlive its loop.
        self._threads: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = WeakKeyDictionary()
        self.reset_metrics()

    @overload
    async def run(
        self, operation: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> OperationResult[T]: ...
    @overload
    async def run(self, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> OperationResult[T]: ...
    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> OperationResult[Any]:
        """Call `operation(*args, **kwargs)` until it succeeds or its retries are used up. Raises no `Exception`.

        Cancellation goes through to the operation, and on to the caller. A plain function cannot be
        stopped: when it runs into the timeout its thread goes on, and therefore it is not tried again.
        """
        began = self._env.clock()
        attempt = 1
        while True:
            try:
                data, failure = await self._attempt(operation, args, kwargs), None
            except Exception as error:  # noqa: BLE001 - whatever the operation raises becomes its result
                data, failure = None, error
            if failure is None:
                return self._result(began, attempt, data, None)
            decision = self.config.policy.decide(attempt, failure, self._env.clock() - began, self._env.random)
            if isinstance(decision, GiveUp) or isinstance(failure, _ThreadTimeout):
                log.warning("%s failed: %s", _name(operation), _describe(failure))
                return self._result(began, attempt, None, failure)
            log.info("%s failed, next try in %s: %s", _name(operation), human(decision.delay), _describe(failure))
            await self._sleep(decision.delay / SECOND)
            attempt += 1

    @overload
    async def run_batch(self, operation: Callable[[ItemT], Awaitable[T]], items: Iterable[ItemT]) -> BatchResult[T]: ...
    @overload
    async def run_batch(self, operation: Callable[[ItemT], T], items: Iterable[ItemT]) -> BatchResult[T]: ...
    async def run_batch(self, operation: Callable[[Any], Any], items: Iterable[Any]) -> BatchResult[Any]:
        """Run `operation(item)` for every item. An item that fails does not stop the others.

        `batch_size` items are taken from `items` at a time, and `concurrency` of them run at once.
        """
        began = self._env.clock()
        results: list[OperationResult[Any]] = []
        source = iter(items)
        while batch := list(islice(source, self.config.batch_size)):
            results += await self._run_all(operation, batch)
        return BatchResult(results=tuple(results), duration=self._since(began), timestamp=self._now())

    async def _run_all(self, operation: Callable[[Any], Any], batch: list[Any]) -> list[OperationResult[Any]]:
        results: dict[int, OperationResult[Any]] = {}
        queue = iter(enumerate(batch))

        async def work() -> None:
            for place, item in queue:
                results[place] = await self.run(operation, item)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.config.concurrency, len(batch))):
                group.create_task(work())
        return [results[place] for place in range(len(batch))]

    @overload
    async def fetch(
        self, key: Hashable, ttl: Span, operation: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def fetch(
        self, key: Hashable, ttl: Span, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def fetch(self, key: Hashable, ttl: Span, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The cached value of `key`, or else `operation(*args, **kwargs)`, run with retries and kept for `ttl`.

        Callers that ask for one key at the same time share one run. Failures are not kept.

        Raises:
            Exception: what the operation's last try raised.
        """

        async def fetch() -> Any:
            return (await self.run(operation, *args, **kwargs)).unwrap()

        return await self._cache.fetch(key, micros(ttl), fetch)

    def cached(self, key: Hashable) -> CacheEntry[Any] | None:
        """The entry of `key`, if there is one and it is still good. Fetches nothing."""
        return self._cache.get(key)

    def forget(self, key: Hashable) -> bool:
        """Drop the cached value of `key`; True when there was one. A fetch under way will not be kept."""
        return self._cache.forget(key)

    def clear_cache(self) -> None:
        """Drop all cached values."""
        self._cache.clear()

    @property
    def metrics(self) -> OperationMetrics:
        """The numbers up to now."""
        return OperationMetrics(
            operations=self._operations,
            errors=self._errors,
            retries=self._retries,
            average_duration=self._total / self._operations if self._operations else 0.0,
            cache_size=len(self._cache),
        )

    def reset_metrics(self) -> None:
        """Count from zero again. The cache stays."""
        self._operations = self._errors = self._retries = 0
        self._total = 0.0

    async def _attempt(self, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One try. Raises what the operation raises, or TimeoutError."""
        call = partial(operation, *args, **kwargs)
        if _is_async(operation):
            return await self._in_time(call(), TimeoutError, operation)
        loop = asyncio.get_running_loop()
        threads = self._threads.setdefault(loop, asyncio.Semaphore(self.config.concurrency))
        async with threads:  # waiting for a thread does not count towards the timeout
            answer = await self._in_time(in_thread(call), _ThreadTimeout, operation)
        # A lambda around a coroutine function is a plain function that answers a coroutine.
        return await self._in_time(answer, TimeoutError, operation) if inspect.isawaitable(answer) else answer

    async def _in_time(self, work: Awaitable[T], over: type[TimeoutError], operation: Callable[..., Any]) -> T:
        deadline = _deadline(self.config.timeout_micros / SECOND)
        try:
            async with deadline:
                return await work
        except TimeoutError as error:
            if not deadline.expired():
                raise  # the operation's own
            message = f"{_name(operation)} took longer than {human(self.config.timeout_micros)}"
            raise over(message) from error

    def _result(self, began: int, attempt: int, data: Any, failure: Exception | None) -> OperationResult[Any]:
        result = OperationResult(
            success=failure is None,
            data=data,
            error=None if failure is None else _describe(failure),
            exception=failure,
            duration=self._since(began),
            retries=attempt - 1,
            timestamp=self._now(),
        )
        self._operations += 1
        self._errors += not result.success
        self._retries += result.retries
        self._total += result.duration
        return result

    def _since(self, began: int) -> float:
        return max(0, self._env.clock() - began) / SECOND

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._env.clock() / SECOND, UTC)


class _ThreadTimeout(TimeoutError):
    """The time is over but the thread goes on: a second try would run beside it."""


_deadline: Final = asyncio.timeout
"""Tests put a shorter one here."""


def _is_async(operation: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(operation) or inspect.iscoroutinefunction(type(operation).__call__)


def _name(operation: Callable[..., Any]) -> str:
    inner = operation.func if isinstance(operation, partial) else operation
    return getattr(inner, "__qualname__", None) or type(inner).__qualname__


def _describe(error: Exception) -> str:
    name = "TimeoutError" if isinstance(error, _ThreadTimeout) else qualified_name(type(error))
    return f"{name}: {error}" if str(error) else name
