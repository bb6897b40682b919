"""Promises about breakers: failures shut a gate for a while, then some jobs try, and one that completes opens it."""

from __future__ import annotations

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.flow import Pass
from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Complete, Outcome, RetryLater, Settlement
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel.testing.conformance.kit import BOOM, OUTCOMES, Kit, Suite, flow

DONE = Complete("1")
FAILS = RetryLater(600 * SECOND, BOOM)
CIRCUIT = flow(Pass("circuit", "host", trips=True))
RULE = {"failures": 2, "within": 60 * SECOND, "open_for": 30 * SECOND}
neither = pytest.mark.parametrize("outcome", [OUTCOMES["snooze"], OUTCOMES["release"], OUTCOMES["cancel"]])


async def running(kit: Kit, count: int) -> list[Claimed]:
    """So many jobs of the circuit that run."""
    for _ in range(count):
        await kit.put(flow=CIRCUIT, max_attempts=9, max_crashes=9)
    claimed = await kit.claim(count)
    assert len(claimed) == count
    return claimed


async def end(kit: Kit, jobs: list[Claimed], outcome: Outcome) -> None:
    await kit.store.settle([Settlement(job.lease, outcome) for job in jobs], now=kit.clock())


async def tripped(kit: Kit) -> list[str]:
    """A circuit that two failures have shut this moment, with three jobs that wait: their ids."""
    await kit.limit("circuit", **RULE)
    await end(kit, await running(kit, 2), FAILS)
    ids = [await kit.put(flow=CIRCUIT, max_attempts=9) for _ in range(3)]
    assert await kit.claim() == []
    assert await kit.states(*ids) == ["parked"] * 3
    return ids


class TestGatesBreaker(Suite):
    async def test_a_circuit_without_failures_is_open_to_all(self, kit: Kit) -> None:
        await kit.limit("circuit", **RULE)
        jobs = await running(kit, 5)
        await end(kit, jobs, DONE)
        gate = await kit.gate("circuit:host")
        assert (gate.used, gate.room, gate.shut_until) == (0, 1000, None)

    async def test_failures_shut_it_for_its_time(self, kit: Kit) -> None:
        ids = await tripped(kit)
        gate = await kit.gate("circuit:host")
        assert (gate.room, gate.shut_until) == (0, kit.clock() + 30 * SECOND)
        assert (await kit.sweep()).next_due_at == kit.clock() + 30 * SECOND
        kit.clock.advance("29s")
        await kit.sweep()
        assert await kit.claim() == []
        assert await kit.states(*ids) == ["parked"] * 3

    async def test_the_end_of_many_attempts_is_told_at_once(self, kit: Kit) -> None:
        """The failures of a call come before what completes in it."""
        await kit.limit("circuit", **RULE)
        jobs = await running(kit, 4)
        ends: list[Outcome] = [DONE, FAILS, DONE, FAILS]
        await kit.store.settle(
            [Settlement(job.lease, one) for job, one in zip(jobs, ends, strict=True)], now=kit.clock()
        )
        assert (await kit.gate("circuit:host")).shut_until == kit.clock() + 30 * SECOND

    async def test_failures_that_are_long_ago_do_not_count(self, kit: Kit) -> None:
        await kit.limit("circuit", **RULE)
        first, second, third = await running(kit, 3)
        await end(kit, [first], FAILS)
        kit.clock.advance("60s")
        await kit.beat(second.lease, third.lease)
        await end(kit, [second], FAILS)
        assert (await kit.gate("circuit:host")).shut_until is None
        await end(kit, [third], FAILS)
        assert (await kit.gate("circuit:host")).shut_until == kit.clock() + 30 * SECOND

    async def test_after_its_time_one_job_tries(self, kit: Kit) -> None:
        ids = await tripped(kit)
        kit.clock.advance("30s")
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == ids[:1]
        assert await kit.claim() == []
        await kit.put(flow=CIRCUIT)
        assert await kit.claim() == []

    async def test_when_it_completes_all_may_pass(self, kit: Kit) -> None:
        ids = await tripped(kit)
        kit.clock.advance("30s")
        await kit.sweep()
        await end(kit, await kit.claim(), DONE)
        assert await kit.claimed_ids() == ids[1:]
        await end(kit, await running(kit, 1), FAILS)
        assert (await kit.gate("circuit:host")).shut_until is None

    async def test_when_it_fails_the_circuit_is_shut_again(self, kit: Kit) -> None:
        ids = await tripped(kit)
        kit.clock.advance("30s")
        await kit.sweep()
        await end(kit, await kit.claim(), OUTCOMES["discard"])
        assert (await kit.gate("circuit:host")).shut_until == kit.clock() + 30 * SECOND
        assert await kit.claim() == []
        kit.clock.advance("30s")
        await kit.sweep()
        assert await kit.claimed_ids() == ids[1:2]

    async def test_when_its_worker_is_lost_the_circuit_is_shut_again(self, kit: Kit) -> None:
        ids = await tripped(kit)
        kit.clock.advance("30s")
        await kit.sweep()
        assert await kit.claimed_ids() == ids[:1]
        kit.clock.advance("61s")
        assert (await kit.sweep()).rescued == 1
        assert (await kit.gate("circuit:host")).shut_until == kit.clock() + 30 * SECOND

    @neither
    async def test_who_neither_completes_nor_fails_lets_the_next_one_try(self, kit: Kit, outcome: Outcome) -> None:
        await tripped(kit)
        kit.clock.advance("30s")
        await kit.sweep()
        await end(kit, await kit.claim(), outcome)
        assert len(await kit.claim()) == 1
        assert await kit.claim() == []

    async def test_more_probes(self, kit: Kit) -> None:
        ids = await tripped(kit)
        await kit.limit("circuit", probes=2, **RULE)
        kit.clock.advance("30s")
        await kit.sweep()
        assert await kit.claimed_ids() == ids[:2]

    async def test_ends_of_attempts_that_began_before_do_not_count_while_it_is_shut(self, kit: Kit) -> None:
        await kit.limit("circuit", **RULE)
        *failing, slow, slower = await running(kit, 4)
        await end(kit, failing, FAILS)
        kit.clock.advance("10s")
        await end(kit, [slow], FAILS)
        await end(kit, [slower], DONE)
        assert (await kit.gate("circuit:host")).shut_until == kit.clock() + 20 * SECOND

    async def test_keys_have_circuits_of_their_own(self, kit: Kit) -> None:
        await tripped(kit)
        other = await kit.put(flow=flow(Pass("circuit", "other", trips=True)))
        assert await kit.claimed_ids() == [other]

    async def test_nobody_tried_it_for_long(self, kit: Kit) -> None:
        await kit.limit("circuit", **RULE)
        await end(kit, await running(kit, 2), FAILS)
        kit.clock.advance("90s")
        assert (await kit.gate("circuit:host")).room == 1000
        rule = RetentionRule("none", None, Retention(completed=keep(0)))
        await kit.sweep(rule)
        await kit.sweep(rule)
        assert await kit.store.gates(now=kit.clock()) == []

    async def test_together_with_slots(self, kit: Kit) -> None:
        await kit.limit("circuit", **RULE)
        await kit.limit("api", slots=1)
        ids = [await kit.put(flow=flow("api", Pass("circuit", "host", trips=True)), max_attempts=9) for _ in range(4)]
        for expected in ids[:2]:
            (job,) = await kit.claim()
            assert job.id == expected
            await kit.settle(job.lease, FAILS)
        assert await kit.claim() == []
        gates = [await kit.gate(key) for key in ("api", "circuit:host")]
        assert [gate.used for gate in gates] == [0, 0]
        kit.clock.advance("30s")
        await kit.sweep()
        assert await kit.claimed_ids() == ids[2:3]
