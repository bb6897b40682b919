"""Promises about `RetryLater.hold`: a handler shuts a gate for everybody, because who is behind it asked for that."""

from __future__ import annotations

import pytest

from tidewheel._model.flow import Pass
from tidewheel._model.outcome import Complete, RetryLater, Settlement
from tidewheel._model.query import Action
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.kit import BOOM, HOUR, MINUTE, Kit, Suite, flow
from tidewheel.testing.conformance.wakeups import heard

DONE = Complete("1")
HOLD = RetryLater(MINUTE, BOOM, hold=("vendor",))
VENDOR = flow("vendor:x")


class TestGatesHold(Suite):
    async def test_the_whole_gate_waits_until_the_time_is_over(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=5)
        held = await kit.run(flow=VENDOR, max_attempts=5)
        begin = kit.clock()
        await kit.settle(held.lease, HOLD)
        ids = [await kit.put(flow=VENDOR) for _ in range(3)]
        assert await kit.claim() == []
        assert await kit.states(held.id, *ids) == ["retryable", "parked", "parked", "parked"]
        gate = await kit.gate("vendor:x")
        assert (gate.used, gate.room, gate.opens_at) == (0, 0, begin + MINUTE)
        assert (await kit.sweep()).next_due_at == begin + MINUTE
        kit.clock.set(begin + MINUTE - 1)
        assert (await kit.sweep()).opened == 0
        kit.clock.set(begin + MINUTE)
        report = await kit.sweep()
        assert (report.opened, report.promoted) == (3, 1)
        assert sorted(await kit.claimed_ids()) == sorted([held.id, *ids])

    async def test_other_keys_and_other_limits_go_on(self, kit: Kit) -> None:
        for name in ("vendor", "other"):
            await kit.limit(name, slots=5)
        held = await kit.run(flow=flow("vendor:x", "other"), max_attempts=5)
        await kit.settle(held.lease, HOLD)
        free = [await kit.put(flow=flow(one)) for one in ("vendor:y", "vendor", "other")]
        await kit.put(flow=flow("other", "vendor:x"))
        assert await kit.claimed_ids() == free

    async def test_it_shuts_rates_too(self, kit: Kit) -> None:
        await kit.limit("vendor", count=100, per=MINUTE)
        text = flow(Pass("vendor", holds=False))
        held = await kit.run(flow=text, max_attempts=5)
        await kit.settle(held.lease, RetryLater(HOUR, BOOM, hold=("vendor",)))
        begin = kit.clock()
        waits = await kit.put(flow=text)
        assert await kit.claim() == []
        kit.clock.set(begin + HOUR - 1)
        await kit.sweep()
        assert await kit.states(waits) == ["parked"]
        kit.clock.set(begin + HOUR)
        await kit.sweep()
        assert waits in await kit.claimed_ids()

    async def test_who_waits_already_waits_on_and_running_ones_go_on(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=2)
        one, two = [await kit.put(flow=VENDOR, max_attempts=5) for _ in range(2)]
        leases = {job.id: job.lease for job in await kit.claim()}
        waits = await kit.put(flow=VENDOR)
        assert await kit.claim() == []
        begin = kit.clock()
        await kit.settle(leases[one], HOLD)
        assert await kit.states(waits) == ["parked"]
        await kit.settle(leases[two], DONE)
        assert await kit.states(two, waits) == ["completed", "parked"]
        kit.clock.set(begin + MINUTE)
        assert (await kit.sweep()).opened == 1

    async def test_the_longest_time_counts(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=2)
        for _ in range(2):
            await kit.put(flow=VENDOR, max_attempts=5)
        one, two = await kit.claim()
        begin = kit.clock()
        long = RetryLater(HOUR, BOOM, hold=("vendor",))
        await kit.store.settle([Settlement(one.lease, long), Settlement(two.lease, HOLD)], now=kit.clock())
        assert (await kit.gate("vendor:x")).opens_at == begin + HOUR

    async def test_a_limit_that_is_none_of_the_jobs_is_left_alone(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=2)
        await kit.limit("other", slots=2)
        held = await kit.run(flow=flow("other"), max_attempts=5)
        await kit.settle(held.lease, HOLD)
        plain = await kit.run(queue="q", max_attempts=5)
        await kit.settle(plain.lease, HOLD)
        waits = await kit.put(flow=flow("vendor"))
        assert waits in await kit.claimed_ids()

    async def test_a_repeat_does_not_shut_it_again(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=2)
        held = await kit.run(flow=VENDOR, max_attempts=5)
        begin = kit.clock()
        await kit.settle(held.lease, HOLD)
        kit.clock.advance("30s")
        await kit.settle(held.lease, HOLD)
        assert (await kit.gate("vendor:x")).opens_at == begin + MINUTE

    async def test_it_holds_also_when_the_job_was_asked_to_stop(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=2)
        held = await kit.run(flow=VENDOR, max_attempts=5)
        await kit.alter(Action.CANCEL, held.id)
        await kit.settle(held.lease, HOLD)
        assert await kit.states(held.id) == ["cancelled"]
        assert (await kit.gate("vendor:x")).room == 0

    @pytest.mark.parametrize("outcome", [HOLD, DONE], ids=["hold", "complete"])
    async def test_a_lost_lease_shuts_nothing(self, kit: Kit, outcome: RetryLater | Complete) -> None:
        await kit.limit("vendor", slots=2)
        held = await kit.run(flow=VENDOR, max_attempts=5)
        kit.clock.advance("5m")
        await kit.sweep()
        await kit.settle(held.lease, outcome)
        assert (await kit.gate("vendor:x")).room == 2

    async def test_when_it_opens_is_hinted(self, kit: Kit) -> None:
        await kit.limit("vendor", slots=1)
        held = await kit.run(flow=VENDOR, max_attempts=1)
        await kit.put(flow=VENDOR)
        assert await kit.claim() == []
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            await kit.settle(held.lease, HOLD)
            await heard(hints, Wakeup.DUE)
