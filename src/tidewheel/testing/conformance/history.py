"""Promises of `history`."""

from __future__ import annotations

from tidewheel._model.job import LogLine
from tidewheel._model.outcome import Complete, Released, RetryLater, Snoozed
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import BOOM, Kit, Suite


class TestHistory(Suite):
    async def test_there_is_none_of_no_job(self, kit: Kit) -> None:
        assert await kit.store.history("nobody") is None

    async def test_a_new_job_has_no_past(self, kit: Kit) -> None:
        job_id = await kit.put()
        past = await kit.past(job_id)
        assert (past.job, past.attempts, past.logs) == (await kit.row(job_id), (), ())

    async def test_attempts_and_lines_come_oldest_first(self, kit: Kit) -> None:
        job_id = await kit.put(max_attempts=9)
        endings = [RetryLater(0, BOOM), Snoozed(0), Released(), None, Complete("1")]
        for number, outcome in enumerate(endings):
            (claimed,) = await kit.claim()
            await kit.beat(claimed.lease, logs=[LogLine(-number, "info", f"line {number}")])
            kit.clock.advance("2m")
            if outcome is not None:
                await kit.settle(claimed.lease, outcome)
            await kit.sweep()
        past = await kit.past(job_id)
        assert [(a.outcome, a.attempt, a.epoch) for a in past.attempts] == [
            ("retry", 1, 1),
            ("snooze", 2, 2),
            ("release", 2, 3),
            ("rescue", 2, 4),
        ]
        assert [line.message for line in past.logs] == [f"line {number}" for number in range(5)]
        assert past.job.state is JobState.COMPLETED

    async def test_jobs_do_not_share_their_past(self, kit: Kit) -> None:
        one, two = await kit.at(JobState.DISCARDED), await kit.at(JobState.CANCELLED)
        assert [record.job_id for record in (await kit.past(one.id)).attempts] == [one.id]
        assert [record.job_id for record in (await kit.past(two.id)).attempts] == [two.id]

    async def test_the_past_goes_with_its_job(self, kit: Kit) -> None:
        lease = (await kit.run(id="again")).lease
        await kit.settle(lease, RetryLater(0, BOOM), logs=[LogLine(1, "info", "x")])
        await kit.alter(Action.DELETE, "again")
        assert await kit.store.history("again") is None
        await kit.put(id="again")
        past = await kit.past("again")
        assert (past.attempts, past.logs) == ((), ())

    async def test_the_past_stays_when_a_job_is_retried(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.settle(lease, RetryLater(0, BOOM), logs=[LogLine(1, "info", "x")])
        await kit.alter(Action.CANCEL, lease.job_id)
        before = await kit.past(lease.job_id)
        await kit.alter(Action.RETRY, lease.job_id)
        after = await kit.past(lease.job_id)
        assert (after.attempts, after.logs) == (before.attempts, before.logs)
        assert len(after.attempts) == len(after.logs) == 1
