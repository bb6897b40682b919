"""Prepared jobs on their way to a store, a batch at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from tidewheel._model.errors import LimitKeyError
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._prepared import PreparedJob, R, in_order

if TYPE_CHECKING:
    from tidewheel._store.base import Store

T = TypeVar("T")
Batched: TypeAlias = list[tuple[Sequence[PreparedJob[R]], list[Enqueued]]]
"""Prepared jobs with their answers."""
BATCH: Final = 1024
_SOME: Final = 128
_id, _after = attrgetter("id"), attrgetter("after")


def check_batch(batch: int) -> None:
    """Refuse a size that no store takes.

    Raises:
        ValueError: it is none.
    """
    if not 1 <= batch <= 10_000:
        raise ValueError(f"batch={batch} must be 1 to 10000 jobs.")


async def send(store: Store, jobs: Iterable[PreparedJob[R]], batch: int) -> Batched[R]:
    """Enqueue all of them, `batch` a call; only two batches are under way at a time. Gives them with their answers."""
    done: Batched[R] = []
    source, before = iter(jobs), 0
    sent = Sent()
    under_way: deque[tuple[asyncio.Task[list[Enqueued]], list[PreparedJob[R]], Sequence[int]]] = deque()
    try:
        while True:
            part = await _gathered(source, batch, before)
            before += len(part)
            if not part and not under_way:
                return done
            new, places = new_jobs(part, sent)
            # The next batch is encoded while the store writes this one, but what waits for others comes behind them.
            at_most = 0 if not part or places else 1
            while len(under_way) > at_most:
                done.append(await _answered(under_way[0]))
                under_way.popleft()
            if part:
                under_way.append((asyncio.create_task(store.enqueue(new)), part, places))
    finally:  # after a failure: what was sent already is not left behind
        await asyncio.gather(*(task for task, *_ in under_way), return_exceptions=True)


async def _answered(
    sent: tuple[asyncio.Task[list[Enqueued]], list[PreparedJob[R]], Sequence[int]],
) -> tuple[Sequence[PreparedJob[R]], list[Enqueued]]:
    task, part, places = sent
    return part, own_answers(await task, places)


def own_answers(answers: list[Enqueued], places: Sequence[int]) -> list[Enqueued]:
    """Those of the jobs that were asked for, by what `new_jobs` says of their places."""
    return [answers[place] for place in places] if places else answers


async def _gathered(source: Iterator[T], count: int, before: int) -> list[T]:
    """The next `count` of a source, some at a time: making jobs is work, and neither the loop nor the store's
    threads should wait for the end of it.
    """
    part: list[T] = []
    while len(part) < count:
        some = taken(source, min(_SOME, count - len(part)), before + len(part))
        part += some
        await asyncio.sleep(0)
        if not some:
            break
    return part


def taken(source: Iterator[T], count: int, before: int) -> list[T]:
    """The next `count` of a source, of which `before` were taken.

    Raises:
        LimitKeyError: from a job as it is made; it says which one.
    """
    part: list[T] = []
    try:
        part += islice(source, count)
    except LimitKeyError as error:
        # A list grows as its source gives, so it knows how far that came.
        raise LimitKeyError(f"Job {before + len(part)} of the call, counted from 0: {error}") from error
    return part


class Sent:
    """The jobs of a call that went to the store. Their ids matter only to those that wait for others, which few calls have."""

    def __init__(self) -> None:
        self._parts: list[Sequence[NewJob]] = []
        self._ids = set[str]()

    def add(self, part: Sequence[NewJob]) -> None:
        """These go now."""
        self._parts.append(part)

    def ids(self) -> set[str]:
        """Of all of them."""
        for part in self._parts:
            self._ids.update(map(_id, part))
        self._parts.clear()
        return self._ids


def new_jobs(prepared: Sequence[Any], sent: Sent) -> tuple[list[NewJob], Sequence[int]]:
    """What the store is given for prepared jobs, with those that they bring along and that were not `sent` before; and
    where in it each of them is: nothing when none of them waits for others, for then they are the same.

    Raises:
        TypeError: something else is among them.
        ConfigError: they wait for one another.
    """
    try:
        new = [one.new for one in prepared]
    except AttributeError:
        wrong = next(one for one in prepared if not isinstance(one, PreparedJob))
        if inspect.iscoroutine(wrong):
            wrong.close()
        raise TypeError(
            f"enqueue_many() got {wrong!r}, which is no prepared job. Make them with task.job(...), not task.enqueue(...)."
        ) from None
    places: Sequence[int] = ()
    if any(map(_after, new)):
        own, known = {one.id for one in new}, sent.ids()
        new = [one for one in in_order(prepared) if one.id in own or one.id not in known]
        place = {one.id: number for number, one in enumerate(new)}
        places = [place[one.id] for one in prepared]
    sent.add(new)
    return new, places
