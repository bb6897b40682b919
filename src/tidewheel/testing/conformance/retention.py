"""Promises of `sweep` about pruning."""

from __future__ import annotations

from typing import Any

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.job import LogLine
from tidewheel._model.outcome import Discarded
from tidewheel._model.query import Action
from tidewheel._model.retention import FOREVER, Keep, Retention, RetentionRule, keep
from tidewheel._model.state import LIVE_STATES, JobState
from tidewheel.testing.conformance.kit import BOOM, HOUR, Kit, Suite

COMPLETED, CANCELLED, DISCARDED = JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED
NOTHING = Retention(completed=keep(0), failed=keep(0))
EVERYTHING = Retention(completed=FOREVER, failed=FOREVER)


def rule(
    completed: Keep = FOREVER, failed: Keep = FOREVER, *, kind: str = "work", queue: str | None = None
) -> RetentionRule:
    return RetentionRule(kind, queue, Retention(completed=completed, failed=failed))


class TestRetention(Suite):
    async def ended(self, kit: Kit, *states: JobState, **changes: Any) -> list[str]:
        """Jobs that ended one second apart, the last one just now."""
        ids = []
        for state in states:
            kit.clock.advance("1s")
            ids.append((await kit.at(state, **changes)).id)
        return ids

    async def test_without_a_rule_everything_is_kept(self, kit: Kit) -> None:
        ids = await self.ended(kit, COMPLETED, CANCELLED, DISCARDED)
        kit.clock.advance("5000d")
        assert (await kit.sweep()).pruned == 0
        assert await kit.listed() == ids[::-1]

    @pytest.mark.parametrize("state", [COMPLETED, CANCELLED, DISCARDED])
    async def test_a_jobs_own_time_is_over_at_its_last_moment_and_not_before(self, kit: Kit, state: JobState) -> None:
        own: dict[str, Any] = {"keep_completed": HOUR} if state is COMPLETED else {"keep_failed": HOUR}
        row = await kit.at(state, **own)
        kit.clock.set(kit.clock() + HOUR - 1)
        assert (await kit.sweep()).pruned == 0
        kit.clock.set(kit.clock() + 1)
        assert (await kit.sweep()).pruned == 1
        assert not await kit.exists(row.id)

    @pytest.mark.parametrize("state", [COMPLETED, CANCELLED, DISCARDED])
    async def test_a_job_that_is_kept_for_no_time_goes_with_the_next_sweep(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, keep_completed=0, keep_failed=0)
        assert await kit.exists(row.id), "not before: the repeat of its settlement must find it"
        assert (await kit.sweep()).pruned == 1
        assert not await kit.exists(row.id)

    async def test_each_own_time_is_for_its_own_states(self, kit: Kit) -> None:
        completed = (await self.ended(kit, COMPLETED, keep_failed=0))[0]
        failed = await self.ended(kit, CANCELLED, DISCARDED, keep_completed=0)
        kit.clock.advance("1h")
        assert (await kit.sweep()).pruned == 0
        assert await kit.listed() == [*reversed(failed), completed]

    @pytest.mark.parametrize("state", sorted(LIVE_STATES))
    async def test_a_live_job_is_never_pruned(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, keep_completed=0, keep_failed=0, wait=400 * 24 * HOUR)
        await kit.beat(*([(await kit.run(queue="other")).lease]), lease=HOUR)
        assert (await kit.sweep(rule(keep(0), keep(0)))).pruned == 0
        assert await kit.row(row.id) == row

    async def test_a_rule_prunes_by_age(self, kit: Kit) -> None:
        old, young = await self.ended(kit, COMPLETED, COMPLETED)
        kit.clock.advance("10s")
        by_age = rule(Keep(age=11 * SECOND))
        assert (await kit.sweep(by_age)).pruned == 1
        assert await kit.listed() == [young]
        assert not await kit.exists(old)

    async def test_a_rule_prunes_by_count_the_oldest_to_end_first(self, kit: Kit) -> None:
        slow = await kit.run(queue="default")
        first, second = await self.ended(kit, COMPLETED, COMPLETED)
        kit.clock.advance("1s")
        await kit.settle(slow.lease, Discarded(BOOM))
        assert (await kit.sweep(rule(keep(1), keep(1)))).pruned == 1
        assert await kit.listed() == [second, slow.id]
        assert not await kit.exists(first)

    async def test_the_order_of_the_ends_counts_not_that_of_the_enqueue(self, kit: Kit) -> None:
        slow = await kit.at(JobState.RUNNING)
        quick = await kit.at(CANCELLED)
        kit.clock.advance("1s")
        await kit.alter(Action.CANCEL, slow.id)
        kit.clock.advance("5m")
        assert (await kit.sweep()).cancelled == 1
        assert (await kit.sweep(rule(failed=keep(1)))).pruned == 1
        assert await kit.listed() == [slow.id]
        assert not await kit.exists(quick.id)

    async def test_both_bounds_hold_at_once(self, kit: Kit) -> None:
        ids = await self.ended(kit, *[COMPLETED] * 5)
        assert (await kit.sweep(rule(keep(4, age="2s")))).pruned == 3
        assert await kit.listed() == [ids[4], ids[3]]
        assert (await kit.sweep(rule(keep(1, age="2s")))).pruned == 1
        assert await kit.listed() == [ids[4]]

    async def test_a_rule_that_keeps_everything_prunes_nothing(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, CANCELLED, DISCARDED)
        kit.clock.advance("5000d")
        assert (await kit.sweep(rule())).pruned == 0

    async def test_keep_none_prunes_what_has_just_ended(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, CANCELLED, DISCARDED)
        assert (await kit.sweep(rule(keep(0), keep(0)))).pruned == 3

    async def test_an_age_of_zero_prunes_what_has_just_ended(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, CANCELLED, DISCARDED)
        assert (await kit.sweep(rule(keep(age=0), keep(age=0)))).pruned == 3

    async def test_completed_and_failed_jobs_are_counted_apart(self, kit: Kit) -> None:
        ids = await self.ended(kit, COMPLETED, DISCARDED, COMPLETED, CANCELLED, COMPLETED, DISCARDED)
        assert (await kit.sweep(rule(keep(2), keep(1)))).pruned == 3
        assert await kit.listed() == [ids[5], ids[4], ids[2]]

    async def test_queues_and_kinds_are_counted_apart(self, kit: Kit) -> None:
        first = await self.ended(kit, COMPLETED, COMPLETED, queue="a")
        second = await self.ended(kit, COMPLETED, COMPLETED, queue="b")
        other = await self.ended(kit, COMPLETED, COMPLETED, queue="a", kind="other")
        assert (await kit.sweep(rule(keep(1)), rule(keep(1), kind="other"))).pruned == 3
        assert await kit.listed() == [other[1], second[1], first[1]]

    async def test_kinds_that_no_rule_names_are_left_alone(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED)
        strange = await self.ended(kit, COMPLETED, kind="strange")
        kit.clock.advance("5000d")
        assert (await kit.sweep(rule(keep(0), keep(0)))).pruned == 1
        assert await kit.listed() == strange

    async def test_a_rule_for_a_queue_is_for_that_queue_only(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, queue="a")
        other = await self.ended(kit, COMPLETED, queue="b")
        assert (await kit.sweep(rule(keep(0), queue="a"))).pruned == 1
        assert await kit.listed() == other

    async def test_the_first_rule_that_matches_counts(self, kit: Kit) -> None:
        kept = await self.ended(kit, COMPLETED, COMPLETED, queue="a")
        await self.ended(kit, COMPLETED, COMPLETED, queue="b")
        rules = (rule(keep(2), queue="a"), rule(keep(0)), rule(keep(0), queue="a"))
        assert (await kit.sweep(*rules)).pruned == 2
        assert await kit.listed() == kept[::-1]

    async def test_a_job_with_its_own_time_is_no_business_of_the_rules(self, kit: Kit) -> None:
        own = await self.ended(kit, COMPLETED, COMPLETED, keep_completed=HOUR)
        ruled = await self.ended(kit, COMPLETED, COMPLETED)
        own += await self.ended(kit, DISCARDED, keep_failed=HOUR)
        assert (await kit.sweep(rule(keep(1), keep(0)))).pruned == 1
        assert await kit.listed() == [own[2], ruled[1], own[1], own[0]]

    async def test_an_own_time_for_the_other_states_does_not_protect(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, keep_failed=HOUR)
        await self.ended(kit, DISCARDED, keep_completed=HOUR)
        assert (await kit.sweep(rule(keep(0), keep(0)))).pruned == 2

    async def test_the_past_goes_with_its_job(self, kit: Kit) -> None:
        lease = (await kit.run(id="again")).lease
        await kit.beat(lease, logs=[LogLine(1, "info", "before")])
        await kit.settle(lease, Discarded(BOOM))
        await kit.sweep(rule(failed=keep(0)))
        assert await kit.store.history("again") is None
        await kit.put(id="again")
        past = await kit.past("again")
        assert (past.attempts, past.logs) == ((), ())

    async def test_a_pruned_id_and_key_are_free(self, kit: Kit) -> None:
        await self.ended(kit, COMPLETED, id="again", unique_key="k")
        await kit.sweep(rule(keep(0)))
        (answer,) = await kit.enqueue(kit.new(id="again", unique_key="k"))
        assert answer.inserted

    async def test_a_retried_job_is_live_and_kept(self, kit: Kit) -> None:
        row = await kit.at(DISCARDED, keep_failed=HOUR)
        await kit.alter(Action.RETRY, row.id)
        kit.clock.advance("2h")
        assert (await kit.sweep(rule(keep(0), keep(0)))).pruned == 0
        assert await kit.exists(row.id)
