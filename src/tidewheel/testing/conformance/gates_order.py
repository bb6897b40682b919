"""Promises about jobs of a key that start one by one, in the order of their line."""

from __future__ import annotations

import asyncio

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.flow import Order, Pass
from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Complete, Outcome, RetryLater, Settlement
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel.testing.conformance.kit import BOOM, OUTCOMES, Kit, Suite, each_outcome, flow

DONE = Complete("1")
RETAIN = RetentionRule("none", None, Retention(completed=keep(0)))
KEEPS = {name: OUTCOMES[name] for name in ("retry", "snooze", "release")}
ENDS = {name: OUTCOMES[name] for name in ("complete", "cancel", "discard")}
each_that_goes_on = pytest.mark.parametrize("outcome", KEEPS.values(), ids=KEEPS.keys())
each_end = pytest.mark.parametrize("outcome", ENDS.values(), ids=ENDS.keys())
both_orders = pytest.mark.parametrize("order", ["block", "skip"])


def turn(value: str = "acme", order: Order = "block") -> Pass:
    """The place at the gate of a key of the limit `line`."""
    return Pass("line", value, holds=False, order=order)


LINE, SKIP = flow(turn()), flow(turn(order="skip"))


async def begun(kit: Kit, waiting: int = 2, text: str = LINE) -> tuple[Claimed, list[str]]:
    """A key whose first job runs, while others are parked: the first one, the ids of the others."""
    await kit.limit("line", slots=1)
    first = await kit.run(flow=text, max_attempts=5, max_crashes=5)
    ids = [await kit.put(flow=text, max_attempts=5, max_crashes=5) for _ in range(waiting)]
    assert await kit.claim() == []
    assert await kit.states(*ids) == ["parked"] * waiting
    return first, ids


async def holder(kit: Kit, key: str = "line:acme") -> str | None:
    gate = await kit.gate(key)
    assert gate.used == (gate.holder is not None)
    return gate.holder


class TestGatesOrder(Suite):
    async def test_one_job_of_a_key_starts_and_the_others_wait(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        acme = [await kit.put(flow=LINE) for _ in range(3)]
        other = [await kit.put(flow=flow(turn("other"))) for _ in range(2)]
        assert await kit.claimed_ids() == [acme[0], other[0]]
        assert await kit.states(*acme[1:], other[1]) == ["parked"] * 3
        gate = await kit.gate("line:acme")
        assert (gate.used, gate.room, gate.waiting, gate.holder) == (1, 0, True, acme[0])

    @both_orders
    async def test_they_run_in_the_order_of_their_line(self, kit: Kit, order: Order) -> None:
        await kit.limit("line", slots=1)
        text = flow(turn(order=order))
        later = await kit.put(flow=text, run_at=kit.clock() + SECOND)
        ids = [await kit.put(flow=text) for _ in range(5)]
        kit.clock.advance("2s")
        await kit.sweep()
        done = []
        while claimed := await kit.claim():
            (job,) = claimed
            done.append(job.id)
            await kit.settle(job.lease, DONE)
        assert done == [*ids, later]
        assert await holder(kit) is None

    # the first one keeps its place

    @each_that_goes_on
    async def test_while_the_first_one_waits_for_its_next_attempt_nobody_starts(
        self, kit: Kit, outcome: Outcome
    ) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, outcome)
        assert await holder(kit) == first.id
        late = await kit.put(flow=LINE)
        assert await kit.claimed_ids() in ([], [first.id])
        assert await kit.states(*ids, late) == ["parked"] * 3
        kit.clock.advance("61m")
        await kit.sweep()
        again = [job for job in await kit.claim() if job.id == first.id]
        assert await kit.states(first.id, *ids, late) == ["running"] + ["parked"] * 3
        for job in again:
            await kit.settle(job.lease, DONE)
            assert await kit.claimed_ids() == [ids[0]]

    async def test_a_rescue_keeps_the_place(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        kit.clock.advance("2m")
        report = await kit.sweep()
        assert (report.rescued, report.opened) == (1, 0)
        assert await kit.claimed_ids() == [first.id]
        assert await kit.states(*ids) == ["parked"] * 2

    @each_end
    async def test_its_end_lets_the_next_one_in(self, kit: Kit, outcome: Outcome) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, outcome)
        assert await holder(kit) is None
        assert await kit.states(*ids) == ["available", "parked"]
        assert await kit.claimed_ids() == ids[:1]
        assert await holder(kit) == ids[0]

    async def test_an_end_by_a_rescue_lets_the_next_one_in(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        await kit.run(flow=LINE, max_attempts=1)
        waits = await kit.put(flow=LINE)
        assert await kit.claim() == []
        kit.clock.advance("2m")
        report = await kit.sweep()
        assert (len(report.discarded), report.opened) == (1, 1)
        assert await kit.claimed_ids() == [waits]

    async def test_a_retry_that_was_asked_to_stop_is_an_end(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        await kit.alter(Action.CANCEL, first.id)
        await kit.settle(first.lease, OUTCOMES["retry"])
        assert await kit.claimed_ids() == ids[:1]

    @pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
    @each_that_goes_on
    async def test_when_it_goes_while_it_waits_the_next_sweep_lets_the_next_one_in(
        self, kit: Kit, outcome: Outcome, action: Action
    ) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, outcome)
        await kit.alter(action, first.id)
        assert await holder(kit) is None
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == ids[:1]

    async def test_who_comes_later_does_not_pass_those_that_wait(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, OUTCOMES["retry"])
        await kit.alter(Action.CANCEL, first.id)
        late = await kit.put(flow=LINE)
        assert await kit.claim() == []
        assert await kit.claimed_ids() == ids[:1]
        assert await kit.states(ids[1], late) == ["parked"] * 2

    async def test_when_it_expires_while_it_waits_the_next_one_comes_in(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        first = await kit.run(flow=LINE, max_attempts=5, expires_in=10 * SECOND)
        await kit.settle(first.lease, RetryLater(SECOND, BOOM))
        waits = await kit.put(flow=LINE)
        assert await kit.claim() == []
        kit.clock.advance("10s")
        assert (await kit.sweep()).expired == 1
        await kit.sweep()
        assert await kit.claimed_ids() == [waits]

    async def test_a_job_that_takes_its_place_by_a_rule_lets_the_next_one_in(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        rule = EnqueueRule(key="k", on_conflict="cancel")
        first = await kit.run(flow=LINE, max_attempts=5, rule=rule)
        await kit.settle(first.lease, OUTCOMES["retry"])
        waits = await kit.put(flow=LINE)
        assert await kit.claim() == []
        await kit.put(rule=rule, queue="other")
        assert await kit.states(first.id) == ["cancelled"]
        assert await holder(kit) is None
        await kit.sweep()
        assert await kit.claimed_ids() == [waits]

    async def test_who_gets_another_key_by_a_rule_gives_up_the_place_of_the_old_one(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        rule = EnqueueRule(key="k", on_conflict="replace", replace={"retryable": ("args",)})
        first = await kit.run(flow=LINE, max_attempts=5, rule=rule)
        await kit.settle(first.lease, OUTCOMES["retry"])
        waits = await kit.put(flow=LINE)
        assert await kit.claim() == []
        await kit.enqueue(kit.new(rule=rule, flow=LINE))
        assert await holder(kit) == first.id
        await kit.enqueue(kit.new(rule=rule, flow=flow(turn("other"))))
        assert await holder(kit) is None
        await kit.sweep()
        assert await kit.claimed_ids() == [waits]
        kit.clock.advance("2h")
        await kit.sweep()
        assert [job.id for job in await kit.claim() if job.id == first.id] == [first.id]
        assert await holder(kit, "line:other") == first.id

    async def test_a_dead_letter_that_is_retried_lines_up_again(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, OUTCOMES["discard"])
        kit.clock.advance("1s")
        await kit.alter(Action.RETRY, first.id)
        done = []
        while claimed := await kit.claim():
            done += [job.id for job in claimed]
            await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
        assert done == [*ids, first.id]

    # with other limits, pauses, upkeep

    async def test_who_is_first_has_the_place_also_while_another_limit_stops_it(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        await kit.limit("rate", count=1, per=10 * SECOND)
        text = flow(turn(), Pass("rate", holds=False))
        await kit.run(flow=flow(Pass("rate", holds=False)))
        first, second = await kit.put(flow=text), await kit.put(flow=text)
        assert await kit.claim() == []
        assert [(await kit.row(job_id)).parked_by for job_id in (first, second)] == ["rate", "line:acme"]
        assert await holder(kit) == first
        kit.clock.advance("10s")
        assert await kit.claim() == []
        await kit.sweep()
        assert await kit.claimed_ids() == [first]

    @pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
    async def test_when_it_goes_from_another_gate_the_next_one_comes_in(self, kit: Kit, action: Action) -> None:
        await kit.limit("line", slots=1)
        await kit.limit("api", paused=True)
        first = await kit.put(flow=flow(turn(), "api"))
        second = await kit.put(flow=LINE)
        assert await kit.claim() == []
        await kit.alter(action, first)
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == [second]

    async def test_a_pause_stops_the_next_one_not_who_has_begun(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, OUTCOMES["release"])
        await kit.overrule("line:acme", paused=True)
        (again,) = await kit.claim()
        assert again.id == first.id
        await kit.settle(again.lease, DONE)
        assert await kit.claim() == []
        await kit.overrule("line:acme")
        await kit.sweep()
        assert await kit.claimed_ids() == ids[:1]

    async def test_an_operator_cannot_make_it_more_than_one(self, kit: Kit) -> None:
        first, ids = await begun(kit, waiting=4)
        await kit.overrule("line", slots=3)
        await kit.sweep()
        assert await kit.claim() == []
        await kit.settle(first.lease, DONE)
        assert await kit.claimed_ids() == ids[:1]
        assert await kit.claim() == []

    async def test_a_sweep_with_retention_leaves_the_place_alone(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        await kit.settle(first.lease, OUTCOMES["retry"])
        for _ in range(2):
            assert (await kit.sweep(RETAIN)).opened == 0
        assert await holder(kit) == first.id
        assert await kit.claim() == []
        kit.clock.advance("61m")
        await kit.sweep(RETAIN)
        assert await kit.claimed_ids() == [first.id]
        assert await kit.states(*ids) == ["parked"] * 2

    async def test_a_gate_with_a_place_that_is_taken_is_not_forgotten(self, kit: Kit) -> None:
        first, _ = await begun(kit, waiting=0)
        await kit.settle(first.lease, OUTCOMES["retry"])
        await kit.sweep(RETAIN)
        assert await holder(kit) == first.id
        await kit.alter(Action.CANCEL, first.id)
        await kit.sweep(RETAIN)
        await kit.sweep(RETAIN)
        assert await kit.store.gates(now=kit.clock()) == []

    async def test_who_is_on_its_last_life_keeps_the_place(self, kit: Kit) -> None:
        await kit.limit("line", slots=1)
        first = await kit.run(flow=LINE, max_attempts=2)
        kit.clock.advance("2m")
        await kit.sweep()
        waits = await kit.put(flow=LINE)
        other = await kit.put(flow=flow(turn("other")))
        assert await kit.claimed_ids() == [first.id, other]
        assert await kit.states(waits) == ["parked"]

    async def test_a_settlement_of_a_lost_lease_gives_no_place_back(self, kit: Kit) -> None:
        first, ids = await begun(kit)
        kit.clock.advance("2m")
        await kit.sweep()
        assert await kit.claimed_ids() == [first.id]
        await kit.settle(first.lease, DONE)
        assert await holder(kit) == first.id
        assert await kit.states(*ids) == ["parked"] * 2

    # the place of an attempt

    @each_outcome
    async def test_skip_the_end_of_an_attempt_lets_the_next_one_in(self, kit: Kit, outcome: Outcome) -> None:
        first, ids = await begun(kit, text=SKIP)
        await kit.settle(first.lease, outcome)
        assert await kit.states(*ids) == ["available", "parked"]
        assert await kit.claimed_ids() == ids[:1]
        assert await holder(kit) == ids[0]

    async def test_skip_who_is_due_again_lines_up_by_its_new_time(self, kit: Kit) -> None:
        first, ids = await begun(kit, text=SKIP)
        await kit.settle(first.lease, RetryLater(SECOND, BOOM))
        kit.clock.advance("1s")
        await kit.sweep()
        done = []
        while claimed := await kit.claim():
            done += [job.id for job in claimed]
            await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
        assert done == [*ids, first.id]

    async def test_skip_a_rescue_lets_the_next_one_in(self, kit: Kit) -> None:
        _, ids = await begun(kit, text=SKIP)
        kit.clock.advance("2m")
        report = await kit.sweep()
        assert (report.rescued, report.opened) == (1, 1)
        assert await kit.states(*ids) == ["available", "parked"]

    # many at once

    @both_orders
    async def test_claimers_at_once_keep_the_order(self, kit: Kit, order: Order) -> None:
        await kit.limit("line", slots=1)
        keys = ["a", "b", "c"]
        ids: dict[str, list[str]] = {key: [] for key in keys}
        for number in range(24):
            key = keys[number % 3]
            ids[key].append(await kit.put(flow=flow(turn(key, order))))
        started: dict[str, list[str]] = {key: [] for key in keys}
        owner = {job_id: key for key, some in ids.items() for job_id in some}
        running: set[str] = set()

        async def work(worker: str) -> None:
            for _ in range(60):
                for job in await kit.claim(2, worker=worker):
                    key = owner[job.id]
                    assert key not in running, "two of a key at once"
                    running.add(key)
                    started[key].append(job.id)
                    await asyncio.sleep(0)
                    running.remove(key)
                    await kit.settle(job.lease, DONE)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(f"w{number}") for number in range(4)))
        for _ in range(30):
            for job in await kit.claim(2):
                started[owner[job.id]].append(job.id)
                await kit.settle(job.lease, DONE)
        assert started == ids
