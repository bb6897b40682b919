"""Promises about limits that are rates: how many start in a time, what a start costs, when the next ones are let in."""

from __future__ import annotations

from typing import Any

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError
from tidewheel._model.flow import Pass
from tidewheel._model.limit import Allowance, Hit
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.kit import HOUR, MINUTE, Kit, Suite, flow
from tidewheel.testing.conformance.wakeups import heard

DONE = Complete("1")
each_algorithm = pytest.mark.parametrize("algorithm", ["sliding", "bucket", "fixed"])


def rate(name: str = "rate", cost: int = 1) -> str:
    """A flow of one start of a rate."""
    limit, _, value = name.partition(":")
    return flow(Pass(limit, value, cost, holds=False))


async def starts(kit: Kit) -> int:
    """Sweep and claim: so many start now. They end at once."""
    await kit.sweep()
    claimed = await kit.claim()
    await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
    return len(claimed)


async def limited(kit: Kit, jobs: int, cost: int = 1, **rule: Any) -> int:
    """A declared rate and jobs for it, at a moment at which a window of a minute begins. Gives that moment."""
    kit.clock.set(kit.clock() - kit.clock() % MINUTE)
    await kit.limit("rate", **rule)
    for _ in range(jobs):
        await kit.put(flow=rate(cost=cost))
    return kit.clock()


class TestGatesRates(Suite):
    @each_algorithm
    async def test_so_many_start_and_the_next_ones_when_time_is_over_and_not_before(
        self, kit: Kit, algorithm: str
    ) -> None:
        begin = await limited(kit, 7, count=3, per=MINUTE, algorithm=algorithm)
        assert await starts(kit) == 3
        assert await starts(kit) == 0
        opens = 20 * SECOND if algorithm == "bucket" else MINUTE
        report = await kit.sweep()
        assert report.next_due_at == begin + opens
        assert (await kit.gate("rate")).opens_at == begin + opens
        kit.clock.set(begin + opens - 1)
        assert await starts(kit) == 0
        kit.clock.set(begin + opens)
        assert await starts(kit) == (1 if algorithm == "bucket" else 3)
        assert await starts(kit) == 0

    async def test_a_sliding_window_remembers_each_start(self, kit: Kit) -> None:
        begin = await limited(kit, 9, count=3, per=MINUTE)
        kit.clock.set(begin + 1)
        assert await starts(kit) == 3, "that is what there is"
        for second, expected in ((59, 0), (60, 0)):
            kit.clock.set(begin + second * SECOND)
            assert await starts(kit) == expected
        kit.clock.set(begin + 1 + MINUTE)
        assert len(await kit.claim(2)) == 0, "a claim opens nothing: the sweep does"
        await kit.sweep()
        assert len(await kit.claim(2)) == 2
        kit.clock.set(begin + MINUTE + 30 * SECOND)
        assert await starts(kit) == 1
        kit.clock.set(begin + 2 * MINUTE)
        assert await starts(kit) == 0
        kit.clock.set(begin + 1 + 2 * MINUTE)
        assert await starts(kit) == 2
        assert await starts(kit) == 0
        kit.clock.set(begin + 2 * MINUTE + 30 * SECOND)
        assert await starts(kit) == 1

    async def test_a_fixed_window_is_one_of_the_clock(self, kit: Kit) -> None:
        begin = await limited(kit, 9, count=3, per=MINUTE, algorithm="fixed")
        kit.clock.set(begin + 59 * SECOND)
        assert await starts(kit) == 3
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) == 3

    async def test_a_bucket_drips_and_saves_no_more_than_its_burst(self, kit: Kit) -> None:
        begin = await limited(kit, 30, count=60, per=MINUTE, algorithm="bucket", burst=2)
        assert await starts(kit) == 2
        for second in (1, 2, 3):
            kit.clock.set(begin + second * SECOND)
            assert await starts(kit) == 1
        kit.clock.set(begin + 5 * SECOND)
        assert await starts(kit) == 2
        kit.clock.set(begin + HOUR)
        assert await starts(kit) == 2

    @each_algorithm
    async def test_a_long_line_starts_in_its_order_and_keeps_the_rate(self, kit: Kit, algorithm: str) -> None:
        begin = await limited(kit, 0, count=4, per=MINUTE, algorithm=algorithm)
        ids = [await kit.put(flow=rate()) for _ in range(10)]
        order: list[str] = []
        while len(order) < 10:
            due = (await kit.sweep()).next_due_at
            claimed = await kit.claim()
            await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
            order += [job.id for job in claimed]
            assert len(order) <= 4 * (1 + (kit.clock() - begin) // MINUTE) + (4 if algorithm == "bucket" else 0)
            if not claimed:
                assert due is not None
                kit.clock.set(due)
        assert order == ids
        assert kit.clock() == begin + (90 * SECOND if algorithm == "bucket" else 2 * MINUTE)

    @each_algorithm
    async def test_no_more_are_let_in_than_may_start(self, kit: Kit, algorithm: str) -> None:
        """A herd that is let in and parked again would be work for nothing."""
        begin = await limited(kit, 200, count=5, per=MINUTE, algorithm=algorithm)
        assert await starts(kit) == 5
        kit.clock.set(begin + MINUTE)
        assert (await kit.sweep()).opened == 5
        assert len(await kit.listed(states=(JobState.AVAILABLE,))) == 5

    async def test_starts_of_different_gates_do_not_mix(self, kit: Kit) -> None:
        await kit.limit("rate", count=1, per=MINUTE)
        for key in ("x", "y"):
            for _ in range(2):
                await kit.put(flow=rate(f"rate:{key}"))
        assert await starts(kit) == 2
        kit.clock.advance("1m")
        assert await starts(kit) == 2

    # cost

    @each_algorithm
    async def test_a_start_takes_its_cost(self, kit: Kit, algorithm: str) -> None:
        begin = await limited(kit, 3, cost=4, count=10, per=MINUTE, algorithm=algorithm)
        small = await kit.put(flow=rate(cost=2))
        assert await starts(kit) == 3, "4 + 4, and the 2 behind them that still fit"
        assert await kit.states(small) == ["completed"]
        assert (await kit.gate("rate")).room == 0
        kit.clock.set(begin + (24 * SECOND if algorithm == "bucket" else MINUTE) - 1)
        assert await starts(kit) == 0
        kit.clock.set(kit.clock() + 1)
        assert await starts(kit) == 1

    async def test_it_opens_when_the_next_one_fits_not_when_there_is_anything(self, kit: Kit) -> None:
        begin = await limited(kit, 0, count=10, per=MINUTE)
        await kit.put(flow=rate(cost=1))
        assert await starts(kit) == 1
        kit.clock.set(begin + 10 * SECOND)
        await kit.put(flow=rate(cost=9))
        assert await starts(kit) == 1
        await kit.put(flow=rate(cost=5))
        assert await starts(kit) == 0
        assert (await kit.sweep()).next_due_at == begin + 10 * SECOND + MINUTE
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) == 0
        kit.clock.set(begin + 10 * SECOND + MINUTE)
        assert await starts(kit) == 1

    async def test_small_ones_behind_a_big_one_are_not_slowed_down_for_ever(self, kit: Kit) -> None:
        begin = await limited(kit, 0, count=10, per=MINUTE)
        await kit.put(flow=rate(cost=5))
        big = await kit.put(flow=rate(cost=10))
        small = [await kit.put(flow=rate()) for _ in range(15)]
        assert await starts(kit) == 6
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) == 1
        assert await kit.states(big) == ["completed"]
        kit.clock.set(begin + 2 * MINUTE)
        started = 0
        while count := await starts(kit):
            started += count
        assert started == 10
        assert await kit.states(*small) == ["completed"] * 15

    async def test_what_costs_more_than_there_ever_is_waits_for_all_of_it(self, kit: Kit) -> None:
        begin = await limited(kit, 0, count=10, per=MINUTE)
        await kit.put(flow=rate())
        assert await starts(kit) == 1
        huge = await kit.put(flow=rate(cost=99))
        assert await starts(kit) == 0
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) == 1
        assert await kit.states(huge) == ["completed"]
        assert (await kit.gate("rate")).room == 0

    # together with slots, and with changes

    async def test_slots_and_a_rate_all_or_none(self, kit: Kit) -> None:
        await kit.limit("slots", slots=1)
        begin = await limited(kit, 0, count=2, per=MINUTE)
        text = flow("slots", Pass("rate", holds=False))
        ids = [await kit.put(flow=text) for _ in range(4)]
        (first,) = await kit.claim()
        assert (await kit.gate("rate")).room == 1, "who found no slot took nothing of the rate"
        await kit.settle(first.lease, DONE)
        assert await starts(kit) == 1
        assert await kit.claim() == []
        row = await kit.row(ids[2])
        assert (row.state.value, row.parked_by) == ("parked", "rate")
        assert (await kit.gate("slots")).used == 0
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) == 1
        assert await starts(kit) == 1

    async def test_the_end_of_an_attempt_gives_nothing_of_a_rate_back(self, kit: Kit) -> None:
        await limited(kit, 3, count=1, per=MINUTE)
        assert await starts(kit) == 1
        assert await starts(kit) == 0
        gate = await kit.gate("rate")
        assert (gate.used, gate.room) == (0, 0)

    async def test_every_start_counts_also_that_of_a_retry(self, kit: Kit) -> None:
        begin = await limited(kit, 0, count=1, per=MINUTE)
        job_id = await kit.put(flow=rate(), max_attempts=5)
        (claimed,) = await kit.claim()
        kit.clock.advance("59s")
        await kit.beat(claimed.lease)
        await kit.sweep()
        assert await kit.states(job_id) == ["running"]
        kit.clock.set(begin + 3 * MINUTE)
        await kit.sweep()
        assert await kit.claimed_ids() == [job_id]
        await kit.put(flow=rate())
        assert await kit.claim() == []

    async def test_a_raised_rate_acts_with_the_next_sweep(self, kit: Kit) -> None:
        await limited(kit, 9, count=2, per=HOUR)
        assert await starts(kit) == 2
        await kit.overrule("rate", count=5)
        assert await starts(kit) == 3
        await kit.overrule("rate", count=5, per=SECOND)
        kit.clock.advance("1s")
        assert await starts(kit) == 4

    async def test_a_paused_rate_has_no_time(self, kit: Kit) -> None:
        await limited(kit, 2, count=1, per=SECOND)
        await kit.overrule("rate", paused=True)
        assert await starts(kit) == 0
        kit.clock.advance("1h")
        assert (await kit.sweep()).next_due_at is None
        await kit.overrule("rate", paused=False)
        assert await starts(kit) == 1

    @each_algorithm
    async def test_a_clock_that_steps_back_does_not_shut_it_for_long(self, kit: Kit, algorithm: str) -> None:
        begin = await limited(kit, 9, count=2, per=MINUTE, algorithm=algorithm)
        kit.clock.set(begin + 24 * HOUR)
        assert await starts(kit) == 2
        kit.clock.set(begin)
        await kit.put(flow=rate())
        await kit.overrule("rate", count=2)
        assert await starts(kit) == 0
        kit.clock.set(begin + MINUTE)
        assert await starts(kit) > 0

    async def test_when_it_opens_is_hinted(self, kit: Kit) -> None:
        await limited(kit, 3, count=1, per=MINUTE)
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            assert len(await kit.claim()) == 1
            await heard(hints, Wakeup.DUE)

    async def test_a_rate_that_nobody_uses_is_forgotten(self, kit: Kit) -> None:
        rule = RetentionRule("work", None, Retention(completed=keep(0)))
        begin = await limited(kit, 1, count=2, per=MINUTE)
        assert await starts(kit) == 1
        kit.clock.set(begin + MINUTE - 1)
        await kit.sweep(rule)
        assert (await kit.gate("rate")).room == 1
        kit.clock.set(begin + MINUTE)
        await kit.sweep(rule)
        assert await kit.store.gates(now=kit.clock()) == []

    # by hand

    @each_algorithm
    async def test_hit_takes_what_there_is_room_for(self, kit: Kit, algorithm: str) -> None:
        begin = await limited(kit, 0, count=3, per=MINUTE, algorithm=algorithm)
        hits = [Hit("rate", "x"), Hit("rate", "x", 3), Hit("rate", "y", 3), Hit("rate", "x", 2), Hit("rate", "x")]
        first, big, other, rest, over = await kit.store.hit(hits, now=begin)
        opens, whole = 20 * SECOND if algorithm == "bucket" else MINUTE, begin + MINUTE
        assert first == Allowance(allowed=True, remaining=2, reset_at=begin + opens)
        assert big == Allowance(allowed=False, remaining=2, retry_at=begin + opens, reset_at=begin + opens)
        assert other == Allowance(allowed=True, remaining=0, reset_at=whole)
        assert rest == Allowance(allowed=True, remaining=0, reset_at=whole)
        assert over == Allowance(allowed=False, remaining=0, retry_at=begin + opens, reset_at=whole)
        (later,) = await kit.store.hit([Hit("rate", "x")], now=begin + opens)
        assert later.allowed

    async def test_hits_and_jobs_share_the_rate(self, kit: Kit) -> None:
        begin = await limited(kit, 3, count=3, per=MINUTE)
        (answer,) = await kit.store.hit([Hit("rate", cost=2)], now=begin)
        assert answer.allowed
        assert await starts(kit) == 1
        (answer,) = await kit.store.hit([Hit("rate")], now=begin)
        assert answer == Allowance(allowed=False, remaining=0, retry_at=begin + MINUTE, reset_at=begin + MINUTE)

    @pytest.mark.parametrize("rule", [None, {"slots": 3}, {"slots": 3, "count": 3, "per": 3}, {}])
    async def test_only_a_declared_rate_may_be_hit(self, kit: Kit, rule: dict[str, int] | None) -> None:
        await limited(kit, 0, count=3, per=MINUTE)
        if rule is not None:
            await kit.limit("other", **rule)
        with pytest.raises(StoreError, match="other"):
            await kit.store.hit([Hit("rate"), Hit("other")], now=kit.clock())
        assert await kit.store.gates(now=kit.clock()) == [], "nothing is taken"

    async def test_a_paused_rate_refuses(self, kit: Kit) -> None:
        await limited(kit, 0, count=3, per=MINUTE)
        await kit.overrule("rate:x", paused=True)
        stopped, other = await kit.store.hit([Hit("rate", "x"), Hit("rate", "y")], now=kit.clock())
        assert stopped == Allowance(allowed=False, remaining=0)
        assert (other.allowed, other.remaining) == (True, 2)

    async def test_no_hits_no_answers(self, kit: Kit) -> None:
        assert await kit.store.hit([], now=kit.clock()) == []
