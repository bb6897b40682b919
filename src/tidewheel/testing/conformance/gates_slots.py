"""Promises about jobs that take a slot of a limit: who starts, who is parked, who lets the next one in."""

from __future__ import annotations

import asyncio

import pytest

from tidewheel._model.flow import Pass
from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Complete, Outcome, Settlement
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.kit import HOUR, OUTCOMES, Kit, Suite, each_outcome, flow
from tidewheel.testing.conformance.wakeups import heard

DONE = Complete("1")
API = flow("api")


async def full(kit: Kit, slots: int = 1, waiting: int = 1) -> tuple[list[Claimed], list[str]]:
    """The limit `api` with all its slots taken and jobs that wait for one: the running ones, the ids of the others."""
    await kit.limit("api", slots=slots)
    for _ in range(slots):
        await kit.put(flow=API, max_attempts=5)
    running = await kit.claim()
    assert len(running) == slots
    ids = [await kit.put(flow=API) for _ in range(waiting)]
    assert await kit.claim() == []
    assert await kit.states(*ids) == ["parked"] * waiting
    return running, ids


class TestGatesSlots(Suite):
    async def test_no_more_start_than_there_are_slots_and_the_rest_is_parked(self, kit: Kit) -> None:
        await kit.limit("api", slots=2)
        ids = [await kit.put(flow=API) for _ in range(5)]
        assert await kit.claimed_ids() == ids[:2]
        assert await kit.states(*ids) == ["running"] * 2 + ["parked"] * 3
        assert [(await kit.row(job_id)).parked_by for job_id in ids] == [None] * 2 + ["api"] * 3
        assert await kit.claim() == []
        gate = await kit.gate("api")
        assert (gate.limit, gate.used, gate.room, gate.waiting, gate.opens_at) == ("api", 2, 0, True, None)

    async def test_the_walk_ends_when_the_slots_of_the_claim_are_filled(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        ids = [await kit.put(flow=API) for _ in range(3)]
        assert await kit.claimed_ids(1) == ids[:1]
        assert await kit.states(*ids[1:]) == ["available"] * 2

    async def test_jobs_behind_a_shut_gate_are_reached(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        ids = [await kit.put(flow=API) for _ in range(150)]
        plain = await kit.put()
        assert await kit.claimed_ids(2) == [ids[0], plain]
        assert (await kit.row(ids[-1])).state is JobState.PARKED

    async def test_a_limited_job_shows_its_flow(self, kit: Kit) -> None:
        text = flow("api:acme", Pass("rate", cost=3, holds=False))
        assert (await kit.row(await kit.put(flow=text))).flow == text
        assert (await kit.row(await kit.put())).flow is None

    @each_outcome
    async def test_an_attempt_that_ends_lets_the_next_one_in(self, kit: Kit, outcome: Outcome) -> None:
        (held,), (first, second) = await full(kit, waiting=2)
        await kit.settle(held.lease, outcome)
        assert await kit.states(first, second) == ["available", "parked"]
        assert (await kit.row(first)).parked_by == "api"
        row = await kit.row(held.id)
        expected = [held.id] if row.state is JobState.AVAILABLE else [first]
        assert await kit.claimed_ids() == expected
        assert (await kit.gate("api")).used == 1

    async def test_a_rescue_lets_the_next_one_in(self, kit: Kit) -> None:
        _, ids = await full(kit, waiting=2)
        kit.clock.advance("2m")
        report = await kit.sweep()
        assert (report.rescued, report.opened) == (1, 1)
        assert await kit.states(*ids) == ["available", "parked"]
        assert (await kit.gate("api")).used == 0

    async def test_a_job_that_was_asked_to_stop_holds_its_slot_until_it_has(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        await kit.alter(Action.CANCEL, held.id)
        assert await kit.states(waits) == ["parked"]
        await kit.settle(held.lease, OUTCOMES["cancel"])
        assert await kit.claimed_ids() == [waits]

    async def test_a_beat_keeps_the_slot(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        await kit.beat(held.lease, lease=HOUR)
        kit.clock.advance("5m")
        assert (await kit.sweep()).opened == 0
        assert await kit.states(waits) == ["parked"]

    async def test_a_repeated_settlement_frees_once(self, kit: Kit) -> None:
        (one, two), _ = await full(kit, slots=2, waiting=3)
        for _ in range(3):
            await kit.settle(one.lease, DONE)
        assert (await kit.gate("api")).used == 1
        twice = [Settlement(two.lease, DONE), Settlement(two.lease, DONE), Settlement(one.lease, DONE)]
        await kit.store.settle(twice, now=kit.clock())
        assert (await kit.gate("api")).used == 0
        assert len(await kit.claim()) == 2

    async def test_a_lost_lease_frees_nothing(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        kit.clock.advance("2m")
        await kit.sweep()
        assert await kit.claimed_ids(1) == [held.id]
        await kit.settle(held.lease, DONE)
        assert (await kit.gate("api")).used == 1
        assert await kit.claim() == []
        assert await kit.states(waits) == ["parked"]

    async def test_a_batch_of_settlements_lets_in_as_many_as_it_freed(self, kit: Kit) -> None:
        running, ids = await full(kit, slots=3, waiting=5)
        await kit.store.settle([Settlement(job.lease, DONE) for job in running[:2]], now=kit.clock())
        assert await kit.states(*ids) == ["available"] * 2 + ["parked"] * 3
        assert await kit.claimed_ids() == ids[:2]

    async def test_settled_together_with_jobs_that_have_no_limits(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        plain = await kit.run(queue="other")
        items = [Settlement(plain.lease, DONE), Settlement(held.lease, DONE)]
        await kit.store.settle(items, now=kit.clock())
        assert await kit.states(plain.id, held.id, waits) == ["completed", "completed", "available"]

    async def test_a_claim_fills_what_was_freed_and_parks_nobody_twice(self, kit: Kit) -> None:
        await kit.limit("api", slots=3)
        ids = [await kit.put(flow=API) for _ in range(10)]
        done: list[str] = []
        while claimed := await kit.claim():
            assert (await kit.gate("api")).used == len(claimed) <= 3
            await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
            done += [job.id for job in claimed]
        assert done == ids
        assert (await kit.gate("api")).used == 0

    # who goes while it waits

    @pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
    async def test_when_a_job_goes_that_was_let_in_the_next_sweep_lets_in_another(
        self, kit: Kit, action: Action
    ) -> None:
        (held,), (first, second) = await full(kit, waiting=2)
        await kit.settle(held.lease, DONE)
        assert await kit.states(first, second) == ["available", "parked"]
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            await kit.alter(action, first)
            await heard(hints, Wakeup.DUE)
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == [second]

    @pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
    async def test_a_parked_job_may_go(self, kit: Kit, action: Action) -> None:
        (held,), (first, second) = await full(kit, waiting=2)
        await kit.alter(action, first)
        if action is Action.CANCEL:
            row = await kit.row(first)
            assert (row.state, row.parked_by) == (JobState.CANCELLED, None)
        await kit.settle(held.lease, DONE)
        assert await kit.claimed_ids() == [second]

    async def test_run_now_does_not_open_a_gate(self, kit: Kit) -> None:
        _, (waits,) = await full(kit)
        before = await kit.row(waits)
        (answer,) = await kit.alter(Action.RUN_NOW, waits)
        assert answer.after is answer.before is JobState.PARKED
        assert await kit.row(waits) == before

    async def test_a_job_that_is_retried_by_hand_counts_again(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        await kit.settle(held.lease, OUTCOMES["discard"])
        assert await kit.claimed_ids() == [waits]
        await kit.alter(Action.RETRY, held.id)
        assert await kit.claim() == []
        row = await kit.row(held.id)
        assert (row.state, row.parked_by) == (JobState.PARKED, "api")

    async def test_a_promoted_job_is_judged_by_the_next_claim(self, kit: Kit) -> None:
        _, _ = await full(kit, waiting=0)
        later = await kit.put(flow=API, delay=10)
        kit.clock.advance("1s")
        await kit.sweep()
        assert await kit.states(later) == ["available"]
        assert await kit.claim() == []
        assert await kit.states(later) == ["parked"]

    async def test_a_parked_job_holds_its_unique_key_and_counts(self, kit: Kit) -> None:
        await full(kit, waiting=0)
        job = kit.new(flow=API, unique_key="k")
        await kit.enqueue(job)
        assert await kit.claim() == []
        (answer,) = await kit.enqueue(kit.new(unique_key="k"))
        assert (answer.id, answer.inserted, answer.state) == (job.id, False, JobState.PARKED)
        (queue,) = await kit.store.queues()
        assert (queue.counts[JobState.PARKED], queue.counts[JobState.AVAILABLE], queue.oldest_available) == (1, 0, None)

    # limits and flows that are not there

    async def test_a_limit_that_nobody_declared_is_shut_until_somebody_does(self, kit: Kit) -> None:
        ids = [await kit.put(flow=API) for _ in range(2)]
        plain = await kit.put()
        assert await kit.claimed_ids() == [plain]
        assert (await kit.gate("api")).rule is None
        await kit.limit("api", slots=1)
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == ids[:1]

    async def test_a_flow_of_no_gates_is_none(self, kit: Kit) -> None:
        job_id = await kit.put(flow=flow())
        (claimed,) = await kit.claim()
        assert claimed.id == job_id
        await kit.settle(claimed.lease, DONE)
        assert await kit.states(job_id) == ["completed"]

    @pytest.mark.parametrize("text", ["", "{", '{"passes":[]}', '[[["api",1]]]', "[[[]]]", "null"])
    async def test_a_flow_that_cannot_be_read_sets_the_job_aside(self, kit: Kit, text: str) -> None:
        broken, sound = await kit.put(flow=text), await kit.put()
        assert await kit.claimed_ids() == [sound]
        row = await kit.row(broken)
        assert row.state is JobState.DISCARDED
        assert row.error is not None
        assert row.error.type == "tidewheel.Unreadable"

    # hints and upkeep

    async def test_who_is_let_in_hints_work(self, kit: Kit) -> None:
        (held,), _ = await full(kit)
        async with kit.store.wakeups(frozenset({Wakeup.WORK})) as hints:
            await kit.settle(held.lease, DONE)
            assert await heard(hints, Wakeup.WORK) == {Wakeup.WORK}

    async def test_a_sweep_with_retention_leaves_gates_in_use_alone(self, kit: Kit) -> None:
        rule = RetentionRule("work", None, Retention(completed=keep(0)))
        (held,), (waits,) = await full(kit)
        await kit.sweep(rule)
        assert (await kit.gate("api")).used == 1
        await kit.settle(held.lease, DONE)
        (last,) = await kit.claim()
        assert last.id == waits
        await kit.settle(last.lease, DONE)
        await kit.sweep(rule)
        await kit.sweep(rule)
        assert await kit.store.gates(now=kit.clock()) == []

    async def test_claimers_at_once_never_start_more_than_there_are_slots(self, kit: Kit) -> None:
        await kit.limit("api", slots=3)
        await kit.limit("b", slots=5)
        for number in range(20):
            await kit.put(flow=flow("api", "b") if number % 2 else flow("b", "api"))
        answers = await asyncio.gather(*(kit.claim(6, worker=f"w{n}") for n in range(8)))
        assert sum(len(answer) for answer in answers) <= 3
        answers += [await kit.claim(6) for _ in range(5)]
        assert sum(len(answer) for answer in answers) == 3
        assert ((await kit.gate("api")).used, (await kit.gate("b")).used) == (3, 3)

    async def test_claims_and_settlements_at_once_bring_all_to_their_end(self, kit: Kit) -> None:
        await kit.limit("api", slots=2)
        ids = [await kit.put(flow=API) for _ in range(12)]

        async def work(worker: str) -> None:
            for _ in range(40):
                for job in await kit.claim(2, worker=worker):
                    await asyncio.sleep(0)
                    await kit.settle(job.lease, DONE)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(f"w{number}") for number in range(4)))
        for _ in range(12):
            for job in await kit.claim(2):
                await kit.settle(job.lease, DONE)
        assert await kit.states(*ids) == ["completed"] * 12
        assert (await kit.gate("api")).used == 0

    async def test_a_dead_letter_tells_of_itself_without_limits(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        claimed = await kit.run(flow=API, on_dead="alert")
        await kit.settle(claimed.lease, OUTCOMES["discard"])
        (alert,) = await kit.listed(kinds=("alert",))
        assert (await kit.row(alert)).flow is None
        assert len(await kit.claim(kind="alert")) == 1
