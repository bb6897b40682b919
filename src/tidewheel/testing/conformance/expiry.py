"""Promises about jobs that must not start any more after a moment."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidewheel._model.flow import EXPIRED
from tidewheel._model.job import ErrorInfo
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.gates_slots import API, full
from tidewheel.testing.conformance.kit import HOUR, LEASE, MINUTE, OUTCOMES, Kit, Suite, flow
from tidewheel.testing.conformance.rules_keys import WAITING
from tidewheel.testing.conformance.wakeups import heard

LATE = ErrorInfo("tidewheel.Expired", "It had not started by the end of its time.")


class TestExpiry(Suite):
    async def test_a_job_shows_when_it_expires(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(expires_in=MINUTE, delay=HOUR))
        assert (row.expires_at, row.passes) == (kit.clock() + MINUTE, ())
        assert row.flow == flow(), "so that a claim asks for its time"
        row = await kit.row(await kit.put(expires_in=MINUTE, flow=flow("a")))
        assert row.flow == flow("a")
        row = await kit.row(await kit.put())
        assert (row.expires_at, row.flow) == (None, None)

    async def test_it_starts_until_then_and_not_later(self, kit: Kit) -> None:
        first, second = [await kit.put(expires_in=MINUTE) for _ in range(2)]
        kit.clock.set(kit.clock() + MINUTE - 1)
        assert await kit.claimed_ids(1) == [first]
        kit.clock.set(kit.clock() + 1)
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            assert await kit.claim() == []
            await heard(hints, Wakeup.DUE)
        row = await kit.row(second)
        assert (row.state, row.parked_by, row.attempt) == (JobState.PARKED, EXPIRED, 0)

    async def test_a_claim_goes_on_behind_those_that_are_too_late(self, kit: Kit) -> None:
        late = [await kit.put(expires_in=MINUTE) for _ in range(30)]
        plain, timed = await kit.put(), await kit.put(expires_in=HOUR)
        kit.clock.advance("1m")
        assert await kit.claimed_ids(2) == [plain, timed]
        assert (await kit.row(late[-1])).parked_by == EXPIRED

    @pytest.mark.parametrize("state", sorted(WAITING))
    async def test_the_sweep_ends_what_waits_then(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, expires_in=MINUTE, unique_key="u", max_attempts=3)
        assert before.expires_at is not None
        kit.clock.set(before.expires_at - 1)
        assert (await kit.sweep()).expired == 0
        assert await kit.row(before.id) == before
        kit.clock.set(before.expires_at)
        async with kit.store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            report = await kit.sweep()
            await heard(hints, Wakeup.SETTLED)
        assert (report.expired, report.cancelled, report.more) == (1, 0, False)
        ended = {"state": JobState.CANCELLED, "finished_at": kit.clock(), "error": LATE, "parked_by": None}
        assert await kit.row(before.id) == replace(before, **ended)
        assert (await kit.enqueue(kit.new(unique_key="u")))[0].inserted
        assert (await kit.sweep()).expired == 0

    async def test_the_sweep_ends_what_a_claim_found_too_late(self, kit: Kit) -> None:
        job_id = await kit.put(expires_in=MINUTE)
        kit.clock.advance("1m")
        await kit.claim()
        assert (await kit.sweep()).expired == 1
        row = await kit.row(job_id)
        assert (row.state, row.parked_by, row.error) == (JobState.CANCELLED, None, LATE)
        assert (await kit.past(job_id)).attempts == ()

    @pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED])
    async def test_what_runs_or_has_ended_does_not_expire(self, kit: Kit, state: JobState) -> None:
        before = (
            await kit.at(state, expires_in=MINUTE, lease=HOUR) if state is JobState.RUNNING else await kit.at(state)
        )
        kit.clock.advance("1m")
        assert (await kit.sweep()).expired == 0
        assert await kit.row(before.id) == before

    async def test_no_attempt_starts_after_it_not_even_the_next_one(self, kit: Kit) -> None:
        claimed = await kit.run(expires_in=MINUTE, max_attempts=3, lease=HOUR)
        kit.clock.advance("1m")
        await kit.settle(claimed.lease, OUTCOMES["release"])
        assert await kit.claim() == []
        assert (await kit.sweep()).expired == 1

    async def test_a_job_that_ended_in_time_is_complete(self, kit: Kit) -> None:
        claimed = await kit.run(expires_in=MINUTE, lease=HOUR)
        kit.clock.advance("5m")
        await kit.settle(claimed.lease, Complete("1"))
        await kit.sweep()
        assert (await kit.row(claimed.id)).state is JobState.COMPLETED

    async def test_who_is_rescued_too_late_expires_with_the_next_sweep(self, kit: Kit) -> None:
        claimed = await kit.run(expires_in=LEASE, max_attempts=3)
        kit.clock.set(kit.clock() + LEASE)
        report = await kit.sweep()
        assert (report.expired, report.rescued) == (0, 1)
        assert report.next_due_at == kit.clock()
        assert (await kit.sweep()).expired == 1
        assert (await kit.row(claimed.id)).state is JobState.CANCELLED

    async def test_what_is_due_and_too_late_at_once_is_not_promoted(self, kit: Kit) -> None:
        await kit.at(JobState.SCHEDULED, wait=MINUTE, expires_in=MINUTE)
        kit.clock.advance("1m")
        report = await kit.sweep()
        assert (report.expired, report.promoted) == (1, 0)

    async def test_no_more_expire_than_the_limit_those_first_that_are_too_late_longest(self, kit: Kit) -> None:
        ids = {time: await kit.put(expires_in=time) for time in (30, 10, 20)}
        kit.clock.advance("1s")
        report = await kit.sweep(limit=2)
        assert (report.expired, report.more) == (2, True)
        assert await kit.states(*(ids[time] for time in (10, 20, 30))) == ["cancelled", "cancelled", "available"]
        report = await kit.sweep(limit=2)
        assert (report.expired, report.more) == (1, False)

    async def test_next_due_is_when_the_next_one_expires(self, kit: Kit) -> None:
        end = kit.clock() + MINUTE
        await kit.put(expires_in=2 * MINUTE)
        job_id = await kit.put(expires_in=MINUTE)
        assert (await kit.sweep()).next_due_at == end
        await kit.alter(Action.CANCEL, job_id)
        assert (await kit.sweep()).next_due_at == end + MINUTE
        await kit.claim(lease=HOUR)
        assert (await kit.sweep()).next_due_at == kit.clock() + HOUR, "a running one does not expire"

    async def test_a_job_with_a_time_hints_that_there_is_one(self, kit: Kit) -> None:
        async with kit.store.wakeups() as hints:
            await kit.put(expires_in=MINUTE)
            await heard(hints, Wakeup.DUE)
        async with kit.store.wakeups() as hints:
            await kit.put(expires_in=MINUTE)
            await heard(hints, Wakeup.WORK)

    async def test_one_that_waits_at_a_gate_expires_and_the_others_get_in(self, kit: Kit) -> None:
        (held,), (second,) = await full(kit)
        late = await kit.put(flow=API, priority=1, expires_in=MINUTE)
        assert await kit.claim() == []
        assert (await kit.row(late)).parked_by == "api"
        await kit.beat(held.lease, lease=HOUR)
        kit.clock.advance("1m")
        assert (await kit.sweep()).expired == 1
        await kit.settle(held.lease, Complete("1"))
        assert await kit.claimed_ids() == [second]

    async def test_one_that_a_gate_had_let_in_leaves_its_place_to_the_next(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        late = await kit.put(flow=API, expires_in=MINUTE)
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(late, second) == ["available", "parked"]
        kit.clock.advance("1m")
        report = await kit.sweep()
        assert (report.expired, report.opened) == (1, 1)
        assert await kit.claimed_ids() == [second]

    async def test_so_does_one_that_a_claim_finds_too_late(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        late = await kit.put(flow=API, expires_in=MINUTE)
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(late, second) == ["available", "parked"]
        kit.clock.advance("1m")
        assert await kit.claim() == []
        assert (await kit.row(late)).parked_by == EXPIRED
        assert await kit.claimed_ids() == [second]
        assert (await kit.gate("api")).used == 1

    async def test_no_gate_is_known_under_the_word_for_those_that_are_too_late(self, kit: Kit) -> None:
        await kit.put(expires_in=MINUTE)
        kit.clock.advance("1m")
        await kit.claim()
        assert await kit.store.gates(now=kit.clock()) == []
        await kit.sweep(RetentionRule("work", None, Retention()))
        assert await kit.store.gates(now=kit.clock()) == []

    async def test_one_on_its_last_life_expires(self, kit: Kit) -> None:
        claimed = await kit.run(expires_in=HOUR, max_attempts=2, lease=MINUTE)
        kit.clock.advance("2m")
        assert (await kit.sweep()).rescued == 1
        kit.clock.advance("1h")
        plain = await kit.put()
        assert await kit.claimed_ids() == [plain]
        assert (await kit.row(claimed.id)).parked_by == EXPIRED

    async def test_one_that_is_retried_by_hand_expires_no_more(self, kit: Kit) -> None:
        row = await kit.at(JobState.SCHEDULED, expires_in=MINUTE)
        kit.clock.advance("1m")
        await kit.sweep()
        await kit.alter(Action.RETRY, row.id)
        after = await kit.row(row.id)
        assert (after.state, after.expires_at, after.error) == (JobState.AVAILABLE, None, None)
        assert await kit.claimed_ids() == [row.id]

    async def test_one_that_is_called_in_keeps_its_time(self, kit: Kit) -> None:
        row = await kit.at(JobState.SCHEDULED, expires_in=MINUTE)
        await kit.alter(Action.RUN_NOW, row.id)
        assert (await kit.row(row.id)).expires_at == row.expires_at

    async def test_one_that_expired_is_pruned_as_any_that_failed(self, kit: Kit) -> None:
        job_id = await kit.put(expires_in=MINUTE, keep_failed=MINUTE)
        kit.clock.advance("1m")
        assert (await kit.sweep()).pruned == 0
        kit.clock.advance("1m")
        assert (await kit.sweep()).pruned == 1
        assert not await kit.exists(job_id)
        by_rule = await kit.put(expires_in=MINUTE)
        kit.clock.advance("1m")
        await kit.sweep()
        await kit.sweep(RetentionRule("work", None, Retention(failed=keep(0))))
        assert not await kit.exists(by_rule)

    async def test_those_in_a_paused_queue_expire_too(self, kit: Kit) -> None:
        job_id = await kit.put(queue="nobody looks here", expires_in=MINUTE)
        kit.clock.advance("1m")
        assert (await kit.sweep()).expired == 1
        assert (await kit.row(job_id)).state is JobState.CANCELLED
