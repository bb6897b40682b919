"""The relay of an outbox: takes the oldest rows, enqueues their jobs, removes the rows.

A row that no store can take is set aside with the reason and does not stop its neighbours. What may go better later (a
database that is away, or full) is tried again, with growing pauses, and said once. A job whose backlog is full keeps its row,
and so its place: whoever wrote it has committed, so nobody is left who could be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tidewheel._model.errors import SchemaMismatch, StoreError
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._outbox.rows import Row, Rows, Taken
from tidewheel._store.base import MAX_BATCH

if TYPE_CHECKING:
    from tidewheel._app import App

_log: Final = logging.getLogger("tidewheel")
_LONGEST: Final = 30.0
_decoder: Final = msgspec.json.Decoder(NewJob)


class Relay:
    """Moves rows of one outbox into one app's store."""

    def __init__(self, rows: Rows, app: App, batch: int) -> None:
        if not 1 <= batch <= MAX_BATCH:
            raise ValueError(f"batch={batch!r} must be 1 to {MAX_BATCH} rows.")
        self._rows = rows
        self._app = app
        self._batch = batch
        self._crowded = False
        """Some rows wait for room in their backlog, and that was said."""

    async def run(self, stopping: asyncio.Event, poll: float) -> None:
        """Move rows until told to stop; look again every `poll` seconds while there are none."""
        away = 0
        while not stopping.is_set():
            try:
                moved = await self.once()
            except StoreError as error:
                if not error.retriable:
                    raise
                if not away:
                    _log.warning("The relay of an outbox waits: %s", error)
                await self._rows.close()  # a broken connection must not be asked again
                away += 1
                await self._pause(stopping, min(poll * 2 ** min(away, 10), max(poll, _LONGEST)))
                continue
            if away:
                _log.warning("The relay of an outbox goes on.")
                away = 0
            if moved < self._batch:
                await self._pause(stopping, poll)

    async def _pause(self, stopping: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * self._app.env.random.uniform(0.75, 1.25)):
                await stopping.wait()

    async def once(self) -> int:
        """Move one batch; gives the number of rows that are through, or set aside: 0 when there was none."""
        async with self._rows.take(self._batch) as taken:
            good: list[tuple[Row, NewJob]] = []
            for row in taken.rows:
                try:
                    good.append((row, _decoder.decode(row.job)))
                except (msgspec.MsgspecError, UnicodeError) as error:
                    await self._set_aside(taken, row, f"The row cannot be read: {error}")
            answered = await self._hand_over(taken, good) if good else []
            handed = [row for row, answer in answered if answer.did != "full"]
            self._say_crowded(len(answered) - len(handed))
            # Between the line above and the end of the block a relay may die: the next one hands them over again, and
            # the store answers that it has these ids already.
            await taken.remove(handed)
        return len(taken.rows) - len(answered) + len(handed)

    async def _hand_over(self, taken: Taken, good: Sequence[tuple[Row, NewJob]]) -> list[tuple[Row, Enqueued]]:
        """Gives what the store answered; what it refuses for good is set aside."""
        store = await self._app.ready()
        try:
            answers = await store.enqueue([job for _, job in good])
        except StoreError as error:
            if error.retriable or isinstance(error, SchemaMismatch):
                raise
        else:
            return [(row, answer) for (row, _), answer in zip(good, answers, strict=True)]
        # One of them is refused, and would be again. Which one?
        answered, refused = list[tuple[Row, Enqueued]](), list[tuple[Row, StoreError]]()
        for row, job in good:
            try:
                answered += [(row, answer) for answer in await store.enqueue([job])]
            except StoreError as why:
                if why.retriable:
                    raise
                refused.append((row, why))
        if refused and not answered and len(refused) > 1:
            raise refused[0][1]  # it is not the jobs
        for row, reason in refused:
            await self._set_aside(taken, row, str(reason))
        return answered

    def _say_crowded(self, rows: int) -> None:
        if rows and not self._crowded:
            _log.warning("Rows of an outbox stay for now, %d: the backlog of their jobs is full.", rows)
        self._crowded = bool(rows)

    @staticmethod
    async def _set_aside(taken: Taken, row: Row, problem: str) -> None:
        _log.error("The job %s of an outbox is set aside: %s", row.id, problem)
        await taken.set_aside(row, problem)
