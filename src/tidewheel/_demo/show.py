"""One run: makes the inputs, enqueues, watches, kills, and waits for the end."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidewheel import JobFilter, JobState, StoreUnavailable
from tidewheel._demo import board as moods
from tidewheel._demo import rows
from tidewheel._demo.board import Board
from tidewheel._demo.customers import make_customers
from tidewheel._demo.environment import OUTPUT, SMTP, STORE
from tidewheel._demo.folder import OutputFolder, cannot_write
from tidewheel._demo.inputs import Inputs
from tidewheel._demo.kill import KillNote
from tidewheel._demo.pictures import draw_pictures
from tidewheel._demo.plan import Plan
from tidewheel._demo.problem import DemoProblem
from tidewheel._demo.screen import Screen, choose_screen
from tidewheel._demo.sink import MailSink
from tidewheel._demo.summary import Facts, gather
from tidewheel._demo.worker import LEASE, WorkerProcess
from tidewheel._stores import shown_url

if TYPE_CHECKING:
    from tidewheel import App, Job, JobHandle

_LOOK_EVERY = 0.2
_KILL_FROM, _KILL_BY = 3.0, 9.0
"""Seconds after the first job started: not before, and not later even when the moment is not ideal."""
_KILL_AT = 0.35
"""The part of the work that should be done before the kill."""
_HOLD = 3.0
"""Seconds to wait for a mail on its way, when other jobs are running."""
_STUCK = 120.0
"""Seconds without any change after which the demo gives up. A single job may take a while, but not so long."""
_STILL = 3.0
"""Seconds without any change after which the demo looks for a reason: workers wait for room on the disk."""
_STORE_AWAY = 30.0
_MOST_STARTS = 4
"""Workers that may die without having been killed by the demo."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options; see `run.main`."""

    input: Path | None
    output: Path
    store: str | None
    fresh: bool
    kill: bool
    plain: bool
    json: bool
    pictures: int
    customers: int


class Show:
    """One run: makes the inputs, enqueues, watches, kills, and waits for the end."""

    def __init__(self, wishes: Wishes, folder: OutputFolder, app: App, inputs: Inputs | None) -> None:
        self.wishes = wishes
        self.folder = folder
        self.app = app
        self.inputs = inputs
        self.board = Board()
        self.sink = MailSink(folder.mails, folder.ledger)
        self.kill = KillNote.read(folder.kill_note)
        self.worker: WorkerProcess | None = None
        self.started = time.monotonic()
        self.first_job: float | None = None
        self.planned: list[str] = []
        self.known = 0
        self.starts = 0
        self.deaths = 0
        self.changed_at = 0.0
        self.held_at = 0.0
        self.seen_at = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str, mood: str = moods.PLAIN) -> None:
        self.board.say(self.seconds, text, mood)

    async def run(self) -> Facts:
        """See the class."""
        with _terminated_like_interrupted(), choose_screen(plain=self.wishes.plain, quiet=self.wishes.json) as screen:
            plan = await self._plan(screen)
            async with self.sink:
                try:
                    await self._enqueue(plan)
                    self._start_worker()
                    await self._watch(screen, plan)
                finally:
                    if self.worker is not None:
                        self.board.task = "the worker finishes"
                        await self.worker.stop()
            jobs = await rows.read(self.app, plan.tag)
        return gather(
            jobs,
            self.planned,
            self.sink.deliveries,
            self.kill,
            self.folder,
            store=shown_url(self.app.url),
            known=self.known,
            seconds=self.seconds,
            warnings=plan.inputs.warnings,
        )

    # -- before

    async def _plan(self, screen: Screen) -> Plan:
        if self.inputs is None:
            drawn: list[Path] = []
            drawing = draw_pictures(self.folder.pictures, self.wishes.pictures)
            # Drawn in a thread: the screen goes on moving, and Ctrl-C is heard.
            while (path := await asyncio.to_thread(next, drawing, None)) is not None:
                drawn.append(path)
                self.board.drawn = (len(drawn), self.wishes.pictures)
                screen.show(self.board, self.seconds)
            self.inputs = Inputs(self.folder.pictures, tuple(drawn))
            self.say(f"{len(drawn)} pictures drawn on the spot in {self.folder.pictures}")
        else:
            others = f", {rows.count(self.inputs.others, 'other file')} left alone" if self.inputs.others else ""
            self.say(f"{rows.count(len(self.inputs.pictures), 'picture')} in {self.inputs.folder}{others}")
            for warning in self.inputs.warnings:
                self.say(warning, moods.WARN)
        return Plan(self.folder, self.inputs, make_customers(self.wishes.customers))

    async def _enqueue(self, plan: Plan) -> None:
        if self.wishes.fresh and self.wishes.store is not None:
            await self.app.jobs.delete(JobFilter(tag=plan.tag))
        if self.wishes.store is not None:
            await self._alone_on(plan)
        handles = await self.app.enqueue_many(plan.work())
        self._note(handles)
        self.board.plan(rows.REPORTS, 2)
        if self.known:
            self.say(f"going on: {self.known} of {len(handles)} jobs are known from an earlier run", moods.MARK)
        else:
            self.say(f"{len(handles)} jobs enqueued into {shown_url(self.app.url)}")

    async def _alone_on(self, plan: Plan) -> None:
        """See that no other demo is at work on this store: our worker would send its mails to our sink."""
        live = JobFilter(kinds=tuple(self.app.tasks), states=tuple(state for state in JobState if not state.final))
        page = await self.app.jobs.list(live, limit=1000)
        others = sum(any(tag.startswith("demo-") and tag != plan.tag for tag in job.tags) for job in page.jobs)
        if others:
            raise DemoProblem(
                f"--store {shown_url(self.app.url)} holds {rows.count(others, 'unfinished job')} of a demo with another folder.",
                "Let that demo end, or give each its own store.",
                code=1,
            )

    def _note(self, handles: Sequence[JobHandle[Any]]) -> None:
        self.planned.extend(handle.id for handle in handles)
        self.known += sum(not handle.created for handle in handles)

    def _start_worker(self) -> None:
        self.starts += 1
        where = {STORE: self.app.url, SMTP: f"127.0.0.1:{self.sink.port}", OUTPUT: str(self.folder.root)}
        self.worker = WorkerProcess(self.starts, self.folder.worker_log, where)
        self.board.worker = f"worker {self.starts}: process {self.worker.pid}"
        self.say(f"worker {self.starts} started (process {self.worker.pid}, leases of {LEASE})", moods.MARK)

    # -- during

    async def _watch(self, screen: Screen, plan: Plan) -> None:
        """Look at the rows again and again until all of them have ended."""
        reporting = False
        while True:
            asked = time.monotonic()
            jobs = await self._look(plan)
            took = time.monotonic() - asked
            screen.show(self.board, self.seconds)
            self._check()
            if not self.board.live:
                if reporting:
                    break
                reporting = True
                self._note(
                    await self.app.enqueue_many(plan.reports(job.id for job in jobs if job.queue != rows.REPORTS))
                )
                continue
            if self._time_to_kill():
                await self._kill_worker(plan, screen)
            await asyncio.sleep(max(_LOOK_EVERY, 5 * took))  # thousands of rows: look less often, not all the time
        await self._dead_letters_written()
        screen.show(self.board, self.seconds)

    async def _look(self, plan: Plan) -> list[Job]:
        try:
            jobs = await rows.read(self.app, plan.tag)
        except StoreUnavailable as error:
            if self.seconds - self.seen_at > _STORE_AWAY:
                raise
            self.board.task = f"the store does not answer: {error}"
            return list(self.board.jobs.values())
        self.seen_at = self.seconds
        if any(_moved(self.board.jobs.get(job.id), job) for job in jobs):
            self.changed_at = self.seconds
        if self.first_job is None and any(job.started_at for job in jobs if not job.state.final):
            self.first_job = self.seconds
        self.board.take(jobs, self.seconds)
        return jobs

    def _check(self) -> None:
        """Is there a reason to give up?"""
        if self.sink.failure is not None:
            raise cannot_write(self.folder.mails, self.sink.failure)
        still = self.seconds - self.changed_at
        if (still > _STILL or self.board.disk_full()) and self.folder.full():
            raise cannot_write(self.folder.root, OSError(28, "No space left on device"))
        if self.worker is not None and self.worker.exit_code is not None:
            self._worker_died(self.worker)
        if still > _STUCK:
            left = ", ".join(f"{job.id} ({job.state.value})" for job in self.board.live[:5])
            raise DemoProblem(
                f"Nothing has happened for {_STUCK:.0f} s; these jobs have not ended: {left}.",
                f"See {self.folder.worker_log}, then run the demo again: it goes on. Or start over with --fresh.",
                code=1,
            )

    def _worker_died(self, worker: WorkerProcess) -> None:
        """Somebody else killed it (that is welcome), or it cannot work at all."""
        self.deaths += 1
        if self.deaths >= _MOST_STARTS:
            raise DemoProblem(
                f"The worker ended {self.deaths} times, last with exit code {worker.exit_code}:\n{worker.last_words()}",
                f"All it said is in {self.folder.worker_log}.",
                code=1,
            )
        self.say(f"worker {worker.number} died (exit code {worker.exit_code}); the next one starts", moods.BAD)
        self._start_worker()

    def _time_to_kill(self) -> bool:
        """In the middle of the work, and, as long as there are mails, with one on its way."""
        if not self.wishes.kill or self.kill is not None or self.first_job is None:
            return False
        since = self.seconds - self.first_job
        work = [group for group in self.board.groups.values() if group.name != rows.REPORTS]
        done = sum(group.done for group in work) / max(1, sum(group.planned for group in work))
        if since < _KILL_FROM or (since < _KILL_BY and done < _KILL_AT):
            return False
        if not self.sink.holding:
            self.sink.holding = True  # the next mail arrives, and its sender does not hear of it
            self.held_at = self.seconds
        if self.sink.in_flight:
            return True
        mails_left = any(job.queue == rows.MAILS for job in self.board.live)
        return bool(self.board.running) and (not mails_left or self.seconds - self.held_at > _HOLD)

    async def _kill_worker(self, plan: Plan, screen: Screen) -> None:
        assert self.worker is not None  # noqa: S101 - asked by the caller
        killed = self.worker
        killed.kill()
        self.sink.holding = False
        jobs = await self._look(plan)
        self.kill = KillNote.of(jobs, at=time.time_ns() // 1000, after=self.seconds)
        self.kill.write(self.folder.kill_note)
        running = rows.count(len(self.kill.running), "running job")
        self.board.past = f"worker {killed.number}: kill -9 at {self.seconds:.1f} s with {running}"
        self.say(f"kill -9 {killed.pid}: worker {killed.number} is dead, with {running}", moods.BAD)
        screen.show(self.board, self.seconds)
        self._start_worker()

    async def _dead_letters_written(self) -> None:
        """The handler that writes dead letters down is a job, too, and is not tagged: wait for its files."""
        dead = [job.id for job in self.board.jobs.values() if job.state.value == "discarded"]
        for _ in range(50):
            if all((self.folder.dead_letters / f"{job_id}.txt").exists() for job_id in dead):
                return
            await asyncio.sleep(0.1)


def _moved(before: Job | None, now: Job) -> bool:
    return before is None or (before.state, before.epoch, before.progress) != (now.state, now.epoch, now.progress)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: the worker is told, the screen is given back."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None or sys.platform == "win32":
        yield
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
