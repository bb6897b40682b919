"""Promises of `settle`: what each outcome makes of a job whose lease holds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidewheel._model.job import AttemptRecord, ErrorInfo, Lease, LogLine
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Accepted, Action
from tidewheel._model.state import JobState
from tidewheel._store.base import LOG_LINES, MAX_BATCH
from tidewheel.testing.conformance.kit import BOOM, HOUR, OUTCOMES, Kit, Suite, each_outcome

YIELDING = [name for name in OUTCOMES if name not in ("complete", "discard")]
FREEING = ["complete", "cancel", "discard"]


class TestSettle(Suite):
    async def test_complete_keeps_the_result(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, Complete('{"n":1}')) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.COMPLETED, result='{"n":1}', finished_at=kit.clock(), lease_until=None
        )

    async def test_cancelled_ends_the_job(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, Cancelled("not needed")) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.CANCELLED, finished_at=kit.clock(), lease_until=None
        )

    async def test_discarded_keeps_the_error(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=9)).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, Discarded(BOOM)) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.DISCARDED, error=BOOM, finished_at=kit.clock(), lease_until=None
        )

    async def test_retry_later_waits_and_keeps_the_error(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=9)).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, RetryLater(HOUR, BOOM)) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.RETRYABLE, error=BOOM, run_at=kit.clock() + HOUR, lease_until=None
        )

    async def test_snoozed_waits_and_burns_no_attempt(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, Snoozed(HOUR)) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before, state=JobState.SCHEDULED, attempt=0, run_at=kit.clock() + HOUR, lease_until=None
        )

    async def test_released_is_available_at_its_place_and_burns_no_attempt(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, Released("stopping")) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(before, state=JobState.AVAILABLE, attempt=0, lease_until=None)

    async def test_a_released_job_goes_before_those_that_came_after_it(self, kit: Kit) -> None:
        first = await kit.run()
        second = await kit.put()
        kit.clock.advance("5s")
        await kit.settle(first.lease, Released())
        assert await kit.claimed_ids() == [first.id, second]

    async def test_a_retry_without_delay_is_due_at_once(self, kit: Kit) -> None:
        row = await kit.at(JobState.RETRYABLE, wait=0)
        assert row.run_at == kit.clock()
        assert (await kit.sweep()).promoted == 1

    async def test_only_failures_burn_attempts_but_every_claim_raises_the_epoch(self, kit: Kit) -> None:
        await kit.put(max_attempts=9)
        seen = []
        for outcome in (Snoozed(0), Released(), RetryLater(0, BOOM), Snoozed(0), RetryLater(0, BOOM)):
            (claimed,) = await kit.claim()
            seen.append((claimed.attempt, claimed.epoch))
            await kit.settle(claimed.lease, outcome)
            await kit.sweep()
        assert seen == [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5)]

    async def test_an_error_is_kept_when_a_later_attempt_completes(self, kit: Kit) -> None:
        job_id = (await kit.at(JobState.RETRYABLE, wait=0)).id
        await kit.sweep()
        (claimed,) = await kit.claim()
        assert (await kit.row(job_id)).error == BOOM
        await kit.settle(claimed.lease, Complete("1"))
        row = await kit.row(job_id)
        assert (row.state, row.error, row.result) == (JobState.COMPLETED, BOOM, "1")

    async def test_the_latest_error_replaces_the_one_before(self, kit: Kit) -> None:
        job_id = (await kit.at(JobState.RETRYABLE, wait=0)).id
        await kit.sweep()
        (claimed,) = await kit.claim()
        newer = ErrorInfo("KeyError", "later", "…")
        await kit.settle(claimed.lease, Discarded(newer))
        assert (await kit.row(job_id)).error == newer

    @each_outcome
    async def test_what_the_handler_said_last_is_written(self, kit: Kit, outcome: Outcome) -> None:
        lease = (await kit.run()).lease
        said = [LogLine(1, "info", "a"), LogLine(2, "error", "b")]
        await kit.beat(lease, progress="1", logs=said[:1])
        await kit.settle(lease, outcome, progress="2", logs=said[1:])
        assert (await kit.row(lease.job_id)).progress == "2"
        assert (await kit.past(lease.job_id)).logs == tuple(said)

    async def test_progress_stays_when_nothing_is_said(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.beat(lease, progress="1")
        await kit.settle(lease, Complete("1"))
        assert (await kit.row(lease.job_id)).progress == "1"

    async def test_the_cap_on_log_lines_holds_here_too(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        said = [LogLine(number, "info", "x") for number in range(LOG_LINES + 2)]
        await kit.beat(lease, logs=said[:-1])
        await kit.settle(lease, Complete("1"), logs=said[-1:])
        assert (await kit.past(lease.job_id)).logs == tuple(said[2:])

    @pytest.mark.parametrize(
        ("word", "outcome", "error"),
        [
            ("retry", RetryLater(HOUR, BOOM), BOOM),
            ("snooze", Snoozed(HOUR), None),
            ("release", Released("stopping"), ErrorInfo("tidewheel.Released", "stopping")),
            ("release", Released(), None),
            ("cancel", Cancelled("not needed"), ErrorInfo("tidewheel.Cancelled", "not needed")),
            ("cancel", Cancelled(), None),
            ("discard", Discarded(BOOM), BOOM),
        ],
        ids=["retry", "snooze", "release", "release-silent", "cancel", "cancel-silent", "discard"],
    )
    async def test_an_attempt_that_did_not_complete_leaves_a_record(
        self, kit: Kit, word: str, outcome: Outcome, error: ErrorInfo | None
    ) -> None:
        claimed = await kit.run(worker="w9", max_attempts=5)
        kit.clock.advance("5s")
        await kit.settle(claimed.lease, outcome)
        assert (await kit.past(claimed.id)).attempts == (
            AttemptRecord(
                job_id=claimed.id,
                epoch=1,
                attempt=1,
                worker="w9",
                started_at=claimed.claimed_at,
                ended_at=kit.clock(),
                outcome=word,
                error=error,
            ),
        )

    async def test_complete_leaves_no_record(self, kit: Kit) -> None:
        row = await kit.at(JobState.COMPLETED)
        assert (await kit.past(row.id)).attempts == ()

    @pytest.mark.parametrize("name", YIELDING)
    async def test_a_requested_cancel_wins(self, kit: Kit, name: str) -> None:
        lease = (await kit.run(max_attempts=9)).lease
        before = await kit.row(lease.job_id)
        await kit.alter(Action.CANCEL, lease.job_id)
        kit.clock.advance("5s")
        assert await kit.settle(lease, OUTCOMES[name]) is Accepted.ACCEPTED
        assert await kit.row(lease.job_id) == replace(
            before,
            state=JobState.CANCELLED,
            finished_at=kit.clock(),
            lease_until=None,
            error=BOOM if name == "retry" else None,
        )
        (record,) = (await kit.past(lease.job_id)).attempts
        assert (record.outcome, record.attempt) == ("cancel", 1)
        assert (record.error and record.error.message) == {
            "retry": "boom",
            "snooze": None,
            "release": "the worker stops",
            "cancel": "not needed",
        }[name]

    async def test_a_requested_cancel_comes_too_late_for_a_job_that_completes(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.alter(Action.CANCEL, lease.job_id)
        await kit.settle(lease, Complete("1"))
        row = await kit.row(lease.job_id)
        assert (row.state, row.result, row.cancel_requested) == (JobState.COMPLETED, "1", False)
        assert (await kit.past(lease.job_id)).attempts == ()

    async def test_a_requested_cancel_does_not_hide_a_dead_letter(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.alter(Action.CANCEL, lease.job_id)
        await kit.settle(lease, Discarded(BOOM))
        row = await kit.row(lease.job_id)
        assert (row.state, row.error, row.cancel_requested) == (JobState.DISCARDED, BOOM, False)
        (record,) = (await kit.past(lease.job_id)).attempts
        assert record.outcome == "discard"

    @each_outcome
    async def test_a_lease_that_is_over_but_not_rescued_still_counts(self, kit: Kit, outcome: Outcome) -> None:
        lease = (await kit.run()).lease
        kit.clock.advance("1h")
        assert await kit.settle(lease, outcome) is Accepted.ACCEPTED
        assert (await kit.row(lease.job_id)).state is not JobState.RUNNING

    @pytest.mark.parametrize("name", OUTCOMES)
    async def test_a_job_that_has_ended_frees_its_unique_key_and_no_other(self, kit: Kit, name: str) -> None:
        lease = (await kit.run(unique_key="k")).lease
        await kit.settle(lease, OUTCOMES[name])
        (answer,) = await kit.enqueue(kit.new(unique_key="k"))
        assert answer.inserted is (name in FREEING)

    async def test_answers_come_in_the_order_of_the_questions(self, kit: Kit) -> None:
        leases = [(await kit.run(queue=f"q{number}")).lease for number in range(3)]
        answers = await kit.store.settle(
            [
                Settlement(leases[2], Complete("2")),
                Settlement(Lease("nobody", 1), Complete("x")),
                Settlement(leases[0], Snoozed(HOUR)),
                Settlement(Lease(leases[1].job_id, 7), Complete("x")),
                Settlement(leases[1], Discarded(BOOM)),
            ],
            now=kit.clock(),
        )
        yes, no = Accepted.ACCEPTED, Accepted.STALE
        assert answers == [yes, no, yes, no, yes]
        states = [(await kit.row(lease.job_id)).state for lease in leases]
        assert states == [JobState.SCHEDULED, JobState.DISCARDED, JobState.COMPLETED]
        assert await kit.store.settle([], now=kit.clock()) == []

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = (await kit.store.info()).now
        await kit.store.settle([Settlement(lease, Complete("1"))])
        after = (await kit.store.info()).now
        assert before <= ((await kit.row(lease.job_id)).finished_at or 0) <= after

    async def test_a_call_refuses_more_than_a_full_batch(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        with pytest.raises(ValueError, match="10,000"):
            await kit.store.settle([Settlement(lease, Complete("1"))] * (MAX_BATCH + 1), now=kit.clock())
        assert (await kit.row(lease.job_id)).state is JobState.RUNNING
