"""Promises of `settle`: stale leases change nothing, repeats double nothing."""

from __future__ import annotations

import pytest

from tidewheel._model.job import Lease, LogLine
from tidewheel._model.outcome import Complete, Discarded, Outcome, Released, Settlement, Snoozed
from tidewheel._model.query import Accepted, Action
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import BOOM, HOUR, OUTCOMES, Kit, Suite, each_outcome

SAID = LogLine(1, "info", "said")
FINAL = {"complete": JobState.COMPLETED, "cancel": JobState.CANCELLED, "discard": JobState.DISCARDED}


class TestSettleStale(Suite):
    @each_outcome
    async def test_the_lease_of_an_earlier_claim_is_stale(self, kit: Kit, outcome: Outcome) -> None:
        old = (await kit.run(on_dead="alert")).lease
        await kit.settle(old, Released())
        (newer,) = await kit.claim()
        before = await kit.everything()
        assert await kit.settle(old, outcome, progress="1", logs=[SAID]) is Accepted.STALE
        assert await kit.settle(Lease(old.job_id, newer.epoch + 1), outcome) is Accepted.STALE
        assert await kit.everything() == before

    @each_outcome
    async def test_a_lease_that_was_rescued_is_stale(self, kit: Kit, outcome: Outcome) -> None:
        lease = (await kit.run(max_attempts=5, on_dead="alert")).lease
        kit.clock.advance("1m")
        await kit.sweep()
        before = await kit.everything()
        assert await kit.settle(lease, outcome, progress="1", logs=[SAID]) is Accepted.STALE
        assert await kit.everything() == before

    @pytest.mark.parametrize("how", ["cancelled", "discarded"])
    async def test_a_lease_that_a_rescue_ended_is_stale(self, kit: Kit, how: str) -> None:
        lease = (await kit.run(max_attempts=1)).lease
        if how == "cancelled":
            await kit.alter(Action.CANCEL, lease.job_id)
        kit.clock.advance("1m")
        await kit.sweep()
        assert (await kit.row(lease.job_id)).state == how
        assert await kit.settle(lease, Complete("1")) is Accepted.STALE
        assert (await kit.row(lease.job_id)).result is None

    @each_outcome
    async def test_the_lease_of_no_job_is_stale(self, kit: Kit, outcome: Outcome) -> None:
        assert await kit.settle(Lease("nobody", 1), outcome, logs=[SAID]) is Accepted.STALE
        assert await kit.listed() == []

    async def test_the_lease_of_a_deleted_job_is_stale(self, kit: Kit) -> None:
        row = await kit.at(JobState.COMPLETED)
        await kit.alter(Action.DELETE, row.id)
        assert await kit.settle(Lease(row.id, row.epoch), Complete("1")) is Accepted.STALE

    @each_outcome
    async def test_a_repeat_is_accepted_and_doubles_nothing(self, kit: Kit, outcome: Outcome) -> None:
        lease = (await kit.run(max_attempts=5, on_dead="alert")).lease
        assert await kit.settle(lease, outcome, progress="1", logs=[SAID]) is Accepted.ACCEPTED
        before = await kit.everything()
        kit.clock.advance("5s")
        assert await kit.settle(lease, outcome, progress="2", logs=[SAID]) is Accepted.ACCEPTED
        assert await kit.everything() == before

    async def test_a_repeat_is_known_by_its_lease_not_by_its_outcome(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.settle(lease, Snoozed(HOUR))
        before = await kit.everything()
        assert await kit.settle(lease, Complete("1")) is Accepted.ACCEPTED
        assert await kit.everything() == before

    async def test_a_repeat_is_accepted_when_the_job_was_promoted_or_retried_since(self, kit: Kit) -> None:
        snoozed = (await kit.run()).lease
        await kit.settle(snoozed, Snoozed(0))
        await kit.sweep()
        done = (await kit.run(queue="other")).lease
        await kit.settle(done, Discarded(BOOM))
        await kit.alter(Action.RETRY, done.job_id)
        before = await kit.everything()
        for lease in (snoozed, done):
            assert await kit.settle(lease, Complete("1")) is Accepted.ACCEPTED
        assert await kit.everything() == before

    async def test_a_repeat_is_stale_when_the_job_was_claimed_again_since(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.settle(lease, Released())
        await kit.claim()
        assert await kit.settle(lease, Released()) is Accepted.STALE
        assert (await kit.row(lease.job_id)).state is JobState.RUNNING

    @each_outcome
    async def test_an_old_lease_beside_the_one_that_holds_is_stale_all_the_same(
        self, kit: Kit, outcome: Outcome
    ) -> None:
        old = (await kit.run(max_attempts=5)).lease
        await kit.settle(old, Released())
        (newer,) = await kit.claim()
        items = [
            Settlement(old, Complete('"old"'), progress="1", logs=(SAID,)),
            Settlement(newer.lease, outcome),
            Settlement(old, Complete('"old"'), progress="1", logs=(SAID,)),
        ]
        expected = [Accepted.STALE, Accepted.ACCEPTED, Accepted.STALE]
        assert await kit.store.settle(items, now=kit.clock()) == expected
        before = await kit.everything()
        assert await kit.store.settle(items, now=kit.clock()) == expected
        assert await kit.everything() == before
        past = await kit.past(old.job_id)
        assert (past.job.progress, past.logs) == (None, ())

    @pytest.mark.parametrize("first", OUTCOMES)
    async def test_of_settlements_of_one_lease_in_a_call_the_first_counts(self, kit: Kit, first: str) -> None:
        lease = (await kit.run(max_attempts=5, on_dead="alert")).lease
        other = (await kit.run(queue="other")).lease
        answers = await kit.store.settle(
            [
                Settlement(lease, OUTCOMES[first], logs=(SAID,), progress="1"),
                Settlement(other, Complete("1")),
                Settlement(lease, Discarded(BOOM), logs=(SAID,), progress="2"),
                Settlement(lease, Complete("2")),
            ],
            now=kit.clock(),
        )
        assert answers == [Accepted.ACCEPTED] * 4
        past = await kit.past(lease.job_id)
        assert [record.outcome for record in past.attempts] == ([] if first == "complete" else [first])
        assert (past.logs, past.job.progress) == ((SAID,), "1")
        assert past.job.state.final is (first in FINAL)
        assert len(await kit.listed(kinds=("alert",))) == (1 if first == "discard" else 0)
