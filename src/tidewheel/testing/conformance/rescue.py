"""Promises of `sweep` about jobs whose lease is over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tidewheel._model.job import AttemptRecord
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import BOOM, LEASE, OUTCOMES, Kit, Suite


class TestRescue(Suite):
    async def test_a_lease_is_over_at_its_last_moment_and_not_before(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=5)).lease
        kit.clock.set(kit.clock() + LEASE - 1)
        assert (await kit.sweep()).rescued == 0
        assert (await kit.row(lease.job_id)).state is JobState.RUNNING
        kit.clock.set(kit.clock() + 1)
        assert (await kit.sweep()).rescued == 1

    async def test_a_rescued_job_is_available_again_with_a_new_epoch(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=5)).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5m")
        report = await kit.sweep()
        assert (report.rescued, report.discarded, report.cancelled) == (1, (), 0)
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.AVAILABLE, epoch=2, crashes=1, lease_until=None
        )

    async def test_a_rescued_job_keeps_its_place_in_line(self, kit: Kit) -> None:
        lost = await kit.run(max_attempts=5)
        kit.clock.advance("5m")
        fresh = await kit.put()
        await kit.sweep()
        assert await kit.claimed_ids() == [lost.id, fresh]

    async def test_a_rescue_leaves_a_record_with_the_epoch_that_was_lost(self, kit: Kit) -> None:
        claimed = await kit.run(max_attempts=5, worker="w9")
        kit.clock.advance("5m")
        await kit.sweep()
        assert (await kit.past(claimed.id)).attempts == (
            AttemptRecord(
                job_id=claimed.id,
                epoch=claimed.epoch,
                attempt=1,
                worker="w9",
                started_at=claimed.claimed_at,
                ended_at=kit.clock(),
                outcome="rescue",
            ),
        )

    async def test_a_rescue_keeps_progress_logs_and_the_earlier_error(self, kit: Kit) -> None:
        await kit.at(JobState.RETRYABLE, wait=0, max_attempts=5)
        await kit.sweep()
        (claimed,) = await kit.claim()
        await kit.beat(claimed.lease, progress="5")
        kit.clock.advance("5m")
        await kit.sweep()
        row = await kit.row(claimed.id)
        assert (row.progress, row.error, row.attempt) == ("5", BOOM, 2)

    async def test_a_requested_cancel_ends_the_job(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=1, max_crashes=1, on_dead="alert")).lease
        before = await kit.row(lease.job_id)
        await kit.alter(Action.CANCEL, lease.job_id)
        kit.clock.advance("5m")
        report = await kit.sweep()
        assert (report.rescued, report.discarded, report.cancelled) == (0, (), 1)
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.CANCELLED, epoch=2, crashes=1, lease_until=None, finished_at=kit.clock()
        )
        (record,) = (await kit.past(lease.job_id)).attempts
        assert (record.outcome, record.error) == ("rescue", None)
        assert await kit.listed() == [lease.job_id]

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            ({"max_attempts": 5, "max_crashes": 1}, "tidewheel.Crashed"),
            ({"max_attempts": 1, "max_crashes": 1}, "tidewheel.Crashed"),
            ({"max_attempts": 1, "max_crashes": 2}, "tidewheel.LeaseExpired"),
        ],
    )
    async def test_used_up_crashes_or_attempts_make_a_dead_letter(
        self, kit: Kit, limits: dict[str, Any], reason: str
    ) -> None:
        lease = (await kit.run(**limits)).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5m")
        report = await kit.sweep()
        assert (report.rescued, report.discarded, report.cancelled) == (0, (lease.job_id,), 0)
        row = await kit.row(lease.job_id)
        assert row.error is not None
        assert row.error.type == reason
        assert row.error.message
        assert row == replace(
            before,
            state=JobState.DISCARDED,
            epoch=2,
            crashes=1,
            lease_until=None,
            finished_at=kit.clock(),
            error=row.error,
        )
        (record,) = (await kit.past(lease.job_id)).attempts
        assert (record.outcome, record.epoch, record.error) == ("rescue", 1, row.error)

    async def test_a_job_that_kills_its_workers_is_not_given_to_a_third(self, kit: Kit) -> None:
        """Crashes are counted apart from attempts: neither a snooze nor plenty of attempts saves it."""
        job_id = await kit.put(max_attempts=100, max_crashes=2)
        for _ in range(2):
            assert await kit.claimed_ids() == [job_id]
            kit.clock.advance("5m")
            await kit.sweep()
        assert await kit.claimed_ids() == []
        assert (await kit.row(job_id)).state is JobState.DISCARDED

    @pytest.mark.parametrize("limits", [{"max_attempts": 5}, {"max_attempts": 1}])
    async def test_the_unique_key_is_free_when_the_rescue_ended_the_job(self, kit: Kit, limits: dict[str, Any]) -> None:
        await kit.run(unique_key="k", **limits)
        kit.clock.advance("5m")
        await kit.sweep()
        (answer,) = await kit.enqueue(kit.new(unique_key="k"))
        assert answer.inserted is (limits["max_attempts"] == 1)

    @pytest.mark.parametrize("name", OUTCOMES)
    async def test_what_was_settled_in_time_is_not_rescued(self, kit: Kit, name: str) -> None:
        lease = (await kit.run(max_attempts=5)).lease
        await kit.settle(lease, OUTCOMES[name])
        before = await kit.row(lease.job_id)
        kit.clock.advance("2m")
        report = await kit.sweep()
        assert (report.rescued, report.discarded, report.cancelled) == (0, (), 0)
        assert await kit.row(lease.job_id) == before

    async def test_discarded_ids_come_in_the_order_in_which_the_leases_ended(self, kit: Kit) -> None:
        late = await kit.run(queue="a", lease=3 * LEASE)
        early = await kit.run(queue="b", lease=LEASE)
        kit.clock.advance("5m")
        assert (await kit.sweep()).discarded == (early.id, late.id)

    async def test_each_job_is_counted_once(self, kit: Kit) -> None:
        back = await kit.run(queue="a", max_attempts=5)
        stopped = await kit.run(queue="b", max_attempts=5)
        dead = await kit.run(queue="c", max_attempts=1)
        await kit.alter(Action.CANCEL, stopped.id)
        kit.clock.advance("5m")
        report = await kit.sweep()
        assert (report.rescued, report.discarded, report.cancelled) == (1, (dead.id,), 1)
        assert (await kit.row(back.id)).state is JobState.AVAILABLE

    async def test_of_sweepers_at_once_one_rescues(self, kit: Kit) -> None:
        claimed = await kit.run(max_attempts=5)
        kit.clock.advance("5m")
        reports = await asyncio.gather(*(kit.sweep() for _ in range(4)))
        assert sum(report.rescued for report in reports) == 1
        row = await kit.row(claimed.id)
        assert (row.epoch, row.crashes) == (2, 1)

    async def test_the_rescued_job_runs_to_its_end(self, kit: Kit) -> None:
        await kit.run(max_attempts=5)
        kit.clock.advance("5m")
        await kit.sweep()
        (again,) = await kit.claim()
        assert (again.epoch, again.attempt, again.crashes) == (3, 2, 1)
        await kit.settle(again.lease, Complete("1"))
        assert (await kit.row(again.id)).state is JobState.COMPLETED
