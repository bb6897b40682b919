"""The judge is judged first: a run without faults passes, and every planted fault is found, by its name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.chaos._gates import PROMISES as BY_GATES
from tests.e2e._history import PROMISES, Audit, Change, judge, read, write
from tests.e2e._records import ONLY_BY_RECORDS
from tests.e2e.apps import jobs

LEASE = 3.0


@dataclass
class Story:
    """A history and an audit, told step by step."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    now: float = 0.0

    def line(self, what: str, *, after: float = 1.0, **more: Any) -> None:
        self.now += after
        self.lines.append({"what": what, "at": self.now, **more})

    def enqueue(self, job: str = "a") -> None:
        self.line("enqueued", job=job)
        self.changes.append(Change(job, None, "available", 0, 0, 0))

    def move(
        self, before: str, after: str | None, epoch: int, attempt: int, crashes: int = 0, *, job: str = "a"
    ) -> None:
        self.changes.append(Change(job, before, after, epoch, attempt, crashes))

    def body(self, what: str, epoch: int, attempt: int, *, worker: int = 1, job: str = "a", after: float = 1.0) -> None:
        self.line(what, job=job, kind="hop", epoch=epoch, attempt=attempt, worker=worker, after=after)

    def run(self, epoch: int = 1, attempt: int = 1, crashes: int = 0, worker: int = 1, job: str = "a") -> None:
        """A claim, a body from start to end, and its completion."""
        self.move("available", "running", epoch, attempt, crashes, job=job)
        self.body("start", epoch, attempt, worker=worker, job=job)
        self.body("end", epoch, attempt, worker=worker, job=job)
        self.move("running", "completed", epoch, attempt, crashes, job=job)

    def found(self) -> set[str]:
        return {promise for promise, _, _ in judge(self.lines, self.changes, lease=LEASE).findings}


def lived_through_everything() -> Story:
    """Retry, snooze, release, a crash, a pause, a cancel: all of it allowed."""
    story = Story()
    story.enqueue()
    story.move("available", "running", 1, 1)
    story.body("start", 1, 1)
    story.body("fail", 1, 1)
    story.move("running", "retryable", 1, 1)
    story.move("retryable", "available", 1, 1)
    story.move("available", "running", 2, 2)
    story.body("start", 2, 2)
    story.body("fail", 2, 2)
    story.move("running", "scheduled", 2, 1)  # snoozed
    story.move("scheduled", "available", 2, 1)
    story.move("available", "running", 3, 2)
    story.body("start", 3, 2)
    story.body("cut", 3, 2)
    story.move("running", "available", 3, 1)  # handed back
    story.move("available", "running", 4, 2)
    story.body("start", 4, 2, worker=9)
    story.line("gone", worker=9)
    story.move("running", "available", 5, 2, 1)  # rescued
    story.move("available", "running", 6, 3, 1)
    story.body("start", 6, 3, worker=2)
    story.line("paused", worker=2)
    story.move("running", "available", 7, 3, 2)
    story.move("available", "running", 8, 4, 2)
    story.body("start", 8, 4, worker=3, after=LEASE)
    story.line("resumed", worker=2, after=0.1)
    story.body("end", 6, 3, worker=2, after=0.1)  # refused: no completion of epoch 6 follows
    story.body("end", 8, 4, worker=3)
    story.move("running", "completed", 8, 4, 2)
    story.enqueue("b")
    story.move("available", "cancelled", 0, 0, job="b")
    story.enqueue("c")
    story.run(job="c")
    story.move("completed", None, 1, 1, job="c")  # pruned
    return story


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    story = lived_through_everything()
    verdict = judge(story.lines, story.changes, lease=LEASE)
    assert not verdict.findings, str(verdict)
    assert (verdict.jobs, verdict.executions, verdict.completions) == (3, 7, 2)


def test_a_process_that_its_worker_killed_and_handed_back_is_no_overlap() -> None:
    story = Story()
    story.enqueue()
    story.move("available", "running", 1, 1)
    story.line("start", job="a", kind="crunch", epoch=1, attempt=1, worker=1)
    assert story.found() == {"unfinished"}
    story.move("running", "available", 1, 0)  # handed back: its process is dead, its worker lives on
    story.run(epoch=2, attempt=1, worker=2)
    assert story.found() == set()


def test_a_store_that_was_away_for_long_may_cost_an_overlap() -> None:
    story = Story()
    story.enqueue()
    story.move("available", "running", 1, 1)
    story.body("start", 1, 1)
    story.line("down")
    story.line("up", after=LEASE)
    story.move("running", "available", 2, 1, 1)
    story.run(epoch=3, attempt=2, crashes=1, worker=2)
    story.body("end", 1, 1)
    assert story.found() == set()


@dataclass(frozen=True)
class Frozen:
    """An old worker is frozen `before` the new execution starts and goes on `after` that; then its body ends.

    Its lease was due for a beat when it was frozen: that the job was given away soon is nobody's fault.
    """

    before: float
    after: float
    ends: float
    """Seconds from the new start until the old body ends; the new one runs for three leases."""
    kind: str = "hop"
    how: str | None = "end"

    def __call__(self, story: Story) -> None:
        """Tell it."""
        begun = story.now + 100
        story.enqueue("x")
        story.move("available", "running", 1, 1, job="x")
        story.move("running", "available", 2, 1, 1, job="x")
        story.move("available", "running", 3, 2, 1, job="x")
        story.move("running", "completed", 3, 2, 1, job="x")
        old: dict[str, Any] = {"job": "x", "kind": self.kind, "epoch": 1, "attempt": 1, "worker": 71}
        new: dict[str, Any] = {"job": "x", "kind": self.kind, "epoch": 3, "attempt": 2, "worker": 72}
        steps = [
            (-LEASE, {"what": "start", **old}),
            (-self.before, {"what": "paused", "worker": 71}),
            (0.0, {"what": "start", **new}),
            (self.after, {"what": "resumed", "worker": 71}),
            (3 * LEASE, {"what": "end", **new}),
        ]
        if self.how is not None:
            steps.append((self.ends, {"what": self.how, **old}))
        story.lines += [{"at": begun + at, **line} for at, line in sorted(steps, key=lambda step: step[0])]


STOOD_STILL = {
    "all the time": Frozen(before=LEASE / 10, after=2 * LEASE, ends=2 * LEASE),
    "until it was told": Frozen(before=LEASE / 10, after=LEASE / 2, ends=LEASE, how="cut"),
    "and its process was killed unseen": Frozen(before=LEASE, after=LEASE / 2, ends=0, kind="crunch", how=None),
    "and went on just before": Frozen(before=LEASE, after=-LEASE / 10, ends=LEASE / 2, how="cut"),
}


@pytest.mark.parametrize("story", STOOD_STILL.values(), ids=STOOD_STILL)
def test_what_runs_elsewhere_while_the_old_worker_stands_still_is_no_overlap(story: Frozen) -> None:
    told = Story()
    story(told)
    assert told.found() == set()


def test_who_is_frozen_again_before_he_could_hear_of_his_loss_is_excused_further() -> None:
    story = Story()
    Frozen(before=LEASE, after=LEASE / 2, ends=2.5 * LEASE)(story)
    assert story.found() == {"overlap"}
    at = story.lines[-1]["at"] - 2.25 * LEASE
    story.lines += [{"what": "paused", "worker": 71, "at": at}, {"what": "resumed", "worker": 71, "at": at + LEASE}]
    assert story.found() == set()


def overlap_of_a_worker_that_was_frozen_afterwards(story: Story) -> None:
    Frozen(before=-LEASE / 10, after=LEASE, ends=LEASE)(story)


def overlap_of_a_worker_that_heard_nothing_for_long(story: Story) -> None:
    Frozen(before=LEASE, after=LEASE / 2, ends=2 * LEASE)(story)


def overlap_long_after_a_freeze(story: Story) -> None:
    Frozen(before=2.9 * LEASE, after=-1.5 * LEASE, ends=LEASE)(story)


def overlap_of_executions_that_are_no_neighbours(story: Story) -> None:
    story.enqueue("x")
    for epoch, attempt in ((1, 1), (3, 2), (5, 3)):
        story.move("available", "running", epoch, attempt, attempt - 1, job="x")
        if epoch < 5:
            story.move("running", "available", epoch + 1, attempt, attempt, job="x")
    story.move("running", "completed", 5, 3, 2, job="x")
    story.body("start", 3, 2, worker=2, job="x")
    story.body("cut", 3, 2, worker=2, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.body("start", 5, 3, worker=3, job="x")
    story.body("end", 1, 1, worker=1, job="x")
    story.body("end", 5, 3, worker=3, job="x")


def overlap_of_a_process_that_was_not_handed_back(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.line("start", job="x", kind="crunch", epoch=1, attempt=1, worker=1)
    story.move("running", "available", 2, 1, 1, job="x")
    story.run(epoch=3, attempt=2, crashes=1, worker=2, job="x")


def lost(story: Story) -> None:
    story.line("enqueued", job="x")


def lost_by_removal(story: Story) -> None:
    story.enqueue("x")
    story.move("available", None, 0, 0, job="x")


def unfinished(story: Story) -> None:
    story.enqueue("x")


def completed_twice(story: Story) -> None:
    story.enqueue("x")
    story.run(job="x")
    story.move("running", "completed", 1, 1, job="x")


def changed_after_its_end(story: Story) -> None:
    story.enqueue("x")
    story.run(job="x")
    story.move("completed", "available", 1, 1, job="x")
    story.move("available", "cancelled", 1, 1, job="x")


def run_after_completion(story: Story) -> None:
    story.enqueue("x")
    story.run(job="x")
    story.body("start", 2, 2, job="x")
    story.body("end", 2, 2, job="x")


def overlap(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.move("running", "available", 2, 1, 1, job="x")
    story.run(epoch=3, attempt=2, crashes=1, worker=2, job="x")
    story.body("end", 1, 1, worker=1, job="x")


def overlap_although_killed_later(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.move("running", "available", 2, 1, 1, job="x")
    story.run(epoch=3, attempt=2, crashes=1, worker=2, job="x")
    story.line("gone", worker=1)


def overlap_after_a_pause_that_was_too_short(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.line("paused", worker=1)
    story.line("resumed", worker=1, after=LEASE / 10)
    story.move("running", "available", 2, 1, 1, job="x")
    story.run(epoch=3, attempt=2, crashes=1, worker=2, job="x")
    story.body("end", 1, 1, worker=1, job="x")


def overlap_after_a_restart_of_the_store_that_was_quick(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.line("down")
    story.line("up", after=LEASE / 10)
    story.move("running", "available", 2, 1, 1, job="x")
    story.run(epoch=3, attempt=2, crashes=1, worker=2, job="x")
    story.body("end", 1, 1, worker=1, job="x")


def lease_used_twice(story: Story) -> None:
    story.enqueue("x")
    story.run(job="x")
    story.body("start", 1, 1, worker=2, job="x")
    story.body("end", 1, 1, worker=2, job="x")


def run_without_a_claim(story: Story) -> None:
    story.enqueue("x")
    story.body("start", 1, 1, job="x")
    story.body("end", 1, 1, job="x")
    story.move("available", "cancelled", 0, 0, job="x")


def run_with_a_wrong_attempt(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 2, job="x")
    story.body("end", 1, 2, job="x")
    story.move("running", "completed", 1, 1, job="x")


def completed_without_a_run(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.move("running", "completed", 1, 1, job="x")


def completed_with_the_result_of_a_lost_lease(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, job="x")
    story.line("paused", worker=1)
    story.move("running", "available", 2, 1, 1, job="x")
    story.move("available", "running", 3, 2, 1, job="x")
    story.body("start", 3, 2, worker=2, job="x", after=LEASE)
    story.line("resumed", worker=1)
    story.body("end", 1, 1, job="x")
    story.changes.append(Change("x", "running", "completed", 3, 2, 1, '"x:1"'))
    story.body("end", 3, 2, worker=2, job="x")


def completed_by_a_stale_lease(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.body("start", 1, 1, worker=1, job="x")
    story.line("gone", worker=1)
    story.move("running", "available", 2, 1, 1, job="x")
    story.move("available", "running", 3, 2, 1, job="x")
    story.body("start", 3, 2, worker=2, job="x")
    story.line("gone", worker=2)
    story.move("running", "completed", 3, 2, 1, job="x")


def crash_not_counted(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.move("running", "available", 2, 1, 0, job="x")
    story.run(epoch=3, attempt=2, job="x")


def attempt_burned_by_a_release(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.move("running", "available", 1, 1, job="x")
    story.run(epoch=2, attempt=2, job="x")


def epoch_used_again(story: Story) -> None:
    story.enqueue("x")
    story.move("available", "running", 1, 1, job="x")
    story.move("running", "retryable", 1, 1, job="x")
    story.move("retryable", "available", 1, 1, job="x")
    story.run(epoch=1, attempt=2, job="x")


FAULTS: list[tuple[Callable[[Story], None], str]] = [
    (lost, "lost"),
    (lost_by_removal, "lost"),
    (unfinished, "unfinished"),
    (completed_twice, "completed twice"),
    (changed_after_its_end, "changed after its end"),
    (run_after_completion, "run after completion"),
    (overlap, "overlap"),
    (overlap_although_killed_later, "overlap"),
    (overlap_after_a_pause_that_was_too_short, "overlap"),
    (overlap_after_a_restart_of_the_store_that_was_quick, "overlap"),
    (overlap_of_a_worker_that_was_frozen_afterwards, "overlap"),
    (overlap_of_a_worker_that_heard_nothing_for_long, "overlap"),
    (overlap_long_after_a_freeze, "overlap"),
    (overlap_of_executions_that_are_no_neighbours, "overlap"),
    (overlap_of_a_process_that_was_not_handed_back, "overlap"),
    (lease_used_twice, "lease used twice"),
    (run_without_a_claim, "run without a claim"),
    (run_with_a_wrong_attempt, "run without a claim"),
    (completed_without_a_run, "completed without a run"),
    (completed_by_a_stale_lease, "completed without a run"),
    (completed_with_the_result_of_a_lost_lease, "late write accepted"),
    (crash_not_counted, "miscounted"),
    (attempt_burned_by_a_release, "miscounted"),
    (epoch_used_again, "miscounted"),
]


@pytest.mark.parametrize(("plant", "promise"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(plant: Callable[[Story], None], promise: str) -> None:
    story = lived_through_everything()
    assert story.found() == set()
    plant(story)
    assert promise in story.found()


def test_every_promise_has_a_planted_fault() -> None:
    assert {promise for _, promise in FAULTS} == set(PROMISES) - ONLY_BY_RECORDS - BY_GATES


async def test_the_audit_keeps_every_change_of_a_real_store(tmp_path: Path) -> None:
    async with jobs.build(f"sqlite:///{tmp_path / 'jobs.db'}") as app:
        audit = Audit(tmp_path / "jobs.db")
        audit.install()
        handle = await app.tasks["hop"].enqueue()
        await handle.cancel()
        await handle.retry()
        await handle.cancel()
        await handle.delete()
        assert audit.changes() == [
            Change(handle.id, None, "available", 0, 0, 0),
            Change(handle.id, "available", "cancelled", 0, 0, 0),
            Change(handle.id, "cancelled", "available", 0, 0, 0),
            Change(handle.id, "available", "cancelled", 0, 0, 0),
            Change(handle.id, "cancelled", None, 0, 0, 0),
        ]


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    code = (
        "import sys; from tests.e2e._history import write\n"
        "for n in range(300): write(sys.argv[1], what='start', writer=int(sys.argv[2]), n=n, pad='x' * 200)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    assert [one.wait() for one in writers] == [0] * 4
    assert sorted((line["writer"], line["n"]) for line in read(path)) == [(w, n) for w in range(4) for n in range(300)]
    assert all(json.loads(line)["pad"] == "x" * 200 for line in path.read_text().splitlines())
    write(path, what="more")
    assert read(path)[-1]["what"] == "more"
