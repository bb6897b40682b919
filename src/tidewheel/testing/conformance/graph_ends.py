"""Promises about the end of a job that others wait for: who hears of it, and what it means for them."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tidewheel._model.after import After, OnFailure
from tidewheel._model.graph import Edge
from tidewheel._model.job import ErrorInfo, NewJob
from tidewheel._model.outcome import Complete, Discarded, Outcome, Settlement
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.gates_slots import API, full
from tidewheel.testing.conformance.graph_kit import (
    DONE,
    FAILED,
    MODES,
    child_was,
    edges,
    end,
    parent_of,
    put_parent,
    waits,
)
from tidewheel.testing.conformance.kit import BOOM, HOUR, MINUTE, OUTCOMES, Kit, Suite, flow
from tidewheel.testing.conformance.wakeups import heard

PRUNE_ALL = RetentionRule("work", None, Retention(completed=keep(0), failed=keep(0)))


class TestGraphEnds(Suite):
    async def test_when_its_last_child_has_ended_a_parent_may_start(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(3)]
        parent = await put_parent(kit, *ids)
        before = await kit.row(parent)
        for number in range(3):
            assert await waits(kit, parent)
            await end(kit, Complete(str(number)))
        assert await kit.row(parent) == replace(before, state=JobState.AVAILABLE, parked_by=None)
        assert await edges(kit, parent) == [
            Edge(parent, child, "fail", JobState.COMPLETED, str(place), place=place) for place, child in enumerate(ids)
        ]
        assert [job.id for job in await kit.claim(queue="parents")] == [parent]

    async def test_it_keeps_its_place_in_line(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        kit.clock.advance("1m")
        other = await kit.put(queue="parents")
        await end(kit, DONE)
        assert await kit.claimed_ids(queue="parents") == [parent, other]

    async def test_it_does_not_start_before_its_time(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child, delay=HOUR)
        async with kit.store.wakeups(frozenset({Wakeup.DUE})) as hints:
            await end(kit, DONE)
            await heard(hints, Wakeup.DUE)
        assert await kit.states(parent) == ["scheduled"]
        kit.clock.advance("1h")
        await kit.sweep()
        assert await kit.claimed_ids(queue="parents") == [parent]

    async def test_it_is_available_when_its_time_has_come_meanwhile(self, kit: Kit) -> None:
        claimed = await kit.run(lease=2 * HOUR)
        parent = await put_parent(kit, claimed.id, delay=MINUTE)
        kit.clock.advance("1m")
        assert (await kit.sweep()).promoted == 0, "it waits for its children, not for its time"
        await kit.settle(claimed.lease, DONE)
        assert await kit.states(parent) == ["available"]

    async def test_that_it_may_start_is_hinted(self, kit: Kit) -> None:
        child = await kit.run()
        await put_parent(kit, child.id)
        async with kit.store.wakeups(frozenset({Wakeup.WORK})) as hints:
            await kit.settle(child.lease, DONE)
            await heard(hints, Wakeup.WORK)

    @pytest.mark.parametrize("outcome", ["retry", "snooze", "release"])
    async def test_an_attempt_that_is_not_the_last_ends_nothing(self, kit: Kit, outcome: str) -> None:
        child = await kit.run(max_attempts=5)
        parent = await put_parent(kit, child.id)
        await kit.settle(child.lease, OUTCOMES[outcome])
        assert await waits(kit, parent)
        assert await edges(kit, parent) == [Edge(parent, child.id)]

    @pytest.mark.parametrize("on_failure", MODES)
    @pytest.mark.parametrize("state", FAILED)
    async def test_a_child_that_fails_means_what_the_parent_says(
        self, kit: Kit, state: str, on_failure: OnFailure
    ) -> None:
        child, other = await kit.run(), await kit.put()
        parent = await put_parent(kit, child.id, other, on_failure=on_failure, max_attempts=5)
        kit.clock.advance("1s")
        await kit.settle(child.lease, FAILED[state])
        error = BOOM if state == "discarded" else None
        row = await kit.row(parent)
        if on_failure == "fail":
            assert (row.state, row.finished_at, row.attempt) == (JobState.DISCARDED, kit.clock(), 0)
            assert (row.error, row.parked_by) == (child_was(state, child.id, error), None)
            assert (await kit.past(parent)).attempts == ()
        elif on_failure == "continue":
            assert (row.state, row.error) == (JobState.AVAILABLE, None)
        else:
            assert await waits(kit, parent)
        told = Edge(parent, child.id, on_failure, JobState(state), None, error)
        known = [] if on_failure == "remove" else [told]
        assert await edges(kit, parent) == [*known, Edge(parent, other, on_failure, place=1)]
        await end(kit, DONE)
        assert await kit.states(parent) == ["discarded" if on_failure == "fail" else "available"]
        assert (await edges(kit, parent))[-1] == Edge(
            parent, other, on_failure, JobState.COMPLETED, '"done"', None, 1
        ), "an end is noted, also when nobody waits for it any more"

    async def test_the_error_of_an_attempt_before_is_none_of_a_child_that_completed(self, kit: Kit) -> None:
        child = await kit.run(max_attempts=3)
        parent = await put_parent(kit, child.id)
        await kit.settle(child.lease, OUTCOMES["retry"])
        kit.clock.advance("1h")
        await kit.sweep()
        await end(kit, DONE)
        assert (await edges(kit, parent))[0].error is None

    async def test_who_is_given_up_tells_of_himself(self, kit: Kit) -> None:
        child = await kit.run()
        parent = await put_parent(kit, child.id, on_dead="alert", unique_key="u", keep_failed=MINUTE)
        async with kit.store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            await kit.settle(child.lease, Discarded(BOOM))
            await heard(hints, Wakeup.SETTLED)
        (alert,) = await kit.listed(kinds=("alert",))
        row = await kit.row(alert)
        assert (row.payload, row.queue) == ({"job_id": parent}, "parents")
        assert (await kit.enqueue(kit.new(unique_key="u")))[0].inserted
        kit.clock.advance("1m")
        await kit.sweep()
        assert not await kit.exists(parent)

    async def test_it_is_told_up_to_the_top(self, kit: Kit) -> None:
        child = await kit.run()
        parents, ids = list[NewJob](), [child.id]
        for _ in range(200):
            parents.append(parent_of(kit, ids[-1]))
            ids.append(parents[-1].id)
        await kit.enqueue(*parents)
        last = await put_parent(kit, ids[-1], on_failure="ignore")
        await kit.settle(child.lease, Discarded(BOOM))
        assert set(await kit.states(*ids)) == {"discarded"}
        assert await kit.states(last) == ["available"]
        assert {row and row.error for row in await kit.store.get(ids[1:])} == {child_was("discarded", ids[0], BOOM)}

    async def test_children_that_end_in_one_call_end_together(self, kit: Kit) -> None:
        jobs = [await kit.run(queue=f"q{number}") for number in range(3)]
        ids = [job.id for job in jobs]
        fails = await put_parent(kit, *reversed(ids))
        goes = kit.new(queue="p", after=(After(ids[0], "ignore"), After(ids[1], "continue"), After(ids[2], "remove")))
        await kit.enqueue(goes)
        outcomes: list[Outcome] = [Discarded(BOOM), Discarded(replace(BOOM, message="the second")), DONE]
        told = [Settlement(job.lease, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
        await kit.store.settle(told, now=kit.clock())
        assert (await kit.row(fails)).error == child_was("discarded", ids[1], replace(BOOM, message="the second"))
        assert await kit.states(goes.id) == ["available"]
        assert [edge.state for edge in await edges(kit, goes.id)] == ["discarded", "discarded", "completed"]

    async def test_a_repeat_of_the_settlement_tells_nothing_twice(self, kit: Kit) -> None:
        child = await kit.run()
        parent = await put_parent(kit, child.id)
        await kit.settle(child.lease, DONE)
        (claimed,) = await kit.claim(queue="parents")
        await kit.settle(child.lease, Discarded(BOOM))
        assert await kit.states(parent) == ["running"]
        assert (await edges(kit, parent))[0].state is JobState.COMPLETED
        await kit.settle(claimed.lease, DONE)

    async def test_a_child_that_is_rescued_for_the_last_time_has_ended(self, kit: Kit) -> None:
        child = await kit.run(max_attempts=1)
        again = await kit.run(queue="other", max_attempts=5)
        parent = await put_parent(kit, child.id)
        waiting = await put_parent(kit, again.id)
        kit.clock.advance("5m")
        report = await kit.sweep()
        assert (report.discarded, report.rescued) == ((child.id,), 1)
        lost = (await kit.row(child.id)).error
        assert (await kit.row(parent)).error == child_was("discarded", child.id, lost)
        assert await waits(kit, waiting)

    async def test_a_child_that_expires_has_ended(self, kit: Kit) -> None:
        child = await kit.put(expires_in=MINUTE)
        parent = await put_parent(kit, child)
        kit.clock.advance("1m")
        report = await kit.sweep()
        assert (report.expired, report.discarded) == (1, ())
        late = ErrorInfo("tidewheel.Expired", "It had not started by the end of its time.")
        assert (await kit.row(parent)).error == child_was("cancelled", child, late)

    async def test_a_child_that_is_cancelled_has_ended_and_a_running_one_when_it_stops(self, kit: Kit) -> None:
        running = await kit.run()
        ids = [running.id, await kit.put(delay=HOUR)]
        parents = [await put_parent(kit, child) for child in ids]
        await kit.alter(Action.CANCEL, *ids)
        assert await kit.states(*parents) == ["parked", "discarded"]
        assert (await kit.row(parents[1])).error == child_was("cancelled", ids[1])
        await kit.settle(running.lease, OUTCOMES["retry"])
        assert (await kit.row(parents[0])).error == child_was("cancelled", ids[0], BOOM)

    async def test_a_filter_that_cancels_tells_of_all(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(3)]
        parents = [await put_parent(kit, child, on_failure="ignore") for child in ids]
        both = await put_parent(kit, *ids[:2], on_failure="ignore")
        await kit.alter_where(Action.CANCEL, queues=("default",), limit=2)
        assert await kit.states(*parents, both) == ["available", "available", "parked", "available"]

    async def test_a_child_that_is_deleted_counts_as_cancelled(self, kit: Kit) -> None:
        row = await kit.at(JobState.RETRYABLE, max_attempts=3)
        parent = await put_parent(kit, row.id)
        other = await put_parent(kit, row.id, on_failure="continue")
        await kit.alter(Action.DELETE, row.id)
        assert (await kit.row(parent)).error == child_was("cancelled", row.id)
        assert await kit.states(other) == ["available"]
        assert await edges(kit, other) == [Edge(other, row.id, "continue", JobState.CANCELLED)]

    async def test_a_parent_that_is_altered_together_with_its_child_goes_its_own_way(self, kit: Kit) -> None:
        child = await kit.put()
        parent, second = await put_parent(kit, child), await put_parent(kit, child)
        await kit.alter(Action.CANCEL, child, parent)
        assert await kit.states(child, parent, second) == ["cancelled", "cancelled", "discarded"]
        assert (await kit.row(parent)).error is None
        assert (await edges(kit, parent))[0].state is JobState.CANCELLED

    async def test_what_ended_long_ago_is_told_by_its_edge_also_when_it_is_pruned(self, kit: Kit) -> None:
        first, second = await kit.put(), await kit.put(delay=HOUR)
        parent = await put_parent(kit, first, second)
        await end(kit, DONE)
        await kit.sweep(PRUNE_ALL)
        assert not await kit.exists(first)
        assert [edge.result for edge in await edges(kit, parent)] == ['"done"', None]
        kit.clock.advance("1h")
        await kit.sweep()
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"]

    @pytest.mark.parametrize("how", ["delete", "prune"])
    async def test_a_parents_edges_go_with_it(self, kit: Kit, how: str) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child, keep_failed=0)
        top = await put_parent(kit, parent, on_failure="ignore")
        if how == "delete":
            await kit.alter(Action.DELETE, parent)
        else:
            await kit.alter(Action.CANCEL, parent)
            await kit.sweep()
        assert not await kit.exists(parent)
        assert await edges(kit, parent) == [Edge(top, parent, "ignore", JobState.CANCELLED)]
        await end(kit, DONE)

    async def test_a_parent_may_be_cancelled_while_it_waits(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        await kit.alter(Action.CANCEL, parent)
        row = await kit.row(parent)
        assert (row.state, row.parked_by) == (JobState.CANCELLED, None)
        assert await kit.states(child) == ["available"]
        await end(kit, DONE)
        assert await kit.states(parent) == ["cancelled"]
        assert (await edges(kit, parent))[0].result == '"done"'

    async def test_a_parent_may_expire_while_it_waits(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child, expires_in=MINUTE)
        top = await put_parent(kit, parent)
        kit.clock.advance("1m")
        assert (await kit.sweep()).expired == 1
        assert await kit.states(child, parent, top) == ["available", "cancelled", "discarded"]

    async def test_a_parent_is_not_called_in(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        (answer,) = await kit.alter(Action.RUN_NOW, parent)
        assert answer.before == answer.after == "parked"
        assert await waits(kit, parent)

    async def test_no_gate_is_known_under_the_word_for_children(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        await kit.claim(queue="parents")
        await kit.sweep(RetentionRule("other", None, Retention()))
        assert await kit.store.gates(now=kit.clock()) == []
        assert await waits(kit, parent)

    async def test_a_parent_with_limits_asks_them_when_its_children_have_ended(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        child = await kit.put(queue="children")
        parent = await put_parent(kit, child, flow=API)
        (claimed,) = await kit.claim(queue="children")
        await kit.settle(claimed.lease, DONE)
        assert await kit.states(parent) == ["available"]
        assert await kit.claim(queue="parents") == []
        assert (await kit.row(parent)).parked_by == "api"
        await kit.settle(held.lease, DONE)
        assert await kit.claimed_ids(queue="parents") == [parent]

    async def test_children_with_limits_tell_their_parents_too(self, kit: Kit) -> None:
        (held,), (second,) = await full(kit)
        parent = await put_parent(kit, held.id, second)
        await kit.settle(held.lease, DONE)
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"]
        assert (await kit.gate("api")).used == 0

    async def test_a_dead_letters_job_is_no_child(self, kit: Kit) -> None:
        child = await kit.run(on_dead="alert")
        parent = await put_parent(kit, child.id, on_failure="ignore")
        await kit.settle(child.lease, Discarded(BOOM))
        assert await kit.states(parent) == ["available"]
        assert len(await edges(kit, parent)) == 1

    async def test_children_that_end_at_the_same_time_let_their_parent_start(self, kit: Kit) -> None:
        for turn in range(10):
            jobs = [await kit.run(queue=f"q{turn} {number}") for number in range(6)]
            parent = await put_parent(kit, *(job.id for job in jobs), flow=flow() if turn % 2 else None)
            await asyncio.gather(*(kit.settle(job.lease, DONE) for job in jobs))
            assert await kit.states(parent) == ["available"]

    async def test_a_child_that_ends_while_its_parent_comes_in_is_not_missed(self, kit: Kit) -> None:
        for turn in range(20):
            child = await kit.run(queue=f"q{turn}")
            job = parent_of(kit, child.id)
            await asyncio.gather(kit.settle(child.lease, DONE), kit.enqueue(job))
            assert await kit.states(job.id) == ["available"]

    async def test_ends_at_the_same_time_in_crossed_graphs_all_arrive(self, kit: Kit) -> None:
        for turn in range(5):
            jobs = [await kit.run(queue=f"q{turn} {number}") for number in range(4)]
            ids = [job.id for job in jobs]
            parents = [await put_parent(kit, *ids[number:], *ids[:number]) for number in range(4)]
            top = await put_parent(kit, *parents, on_failure="ignore")
            outcomes: list[Outcome] = [DONE, DONE, DONE, Discarded(BOOM)]
            await asyncio.gather(*(kit.settle(job.lease, outcome) for job, outcome in zip(jobs, outcomes, strict=True)))
            assert set(await kit.states(*parents)) == {"discarded"}
            assert await kit.states(top) == ["available"]
