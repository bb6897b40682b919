"""Promises about an enqueue that changes the job that holds its key."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.gates_slots import API, full
from tidewheel.testing.conformance.kit import HOUR, MINUTE, SHUT, Kit, Suite, flow
from tidewheel.testing.conformance.rules_keys import ask, rule
from tidewheel.testing.conformance.wakeups import heard

EVERYTHING = ("args", "meta", "tags", "priority", "run_at")
LATEST = '{"args":["latest"]}'


def anew(*fields: str, **changes: Any) -> EnqueueRule:
    """A rule by which the fields, all unless some are named, are replaced in every state that waits."""
    states = ("scheduled", "available", "retryable")
    known = dict.fromkeys(states, fields or EVERYTHING)
    return rule(**{"holds": "waiting", "on_conflict": "replace", "replace": known, **changes})


class TestRulesReplace(Suite):
    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.AVAILABLE, JobState.PARKED, JobState.RETRYABLE])
    async def test_what_the_new_job_says_is_the_holders_now(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, rule=anew(), max_attempts=3)
        kit.clock.advance("1m")
        said = {"args": LATEST, "meta": '{"a":1}', "tags": ("t", "u"), "priority": 7}
        answer = await ask(kit, id="next", rule=anew(), delay=2 * HOUR, flow=before.flow, **said)
        assert answer == Enqueued(before.id, inserted=False, state=state, did="replaced")
        waits = state in (JobState.SCHEDULED, JobState.RETRYABLE)
        run_at = kit.clock() + 2 * HOUR if waits else before.run_at
        assert await kit.row(before.id) == replace(before, **said, run_at=run_at)
        assert await kit.listed() == [before.id]

    async def test_only_the_named_fields_change(self, kit: Kit) -> None:
        before = await kit.at(JobState.SCHEDULED, rule=anew())
        await ask(kit, rule=anew("priority"), args=LATEST, priority=3, tags=("t",))
        assert await kit.row(before.id) == replace(before, priority=3)
        await ask(kit, rule=anew("tags", "args"), args=LATEST, priority=9, tags=("t",))
        assert await kit.row(before.id) == replace(before, priority=3, args=LATEST, tags=("t",))

    async def test_without_a_meta_of_its_own_the_new_job_leaves_it(self, kit: Kit) -> None:
        before = await kit.at(JobState.SCHEDULED, rule=anew(), meta="{}", tags=("t",))
        await ask(kit, rule=anew("meta", "tags"))
        assert await kit.row(before.id) == replace(before, tags=())

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.PARKED, JobState.RETRYABLE])
    async def test_in_a_state_that_is_left_out_the_holder_stays(self, kit: Kit, state: JobState) -> None:
        some = anew(replace={"scheduled": EVERYTHING})
        before = await kit.at(state, rule=some, max_attempts=3)
        assert await ask(kit, rule=some, priority=3) == Enqueued(before.id, inserted=False, state=state)
        assert await kit.row(before.id) == before

    @pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED])
    async def test_what_runs_or_has_ended_is_never_changed(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, rule=anew(holds="any"))
        answer = await ask(kit, rule=anew(holds="any"), args=LATEST)
        assert answer == Enqueued(before.id, inserted=False, state=state)
        assert await kit.row(before.id) == before

    async def test_a_period_whose_job_is_gone_has_nothing_to_change(self, kit: Kit) -> None:
        once = anew(period=HOUR)
        before = await kit.at(JobState.COMPLETED, rule=once, keep_completed=0)
        await kit.sweep()
        assert await ask(kit, rule=once) == Enqueued(before.id, inserted=False)

    async def test_an_earlier_time_may_be_now(self, kit: Kit) -> None:
        before = await kit.at(JobState.SCHEDULED, rule=anew())
        async with kit.store.wakeups(frozenset({Wakeup.WORK})) as hints:
            answer = await ask(kit, rule=anew("run_at"), run_at=kit.clock())
            await heard(hints, Wakeup.WORK)
        assert (answer.did, answer.state) == ("replaced", JobState.AVAILABLE)
        assert await kit.row(before.id) == replace(before, state=JobState.AVAILABLE, run_at=kit.clock())
        assert await kit.claimed_ids() == [before.id]

    async def test_a_retry_may_be_called_in_or_put_off(self, kit: Kit) -> None:
        before = await kit.at(JobState.RETRYABLE, rule=anew(), max_attempts=5)
        await ask(kit, rule=anew("run_at"), delay=3 * HOUR)
        assert await kit.row(before.id) == replace(before, run_at=kit.clock() + 3 * HOUR)
        kit.clock.set(before.run_at)
        assert (await kit.sweep()).promoted == 0
        assert (await ask(kit, rule=anew("run_at"))).state is JobState.AVAILABLE
        (claimed,) = await kit.claim()
        assert (claimed.id, claimed.attempt) == (before.id, 2)

    async def test_a_later_time_is_hinted(self, kit: Kit) -> None:
        await kit.at(JobState.SCHEDULED, rule=anew())
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            await ask(kit, rule=anew("run_at"), delay=MINUTE)
            await heard(hints, Wakeup.DUE)
        assert (await kit.sweep()).next_due_at == kit.clock() + MINUTE

    async def test_a_burst_becomes_one_job_that_runs_when_it_is_quiet(self, kit: Kit) -> None:
        quiet = anew(replace={"scheduled": EVERYTHING})
        first = await ask(kit, rule=quiet, delay=MINUTE)
        for number in range(5):
            kit.clock.advance("50s")
            answer = await ask(kit, rule=quiet, delay=MINUTE, args=f'{{"args":[{number}]}}')
            assert (answer.id, answer.did) == (first.id, "replaced")
            assert (await kit.sweep()).promoted == 0
        kit.clock.advance("1m")
        await kit.sweep()
        (claimed,) = await kit.claim()
        assert (claimed.id, claimed.args) == (first.id, '{"args":[4]}')
        assert (await ask(kit, rule=quiet, delay=MINUTE)).inserted

    async def test_it_is_put_off_no_longer_than_the_longest_wait(self, kit: Kit) -> None:
        patient = anew(max_wait=2 * MINUTE)
        taken = kit.clock()
        first = await ask(kit, rule=patient, delay=MINUTE)
        for _ in range(2):
            kit.clock.advance("50s")
            await ask(kit, rule=patient, delay=MINUTE)
            assert (await kit.row(first.id)).run_at == min(kit.clock() + MINUTE, taken + 2 * MINUTE)
        kit.clock.set(taken + 2 * MINUTE)
        assert (await ask(kit, rule=patient, delay=MINUTE)).state is JobState.AVAILABLE

    async def test_the_longest_wait_counts_from_when_the_key_was_taken(self, kit: Kit) -> None:
        patient = anew(max_wait=2 * MINUTE)
        await kit.run(rule=patient)
        kit.clock.advance("5m")
        second = await ask(kit, rule=patient, delay=MINUTE)
        assert second.inserted
        await ask(kit, rule=patient, delay=HOUR)
        assert (await kit.row(second.id)).run_at == kit.clock() + 2 * MINUTE

    async def test_each_of_a_call_sees_what_the_one_before_changed(self, kit: Kit) -> None:
        jobs = [kit.new(rule=anew(), delay=HOUR, args=f'{{"args":[{number}]}}') for number in range(3)]
        jobs.append(kit.new(rule=anew("run_at")))
        answers = await kit.enqueue(*jobs)
        assert [answer.id for answer in answers] == [jobs[0].id] * 4
        assert [answer.state for answer in answers[1:]] == [JobState.SCHEDULED, JobState.SCHEDULED, JobState.AVAILABLE]
        (claimed,) = await kit.claim()
        assert claimed.args == jobs[2].args

    async def test_another_priority_is_another_place_in_line(self, kit: Kit) -> None:
        ids = [await kit.put(rule=anew(key=key)) for key in "abc"]
        await ask(kit, rule=anew("priority", key="c"), priority=1)
        assert await kit.claimed_ids() == [ids[2], ids[0], ids[1]]

    async def test_it_is_another_place_in_the_line_of_those_that_are_parked_too(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        ids = [await kit.put(flow=API, rule=anew(key=key)) for key in "abc"]
        assert await kit.claim() == []
        answer = await ask(kit, rule=anew("priority", key="c"), priority=1)
        assert answer.state is JobState.PARKED
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(*ids) == ["parked", "parked", "available"]

    async def test_with_other_arguments_it_has_their_limits(self, kit: Kit) -> None:
        await kit.limit(SHUT, paused=True)
        await kit.limit("open", slots=1)
        before = await kit.park(rule=anew())
        other = await kit.park()
        answer = await ask(kit, rule=anew("args"), args=LATEST, flow=flow("open"))
        assert (answer.did, answer.state) == ("replaced", JobState.AVAILABLE)
        assert (await kit.row(before.id)).flow == flow("open")
        assert await kit.claimed_ids() == [before.id]
        assert (await kit.gate("open")).used == 1
        assert (await kit.row(other.id)).state is JobState.PARKED

    async def test_it_may_have_none_any_more(self, kit: Kit) -> None:
        before = await kit.park(rule=anew())
        await ask(kit, rule=anew("args"), args=LATEST)
        row = await kit.row(before.id)
        assert (row.state, row.passes) == (JobState.AVAILABLE, ())
        assert await kit.claimed_ids() == [before.id]
        assert (await kit.row(before.id)).parked_by is None

    async def test_with_the_same_limits_it_stays_parked(self, kit: Kit) -> None:
        before = await kit.park(rule=anew())
        answer = await ask(kit, rule=anew("args"), args=LATEST, flow=before.flow)
        assert answer.state is JobState.PARKED
        assert await kit.row(before.id) == replace(before, args=LATEST)

    async def test_one_that_leaves_a_gate_which_had_let_it_in_leaves_its_place_to_the_next(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        first = await kit.put(flow=API, rule=anew())
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(first, second) == ["available", "parked"]
        await ask(kit, rule=anew("args"), args=LATEST)
        assert (await kit.row(first)).parked_by == "api"
        assert await kit.claimed_ids() == [first]
        assert await kit.claimed_ids() == [second]

    async def test_one_that_was_parked_and_goes_elsewhere_wakes_nobody_in_vain(self, kit: Kit) -> None:
        await full(kit, waiting=0)
        await kit.limit("open", slots=1)
        first = await kit.put(flow=API, rule=anew())
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await ask(kit, rule=anew("args"), args=LATEST, flow=flow("open"))
        assert await kit.claimed_ids() == [first]
        assert await kit.states(second) == ["parked"]
        assert (await kit.gate("api")).waiting

    async def test_new_arguments_bring_their_expiry(self, kit: Kit) -> None:
        before = await kit.at(JobState.SCHEDULED, rule=anew(), expires_in=MINUTE)
        kit.clock.advance("30s")
        await ask(kit, rule=anew("args"), args=LATEST, expires_in=MINUTE)
        assert (await kit.row(before.id)).expires_at == kit.clock() + MINUTE
        await ask(kit, rule=anew("priority"), args=LATEST)
        assert (await kit.row(before.id)).expires_at == kit.clock() + MINUTE
        await ask(kit, rule=anew("args"), args=LATEST)
        assert (await kit.row(before.id)).expires_at is None
        kit.clock.advance("2m")
        assert (await kit.sweep()).expired == 0

    async def test_a_job_without_a_time_gets_one(self, kit: Kit) -> None:
        before = await kit.at(JobState.AVAILABLE, rule=anew())
        await ask(kit, rule=anew("args"), args=LATEST, expires_in=MINUTE)
        kit.clock.advance("1m")
        assert await kit.claim() == []
        assert (await kit.sweep()).expired == 1
        assert (await kit.row(before.id)).state is JobState.CANCELLED

    async def test_one_whose_time_is_over_is_not_changed(self, kit: Kit) -> None:
        once = anew(period=HOUR)
        before = await kit.at(JobState.SCHEDULED, rule=once, expires_in=MINUTE)
        kit.clock.advance("1m")
        answer = await ask(kit, rule=once, args=LATEST)
        assert answer == Enqueued(before.id, inserted=False, state=JobState.SCHEDULED)
        assert await kit.row(before.id) == before
