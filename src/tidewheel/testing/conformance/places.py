"""Promises about places in line that are not the time of the enqueue: a lead, and the turn of a tenant."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from tidewheel._model.after import After
from tidewheel._model.desk import LAST_PLACE
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import Fair
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.graph_kit import DONE, end
from tidewheel.testing.conformance.kit import HOUR, MINUTE, OUTCOMES, Kit, Suite
from tidewheel.testing.conformance.rules_keys import ask, rule
from tidewheel.testing.conformance.rules_replace import anew

STEP = 1000


def of(tenant: str, step: int = STEP) -> Fair:
    return Fair(f"fair:{tenant}", step)


async def tenants(kit: Kit, slots: int) -> list[str]:
    """Claim so many jobs; gives the tenants whose they were (their tag) in the order of the line."""
    claimed = await kit.claim(slots)
    return [(await kit.row(job.id)).tags[0] for job in claimed]


class TestPlaces(Suite):
    async def test_a_job_with_a_lead_comes_before_those_that_came_later_than_that(self, kit: Kit) -> None:
        first = await kit.put()
        kit.clock.advance("30s")
        second = await kit.put(lead=MINUTE)
        third = await kit.put(lead=10 * SECOND)
        row = await kit.row(second)
        assert (row.lead, row.run_at) == (MINUTE, kit.clock() - MINUTE)
        assert await kit.claimed_ids() == [second, first, third]

    async def test_priority_comes_before_it(self, kit: Kit) -> None:
        late, early = await kit.put(priority=2, lead=HOUR), await kit.put(priority=1)
        assert await kit.claimed_ids() == [early, late]

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYABLE])
    async def test_it_counts_when_the_time_has_come_not_before(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, wait=HOUR, lead=MINUTE, max_attempts=3)
        assert before.run_at == kit.clock() + HOUR
        kit.clock.set(before.run_at - 1)
        assert (await kit.sweep()).promoted == 0
        kit.clock.set(before.run_at)
        assert (await kit.sweep()).promoted == 1
        row = await kit.row(before.id)
        assert row == replace(before, state=JobState.AVAILABLE, run_at=before.run_at - MINUTE)

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYABLE])
    async def test_one_that_is_called_in_has_it(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, lead=MINUTE, max_attempts=3, rule=anew())
        await kit.alter(Action.RUN_NOW, before.id)
        assert (await kit.row(before.id)).run_at == kit.clock() - MINUTE

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYABLE])
    async def test_so_has_one_that_another_enqueue_calls_in(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, lead=MINUTE, max_attempts=3, rule=anew())
        await ask(kit, rule=anew("run_at"))
        row = await kit.row(before.id)
        assert (row.state, row.run_at) == (JobState.AVAILABLE, kit.clock() - MINUTE)

    @pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED])
    async def test_one_that_is_retried_has_it(self, kit: Kit, state: JobState) -> None:
        before = await kit.at(state, lead=MINUTE)
        kit.clock.advance("1h")
        await kit.alter(Action.RETRY, before.id)
        assert (await kit.row(before.id)).run_at == kit.clock() - MINUTE

    async def test_one_that_comes_back_keeps_the_place_it_had(self, kit: Kit) -> None:
        claimed = await kit.run(lead=MINUTE, max_attempts=5)
        place = (await kit.row(claimed.id)).run_at
        await kit.settle(claimed.lease, OUTCOMES["release"])
        assert (await kit.row(claimed.id)).run_at == place
        await kit.claim()
        kit.clock.advance("5m")
        assert (await kit.sweep()).rescued == 1
        assert (await kit.row(claimed.id)).run_at == place

    async def test_one_that_was_parked_keeps_it_too(self, kit: Kit) -> None:
        row = await kit.park(lead=MINUTE)
        assert row.run_at == kit.clock() - MINUTE
        await kit.limit("shut", paused=False)
        await kit.sweep()
        assert await kit.row(row.id) == replace(row, state=JobState.AVAILABLE)

    async def test_a_parent_has_it_when_its_children_have_ended(self, kit: Kit) -> None:
        child = await kit.put()
        parents = [
            await kit.put(queue="parents", after=(After(child),), lead=MINUTE, delay=delay) for delay in (0, HOUR)
        ]
        assert [(await kit.row(job_id)).run_at for job_id in parents] == [kit.clock(), kit.clock() + HOUR]
        await end(kit, DONE)
        assert await kit.states(*parents) == ["available", "scheduled"]
        assert [(await kit.row(job_id)).run_at for job_id in parents] == [kit.clock() - MINUTE, kit.clock() + HOUR]

    async def test_a_tenant_with_few_jobs_does_not_wait_behind_one_with_many(self, kit: Kit) -> None:
        await kit.enqueue(*(kit.new(tags=("many",), fair=of("many")) for _ in range(200)))
        kit.clock.advance("1m")
        await kit.enqueue(*(kit.new(tags=("few",), fair=of("few")) for _ in range(5)))
        first = await tenants(kit, 11)
        assert Counter(first)["few"] == 5

    async def test_tenants_take_turns(self, kit: Kit) -> None:
        for tenant in "abc":
            await kit.enqueue(*(kit.new(tags=(tenant,), fair=of(tenant)) for _ in range(4)))
        assert await tenants(kit, 12) == list("abc" * 4)

    async def test_a_tenant_with_a_smaller_step_has_more_turns(self, kit: Kit) -> None:
        for tenant, step in (("light", 3 * STEP), ("heavy", STEP)):
            await kit.enqueue(*(kit.new(tags=(tenant,), fair=of(tenant, step)) for _ in range(30)))
        turns = Counter(await tenants(kit, 20))
        assert turns["heavy"] == 15

    async def test_the_first_turn_is_at_the_head_of_the_line(self, kit: Kit) -> None:
        now = kit.clock()
        jobs = [kit.new(fair=of("a")) for _ in range(3)]
        await kit.enqueue(*jobs)
        assert [(await kit.row(job.id)).run_at for job in jobs] == [now, now + STEP, now + 2 * STEP]
        await kit.claim(1)
        kit.clock.advance("1h")
        other = await kit.put(fair=of("b"))
        assert (await kit.row(other)).run_at == now + STEP, "where the first of the line is, not where the clock is"

    async def test_however_dear_no_turn_is_beyond_what_all_stores_count(self, kit: Kit) -> None:
        dear = LAST_PLACE // 2
        jobs = [await kit.put(fair=of("acme", dear)) for _ in range(4)]
        places = [(await kit.row(job)).run_at for job in jobs]
        assert places == [kit.clock(), kit.clock() + dear, LAST_PLACE, LAST_PLACE]
        assert await kit.claimed_ids() == jobs

    async def test_a_silence_saves_nothing_up(self, kit: Kit) -> None:
        await kit.put(tags=("quiet",), fair=of("quiet"))
        await kit.enqueue(*(kit.new(tags=("busy",), fair=of("busy")) for _ in range(50)))
        assert (await tenants(kit, 21)).count("busy") == 20
        await kit.enqueue(*(kit.new(tags=("quiet",), fair=of("quiet")) for _ in range(10)))
        assert 9 <= (await tenants(kit, 20)).count("quiet") <= 10

    async def test_who_waits_at_a_place_in_the_future_may_run_at_once(self, kit: Kit) -> None:
        ids = [await kit.put(fair=of("a", HOUR)) for _ in range(3)]
        assert await kit.states(*ids) == ["available"] * 3
        assert (await kit.row(ids[2])).run_at == kit.clock() + 2 * HOUR
        assert await kit.claimed_ids() == ids

    async def test_each_queue_and_priority_is_a_line_of_its_own(self, kit: Kit) -> None:
        await kit.put(run_at=kit.clock() - HOUR, queue="other")
        await kit.put(run_at=kit.clock() - HOUR, priority=7)
        await kit.put(run_at=kit.clock() - HOUR, lifo=True)
        row = await kit.row(await kit.put(fair=of("a")))
        assert row.run_at == kit.clock()
        await kit.put(run_at=kit.clock() - MINUTE, kind="other")
        row = await kit.row(await kit.put(fair=of("b")))
        assert row.run_at == kit.clock() - MINUTE, "and all kinds are in it"

    async def test_one_that_may_not_run_at_once_has_no_turn(self, kit: Kit) -> None:
        child = await kit.put(queue="children")
        later = {"fair": of("a"), "lead": 5}
        ids = [await kit.put(delay=HOUR, **later), await kit.put(after=(After(child),), **later)]
        assert [(await kit.row(job_id)).run_at for job_id in ids] == [kit.clock() + HOUR, kit.clock()]
        lifo = await kit.put(lifo=True, fair=of("a"))
        assert (await kit.row(lifo)).run_at == kit.clock()
        assert (await kit.row(await kit.put(fair=of("a")))).run_at == kit.clock()

    async def test_who_is_refused_uses_no_turn_up(self, kit: Kit) -> None:
        await kit.put(unique_key="u", rule=rule(), queue="other")
        for clash in ({"unique_key": "u"}, {"rule": rule()}):
            (answer,) = await kit.enqueue(kit.new(fair=of("a"), **clash))
            assert not answer.inserted
        assert (await kit.row(await kit.put(fair=of("a")))).run_at == kit.clock()
        assert (await kit.row(await kit.put(fair=of("a"), rule=rule(key="other")))).run_at == kit.clock() + STEP
        assert (await ask(kit, rule=rule(key="other"))).inserted is False

    async def test_many_callers_at_once_get_a_turn_each(self, kit: Kit) -> None:
        now = kit.clock()
        await asyncio.gather(*(kit.put(fair=of("a")) for _ in range(10)))
        places = [(await kit.row(job_id)).run_at for job_id in await kit.listed()]
        assert sorted(places) == [now + number * STEP for number in range(10)]

    async def test_a_sweep_forgets_no_turn_that_counts(self, kit: Kit) -> None:
        row = await kit.at(JobState.COMPLETED, fair=of("a", HOUR))
        await kit.sweep(RetentionRule("work", None, Retention(completed=keep(0))))
        assert not await kit.exists(row.id)
        assert (await kit.row(await kit.put(fair=of("a", HOUR)))).run_at == kit.clock() + HOUR
