"""Promises of `sweep` about promotion, workers, limits and the next due time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidewheel._model.duration import SECOND
from tidewheel._model.outcome import Complete, Snoozed
from tidewheel._model.query import SweepReport
from tidewheel._model.queue import QueueSettings
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import HOUR, LEASE, MINUTE, Kit, Suite

GONE = 90 * SECOND


class TestSweep(Suite):
    async def test_nothing_to_do_is_reported_as_nothing(self, kit: Kit) -> None:
        await kit.put()
        assert await kit.sweep() == SweepReport(now=kit.clock())

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYABLE])
    async def test_a_job_is_promoted_when_it_is_due_and_not_before(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, wait=HOUR)
        kit.clock.set(row.run_at - 1)
        assert (await kit.sweep()).promoted == 0
        assert await kit.row(row.id) == row
        kit.clock.set(row.run_at)
        assert (await kit.sweep()).promoted == 1
        assert await kit.row(row.id) == replace(row, state=JobState.AVAILABLE)

    async def test_a_snoozed_job_is_promoted(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.settle(lease, Snoozed(HOUR))
        kit.clock.advance("1h")
        assert (await kit.sweep()).promoted == 1
        assert await kit.claimed_ids() == [lease.job_id]

    async def test_jobs_of_a_paused_queue_are_promoted_too(self, kit: Kit) -> None:
        await kit.store.put_queues([QueueSettings(name="default", paused=True)])
        row = await kit.at(JobState.SCHEDULED)
        kit.clock.advance("1h")
        await kit.sweep()
        assert (await kit.row(row.id)).state is JobState.AVAILABLE

    async def test_a_repeat_finds_nothing_more_to_do(self, kit: Kit) -> None:
        await kit.at(JobState.SCHEDULED, wait=MINUTE)
        await kit.run(queue="a", max_attempts=5)
        kit.clock.advance("5m")
        first = await kit.sweep()
        assert (first.promoted, first.rescued) == (1, 1)
        before = await kit.everything()
        assert await kit.sweep() == SweepReport(now=kit.clock())
        assert await kit.everything() == before

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        now = (await kit.store.info()).now
        due, later = kit.new(run_at=now - 1), kit.new(run_at=now + HOUR)
        await kit.store.enqueue([due, later], now=now - HOUR)
        report = await kit.store.sweep()
        assert report.promoted == 1
        assert now <= report.now <= (await kit.store.info()).now
        assert (await kit.row(due.id)).state is JobState.AVAILABLE
        assert (await kit.row(later.id)).state is JobState.SCHEDULED

    async def test_no_more_jobs_are_promoted_than_the_limit_those_first_that_are_due_longest(self, kit: Kit) -> None:
        ids = {wait: await kit.put(delay=wait) for wait in (30, 10, 20)}
        kit.clock.advance("1s")
        report = await kit.sweep(limit=2)
        assert (report.promoted, report.more) == (2, True)
        assert [(await kit.row(ids[wait])).state.value for wait in (10, 20, 30)] == [
            "available",
            "available",
            "scheduled",
        ]
        report = await kit.sweep(limit=2)
        assert (report.promoted, report.more) == (1, False)

    async def test_no_more_jobs_are_rescued_than_the_limit_those_first_whose_lease_ended_first(self, kit: Kit) -> None:
        leases = {
            time: (await kit.run(queue=f"q{time}", lease=time * SECOND, max_attempts=5)).lease for time in (30, 10, 20)
        }
        kit.clock.advance("5m")
        report = await kit.sweep(limit=2)
        assert (report.rescued, report.more) == (2, True)
        assert (await kit.row(leases[30].job_id)).state is JobState.RUNNING
        report = await kit.sweep(limit=2)
        assert (report.rescued, report.more) == (1, False)

    async def test_no_more_jobs_are_pruned_than_the_limit_those_first_that_are_over_longest(self, kit: Kit) -> None:
        for keep_for in (30, 10, 20):
            await kit.at(JobState.COMPLETED, id=f"keep {keep_for}", keep_completed=keep_for)
        kit.clock.advance("1s")
        report = await kit.sweep(limit=2)
        assert (report.pruned, report.more) == (2, True)
        assert await kit.listed() == ["keep 30"]
        report = await kit.sweep(limit=2)
        assert (report.pruned, report.more) == (1, False)

    async def test_a_rule_prunes_no_more_than_the_limit(self, kit: Kit) -> None:
        for _ in range(5):
            await kit.at(JobState.COMPLETED)
            kit.clock.advance("1s")
        newest = (await kit.listed())[0]
        rule = RetentionRule("work", None, Retention(completed=keep(1, age="2s")))
        report = await kit.sweep(rule, limit=3)
        assert (report.pruned, report.more) == (3, True)
        report = await kit.sweep(rule, limit=3)
        assert (report.pruned, report.more) == (1, False)
        assert await kit.listed() == [newest]

    async def test_the_limit_is_one_for_each_sort(self, kit: Kit) -> None:
        for number in range(2):
            await kit.at(JobState.COMPLETED, queue="a", keep_completed=0)
            await kit.put(queue="b", delay=1)
            await kit.run(queue=f"c{number}", max_attempts=5)
        kit.clock.advance("5m")
        report = await kit.sweep(limit=2)
        assert (report.promoted, report.rescued, report.pruned, report.more) == (2, 2, 2, True)
        assert not (await kit.sweep(limit=2)).more

    async def test_more_is_not_said_below_the_limit(self, kit: Kit) -> None:
        await kit.put(delay=1)
        kit.clock.advance("1s")
        report = await kit.sweep(limit=2)
        assert (report.promoted, report.more) == (1, False)

    async def test_next_due_is_the_earliest_of_what_waits_and_of_the_leases(self, kit: Kit) -> None:
        assert (await kit.sweep()).next_due_at is None
        await kit.put(queue="never", run_at=kit.clock() - 5)
        assert (await kit.sweep()).next_due_at is None, "an available job is not due: it waits for a worker"
        await kit.run(queue="a", lease=3 * HOUR)
        assert (await kit.sweep()).next_due_at == kit.clock() + 3 * HOUR
        await kit.at(JobState.RETRYABLE, wait=2 * HOUR, queue="b")
        assert (await kit.sweep()).next_due_at == kit.clock() + 2 * HOUR
        await kit.at(JobState.SCHEDULED, wait=HOUR)
        assert (await kit.sweep()).next_due_at == kit.clock() + HOUR
        await kit.run(queue="c", lease=LEASE)
        assert (await kit.sweep()).next_due_at == kit.clock() + LEASE

    async def test_next_due_is_what_remains_after_this_sweep(self, kit: Kit) -> None:
        await kit.put(delay=10)
        await kit.put(delay=20)
        last = await kit.row(await kit.put(delay=HOUR))
        kit.clock.advance("1s")
        overdue = (await kit.sweep(limit=1)).next_due_at
        assert overdue is not None
        assert overdue <= kit.clock()
        assert (await kit.sweep()).next_due_at == last.run_at

    async def test_a_silent_worker_is_forgotten_in_time_and_not_before(self, kit: Kit) -> None:
        await kit.beat(worker="w1")
        kit.clock.set(kit.clock() + GONE - 1)
        await kit.beat(worker="w2")
        assert (await kit.sweep()).workers_gone == ()
        kit.clock.set(kit.clock() + 1)
        assert (await kit.sweep()).workers_gone == ("w1",)
        assert [row.info.id for row in await kit.store.workers()] == ["w2"]
        assert (await kit.sweep()).workers_gone == ()

    async def test_unless_told_a_sweep_takes_a_thousand_jobs_and_ninety_seconds_of_silence(self, kit: Kit) -> None:
        await kit.beat(worker="w1")
        await kit.enqueue(*(kit.new(delay=1) for _ in range(1001)))
        report = await kit.store.sweep(now=kit.clock() + GONE - 1)
        assert (report.promoted, report.more, report.workers_gone) == (1000, True, ())
        report = await kit.store.sweep(now=kit.clock() + GONE)
        assert (report.promoted, report.more, report.workers_gone) == (1, False, ("w1",))

    async def test_how_long_is_the_callers_choice(self, kit: Kit) -> None:
        await kit.beat(worker="w1")
        kit.clock.advance("10s")
        assert (await kit.sweep(worker_gone_after=11 * SECOND)).workers_gone == ()
        assert (await kit.sweep(worker_gone_after=10 * SECOND)).workers_gone == ("w1",)

    async def test_a_worker_with_a_running_job_is_not_forgotten(self, kit: Kit) -> None:
        claimed = await kit.run(worker="w1", lease=HOUR)
        await kit.beat(worker="w1")
        kit.clock.advance("30m")
        assert (await kit.sweep()).workers_gone == ()
        await kit.settle(claimed.lease, Complete("1"))
        assert (await kit.sweep()).workers_gone == ("w1",)

    async def test_a_worker_is_forgotten_once_its_jobs_are_rescued(self, kit: Kit) -> None:
        await kit.run(worker="w1", max_attempts=5)
        await kit.beat(worker="w1")
        kit.clock.advance("30m")
        first, second = await kit.sweep(), await kit.sweep()
        assert first.rescued == 1
        assert first.workers_gone + second.workers_gone == ("w1",)

    async def test_no_more_workers_are_forgotten_than_the_limit_those_first_that_are_silent_longest(
        self, kit: Kit
    ) -> None:
        for worker in ("w1", "w2", "w3", "w3", "w1", "w2"):
            await kit.beat(worker=worker)
            kit.clock.advance("1s")
        kit.clock.advance("1h")
        report = await kit.sweep(limit=2)
        assert (report.workers_gone, report.more) == (("w3", "w1"), True)
        report = await kit.sweep(limit=2)
        assert (report.workers_gone, report.more) == (("w2",), False)

    async def test_a_forgotten_worker_that_beats_again_is_known_again(self, kit: Kit) -> None:
        await kit.beat(worker="w1")
        kit.clock.advance("1h")
        await kit.sweep()
        await kit.beat(worker="w1")
        assert [row.info.id for row in await kit.store.workers()] == ["w1"]
