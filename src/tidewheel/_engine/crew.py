"""Who claims in a worker: for each executor one claimer for the jobs that are run one by one, and for each task whose
jobs are run in batches a claimer and a collector of its own. All of an executor share its slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tidewheel._batch_task import BatchTask
from tidewheel._engine.attempt import Attempt
from tidewheel._engine.claimer import Claimer
from tidewheel._engine.collector import Collector
from tidewheel._engine.executors import Executor
from tidewheel._engine.kinds import Kinds
from tidewheel._engine.runner import Call
from tidewheel._engine.slots import Slots, Turn
from tidewheel._model.job import Claimed

if TYPE_CHECKING:
    from tidewheel._task import Task


class Crew:
    """The claimers and collectors of one worker.

    Args:
        tasks: by name.
        make: makes a claimer; what all of them have in common is given already.
        start: starts an attempt at a job, with its call and what gives back its slot.
        begun: the handler of an attempt is called now.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        make: Callable[..., Claimer],
        *,
        start: Callable[[Claimed, Call, Callable[[], None]], Attempt],
        begun: Callable[[Attempt], None],
    ) -> None:
        self._tasks = tasks
        self._make = make
        self._start = start
        self._begun = begun
        self.claimers: list[Claimer] = []
        self.collectors: dict[str, Collector] = {}
        """By the names of their tasks."""
        self.slots = 0
        """Of all executors."""

    def hire(self, executor: Executor, kinds: list[str]) -> None:
        """Make those for the tasks of one executor."""
        slots = Slots(executor.slots)
        self.slots += slots.all
        batched = {kind: task for kind in kinds if isinstance(task := self._tasks[kind], BatchTask)}
        if single := [kind for kind in kinds if kind not in batched]:
            self._hire_for_single(executor, slots, single)
        for task in batched.values():
            self._hire_for_batches(executor, slots, task)

    def _hire_for_single(self, executor: Executor, slots: Slots, kinds: list[str]) -> None:
        def start(claimed: Claimed) -> None:
            self._start(claimed, executor.call, partial(claimer.freed, claimed.kind))

        own = {kind: most for kind in kinds if (most := self._tasks[kind].settings.per_worker) is not None}
        tight = {kind: most for kind, most in own.items() if most < slots.all}
        claimer = self._make(kinds=Kinds(kinds, tight), slots=slots, start=start)
        self.claimers.append(claimer)

    def _hire_for_batches(self, executor: Executor, slots: Slots, task: BatchTask[Any, Any]) -> None:
        def start(claimed: Claimed) -> None:
            collector.expect(self._start(claimed, collector.collect, partial(collector.left, claimed.lease)))

        turn = Turn(slots, look=lambda: claimer.look())  # noqa: PLW0108 -- there is none yet
        collector = Collector(
            task, slots, turn, executor.call_batch, freed=lambda: claimer.freed(task.name), begun=self._begun
        )
        claimer = self._make(
            kinds=Kinds([task.name], {}),
            slots=Slots(collector.room),
            start=start,
            at_once=task.batch.size,
            ready=lambda: collector.ready,
            looked=turn.over,
            no_more=collector.no_more,
        )
        self.claimers.append(claimer)
        self.collectors[task.name] = collector

    def pause(self, kinds: frozenset[str]) -> None:
        """Start no more jobs of these kinds, and no others are paused."""
        for claimer in self.claimers:
            claimer.pause(kinds)

    def waits(self, attempt: Attempt) -> bool:
        """Whether it waits for its batch to begin."""
        collector = self.collectors.get(attempt.kind)
        return collector is not None and collector.waits(attempt)

    def cancelled(self, attempt: Attempt) -> tuple[Attempt, ...]:
        """Somebody cancels its job: the attempts to end for it."""
        collector = self.collectors.get(attempt.kind)
        return (attempt,) if collector is None else collector.cancel(attempt)

    def close(self) -> list[Attempt]:
        """Collect no more: the attempts whose batch has not begun."""
        return [attempt for collector in self.collectors.values() for attempt in collector.close()]
