"""One call of a batch handler: the jobs that are in it, what it is given, and the answer for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tidewheel._batch import BatchCodec, BatchItem, results_of
from tidewheel._context import JobContext
from tidewheel._engine.attempt import Attempt
from tidewheel._model.errors import EncodeError

if TYPE_CHECKING:
    from tidewheel._batch_task import BatchTask

Answer: TypeAlias = str | BaseException
"""The JSON of a job's result, or why it has none."""


class Item:
    """A job in a batch. `answer` gets what its attempt waits for."""

    __slots__ = ("answer", "attempt", "value")

    def __init__(self, attempt: Attempt, value: Any) -> None:
        self.attempt = attempt
        self.value = value
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(self, answer: Answer) -> None:
        """This came out for it; of one that left the batch nobody hears."""
        if self.answer.done():
            return
        if isinstance(answer, str):
            self.answer.set_result(answer)
        elif isinstance(answer, StopIteration):  # no future takes one
            self.answer.set_exception(RuntimeError(repr(answer)))
        else:
            self.answer.set_exception(answer)


class BatchCall:
    """The jobs of one call, in the order in which they were claimed."""

    def __init__(self, task: BatchTask[Any, Any], items: Sequence[Item]) -> None:
        self.task = task
        self.items = tuple(items)
        self.handle: asyncio.Task[None] | None = None
        """The asyncio task that runs it."""
        self.over = False
        """Its slot was given back."""

    @property
    def attempts(self) -> list[Attempt]:
        """Those of its jobs."""
        return [item.attempt for item in self.items]

    @property
    def deserted(self) -> bool:
        """Nobody waits for its end any more."""
        return all(item.answer.done() for item in self.items)

    def argument(self) -> list[Any]:
        """What the handler is given."""
        return argument(self.task.codec, [(item.value, item.attempt.context) for item in self.items])


def argument(codec: BatchCodec, items: Sequence[tuple[Any, JobContext]]) -> list[Any]:
    """The list for a handler that takes values, or one that takes `BatchItem`s."""
    if codec.wants_items:
        return [BatchItem(value, context) for value, context in items]
    return [value for value, _ in items]


def answers(codec: BatchCodec, name: str, result: Any, count: int) -> list[Answer]:
    """What a handler gave, encoded one by one: what cannot be written fails its own job only.

    Raises:
        ValueError, TypeError: it gave something else than a result for each.
    """
    return [_answer(codec, one) for one in results_of(name, result, count)]


def _answer(codec: BatchCodec, result: Any) -> Answer:
    if isinstance(result, BaseException):
        return result
    try:
        return codec.encode_result(result)
    except EncodeError as error:
        return error
