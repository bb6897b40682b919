"""Promises about jobs of which only so many come in within a window of time."""

from __future__ import annotations

import asyncio

from tidewheel._model.duration import SECOND
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import HOUR, MINUTE, Kit, Suite
from tidewheel.testing.conformance.rules_keys import PRUNE_ALL, ask, rule

TWO = rule(holds="none", period=MINUTE, count=2)


class TestRulesWindow(Suite):
    async def test_so_many_come_in_and_the_others_are_dropped(self, kit: Kit) -> None:
        end = kit.clock() + MINUTE
        assert await ask(kit, id="a", rule=TWO) == Enqueued("a", inserted=True, remaining=1, reset_at=end)
        kit.clock.advance("10s")
        assert await ask(kit, id="b", rule=TWO) == Enqueued("b", inserted=True, remaining=0, reset_at=end)
        kit.clock.advance("10s")
        answer = await ask(kit, id="c", rule=TWO)
        assert answer == Enqueued(
            "b", inserted=False, state=JobState.AVAILABLE, did="dropped", remaining=0, reset_at=end
        )
        assert await kit.listed() == ["b", "a"]

    async def test_the_window_begins_anew_with_the_first_after_its_end(self, kit: Kit) -> None:
        for _ in range(3):
            await ask(kit, rule=TWO)
        kit.clock.set(kit.clock() + MINUTE - 1)
        assert (await ask(kit, rule=TWO)).did == "dropped"
        kit.clock.set(kit.clock() + 5 * SECOND)
        answer = await ask(kit, rule=TWO)
        assert (answer.inserted, answer.remaining, answer.reset_at) == (True, 1, kit.clock() + MINUTE)

    async def test_a_window_is_over_at_its_end(self, kit: Kit) -> None:
        once = rule(period=MINUTE, count=1)
        assert (await ask(kit, rule=once)).inserted
        kit.clock.set(kit.clock() + MINUTE)
        assert (await ask(kit, rule=once)).inserted

    async def test_what_became_of_the_jobs_does_not_count(self, kit: Kit) -> None:
        once = rule(holds="any", period=MINUTE, count=1)
        job = await kit.at(JobState.DISCARDED, rule=once)
        assert (await ask(kit, rule=once)).state is JobState.DISCARDED
        await kit.alter(Action.DELETE, job.id)
        end = kit.clock() + MINUTE
        assert await ask(kit, rule=once) == Enqueued(job.id, inserted=False, did="dropped", remaining=0, reset_at=end)
        kit.clock.advance("1m")
        await kit.at(JobState.RUNNING, rule=once)
        kit.clock.advance("1m")
        assert (await ask(kit, rule=once)).inserted

    async def test_the_jobs_of_one_call_count_one_after_the_other(self, kit: Kit) -> None:
        jobs = [kit.new(rule=TWO) for _ in range(4)]
        answers = await kit.enqueue(*jobs)
        assert [(answer.inserted, answer.remaining) for answer in answers] == [
            (True, 1),
            (True, 0),
            (False, 0),
            (False, 0),
        ]
        assert [answer.id for answer in answers[2:]] == [jobs[1].id] * 2

    async def test_a_repeat_counts_nothing_twice(self, kit: Kit) -> None:
        job = kit.new(rule=TWO)
        await kit.enqueue(job)
        (again,) = await kit.enqueue(job)
        assert again == Enqueued(job.id, inserted=False, state=JobState.AVAILABLE)
        assert (await ask(kit, rule=TWO)).remaining == 0

    async def test_each_key_has_its_own_window(self, kit: Kit) -> None:
        for key in ("a", "b"):
            assert (await ask(kit, rule=rule(key=key, period=MINUTE, count=1))).inserted
            assert not (await ask(kit, rule=rule(key=key, period=MINUTE, count=1))).inserted

    async def test_of_many_callers_at_once_so_many_come_in(self, kit: Kit) -> None:
        three = rule(period=MINUTE, count=3)
        answers = await asyncio.gather(*(ask(kit, rule=three) for _ in range(12)))
        assert sum(answer.inserted for answer in answers) == 3
        assert sorted(answer.remaining or 0 for answer in answers if answer.inserted) == [0, 1, 2]

    async def test_other_counts_hold_from_the_next_job_on(self, kit: Kit) -> None:
        for _ in range(2):
            await ask(kit, rule=TWO)
        answer = await ask(kit, rule=rule(period=MINUTE, count=4))
        assert (answer.inserted, answer.remaining) == (True, 1)
        assert not (await ask(kit, rule=TWO)).inserted

    async def test_a_clock_that_was_set_back_or_a_shorter_window_shuts_nobody_out_for_longer(self, kit: Kit) -> None:
        await ask(kit, rule=rule(period=HOUR, count=1))
        answer = await ask(kit, rule=rule(period=MINUTE, count=1))
        assert (answer.inserted, answer.reset_at) == (True, kit.clock() + MINUTE)
        kit.clock.set(kit.clock() - SECOND)
        answer = await ask(kit, rule=rule(period=MINUTE, count=1))
        assert (answer.inserted, answer.reset_at) == (True, kit.clock() + MINUTE)

    async def test_a_sweep_forgets_no_window_that_runs(self, kit: Kit) -> None:
        once = rule(period=HOUR, count=1)
        await kit.at(JobState.COMPLETED, rule=once)
        await kit.sweep(PRUNE_ALL)
        assert await kit.listed() == []
        assert (await ask(kit, rule=once)).did == "dropped"
        kit.clock.advance("1h")
        await kit.sweep(PRUNE_ALL)
        assert (await ask(kit, rule=once)).inserted
