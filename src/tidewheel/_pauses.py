"""Pausing single tasks: a word in the store that workers read. It needs no field of a job and costs no claim anything: a
worker that knows of it does not ask for that kind.

It is kept as the operator's word about a limit that no job carries, so it is there on every store and wakes the workers.
"""

from __future__ import annotations

import builtins
import difflib
from typing import TYPE_CHECKING

from tidewheel._model.limit import PAUSED, LimitRow, Rule
from tidewheel._names import check_name

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._store.base import Store


class Pauses:
    """Tasks whose jobs are not started for now, by name: `app.pauses`. Also `await task.pause()` and `await task.resume()`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self) -> builtins.list[str]:
        """The names of the paused tasks, sorted."""
        return sorted(await paused_kinds(await self._app.opened()))

    async def pause(self, task: str) -> None:
        """Start no more jobs of a task, in any queue; what runs goes on, what is enqueued waits.

        A worker hears of it at once where its store has hints, else within 5 s, and stops with its next claim; so a job or
        two may still start. It holds until `resume`, also for workers that start later. Workers of a version
        that does not know of pauses go on.

        Raises:
            ValueError: a bad name, or no task of this app, if it has any.
        """
        await self._say(LimitRow(name=PAUSED + self._known(task), operator=Rule(paused=True)))

    async def resume(self, task: str) -> None:
        """Start its jobs again. Raises ValueError for a bad name."""
        await self._say(LimitRow(name=PAUSED + check_name(task, "a task name")))

    async def _say(self, row: LimitRow) -> None:
        await (await self._app.opened()).put_limits([row], declared=False)

    def _known(self, task: str) -> str:
        check_name(task, "a task name")
        if self._app.tasks and task not in self._app.tasks:
            near = difflib.get_close_matches(task, self._app.tasks, n=1)
            there = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(self._app.tasks))}."
            raise ValueError(f"This app has no task {task!r}. {there}")
        return task


def is_pause(name: str) -> bool:
    """Whether a row of limits is the pause of a task."""
    return name.startswith(PAUSED)


async def paused_kinds(store: Store) -> frozenset[str]:
    """The kinds that nobody should start now."""
    rows = [row for row in await store.limits() if is_pause(row.name)]
    return frozenset(row.name.removeprefix(PAUSED) for row in rows if row.operator is not None and row.operator.paused)
