"""Promises about how many jobs of one name may wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.job import ErrorInfo
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.gates_slots import API, full
from tidewheel.testing.conformance.kit import HOUR, MINUTE, OUTCOMES, Kit, Suite
from tidewheel.testing.conformance.rules_keys import WAITING, ask, rule
from tidewheel.testing.conformance.rules_replace import anew
from tidewheel.testing.conformance.wakeups import heard

TWO = Backlog("mail", 2)
LAST_TWO = Backlog("mail", 2, drop_oldest=True)


async def add(kit: Kit, backlog: Backlog = TWO, **changes: Any) -> Enqueued:
    """Enqueue one job that is counted."""
    (answer,) = await kit.enqueue(kit.new(backlog=backlog, **changes))
    return answer


class TestBacklog(Suite):
    async def test_when_as_many_wait_as_may_the_next_is_refused(self, kit: Kit) -> None:
        for _ in range(2):
            assert (await add(kit)).inserted
        assert await add(kit, id="third") == Enqueued("third", inserted=False, did="full")
        assert not await kit.exists("third")

    async def test_a_job_shows_under_which_name_it_is_counted(self, kit: Kit) -> None:
        assert (await kit.row((await add(kit)).id)).backlog == "mail"
        assert (await kit.row(await kit.put())).backlog is None

    @pytest.mark.parametrize("state", list(JobState))
    async def test_those_that_wait_count_and_no_others(self, kit: Kit, state: JobState) -> None:
        await kit.at(state, backlog=Backlog("mail", 1))
        assert (await add(kit, Backlog("mail", 1))).inserted is (state not in WAITING)

    async def test_names_are_counted_each_for_itself(self, kit: Kit) -> None:
        for name in ("mail", "mail:a", "other"):
            assert (await add(kit, Backlog(name, 1))).inserted
            assert not (await add(kit, Backlog(name, 1))).inserted
        assert (await kit.enqueue(kit.new()))[0].inserted

    async def test_who_starts_makes_room_and_who_comes_back_takes_it(self, kit: Kit) -> None:
        one = Backlog("mail", 1)
        first = await kit.run(backlog=one, max_attempts=5)
        assert (await add(kit, one)).inserted
        await kit.settle(first.lease, OUTCOMES["retry"])
        assert not (await add(kit, Backlog("mail", 2))).inserted, "who comes back is not asked; he counts"
        (second,) = await kit.claim()
        assert (await add(kit, Backlog("mail", 2))).inserted
        assert second.id != first.id

    async def test_the_jobs_of_one_call_count(self, kit: Kit) -> None:
        answers = await kit.enqueue(*(kit.new(backlog=TWO) for _ in range(4)), kit.new(backlog=Backlog("other", 1)))
        assert [answer.did for answer in answers] == ["", "", "full", "full", ""]

    async def test_an_id_that_exists_is_not_counted_again(self, kit: Kit) -> None:
        job = kit.new(backlog=Backlog("mail", 1))
        await kit.enqueue(job)
        assert await kit.enqueue(job) == [Enqueued(job.id, inserted=False, state=JobState.AVAILABLE)]

    async def test_who_is_refused_takes_no_key(self, kit: Kit) -> None:
        one = Backlog("mail", 1)
        first = await add(kit, one)
        window = rule(key="window", period=HOUR, count=1)
        assert (await add(kit, one, rule=rule())).did == "full"
        assert (await add(kit, one, rule=window, unique_key="u")).did == "full"
        await kit.claimed_ids()
        assert (await add(kit, one, rule=rule(), unique_key="u")).inserted
        assert first.inserted
        await kit.claimed_ids()
        assert (await add(kit, one, rule=window)).remaining == 0

    async def test_who_is_answered_by_his_rule_needs_no_place(self, kit: Kit) -> None:
        one = Backlog("mail", 1)
        first = await add(kit, one, rule=anew(), delay=HOUR)
        answer = await add(kit, one, rule=anew(), delay=MINUTE)
        assert answer == Enqueued(first.id, inserted=False, state=JobState.SCHEDULED, did="replaced")

    async def test_who_takes_the_place_of_one_that_waits_needs_no_other(self, kit: Kit) -> None:
        one = Backlog("mail", 1)
        first = await add(kit, one, rule=rule())
        answer = await add(kit, one, rule=rule(on_conflict="cancel"))
        assert (answer.inserted, answer.cancelled) == (True, first.id)
        assert (await kit.row(first.id)).error == ErrorInfo(
            "tidewheel.Replaced", f"The job {answer.id} took its place."
        )

    async def test_who_is_refused_cancels_nobody(self, kit: Kit) -> None:
        await add(kit, TWO)
        holder = await add(kit, TWO, rule=rule())
        assert (await add(kit, Backlog("mail", 1), rule=rule(on_conflict="cancel"))).did == "full"
        assert (await kit.row(holder.id)).state is JobState.AVAILABLE
        running = await kit.run(queue="other", rule=rule(key="running"))
        answer = await add(kit, Backlog("mail", 2), rule=rule(key="running", on_conflict="cancel"))
        assert answer.did == "full"
        assert not (await kit.row(running.id)).cancel_requested

    async def test_of_many_callers_at_once_no_more_come_in_than_may_wait(self, kit: Kit) -> None:
        three = Backlog("mail", 3)
        answers = await asyncio.gather(*(add(kit, three) for _ in range(12)))
        assert sum(answer.inserted for answer in answers) == 3
        assert len(await kit.listed()) == 3

    async def test_the_oldest_can_make_room(self, kit: Kit) -> None:
        ids = [(await add(kit, LAST_TWO)).id for _ in range(2)]
        kit.clock.advance("1s")
        answer = await add(kit, LAST_TWO, id="third")
        assert answer == Enqueued("third", inserted=True, cancelled=ids[0])
        assert await kit.states(*ids, "third") == ["cancelled", "available", "available"]
        row = await kit.row(ids[0])
        assert row.finished_at == kit.clock()
        assert row.error == ErrorInfo("tidewheel.Dropped", "2 jobs of mail wait already; the job third took its place.")
        assert (await kit.past(ids[0])).attempts == ()

    @pytest.mark.parametrize("state", sorted(WAITING))
    async def test_the_oldest_goes_for_whatever_it_waits(self, kit: Kit, state: JobState) -> None:
        oldest = await kit.at(state, backlog=LAST_TWO, priority=1, max_attempts=3)
        second = await add(kit, LAST_TWO, priority=2, delay=HOUR)
        assert (await add(kit, LAST_TWO, priority=3)).cancelled == oldest.id
        assert (await add(kit, LAST_TWO, priority=4)).cancelled == second.id

    async def test_oldest_is_who_was_enqueued_first(self, kit: Kit) -> None:
        first = await add(kit, LAST_TWO, run_at=kit.clock(), priority=9)
        await add(kit, LAST_TWO, run_at=kit.clock() - HOUR, priority=1)
        assert (await add(kit, LAST_TWO)).cancelled == first.id

    async def test_with_fewer_than_before_as_many_go_as_are_too_many(self, kit: Kit) -> None:
        ids = [(await add(kit, Backlog("mail", 5))).id for _ in range(5)]
        answer = await add(kit, LAST_TWO)
        assert (answer.inserted, answer.cancelled) == (True, ids[0])
        assert await kit.states(*ids) == ["cancelled"] * 4 + ["available"]
        assert not (await add(kit, TWO)).inserted

    async def test_jobs_of_one_call_push_one_another_out(self, kit: Kit) -> None:
        jobs = [kit.new(backlog=LAST_TWO) for _ in range(4)]
        answers = await kit.enqueue(*jobs)
        assert [answer.cancelled for answer in answers] == [None, None, jobs[0].id, jobs[1].id]
        assert await kit.claimed_ids() == [job.id for job in jobs[2:]]

    async def test_a_rule_that_cancels_and_a_backlog_that_drops_name_the_first(self, kit: Kit) -> None:
        ids = [(await add(kit, LAST_TWO)).id for _ in range(2)]
        holder = await kit.put(queue="other", rule=rule())
        answer = await add(kit, LAST_TWO, rule=rule(on_conflict="cancel"))
        assert (answer.inserted, answer.cancelled) == (True, holder)
        assert await kit.states(holder, *ids) == ["cancelled", "cancelled", "available"]

    async def test_one_that_a_gate_had_let_in_leaves_its_place_to_the_next(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        first = (await add(kit, LAST_TWO, flow=API)).id
        second = await kit.put(flow=API)
        assert await kit.claim() == []
        await kit.settle(held.lease, Complete("1"))
        assert await kit.states(first, second) == ["available", "parked"]
        await add(kit, LAST_TWO, queue="other")
        assert (await add(kit, LAST_TWO, queue="other")).cancelled == first
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == [second]

    async def test_a_dropped_job_frees_its_unique_key_and_is_told_of(self, kit: Kit) -> None:
        one = Backlog("mail", 1, drop_oldest=True)
        first = await add(kit, one, unique_key="u", keep_failed=MINUTE)
        async with kit.store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            await add(kit, one)
            await heard(hints, Wakeup.SETTLED)
        assert (await kit.enqueue(kit.new(unique_key="u")))[0].inserted
        kit.clock.advance("1m")
        await kit.sweep()
        assert not await kit.exists(first.id)

    async def test_asked_by_a_key_that_was_dropped_the_next_comes_in(self, kit: Kit) -> None:
        one = Backlog("mail", 1, drop_oldest=True)
        await add(kit, one, rule=rule())
        await add(kit, one)
        assert (await ask(kit)).inserted
