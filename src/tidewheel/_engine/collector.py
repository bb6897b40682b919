"""Collects the claimed jobs of one task into batches, and calls its handler for each.

1. a claimed job is an attempt like any other: it has its lease, which the keeper extends, its own timers and policy
2. it takes a seat in the open batch of its key, and waits for its answer
3. a batch is due when it is full, when its time is over, when the store has no more and `least` are there, or when
   the worker's hands are full; then it waits for a slot of its executor, and may still grow
4. it runs, and each job gets its own answer: what happens then is the runner's business, job by job

A job that is cancelled, times out or loses its lease leaves its batch. A batch that all have left is ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from tidewheel._batch_task import BatchTask
from tidewheel._context import Stopped
from tidewheel._engine.attempt import Attempt
from tidewheel._engine.batch_call import Answer, BatchCall, Item
from tidewheel._engine.slots import Slots, Turn
from tidewheel._model.job import Lease

_HANDS: Final = 10
"""With a key, a worker collects so many batches' worth of jobs at most."""
_MOST: Final = 10_000
_ABANDON: Final = 5.0
"""Seconds that a handler whose batch was ended has to end, before its slot is filled again without it."""
_log: Final = logging.getLogger("tidewheel")


class _Open:
    """A batch that jobs may join."""

    def __init__(self, key: str, timer: asyncio.TimerHandle | None = None) -> None:
        self.key = key
        self.items: list[Item] = []
        self.timer = timer
        self.due = False


class Collector:
    """The batches of one task in one worker. `call` runs a batch, `freed` says that there is room for one more job.

    Args:
        task: whose jobs they are.
        slots: those of its executor; a batch takes one.
        turn: its claimer's, to look for jobs while a slot is free.
        call: calls the handler.
        freed: there is room for one more job in the worker's hands.
        begun: an attempt is in a call that begins now.
    """

    def __init__(
        self,
        task: BatchTask[Any, Any],
        slots: Slots,
        turn: Turn,
        call: Callable[[BatchCall], Awaitable[list[Answer]]],
        *,
        freed: Callable[[], None],
        begun: Callable[[Attempt], None],
    ) -> None:
        self._task = task
        self._slots = slots
        self._turn = turn
        self._call = call
        self._freed = freed
        self._begun = begun
        batch = task.batch
        self.room = min(_MOST, batch.size * (_HANDS if batch.key is not None else 1))
        """So many jobs may be in its hands and in no call yet."""
        self._most = task.settings.per_worker or slots.all
        self._context = contextvars.copy_context()  # of no job: a batch belongs to none of its jobs
        self._hands: dict[Lease, Attempt] = {}
        self._coming: set[Lease] = set()
        self._open: dict[str, _Open] = {}
        self._line: deque[_Open] = deque()
        self._calls: dict[Lease, BatchCall] = {}
        self._at_once = 0
        self._no_more = False
        self._closed = False

    # -- claiming

    @property
    def ready(self) -> bool:
        """Whether a batch could begin now. To claim for a later one would keep its jobs from idle workers."""
        return self._at_once < self._most and self._turn.mine()

    def expect(self, attempt: Attempt) -> None:
        """It was claimed, and will be `collect`ed."""
        lease = attempt.claimed.lease
        self._hands[lease] = attempt
        self._coming.add(lease)

    def no_more(self) -> None:
        """The last claim found all there is."""
        self._no_more = True
        self._look()

    async def collect(self, attempt: Attempt) -> str:
        """Put a job into a batch, and wait for its result: the call of its attempt. Raises what came out for it."""
        lease = attempt.claimed.lease
        if self._closed:
            self._coming.discard(lease)
            attempt.context.stop("shutdown")
            raise Stopped("shutdown")
        try:
            value, key = self._task.codec.decode_item(attempt.claimed.args)
            item = self._seat(attempt, value, key)
        finally:
            self._coming.discard(lease)
            self._look()
        try:
            return await item.answer
        finally:
            item.answer.cancel()
            self._desert(item)

    def left(self, lease: Lease) -> None:
        """An attempt is over, or in a call now: it makes room."""
        self._coming.discard(lease)
        if self._hands.pop(lease, None) is not None:
            self._freed()

    # -- open batches

    def _seat(self, attempt: Attempt, value: Any, key: str) -> Item:
        item = Item(attempt, value)
        if attempt.claimed.last_life:
            # The worker may go down with it once more: nobody must go along.
            alone = _Open(key)
            alone.items.append(item)
            self._make_due(alone)
            return item
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Open(key)
            wait = partial(self._make_due, batch)
            batch.timer = asyncio.get_running_loop().call_later(self._task.batch.patience, wait, context=self._context)
        batch.items.append(item)
        if len(batch.items) >= self._task.batch.size:
            del self._open[key]
            self._make_due(batch)
        return item

    def _look(self) -> None:
        """Whether something is due, now that all that came has its seat."""
        if self._coming:
            return
        if self._no_more:
            self._no_more = False
            for batch in [one for one in self._open.values() if len(one.items) >= self._task.batch.enough]:
                self._make_due(batch)
        if len(self._hands) >= self.room and not self._line and self._open:
            self._make_due(max(self._open.values(), key=lambda one: len(one.items)))

    def _make_due(self, batch: _Open) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if not batch.due:
            batch.due = True
            self._line.append(batch)
            self._launch()

    def _launch(self) -> None:
        while self._line and self._at_once < self._most:
            self._at_once += 1
            self._slots.borrow(partial(self._begin, self._line.popleft()))

    # -- calls

    def _begin(self, batch: _Open) -> None:
        """There is a slot for it."""
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]
        # Who was told to stop is on its way out, also when its task had no turn yet to say so.
        stays = [one for one in batch.items if not one.answer.done() and not one.attempt.context.cancelled]
        call = BatchCall(self._task, stays)
        if not call.items:
            self._end(call)
            return
        for item in call.items:
            lease = item.attempt.claimed.lease
            self._calls[lease] = call
            self.left(lease)
            self._begun(item.attempt)
        call.handle = asyncio.get_running_loop().create_task(
            self._run(call), name=f"tidewheel batch {self._task.name}", context=self._context.copy()
        )

    async def _run(self, call: BatchCall) -> None:
        found: list[Answer]
        try:
            found = await self._call(call)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is the outcome of all its jobs
            found = [error] * len(call.items)
        for item, answer in zip(call.items, found, strict=True):
            # Somebody cancelled it meanwhile: the handler could not be ended for one, but its word does not count.
            item.take(Stopped("cancel") if item.attempt.context.stop_reason == "cancel" else answer)
        self._end(call)

    def _end(self, call: BatchCall) -> None:
        """Its slot is free again."""
        if not call.over:
            call.over = True
            self._at_once -= 1
            self._slots.give_back()
            self._launch()
            self._turn.look()

    def _desert(self, item: Item) -> None:
        """Its attempt is over: it sits in no batch any more, and one that all have left is ended."""
        lease = item.attempt.claimed.lease
        call = self._calls.pop(lease, None)
        if call is None:
            self._stand_up(item)
        elif not call.over and call.handle is not None and not call.handle.done() and call.deserted:
            call.handle.cancel()
            asyncio.get_running_loop().call_later(_ABANDON, self._abandon, call, context=self._context)

    def _stand_up(self, item: Item) -> None:
        for batch in [*self._open.values(), *self._line]:
            if item in batch.items:
                batch.items.remove(item)
                if not batch.items and not batch.due:
                    del self._open[batch.key]
                    if batch.timer is not None:
                        batch.timer.cancel()
                return

    def _abandon(self, call: BatchCall) -> None:
        if not call.over:
            _log.error("A batch of %s ignored its end for %g s and was given up; its code may still run.",
                       self._task.name, _ABANDON)  # fmt: skip
            self._end(call)

    # -- the end

    def waits(self, attempt: Attempt) -> bool:
        """Whether a job is in no call yet: it may leave as if it had never come."""
        return attempt.claimed.lease not in self._calls

    def cancel(self, attempt: Attempt) -> tuple[Attempt, ...]:
        """Somebody cancels a job that is in a call. Gives all that are in it when nobody wants any of them any more.

        Else the call goes on for the others. The handler may see it at the item, and when the call is over, the job is
        cancelled, whatever came out for it.
        """
        call = self._calls[attempt.claimed.lease]
        attempt.context.stop("cancel")
        waiting = tuple(item.attempt for item in call.items if not item.answer.done())
        return waiting if all(one.context.stop_reason == "cancel" for one in waiting) else ()

    def close(self) -> list[Attempt]:
        """Collect no more: gives the attempts that sit in a batch that has not begun."""
        self._closed = True
        return [one for lease, one in self._hands.items() if lease not in self._coming]
