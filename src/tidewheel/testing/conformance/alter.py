"""Promises of `alter`."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidewheel._model.outcome import Complete, Discarded
from tidewheel._model.query import Action, Altered, JobFilter
from tidewheel._model.state import FINAL_STATES, JobState
from tidewheel._store.base import MAX_BATCH
from tidewheel.testing.conformance.kit import BOOM, HOUR, OUTCOMES, Kit, Suite, each_state

S = JobState
APPLIES: dict[Action, dict[JobState, JobState | None]] = {
    Action.CANCEL: {
        **dict.fromkeys((S.SCHEDULED, S.AVAILABLE, S.PARKED, S.RETRYABLE), S.CANCELLED),
        S.RUNNING: S.RUNNING,
    },
    Action.RETRY: {S.COMPLETED: S.AVAILABLE, S.CANCELLED: S.AVAILABLE, S.DISCARDED: S.AVAILABLE},
    Action.RUN_NOW: {S.SCHEDULED: S.AVAILABLE, S.RETRYABLE: S.AVAILABLE},
    Action.DELETE: {state: None for state in S if state is not S.RUNNING},
}
each_action = pytest.mark.parametrize("action", list(Action))


def expected(job_id: str, state: JobState, action: Action) -> Altered:
    after = APPLIES[action].get(state, state)
    asked = action is Action.CANCEL and state is S.RUNNING
    return Altered(job_id, state, after, cancel_requested=asked)


class TestAlter(Suite):
    @each_action
    @each_state
    async def test_by_id_every_action_on_every_state(self, kit: Kit, state: JobState, action: Action) -> None:
        row = await kit.at(state)
        kit.clock.advance("5s")
        assert await kit.alter(action, row.id) == [expected(row.id, state, action)]
        if state not in APPLIES[action]:
            assert await kit.row(row.id) == row
        elif action is Action.DELETE:
            assert not await kit.exists(row.id)
        else:
            assert (await kit.row(row.id)).state is APPLIES[action][state]

    @each_action
    @each_state
    async def test_by_filter_only_what_it_applies_to_is_answered(
        self, kit: Kit, state: JobState, action: Action
    ) -> None:
        row = await kit.at(state, queue="here")
        other = await kit.at(state, queue="there")
        kit.clock.advance("5s")
        answers = await kit.alter_where(action, queues=("here",))
        assert answers == ([expected(row.id, state, action)] if state in APPLIES[action] else [])
        assert await kit.row(other.id) == other
        if state not in APPLIES[action]:
            assert await kit.row(row.id) == row

    @pytest.mark.parametrize("state", [S.SCHEDULED, S.AVAILABLE, S.PARKED, S.RETRYABLE])
    async def test_cancel_ends_a_waiting_job(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state)
        past = await kit.past(row.id)
        kit.clock.advance("5s")
        await kit.alter(Action.CANCEL, row.id)
        assert await kit.row(row.id) == replace(row, state=S.CANCELLED, finished_at=kit.clock(), parked_by=None)
        assert (await kit.past(row.id)).attempts == past.attempts
        kit.clock.advance("2h")
        await kit.sweep()
        assert await kit.claim() == []

    async def test_cancel_asks_a_running_job_and_changes_nothing_else(self, kit: Kit) -> None:
        row = await kit.at(S.RUNNING)
        kit.clock.advance("5s")
        await kit.alter(Action.CANCEL, row.id)
        assert await kit.row(row.id) == replace(row, cancel_requested=True)

    @pytest.mark.parametrize("action", [Action.RETRY, Action.RUN_NOW, Action.DELETE])
    async def test_only_a_cancel_answers_that_a_cancel_was_asked_for(self, kit: Kit, action: Action) -> None:
        """Else a refused delete of a job that was asked to stop would look as if it had been done."""
        row = await kit.at(S.RUNNING)
        await kit.alter(Action.CANCEL, row.id)
        assert await kit.alter(action, row.id) == [Altered(row.id, S.RUNNING, S.RUNNING, cancel_requested=False)]
        assert await kit.alter_where(action, kinds=("work",)) == []

    async def test_cancel_frees_the_unique_key(self, kit: Kit) -> None:
        row = await kit.at(S.SCHEDULED, unique_key="k")
        await kit.alter(Action.CANCEL, row.id)
        assert await kit.put(unique_key="k")

    @pytest.mark.parametrize("state", sorted(FINAL_STATES))
    async def test_retry_gives_fresh_attempts_and_keeps_epoch_and_history(self, kit: Kit, state: JobState) -> None:
        lease = (await kit.run(max_attempts=5)).lease
        kit.clock.advance("5m")
        await kit.sweep()
        (claimed,) = await kit.claim()
        await kit.beat(claimed.lease, progress="5")
        outcome = {"completed": "complete", "cancelled": "cancel", "discarded": "discard"}[state.value]
        await kit.settle(claimed.lease, OUTCOMES[outcome])
        row, past = await kit.row(lease.job_id), await kit.past(lease.job_id)
        assert (row.state, row.crashes, row.attempt, row.progress) == (state, 1, 2, "5")
        kit.clock.advance("5s")
        await kit.alter(Action.RETRY, row.id)
        after = await kit.past(row.id)
        assert after.job == replace(
            row,
            state=S.AVAILABLE,
            run_at=kit.clock(),
            attempt=0,
            crashes=0,
            result=None,
            progress=None,
            error=None,
            finished_at=None,
        )
        assert (after.attempts, after.logs) == (past.attempts, past.logs)
        (again,) = await kit.claim()
        assert (again.epoch, again.attempt, again.crashes) == (row.epoch + 1, 1, 0)

    async def test_a_cancel_is_forgotten_by_a_retry(self, kit: Kit) -> None:
        row = await kit.at(S.RUNNING, max_attempts=5)
        await kit.alter(Action.CANCEL, row.id)
        kit.clock.advance("5m")
        await kit.sweep()
        await kit.alter(Action.RETRY, row.id)
        (claimed,) = await kit.claim()
        await kit.settle(claimed.lease, Complete("1"))
        assert (await kit.row(row.id)).state is S.COMPLETED

    async def test_retry_is_refused_while_a_live_job_holds_the_unique_key(self, kit: Kit) -> None:
        row = await kit.at(S.COMPLETED, unique_key="k")
        holder = await kit.put(unique_key="k")
        assert await kit.alter(Action.RETRY, row.id) == [Altered(row.id, S.COMPLETED, S.COMPLETED)]
        assert await kit.alter_where(Action.RETRY, kinds=("work",)) == []
        assert await kit.row(row.id) == row
        await kit.alter(Action.CANCEL, holder)
        assert await kit.alter(Action.RETRY, row.id) == [Altered(row.id, S.COMPLETED, S.AVAILABLE)]
        (answer,) = await kit.enqueue(kit.new(unique_key="k"))
        assert answer.id == row.id

    async def test_of_two_jobs_with_one_unique_key_the_first_is_retried(self, kit: Kit) -> None:
        one, two = await kit.at(S.COMPLETED, unique_key="k"), await kit.at(S.DISCARDED, unique_key="k")
        answers = await kit.alter(Action.RETRY, two.id, one.id)
        assert [answer.after for answer in answers] == [S.AVAILABLE, S.COMPLETED]
        await kit.alter(Action.CANCEL, two.id)
        answers = await kit.alter_where(Action.RETRY, kinds=("work",))
        assert [answer.id for answer in answers] == [one.id]

    @pytest.mark.parametrize("state", [S.SCHEDULED, S.RETRYABLE])
    async def test_run_now_makes_the_job_available_now(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state)
        kit.clock.advance("5s")
        await kit.alter(Action.RUN_NOW, row.id)
        assert await kit.row(row.id) == replace(row, state=S.AVAILABLE, run_at=kit.clock())
        assert await kit.claimed_ids() == [row.id]

    async def test_a_deleted_job_is_gone_and_its_id_free(self, kit: Kit) -> None:
        row = await kit.at(S.DISCARDED)
        await kit.alter(Action.DELETE, row.id)
        assert await kit.listed() == []
        assert await kit.alter(Action.DELETE, row.id) == [Altered(row.id, None, None)]
        assert await kit.put(id=row.id) == row.id

    @each_action
    async def test_what_is_not_there_is_answered_with_none(self, kit: Kit, action: Action) -> None:
        assert await kit.alter(action, "nobody") == [Altered("nobody", None, None)]
        assert await kit.alter(action) == []

    async def test_answers_come_in_the_order_of_the_questions(self, kit: Kit) -> None:
        running, waiting = await kit.at(S.RUNNING), await kit.at(S.SCHEDULED)
        answers = await kit.alter(Action.CANCEL, waiting.id, "nobody", running.id)
        assert answers == [
            Altered(waiting.id, S.SCHEDULED, S.CANCELLED),
            Altered("nobody", None, None),
            Altered(running.id, S.RUNNING, S.RUNNING, cancel_requested=True),
        ]

    async def test_an_id_named_twice_is_answered_twice(self, kit: Kit) -> None:
        row = await kit.at(S.SCHEDULED)
        assert await kit.alter(Action.CANCEL, row.id, row.id) == [
            Altered(row.id, S.SCHEDULED, S.CANCELLED),
            Altered(row.id, S.CANCELLED, S.CANCELLED),
        ]
        assert await kit.alter(Action.DELETE, row.id, row.id) == [
            Altered(row.id, S.CANCELLED, None),
            Altered(row.id, None, None),
        ]

    async def test_a_repeat_changes_nothing_more(self, kit: Kit) -> None:
        running, waiting = await kit.at(S.RUNNING), await kit.at(S.SCHEDULED)
        await kit.alter(Action.CANCEL, running.id, waiting.id)
        before = await kit.everything()
        kit.clock.advance("5s")
        assert await kit.alter(Action.CANCEL, running.id, waiting.id) == [
            Altered(running.id, S.RUNNING, S.RUNNING, cancel_requested=True),
            Altered(waiting.id, S.CANCELLED, S.CANCELLED),
        ]
        assert await kit.everything() == before

    async def test_a_filter_takes_the_oldest_enqueued_first_and_no_more_than_the_limit(self, kit: Kit) -> None:
        ids = [await kit.put(delay=HOUR, priority=priority) for priority in (9, 1, 5, 2)]
        answers = await kit.alter_where(Action.CANCEL, limit=3, queues=("default",))
        assert [answer.id for answer in answers] == ids[:3]
        answers = await kit.alter_where(Action.CANCEL, limit=3, queues=("default",))
        assert [answer.id for answer in answers] == ids[3:]

    async def test_unless_told_a_filter_takes_a_thousand_jobs(self, kit: Kit) -> None:
        await kit.enqueue(*(kit.new() for _ in range(1001)))
        where = JobFilter(kinds=("work",))
        assert len(await kit.store.alter(where, Action.CANCEL, now=kit.clock())) == 1000
        assert len(await kit.store.alter(where, Action.CANCEL, now=kit.clock())) == 1

    async def test_the_limit_is_not_for_ids(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(3)]
        assert len(await kit.store.alter(ids, Action.CANCEL, limit=1, now=kit.clock())) == 3

    async def test_jobs_that_refuse_do_not_count_for_the_limit(self, kit: Kit) -> None:
        held = [(await kit.run(unique_key="k")).lease]
        await kit.settle(held[0], Discarded(BOOM))
        free = (await kit.run()).lease
        await kit.settle(free, Discarded(BOOM))
        await kit.put(unique_key="k")
        answers = await kit.alter_where(Action.RETRY, limit=1, states=(JobState.DISCARDED,))
        assert [answer.id for answer in answers] == [free.job_id]

    async def test_a_filter_leaves_out_the_running_jobs_that_were_asked_already(self, kit: Kit) -> None:
        first = await kit.at(S.RUNNING)
        assert len(await kit.alter_where(Action.CANCEL, limit=1, kinds=("work",))) == 1
        second = await kit.at(S.RUNNING)
        answers = await kit.alter_where(Action.CANCEL, limit=1, kinds=("work",))
        assert [answer.id for answer in answers] == [second.id]
        assert (await kit.row(first.id)).cancel_requested
        assert await kit.alter_where(Action.CANCEL, kinds=("work",)) == []

    async def test_every_field_of_the_filter_counts(self, kit: Kit) -> None:
        wanted = await kit.put(kind="x", queue="q", tags=("t",), args='["needle"]', delay=HOUR)
        await kit.put(kind="x", queue="q", tags=("t",), delay=HOUR)
        where = JobFilter(states=(S.SCHEDULED,), kinds=("x",), queues=("q",), tag="t", text="needle")
        answers = await kit.store.alter(where, Action.RUN_NOW, now=kit.clock())
        assert [answer.id for answer in answers] == [wanted]

    @each_action
    async def test_an_empty_filter_is_refused(self, kit: Kit, action: Action) -> None:
        row = await kit.at(S.DISCARDED)
        with pytest.raises(ValueError, match="filter"):
            await kit.store.alter(JobFilter(), action, now=kit.clock())
        assert await kit.row(row.id) == row

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        job_id = await kit.put(delay=HOUR)
        before = (await kit.store.info()).now
        await kit.store.alter([job_id], Action.RUN_NOW)
        after = (await kit.store.info()).now
        assert before <= (await kit.row(job_id)).run_at <= after

    async def test_a_call_refuses_more_than_a_full_batch(self, kit: Kit) -> None:
        row = await kit.at(S.DISCARDED)
        with pytest.raises(ValueError, match="10,000"):
            await kit.alter(Action.DELETE, *[row.id] * (MAX_BATCH + 1))
        assert (await kit.row(row.id)).error == BOOM
