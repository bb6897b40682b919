"""The judge's second look: the rows and attempt records, as the public API shows them, against the history.

It needs no recorder inside the store, so it holds for every store in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.e2e._history import Execution, Verdict, executions, same_count

from tidewheel import App, Job, JobState
from tidewheel._model.job import AttemptRecord

NO_ATTEMPT: Final = frozenset({"snooze", "release"})
"""The ends that burn no attempt."""
ONLY_BY_RECORDS: Final = frozenset({"end not recorded", "gave up", "not told once", "doubled"})
"""The promises that a recorder's changes say nothing about."""


async def all_jobs(app: App) -> list[Job]:
    """All jobs that are in the store, as they are listed."""
    jobs: list[Job] = []
    cursor = None
    while True:
        page = await app.jobs.list(limit=1000, cursor=cursor)
        jobs += page.jobs
        if (cursor := page.next) is None:
            return jobs


class Records:
    """What a store says at the end: every row, and the attempt records of each."""

    def __init__(self, rows: Iterable[tuple[Job, Sequence[AttemptRecord]]] = ()) -> None:
        self.rows: dict[str, Job] = {}
        self.attempts: dict[str, tuple[AttemptRecord, ...]] = {}
        for job, attempts in rows:
            self.rows[job.id] = job
            self.attempts[job.id] = tuple(attempts)

    @classmethod
    async def read(cls, app: App) -> Records:
        """Everything that is in the store."""
        rows: list[tuple[Job, Sequence[AttemptRecord]]] = []
        for job in await all_jobs(app):
            history = await app.jobs.history(job.id) if job.epoch else None
            rows.append((job, history.attempts if history is not None else ()))
        return cls(rows)


def judge_records(
    verdict: Verdict, lines: Sequence[Mapping[str, Any]], records: Records, *, unfinished: Iterable[str] = ()
) -> None:
    """Add to the verdict what rows and records show."""
    runs = executions(lines)
    known = {(promise, job) for promise, job, _ in verdict.findings}
    mine = Verdict()
    for line in lines:
        if line["what"] == "enqueued" and line["job"] not in records.rows:
            mine.add("lost", line["job"], "it has no row at the end")
    excused = set(unfinished)
    for id, job in records.rows.items():
        done, attempts = runs.get(id, []), records.attempts[id]
        if not job.state.final and id not in excused:
            mine.add("unfinished", id, f"it is {job.state} at the end")
        _judge_completion(mine, job, done)
        _judge_ends(mine, job, done, attempts)
        if job.state.final:
            _judge_counters(mine, job, attempts)
    _judge_workers(mine, lines)
    _judge_orders(mine, records.rows.values())
    _judge_dead_letters(mine, records.rows.values())
    verdict.findings += [one for one in mine.findings if one[:2] not in known]
    verdict.jobs = max(verdict.jobs, len(records.rows))
    verdict.executions = sum(map(len, runs.values()))
    verdict.completions = max(
        verdict.completions, sum(1 for job in records.rows.values() if job.state is JobState.COMPLETED)
    )


def _judge_completion(verdict: Verdict, job: Job, done: list[Execution]) -> None:
    if job.state is not JobState.COMPLETED:
        return
    if not any(run.epoch == job.epoch and run.how == "end" for run in done):
        verdict.add("completed without a run", job.id, f"epoch {job.epoch}, by its row")
    # Most bodies return their fence, "<job>:<epoch>".
    told = job.result or ""
    if f"{job.id}:" in told and told != f'"{job.id}:{job.epoch}"':
        verdict.add("late write accepted", job.id, f"{told} in the row, whose epoch is {job.epoch}")


def _judge_ends(verdict: Verdict, job: Job, done: list[Execution], attempts: Sequence[AttemptRecord]) -> None:
    """Every execution ended in one way, and the store says in which."""
    numbers = {record.epoch: record.attempt for record in attempts}
    if job.state is JobState.COMPLETED:
        if job.epoch in numbers:
            verdict.add("completed twice", job.id, f"epoch {job.epoch} is completed and has another end, too")
        numbers[job.epoch] = job.attempt
    elif job.state is JobState.RUNNING:
        numbers[job.epoch] = job.attempt
    for run in done:
        if run.epoch > job.epoch and job.state is JobState.COMPLETED:
            verdict.add("run after completion", job.id, f"epoch {run.epoch}, completed in {job.epoch}, by its row")
        elif run.epoch not in numbers:
            verdict.add("end not recorded", job.id, f"epoch {run.epoch}; recorded: {sorted(numbers)}")
        elif numbers[run.epoch] != run.attempt:
            verdict.add("run without a claim", job.id, f"epoch {run.epoch} ran as attempt {run.attempt}, not {numbers}")


def _judge_counters(verdict: Verdict, job: Job, attempts: Sequence[AttemptRecord]) -> None:
    """Claims and rescues raise the epoch, claims the attempt; the records tell how many of each there were."""
    completed = job.state is JobState.COMPLETED
    rescues = sum(1 for record in attempts if record.outcome == "rescue")
    spared = sum(1 for record in attempts if record.outcome in NO_ATTEMPT)
    expected = (len(attempts) + rescues + completed, len(attempts) + completed - spared, rescues)
    if not same_count(job.epoch, expected[0]) or (job.attempt, job.crashes) != expected[1:]:
        found = f"epoch, attempt, crashes are {job.epoch}, {job.attempt}, {job.crashes}"
        verdict.add("miscounted", job.id, f"{found}; its records make it {expected}")


def _judge_orders(verdict: Verdict, jobs: Iterable[Job]) -> None:
    """A caller that repeats an order after a lost reply gets one job."""
    orders: Counter[str] = Counter()
    for job in jobs:
        orders.update(tag for tag in job.tags if tag.startswith("order-"))
    for order, count in orders.items():
        if count > 1:
            verdict.add("doubled", order, f"{count} jobs")


def _judge_dead_letters(verdict: Verdict, jobs: Iterable[Job]) -> None:
    """The job that tells of a dead letter is made in the atom that gives the other up."""
    told = Counter((job.kind, job.payload.get("job_id")) for job in jobs)
    for job in jobs:
        if job.state is JobState.DISCARDED and job.on_dead is not None and told[job.on_dead, job.id] != 1:
            verdict.add("not told once", job.id, f"{told[job.on_dead, job.id]} jobs tell that it was given up")


def _judge_workers(verdict: Verdict, lines: Sequence[Mapping[str, Any]]) -> None:
    """Whatever happens to its store, a worker waits for it. (One that cannot even start may say so and end.)"""
    at_work = {line["worker"] for line in lines if line["what"] == "start"}
    told = {line["worker"] for line in lines if line["what"] == "told to stop"}
    for line in lines:
        if line["what"] == "gone" and line["worker"] in at_work:
            # A second SIGTERM may meet a process that has done everything and is about to end.
            expected = (0, -9, -15) if line["worker"] in told else (0, -9)
            if (code := line.get("code", -9)) not in expected:
                verdict.add("gave up", f"worker {line['worker']}", f"exit code {code}")
