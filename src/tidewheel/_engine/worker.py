"""A worker: starts the parts in order, ends them in the opposite order.

    store → settler → keeper (thread) → sweeper, listener → attempts → claimers

Stopping: (1) the claimers return; (2) running jobs get `grace`; (3) the rest are interrupted and handed back,
no attempt burned; (4) sweeper and listener end, then the keeper; (5) the settler writes what is left;
(6) what could not be written comes back by rescue. A second signal skips the grace.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from tidewheel._config import WorkerOptions
from tidewheel._context import SOFT_TIMEOUT
from tidewheel._engine import signals
from tidewheel._engine.attempt import EVENTS, Attempt
from tidewheel._engine.claimer import Claimer
from tidewheel._engine.crew import Crew
from tidewheel._engine.executors import Executor, LoopExecutor, ThreadExecutor
from tidewheel._engine.isolation import Isolation
from tidewheel._engine.keeper import Keeper
from tidewheel._engine.leaving import drain, hand_back, watch
from tidewheel._engine.listener import Listener
from tidewheel._engine.patience import Patience
from tidewheel._engine.pauses import PauseReader
from tidewheel._engine.runner import Call, Runner
from tidewheel._engine.services import raised, services
from tidewheel._engine.settler import Settler
from tidewheel._engine.shares import Shares
from tidewheel._engine.sweeper import Sweeper
from tidewheel._model.errors import ConfigError, StoreError
from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Outcome, Settlement
from tidewheel._model.retention import RetentionRule
from tidewheel._model.state import LIVE_STATES
from tidewheel._model.worker import BeatAnswer, Wakeup, WorkerInfo
from tidewheel._version import __version__

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._store.base import Store

_ABANDON: Final = 5.0
"""Seconds an interrupted handler has to end before its slot is filled again without it."""
_SWITCH: Final = 0.0002
_log: Final = logging.getLogger("tidewheel")


class Worker:
    """Runs the jobs of an app until it is told to stop. Made by `app.worker(...)`."""

    def __init__(self, app: App, options: WorkerOptions) -> None:
        self.app = app
        self.options = options
        self.id = app.env.ids()
        """New at every start, so that a reused host or process number is no confusion."""
        self.done = 0
        """Attempts that ended so far."""
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._claimers: list[Claimer] = []
        self._slots = 0
        self._isolation = Isolation()
        self._reason = ""
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_at = 0

    def stop(self, reason: str = "stop") -> None:
        """Stop gracefully; the second call stops at once. May be called from any thread."""
        if self._loop is None:
            self._note_stop(reason)
        else:
            with suppress(RuntimeError):  # the loop is closed: it has stopped long ago
                self._loop.call_soon_threadsafe(self._note_stop, reason)

    def _note_stop(self, reason: str) -> None:
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()
        elif reason not in ("recycle", "drained"):
            self._hurry.set()

    async def run(self) -> str:
        """Work until stopped. Gives the reason: "stop", "SIGTERM", "SIGINT", "drained" or "recycle".

        Raises:
            ConfigError: the app has nothing to work on, or tasks that cannot work; all problems at once.
            StoreError: the store cannot be used at all, or was away for longer than `wait`.
            RuntimeError: it ran before; make another one.
        """
        if self._loop is not None:
            raise RuntimeError("A worker runs once. Make another one: app.worker(...).")
        app = self.app
        tasks = dict(app.tasks)
        if not tasks:
            raise ConfigError("The app has no tasks, so a worker has nothing to do. Put @app.task on one.")
        if problems := [one for one in app.check() if one.level == "error"]:
            raise ConfigError([f"{one.where}: {one.message} {one.remedy}" for one in problems])
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(app.env.random, app.telemetry)
        try:
            with signals.heard(self._note_stop) if self.options.signals else nullcontext():
                store = await self._patience.insist(app.ready, self._stop.is_set, at_most=self.options.wait)
        except StoreError as error:
            self._loop = None  # it has not run
            if error.retriable and self._stop.is_set():
                return self._reason
            raise
        self._started_at = app.env.clock()
        self._runner = Runner(app.env.clock, app.env.random, self._interrupt)
        self._settler = Settler(
            store, self._patience, self.options.lease, stale=self._stale, hurried=self._hurry.is_set
        )
        settling = asyncio.create_task(self._settler.run(), name="tidewheel settler")
        # The store's thread needs the interpreter lock for moments only; at the default of 5 ms a busy event loop
        # would make it wait as long for each of them.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(min(interval, _SWITCH))
        with ExitStack() as to_the_end:
            try:
                await self._work(store, to_the_end)
            finally:
                sys.setswitchinterval(interval)
                self._settler.close()
                await settling
                await self._say_goodbye(store)
                self.app.telemetry.emit("worker.stopped", worker=self.id, reason=self._reason)
        _log.info("Worker %s stopped (%s) after %d attempts.", self.id, self._reason, self.done)
        return self._reason

    async def _work(self, store: Store, to_the_end: ExitStack) -> None:
        tasks, options = self.app.tasks, self.options
        self._keeper = Keeper(
            store,
            self._patience,
            info=self._info,
            attempts=lambda: list(self._attempts.values()),
            told=self._told,
            lagging=self._lagging,
            lease=options.lease,
        )
        sweeper = Sweeper(store, self._patience, self.app.env.random, self._rules, options.lease)
        self._crew = self._crew_for(store)
        executors: dict[str, Executor] = {}
        for where, make in (("loop", self._loop_executor), ("thread", self._threads), ("process", self._processes)):
            kinds = [name for name, task in tasks.items() if task.run_in == where]
            if kinds:
                executors[where] = make()
                self._crew.hire(executors[where], kinds)
        self._claimers, self._slots = self._crew.claimers, self._crew.slots
        self._pauses = PauseReader(store, self._patience, self._crew.pause)
        listener = Listener(
            store,
            self.app.env.random,
            {Wakeup.WORK: self._wake_claimers, Wakeup.DUE: sweeper.wake, Wakeup.CONTROL: self._control},
        )
        try:
            await self._keeper.start(self._stop)
            await self._pauses.look(self._stop.is_set)
            if self._stop.is_set():
                return
            async with services(
                sweeper.run(),
                listener.run(),
                self._pauses.run(),
                watch(options, self._stop, self._note_stop, lambda: self._empty(store)),
                raised(self._keeper.failed),
            ):
                if options.signals:
                    # Until the last outcome is written: a signal that is not heard kills, and it would run again.
                    to_the_end.enter_context(signals.heard(self._note_stop))
                self.app.telemetry.emit("worker.started", worker=self.id)
                _log.info("Worker %s started: %s.", self.id, ", ".join(self.queues))
                try:
                    await self._claim_until_stopped()
                    await drain(self._attempts, options.grace, self._hurry, self._reason)
                finally:  # also when something failed, or the host program cancels us
                    await self._hand_back()
        finally:
            await self._keeper.stop()
            for executor in executors.values():
                executor.close()

    async def _say_goodbye(self, store: Store) -> None:
        """Tell the store that nobody is here any more. Tried once: a store that is away forgets us in time."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_ABANDON):
                await store.beat(replace(self._info(), stopped=True), [], lease=self.options.lease)

    async def settled(self) -> None:
        """Wait until every outcome so far is written."""
        await self._settler.caught_up()

    # -- parts

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues it works on."""
        return self.options.queues or tuple(sorted({task.settings.queue for task in self.app.tasks.values()}))

    def _crew_for(self, store: Store) -> Crew:
        options, random = self.options, self.app.env.random

        def make(**how: Any) -> Claimer:
            shares = Shares(random, self.queues, options.weights, strict=options.order == "strict")
            return Claimer(
                store, self._patience, self._settler, self._isolation, random, shares=shares, worker=self.id,
                lease=options.lease, poll=options.poll, **how,
            )  # fmt: skip

        return Crew(self.app.tasks, make, start=self._start, begun=self._begun)

    def _loop_executor(self) -> Executor:
        return LoopExecutor(self.options.concurrency)

    def _threads(self) -> Executor:
        return ThreadExecutor(self.options.threads)

    def _processes(self) -> Executor:
        from tidewheel._engine.processes import ProcessExecutor

        return ProcessExecutor(self.options.processes)

    def _rules(self) -> list[RetentionRule]:
        return [
            RetentionRule(name, queue, self.app.retention_of(task, queue))
            for name, task in self.app.tasks.items()
            for queue in {task.settings.queue, *self.queues}
        ]

    def _info(self) -> WorkerInfo:
        return WorkerInfo(
            id=self.id,
            host=platform.node(),
            pid=os.getpid(),
            queues=self.queues,
            kinds=tuple(sorted(self.app.tasks)),
            concurrency=self._slots,
            running=len(self._attempts),
            version=__version__,
            started_at=self._started_at,
        )

    # -- attempts

    def _start(self, claimed: Claimed, call: Call, free_slot: Callable[[], None]) -> Attempt:
        attempt = Attempt(claimed, self.app.tasks[claimed.kind], self.app.env.clock, self._keeper.news, free_slot)
        self._attempts[claimed.lease] = attempt
        attempt.handle = asyncio.create_task(self._attempt(attempt, call))
        return attempt

    async def _attempt(self, attempt: Attempt, call: Call) -> None:
        if attempt.task.batch is None:
            self._begun(attempt)
        outcome = await self._runner.run(attempt, call)
        self._finish(attempt, outcome)

    def _begun(self, attempt: Attempt) -> None:
        """Its handler is called now."""
        if attempt.begin is not None:
            attempt.begin()
        self.app.telemetry.emit("job.started", job=attempt.claimed)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        """Settle an attempt, once: whatever comes later does not count."""
        if attempt.settled:
            return
        attempt.settled = True
        self._attempts.pop(attempt.claimed.lease, None)
        self.done += 1
        news = attempt.context.take_news()
        if attempt.context.borrowed:
            attempt.context.give_back(*news)
            attempt.context.when_returned(lambda: self._settle_later(attempt, outcome))
        else:
            self._settler.add(Settlement(attempt.claimed.lease, outcome, *news))
        self._isolation.ended(attempt.claimed)
        attempt.free_slot()
        self.app.telemetry.emit(EVENTS.get(type(outcome), "job.released"), job=attempt.claimed, outcome=outcome)
        if self.options.max_jobs is not None and self.done >= self.options.max_jobs:
            self._note_stop("recycle")

    def _settle_later(self, attempt: Attempt, outcome: Outcome) -> None:
        """Called in the keeper's thread when its beat is written."""
        assert self._loop is not None  # noqa: S101 -- run() set it
        self._loop.call_soon_threadsafe(
            lambda: self._settler.add(Settlement(attempt.claimed.lease, outcome, *attempt.context.take_news()))
        )

    def _interrupt(self, attempt: Attempt, reason: str) -> None:
        if not attempt.settled:
            attempt.interrupt(reason)
            asyncio.get_running_loop().call_later(_ABANDON, self._abandon, attempt)

    def _abandon(self, attempt: Attempt) -> None:
        if not attempt.settled:
            _log.error(
                "%s %s ignored its interruption (%s) for %g s and was given up; its code may still run.",
                attempt.kind, attempt.claimed.id, attempt.context.stop_reason, _ABANDON,
            )  # fmt: skip
            self._finish(attempt, self._runner.interrupted(attempt))

    def _told(self, attempt: Attempt, answer: BeatAnswer) -> None:
        """The store's word about a lease."""
        if attempt.settled:
            return
        if answer is BeatAnswer.LOST:
            attempt.context.lost = True
            self._interrupt(attempt, "lease lost")
        elif attempt.context.stop_reason in ("", SOFT_TIMEOUT):
            if self._crew.waits(attempt):
                self._interrupt(attempt, "cancel")
            else:
                for one in self._crew.cancelled(attempt):
                    self._cancel(one)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.task.run_in == "thread":
            attempt.context.stop("cancel")  # a thread can only be asked
        elif attempt.task.run_in == "process":
            attempt.context.stop("cancel")
            asyncio.get_running_loop().call_later(_ABANDON, self._interrupt, attempt, "cancel")
        else:
            self._interrupt(attempt, "cancel")

    def _stale(self, settlement: Settlement) -> None:
        _log.warning(
            "The outcome of job %s was refused: its lease (epoch %d) is over and the job was given to another worker.",
            *settlement.lease,
        )
        self.app.telemetry.emit("job.stalled", lease=settlement.lease)

    def _lagging(self, lag: float, name: str) -> None:
        _log.warning(
            'The event loop was blocked for %.1f s by %s. Use run_in="process", a plain function, or await more often.',
            lag, name,
        )  # fmt: skip
        self.app.telemetry.emit("worker.lag", seconds=lag, task=name)

    # -- life

    def _control(self) -> None:
        self._keeper.hurry()
        self._pauses.wake()

    def _wake_claimers(self) -> None:
        for claimer in self._claimers:
            claimer.wake()

    async def _claim_until_stopped(self) -> None:
        claiming = [asyncio.create_task(claimer.run(), name="tidewheel claimer") for claimer in self._claimers]
        stop = asyncio.create_task(self._stop.wait())
        try:  # a claimer ends by itself only when it fails
            await asyncio.wait([stop, *claiming], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            for claimer in self._claimers:
                claimer.stop()
            await asyncio.wait(claiming)  # not cancelled: what a claim under way brings must find somebody
            for attempt in self._crew.close():  # another worker's batch may take them at once
                self._interrupt(attempt, "shutdown")
        errors = [error for task in claiming if (error := task.exception()) is not None]
        if errors:
            raise errors[0]

    async def _hand_back(self) -> None:
        """Interrupt what still runs; what does not end is given up."""
        await hand_back(self._attempts, self._interrupt, at_most=_ABANDON, hurried=self._hurry.is_set)
        for attempt in tuple(self._attempts.values()):
            self._abandon(attempt)

    async def _empty(self, store: Store) -> bool:
        if self._attempts or self._settler.backlog or not all(claimer.idle for claimer in self._claimers):
            return False
        stats = await self._patience.insist(store.queues)
        ours = set(self.queues)
        return not any(one.counts[state] for one in stats if one.name in ours for state in LIVE_STATES)
