"""The judge of rows and attempt records finds every planted fault, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.e2e._history import HISTORY, PROMISES, Verdict, read, same_count, write
from tests.e2e._records import ONLY_BY_RECORDS, Records, judge_records
from tests.e2e.apps import jobs

from tidewheel import App, Job, JobState
from tidewheel._model.job import AttemptRecord


@dataclass
class Ending:
    """A history, and the rows and records that a store has at its end."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    attempts: dict[str, list[AttemptRecord]] = field(default_factory=dict)

    def job(self, id: str, state: JobState, epoch: int, attempt: int, crashes: int = 0, **more: Any) -> None:
        self.lines.append({"what": "enqueued", "job": id, "at": 0.0})
        numbers: dict[str, Any] = {"epoch": epoch, "attempt": attempt, "crashes": crashes}
        kind, args = more.pop("kind", "hop"), more.pop("args", "{}")
        self.jobs[id] = Job(
            id=id, kind=kind, queue="q", state=state, args=args, priority=1, run_at=0, lifo=False, max_attempts=9,
            max_crashes=9, enqueued_at=0, **numbers, **more,
        )  # fmt: skip
        self.attempts.setdefault(id, [])

    def run(self, id: str, epoch: int, attempt: int, how: str = "end", worker: int = 1) -> None:
        for what in ("start", how) if how else ("start",):
            line = {"what": what, "job": id, "kind": "hop", "epoch": epoch, "attempt": attempt, "worker": worker}
            self.lines.append({**line, "at": float(len(self.lines))})

    def ended(self, id: str, epoch: int, attempt: int, outcome: str) -> None:
        record = AttemptRecord(
            job_id=id, epoch=epoch, attempt=attempt, worker="w", started_at=0, ended_at=1, outcome=outcome
        )
        self.attempts.setdefault(id, []).append(record)

    def change(self, id: str, **changes: Any) -> None:
        self.jobs[id] = replace(self.jobs[id], **changes)

    def found(self) -> set[str]:
        verdict = Verdict()
        judge_records(verdict, self.lines, Records((job, self.attempts[job.id]) for job in self.jobs.values()))
        return {promise for promise, _, _ in verdict.findings}


def lived_through_everything() -> Ending:
    """A retry, a snooze, a release, a crash and a completion; a job cancelled at once; one that was given up."""
    ending = Ending()
    ending.job("a", JobState.COMPLETED, 6, 3, 1, result='"a:6"', tags=("order-1",))
    for epoch, attempt, how, outcome in (
        (1, 1, "fail", "retry"),
        (2, 2, "fail", "snooze"),
        (3, 2, "cut", "release"),
        (4, 2, "", "rescue"),
    ):
        ending.run("a", epoch, attempt, how)
        ending.ended("a", epoch, attempt, outcome)
    ending.run("a", 6, 3)
    ending.job("b", JobState.CANCELLED, 0, 0, tags=("order-2",))
    ending.job("c", JobState.DISCARDED, 2, 1, 1, on_dead="told")
    ending.lines += [{"what": "gone", "worker": worker, "code": code, "at": 90.0} for worker, code in ((1, -9), (7, 3))]
    ending.job("c told", JobState.CANCELLED, 0, 0, kind="told", args='{"job_id":"c"}')
    ending.run("c", 1, 1, "dies")
    ending.ended("c", 1, 1, "rescue")
    return ending


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert lived_through_everything().found() == set()


def lost(ending: Ending) -> None:
    del ending.jobs["a"]


def unfinished(ending: Ending) -> None:
    ending.job("x", JobState.AVAILABLE, 0, 0)


def completed_without_a_run(ending: Ending) -> None:
    ending.job("x", JobState.COMPLETED, 1, 1)


def completed_while_the_body_ran(ending: Ending) -> None:
    ending.job("x", JobState.COMPLETED, 1, 1)
    ending.run("x", 1, 1, "")


def late_write_accepted(ending: Ending) -> None:
    ending.change("a", result='"a:4"')


def completed_twice(ending: Ending) -> None:
    ending.ended("a", 6, 3, "retry")


def run_after_completion(ending: Ending) -> None:
    ending.run("a", 7, 4)


def run_without_a_claim(ending: Ending) -> None:
    ending.job("x", JobState.COMPLETED, 1, 1)
    ending.run("x", 1, 2)


def end_not_recorded(ending: Ending) -> None:
    """As when a completion was undone and the job ran again."""
    ending.job("x", JobState.COMPLETED, 2, 2)
    ending.run("x", 1, 1)
    ending.run("x", 2, 2)


def run_that_nobody_gave_out(ending: Ending) -> None:
    ending.run("b", 1, 1)


def crash_not_counted(ending: Ending) -> None:
    ending.change("a", crashes=0)


def attempt_burned_by_a_release(ending: Ending) -> None:
    ending.change("a", attempt=4)


def epoch_raised_without_a_reason(ending: Ending) -> None:
    ending.change("b", epoch=1)


def doubled(ending: Ending) -> None:
    ending.job("x", JobState.CANCELLED, 0, 0, tags=("order-2",))


def worker_gave_up(ending: Ending) -> None:
    ending.lines.append({"what": "gone", "worker": 1, "code": 1, "at": 99.0})


def dead_letter_untold(ending: Ending) -> None:
    ending.change("c told", args='{"job_id":"b"}')


def dead_letter_told_twice(ending: Ending) -> None:
    ending.job("x", JobState.CANCELLED, 0, 0, kind="told", args='{"job_id":"c"}')


FAULTS: list[tuple[Callable[[Ending], None], str]] = [
    (lost, "lost"),
    (unfinished, "unfinished"),
    (completed_without_a_run, "completed without a run"),
    (completed_while_the_body_ran, "completed without a run"),
    (late_write_accepted, "late write accepted"),
    (completed_twice, "completed twice"),
    (run_after_completion, "run after completion"),
    (run_without_a_claim, "run without a claim"),
    (end_not_recorded, "end not recorded"),
    (run_that_nobody_gave_out, "end not recorded"),
    (crash_not_counted, "miscounted"),
    (attempt_burned_by_a_release, "miscounted"),
    (epoch_raised_without_a_reason, "miscounted"),
    (worker_gave_up, "gave up"),
    (dead_letter_untold, "not told once"),
    (dead_letter_told_twice, "not told once"),
    (doubled, "doubled"),
]


@pytest.mark.parametrize(("plant", "promise"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(plant: Callable[[Ending], None], promise: str) -> None:
    ending = lived_through_everything()
    plant(ending)
    assert promise in ending.found()


def test_what_only_records_can_show_is_planted_here() -> None:
    assert {promise for _, promise in FAULTS} >= ONLY_BY_RECORDS
    assert set(PROMISES) >= ONLY_BY_RECORDS


@pytest.mark.parametrize(
    ("epoch", "count", "same"),
    [
        (3, 3, True),
        (1003, 3, False),
        (1_768_478_400_123_003, 3, True),
        (1_768_478_400_123_004, 3, False),
        (1_768_478_400_124_003, 1_768_478_400_123_003, True),
        (1_768_478_400_123_001, 2001, True),
    ],
)
def test_an_epoch_is_a_count_perhaps_behind_the_time_of_day(epoch: int, count: int, same: bool) -> None:
    assert same_count(epoch, count) is same


def test_what_the_other_look_found_is_not_said_twice() -> None:
    ending = lived_through_everything()
    lost(ending)
    verdict = Verdict()
    verdict.add("lost", "a", "it never was in the store")
    judge_records(verdict, ending.lines, Records((job, ending.attempts[job.id]) for job in ending.jobs.values()))
    assert verdict.count("lost") == 1


async def test_a_real_store_keeps_what_the_judge_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = tmp_path / "history.jsonl"
    monkeypatch.setenv(HISTORY, str(history))
    async with jobs.build(f"sqlite:///{tmp_path / 'jobs.db'}") as app:
        for kind, argument in (("hop", 0.0), ("shaky", 1), ("sleepy", 0.0), ("tell", "x")):
            handle = await app.tasks[kind].options(tags=[f"order-{kind}"]).enqueue(argument)
            write(history, what="enqueued", job=handle.id)
        await (await app.tasks["hop"].enqueue(5.0)).cancel()
        await app.worker(drain_and_exit=True, signals=False).run()
        verdict = await _judged(app, history)
    assert not verdict.findings, str(verdict)
    assert (verdict.jobs, verdict.executions, verdict.completions) == (5, 6, 4)


async def _judged(app: App, history: Path) -> Verdict:
    verdict = Verdict()
    judge_records(verdict, read(history), await Records.read(app))
    return verdict
