"""A task whose handler takes many jobs in one call. Made by `@app.task(batch=Batch(...))`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar, overload

from tidewheel._batch import Batch, BatchCodec, BatchItem
from tidewheel._task import Task

T = TypeVar("T")
R = TypeVar("R")


class BatchTask(Task[[T], R]):
    """A task of which one call handles many jobs; each job is one item of its list.

    `await task.enqueue(item)` adds a job, `task.job(item)` prepares one, whose result is the item's own.
    """

    batch: Batch

    def __init__(self, *args: Any, batch: Batch, **more: Any) -> None:
        super().__init__(*args, **more)
        self.batch = batch

    @property
    def codec(self) -> BatchCodec:
        """How one job travels."""
        if self._codec is None:
            self._codec = BatchCodec(self.name, self.fn, self.batch, self.app.max_payload)
        assert isinstance(self._codec, BatchCodec)  # noqa: S101 -- nobody else makes it
        return self._codec

    def __call__(self, items: list[Any]) -> Any:
        """Call the function here and now with a list, without any queue: what it gives, a coroutine if it is async."""
        return self.fn(items)


class MakeBatchTask(Protocol):
    """What `@app.task(batch=...)` gives. An async or a plain function, that takes values or `BatchItem`s, and gives a
    result for each (an exception where one failed) or nothing.
    """

    @overload
    def __call__(self, fn: Callable[[list[BatchItem[T]]], Coroutine[Any, Any, None]], /) -> BatchTask[T, None]: ...
    @overload
    def __call__(self, fn: Callable[[list[T]], Coroutine[Any, Any, None]], /) -> BatchTask[T, None]: ...
    @overload
    def __call__(
        self, fn: Callable[[list[BatchItem[T]]], Coroutine[Any, Any, Sequence[R | BaseException]]], /
    ) -> BatchTask[T, R]: ...
    @overload
    def __call__(
        self, fn: Callable[[list[T]], Coroutine[Any, Any, Sequence[R | BaseException]]], /
    ) -> BatchTask[T, R]: ...
    @overload
    def __call__(self, fn: Callable[[list[BatchItem[T]]], None], /) -> BatchTask[T, None]: ...
    @overload
    def __call__(self, fn: Callable[[list[T]], None], /) -> BatchTask[T, None]: ...
    @overload
    def __call__(self, fn: Callable[[list[BatchItem[T]]], Sequence[R | BaseException]], /) -> BatchTask[T, R]: ...
    @overload
    def __call__(self, fn: Callable[[list[T]], Sequence[R | BaseException]], /) -> BatchTask[T, R]: ...
