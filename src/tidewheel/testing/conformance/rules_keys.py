"""Promises about jobs that are enqueued with a key: who holds it, and what becomes of the next one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.job import ErrorInfo
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.gates_slots import API, full
from tidewheel.testing.conformance.kit import HOUR, MINUTE, OUTCOMES, Kit, Suite, each_state
from tidewheel.testing.conformance.wakeups import heard

WAITING = {JobState.SCHEDULED, JobState.AVAILABLE, JobState.PARKED, JobState.RETRYABLE}
HOLDING = {
    "none": set[JobState](),
    "waiting": WAITING,
    "live": WAITING | {JobState.RUNNING},
    "any": set(JobState),
}
PRUNE_ALL = RetentionRule("work", None, Retention(completed=keep(0), failed=keep(0)))


def rule(**changes: Any) -> EnqueueRule:
    return EnqueueRule(**{"key": "k", **changes})


async def ask(kit: Kit, **changes: Any) -> Enqueued:
    """Enqueue one job with a rule, unless another is given, for the key `k`."""
    (answer,) = await kit.enqueue(kit.new(**{"rule": rule(), **changes}))
    return answer


class TestRulesKeys(Suite):
    @each_state
    @pytest.mark.parametrize("holds", HOLDING)
    async def test_a_key_holds_in_the_states_it_says(self, kit: Kit, holds: Any, state: JobState) -> None:
        job = await kit.at(state, rule=rule(holds=holds))
        answer = await ask(kit, id="next", rule=rule(holds=holds))
        if state in HOLDING[holds]:
            assert answer == Enqueued(job.id, inserted=False, state=state)
            assert not await kit.exists("next")
        else:
            assert answer == Enqueued("next", inserted=True)
        assert await kit.row(job.id) == job

    async def test_who_asks_decides_which_states_hold(self, kit: Kit) -> None:
        claimed = await kit.run(rule=rule(holds="waiting"))
        assert (await ask(kit, rule=rule(holds="live"))).id == claimed.id
        assert (await ask(kit, rule=rule(holds="waiting"))).inserted

    async def test_the_key_is_the_last_ones_who_took_it(self, kit: Kit) -> None:
        await kit.run(rule=rule(holds="waiting"))
        second = await ask(kit, rule=rule(holds="waiting"))
        assert (await ask(kit, rule=rule(holds="waiting"))).id == second.id
        await kit.alter(Action.CANCEL, second.id)
        assert (await ask(kit, rule=rule(holds="live"))).inserted

    async def test_a_period_holds_whatever_became_of_the_job(self, kit: Kit) -> None:
        once = rule(holds="none", period=HOUR)
        job = await kit.at(JobState.COMPLETED, rule=once)
        kit.clock.set(kit.clock() + HOUR - 1)
        assert await ask(kit, rule=once) == Enqueued(job.id, inserted=False, state=JobState.COMPLETED)
        await kit.alter(Action.DELETE, job.id)
        assert await ask(kit, rule=once) == Enqueued(job.id, inserted=False)
        kit.clock.set(kit.clock() + 1)
        assert (await ask(kit, rule=once)).inserted

    async def test_a_period_begins_anew_with_each_job_that_takes_the_key(self, kit: Kit) -> None:
        once = rule(holds="none", period=MINUTE)
        for _ in range(3):
            assert (await ask(kit, rule=once)).inserted
            kit.clock.advance("30s")
            assert not (await ask(kit, rule=once)).inserted, "and who was refused begins none"
            kit.clock.advance("30s")

    async def test_a_period_and_a_state_hold_together(self, kit: Kit) -> None:
        both = rule(holds="live", period=MINUTE)
        claimed = await kit.run(rule=both, lease=HOUR)
        kit.clock.advance("5m")
        assert not (await ask(kit, rule=both)).inserted, "its job is live"
        await kit.settle(claimed.lease, Complete("1"))
        job = await ask(kit, rule=both)
        assert job.inserted
        await kit.alter(Action.CANCEL, job.id)
        assert not (await ask(kit, rule=both)).inserted, "its period runs"

    async def test_a_sweep_forgets_no_key_that_holds_or_may_hold_again(self, kit: Kit) -> None:
        once, live = rule(key="once", holds="none", period=HOUR), rule(key="live")
        await kit.at(JobState.COMPLETED, rule=once)
        job = await kit.at(JobState.CANCELLED, rule=live)
        await kit.sweep(PRUNE_ALL)
        assert await kit.listed() == []
        assert not (await ask(kit, rule=once)).inserted
        assert (await ask(kit, rule=live)).inserted
        job = await kit.at(JobState.DISCARDED, queue="other", rule=rule(key="retried"))
        await kit.sweep(RetentionRule("other", None, Retention()))
        await kit.alter(Action.RETRY, job.id)
        assert (await ask(kit, rule=rule(key="retried"))).id == job.id
        kit.clock.advance("1h")
        await kit.sweep(PRUNE_ALL)
        assert (await ask(kit, rule=once)).inserted

    async def test_a_job_that_comes_back_holds_its_key_again(self, kit: Kit) -> None:
        first = rule(holds="waiting")
        claimed = await kit.run(rule=first, max_attempts=3)
        await kit.settle(claimed.lease, OUTCOMES["retry"])
        assert (await ask(kit, rule=first)).id == claimed.id
        await kit.alter(Action.CANCEL, claimed.id)
        await kit.alter(Action.RETRY, claimed.id)
        assert (await ask(kit, rule=first)).id == claimed.id

    async def test_an_id_that_exists_is_answered_before_the_rule(self, kit: Kit) -> None:
        holder = await kit.put(rule=rule())
        other = await kit.put()
        answer = await ask(kit, id=other, rule=rule(on_conflict="cancel"))
        assert answer == Enqueued(other, inserted=False, state=JobState.AVAILABLE)
        assert (await kit.row(holder)).state is JobState.AVAILABLE
        again = await ask(kit, id=holder)
        assert again == Enqueued(holder, inserted=False, state=JobState.AVAILABLE)

    async def test_a_unique_key_is_answered_before_the_rule_and_no_key_is_taken(self, kit: Kit) -> None:
        first = await kit.put(unique_key="u")
        assert (await ask(kit, unique_key="u")).id == first
        answer = await ask(kit, unique_key="v")
        assert answer.inserted
        assert (await ask(kit)).id == answer.id

    async def test_jobs_of_one_call_see_one_another(self, kit: Kit) -> None:
        jobs = [kit.new(rule=rule(key=key)) for key in ("b", "a", "b", "a", "c")]
        answers = await kit.enqueue(*jobs)
        assert [answer.inserted for answer in answers] == [True, True, False, False, True]
        assert [answer.id for answer in answers[2:4]] == [jobs[0].id, jobs[1].id]
        assert [answer.state for answer in answers[2:4]] == [JobState.AVAILABLE] * 2
        assert await kit.claimed_ids() == [jobs[0].id, jobs[1].id, jobs[4].id]

    async def test_a_conflict_concerns_its_own_job_only(self, kit: Kit) -> None:
        await kit.put(rule=rule())
        answers = await kit.enqueue(kit.new(), kit.new(rule=rule()), kit.new(), kit.new(rule=rule(key="other")))
        assert [answer.inserted for answer in answers] == [True, False, True, True]

    async def test_of_many_callers_at_once_one_comes_in(self, kit: Kit) -> None:
        answers = await asyncio.gather(*(ask(kit, id=f"j{number}") for number in range(12)))
        (first,) = (answer.id for answer in answers if answer.inserted)
        assert {answer.id for answer in answers} == {first}
        assert await kit.listed() == [first]

    async def test_callers_with_several_keys_in_any_order_do_not_lock_one_another_out(self, kit: Kit) -> None:
        keys = [f"key{number}" for number in range(6)]

        async def call(number: int) -> int:
            turned = keys[number % 6 :] + keys[: number % 6]
            answers = await kit.enqueue(*(kit.new(rule=rule(key=key, on_conflict="cancel")) for key in turned))
            return sum(answer.inserted for answer in answers)

        assert await asyncio.gather(*(call(number) for number in range(8))) == [6] * 8
        assert len(await kit.listed(states=(JobState.AVAILABLE,))) == 6
        assert len(await kit.listed(states=(JobState.CANCELLED,))) == 42

    @pytest.mark.parametrize("state", sorted(WAITING))
    async def test_cancel_ends_a_holder_that_waits(self, kit: Kit, state: JobState) -> None:
        holder = await kit.at(state, rule=rule(), unique_key="u")
        kit.clock.advance("1s")
        answer = await ask(kit, id="next", rule=rule(on_conflict="cancel"))
        assert answer == Enqueued("next", inserted=True, cancelled=holder.id)
        row = await kit.row(holder.id)
        assert (row.state, row.finished_at, row.parked_by) == (JobState.CANCELLED, kit.clock(), None)
        assert row.error == ErrorInfo("tidewheel.Replaced", "The job next took its place.")
        assert (await kit.past(holder.id)).attempts == ((await kit.past(holder.id)).attempts[:1] if row.attempt else ())
        assert (await kit.enqueue(kit.new(unique_key="u")))[0].inserted
        assert (await ask(kit)).id == "next"

    async def test_cancel_asks_a_running_holder_to_stop(self, kit: Kit) -> None:
        holder = await kit.run(rule=rule())
        async with kit.store.wakeups(frozenset({Wakeup.CONTROL})) as hints:
            answer = await ask(kit, id="next", rule=rule(on_conflict="cancel"))
            assert await heard(hints, Wakeup.CONTROL) == {Wakeup.CONTROL}
        assert answer == Enqueued("next", inserted=True, cancelled=holder.id)
        row = await kit.row(holder.id)
        assert (row.state, row.cancel_requested, row.error) == (JobState.RUNNING, True, None)

    async def test_cancel_leaves_alone_what_has_ended(self, kit: Kit) -> None:
        holder = await kit.at(JobState.DISCARDED, rule=rule(holds="any"))
        answer = await ask(kit, id="next", rule=rule(holds="any", on_conflict="cancel"))
        assert answer == Enqueued("next", inserted=True)
        assert await kit.row(holder.id) == holder

    async def test_each_of_a_call_cancels_the_one_before(self, kit: Kit) -> None:
        last = rule(on_conflict="cancel")
        jobs = [kit.new(rule=last) for _ in range(3)]
        answers = await kit.enqueue(*jobs)
        assert [answer.cancelled for answer in answers] == [None, jobs[0].id, jobs[1].id]
        assert await kit.states(*(job.id for job in jobs)) == ["cancelled", "cancelled", "available"]

    async def test_a_cancelled_job_that_a_gate_had_let_in_leaves_its_place_to_the_next(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        first = await kit.put(flow=API, rule=rule())
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(first, second) == ["available", "parked"]
        await ask(kit, id="next", queue="elsewhere", rule=rule(on_conflict="cancel"))
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == [second]

    async def test_a_cancelled_job_is_pruned_as_any_that_failed(self, kit: Kit) -> None:
        holder = await kit.put(rule=rule(), keep_failed=MINUTE)
        await ask(kit, rule=rule(on_conflict="cancel"))
        kit.clock.advance("1m")
        assert (await kit.sweep()).pruned == 1
        assert not await kit.exists(holder)

    async def test_a_cancel_is_told_to_who_waits_for_the_end(self, kit: Kit) -> None:
        await kit.put(rule=rule())
        async with kit.store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            await ask(kit, rule=rule(on_conflict="cancel"))
            assert await heard(hints, Wakeup.SETTLED) == {Wakeup.SETTLED}

    async def test_a_holder_whose_time_is_over_holds_no_more(self, kit: Kit) -> None:
        holder = await kit.put(rule=rule(), expires_in=MINUTE)
        kit.clock.set(kit.clock() + MINUTE - 1)
        assert (await ask(kit)).id == holder
        kit.clock.set(kit.clock() + 1)
        assert (await ask(kit)).inserted
        assert (await kit.row(holder)).state is JobState.AVAILABLE, "the sweep ends it"
