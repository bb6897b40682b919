"""Promises about the enqueue of jobs that wait for others."""

from __future__ import annotations

import pytest

from tidewheel._model.after import After, OnFailure
from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.flow import CHILDREN
from tidewheel._model.graph import Edge
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.state import LIVE_STATES, JobState
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.graph_kit import (
    DONE,
    FAILED,
    MODES,
    after,
    child_was,
    edges,
    end,
    parent_of,
    put_parent,
    waits,
)
from tidewheel.testing.conformance.kit import BOOM, HOUR, MINUTE, OUTCOMES, Kit, Suite, flow
from tidewheel.testing.conformance.rules_keys import ask, rule
from tidewheel.testing.conformance.wakeups import heard

FINAL = {"completed": DONE, **FAILED}


class TestGraphEnqueue(Suite):
    @pytest.mark.parametrize("state", sorted(LIVE_STATES))
    async def test_a_job_waits_for_another_that_has_not_ended(self, kit: Kit, state: JobState) -> None:
        child = await kit.at(state)
        parent = await put_parent(kit, child.id)
        row = await kit.row(parent)
        assert (row.state, row.parked_by, row.run_at, row.flow) == (JobState.PARKED, CHILDREN, kit.clock(), None)
        assert await kit.claim(queue="parents") == []
        assert await edges(kit, parent) == [Edge(parent, child.id)]
        assert await kit.row(child.id) == child

    async def test_a_graph_comes_in_one_call(self, kit: Kit) -> None:
        jobs = [kit.new(id="a"), kit.new(id="b"), parent_of(kit, "a", "b", id="c"), parent_of(kit, "c", "a", id="d")]
        assert [answer.inserted for answer in await kit.enqueue(*jobs)] == [True] * 4
        assert await kit.states("a", "b", "c", "d") == ["available", "available", "parked", "parked"]
        assert await edges(kit, "a") == [Edge("c", "a"), Edge("d", "a", place=1)]

    async def test_one_that_waits_for_none_is_as_any_other(self, kit: Kit) -> None:
        job_id = await kit.put(after=())
        assert (await kit.row(job_id)).state is JobState.AVAILABLE
        assert await edges(kit, job_id) == []

    async def test_a_child_that_was_completed_counts_as_ended(self, kit: Kit) -> None:
        child = await kit.at(JobState.COMPLETED)
        parent = await put_parent(kit, child.id)
        assert await kit.states(parent) == ["available"]
        assert await edges(kit, parent) == [Edge(parent, child.id, "fail", JobState.COMPLETED, '"done"')]
        later = await put_parent(kit, child.id, delay=HOUR)
        assert await kit.states(later) == ["scheduled"]

    @pytest.mark.parametrize("on_failure", MODES)
    @pytest.mark.parametrize("state", FAILED)
    async def test_a_child_that_failed_means_what_the_parent_says(
        self, kit: Kit, state: str, on_failure: OnFailure
    ) -> None:
        child = await kit.at(JobState(state))
        parent = await put_parent(kit, child.id, on_failure=on_failure)
        row = await kit.row(parent)
        error = child.error if state == "discarded" else None
        if on_failure == "fail":
            assert (row.state, row.finished_at, row.attempt) == (JobState.DISCARDED, kit.clock(), 0)
            assert row.error == child_was(state, child.id, error)
            assert (await kit.past(parent)).attempts == ()
        else:
            assert (row.state, row.parked_by, row.error) == (JobState.AVAILABLE, None, None)
        known = [Edge(parent, child.id, on_failure, JobState(state), None, error)]
        assert await edges(kit, parent) == ([] if on_failure == "remove" else known)

    async def test_one_that_is_given_up_at_once_tells_of_itself(self, kit: Kit) -> None:
        child = await kit.at(JobState.DISCARDED)
        async with kit.store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            parent = await put_parent(kit, child.id, on_dead="alert", unique_key="u", keep_failed=MINUTE)
            await heard(hints, Wakeup.SETTLED)
        (alert,) = await kit.listed(kinds=("alert",))
        assert (await kit.row(alert)).payload == {"job_id": parent}
        assert (await kit.enqueue(kit.new(unique_key="u")))[0].inserted, "it holds no unique key"
        kit.clock.advance("1m")
        assert (await kit.sweep()).pruned == 1

    async def test_it_is_told_to_its_own_parents_in_the_same_call(self, kit: Kit) -> None:
        child = await kit.at(JobState.DISCARDED)
        middle = parent_of(kit, child.id)
        top = parent_of(kit, middle.id)
        answers = await kit.enqueue(middle, top)
        assert [answer.inserted for answer in answers] == [True, True]
        for one in (middle, top):
            assert (await kit.row(one.id)).error == child_was("discarded", child.id, BOOM)

    async def test_the_first_that_failed_says_why(self, kit: Kit) -> None:
        first, second = await kit.at(JobState.CANCELLED), await kit.at(JobState.DISCARDED)
        live = await kit.put()
        parent = await put_parent(kit, live, second.id, first.id)
        assert (await kit.row(parent)).error == child_was("discarded", second.id, BOOM)
        assert [edge.state for edge in await edges(kit, parent)] == [None, JobState.DISCARDED, JobState.CANCELLED]

    async def test_with_continue_it_waits_for_nobody_once_one_has_failed(self, kit: Kit) -> None:
        failed, live = await kit.at(JobState.CANCELLED), await kit.put()
        parent = await put_parent(kit, live, failed.id, on_failure="continue")
        assert await kit.states(parent) == ["available"]
        mixed = kit.new(after=(After(live, "continue"), After(failed.id, "ignore")))
        await kit.enqueue(mixed)
        assert await waits(kit, mixed.id)

    async def test_failing_wins_over_going_on(self, kit: Kit) -> None:
        failed, other = await kit.at(JobState.CANCELLED), await kit.at(JobState.CANCELLED)
        job = kit.new(after=(After(failed.id, "continue"), After(other.id, "fail")))
        await kit.enqueue(job)
        assert await kit.states(job.id) == ["discarded"]

    async def test_two_edges_to_one_child_are_one_and_the_first_counts(self, kit: Kit) -> None:
        child, other = await kit.put(), await kit.put()
        job = kit.new(after=(After(child, "ignore"), After(child, "fail"), After(other, "remove")))
        await kit.enqueue(job)
        assert await edges(kit, job.id) == [Edge(job.id, child, "ignore"), Edge(job.id, other, "remove", place=2)]

    async def test_a_child_that_this_call_answered_with_another_is_that_one(self, kit: Kit) -> None:
        known, held = await kit.put(unique_key="u"), await kit.put(rule=rule())
        jobs = [kit.new(id="x", unique_key="u"), kit.new(id="y", rule=rule()), parent_of(kit, "x", "y", id="p")]
        await kit.enqueue(*jobs)
        assert [edge.child for edge in await edges(kit, "p")] == [known, held]
        assert await end(kit, DONE, DONE) == [known, held]
        assert await kit.states("p") == ["available"]

    async def test_two_of_them_may_be_one_job(self, kit: Kit) -> None:
        jobs = [kit.new(id="x", unique_key="u"), kit.new(id="y", unique_key="u"), parent_of(kit, "x", "y", id="p")]
        await kit.enqueue(*jobs)
        assert await edges(kit, "p") == [Edge("p", "x")]

    @pytest.mark.parametrize("bad", ["nobody", "p", "later"])
    async def test_what_does_not_exist_cannot_be_waited_for_and_nothing_is_in(self, kit: Kit, bad: str) -> None:
        waiting = await kit.put(rule=rule(), backlog=Backlog("b", 1, drop_oldest=True))
        before = await kit.everything()
        jobs = [
            kit.new(),
            kit.new(rule=rule(on_conflict="cancel"), backlog=Backlog("b", 1, drop_oldest=True)),
            parent_of(kit, waiting, bad, id="p"),
            kit.new(id="later"),
        ]
        with pytest.raises(ValueError, match="p"):
            await kit.enqueue(*jobs)
        assert await kit.everything() == before
        assert await edges(kit, "p", waiting) == []
        assert (await ask(kit)).id == waiting

    async def test_a_job_cannot_wait_for_itself(self, kit: Kit) -> None:
        with pytest.raises(ValueError, match="itself"):
            await kit.enqueue(kit.new(id="a", after=after("a")))
        assert not await kit.exists("a")

    async def test_nor_for_more_than_a_call_takes(self, kit: Kit) -> None:
        with pytest.raises(ValueError, match="10,000"):
            await kit.enqueue(kit.new(after=after(*(f"j{number}" for number in range(10_001)))))

    async def test_nor_for_one_that_was_refused(self, kit: Kit) -> None:
        one = Backlog("b", 1)
        await kit.put(backlog=one)
        with pytest.raises(ValueError, match="full"):
            await kit.enqueue(kit.new(id="full", backlog=one), parent_of(kit, "full"))
        window = rule(key="w", period=HOUR, count=1)
        gone = await kit.at(JobState.CANCELLED, queue="w", rule=window)
        await kit.alter(Action.DELETE, gone.id)
        with pytest.raises(ValueError, match=gone.id):
            await kit.enqueue(kit.new(id="dropped", rule=window), parent_of(kit, "dropped"))

    async def test_one_whose_window_had_room_for_another_means_that_other(self, kit: Kit) -> None:
        window = rule(key="w", period=HOUR, count=1)
        first = await kit.put(rule=window)
        await kit.enqueue(kit.new(id="dropped", rule=window), parent_of(kit, "dropped", id="p"))
        assert [edge.child for edge in await edges(kit, "p")] == [first]

    async def test_a_repeat_asks_for_nobody(self, kit: Kit) -> None:
        child = await kit.at(JobState.COMPLETED)
        job = parent_of(kit, child.id)
        await kit.enqueue(job)
        known = await edges(kit, job.id)
        await kit.alter(Action.DELETE, child.id)
        assert await kit.enqueue(job) == [Enqueued(job.id, inserted=False, state=JobState.AVAILABLE)]
        assert await edges(kit, job.id) == known

    async def test_one_that_is_answered_with_another_waits_for_nobody(self, kit: Kit) -> None:
        holder, child = await kit.put(unique_key="u"), await kit.put()
        job = parent_of(kit, child, unique_key="u")
        assert (await kit.enqueue(job))[0].id == holder
        assert await edges(kit, holder, child, job.id) == []
        assert await kit.states(holder) == ["available"]

    async def test_a_rule_that_cancels_a_child_ends_it_for_who_comes_after(self, kit: Kit) -> None:
        child = await kit.put(rule=rule())
        first = await put_parent(kit, child, on_failure="ignore")
        jobs = [kit.new(id="next", rule=rule(on_conflict="cancel")), parent_of(kit, child, id="second")]
        answers = await kit.enqueue(*jobs)
        assert answers[0].cancelled == child
        assert await kit.states(first, "second") == ["available", "discarded"]
        (edge,) = await edges(kit, first)
        assert edge.error is not None
        assert (edge.state, edge.error.type) == (JobState.CANCELLED, "tidewheel.Replaced")

    async def test_a_backlog_that_drops_a_child_tells_its_parent(self, kit: Kit) -> None:
        one = Backlog("b", 1, drop_oldest=True)
        child = await kit.put(backlog=one)
        parent = await put_parent(kit, child)
        await kit.put(backlog=one)
        dropped = (await kit.row(child)).error
        assert (await kit.row(parent)).error == child_was("cancelled", child, dropped)

    async def test_a_replace_leaves_one_that_waits_for_children_where_it_is(self, kit: Kit) -> None:
        child = await kit.put()
        known = rule(holds="waiting", on_conflict="replace", replace={"available": ("args", "priority")})
        parent = await put_parent(kit, child, rule=known)
        answer = await ask(kit, rule=known, args='{"args":[1]}', priority=3, flow=flow("api"))
        assert (answer.id, answer.did, answer.state) == (parent, "replaced", JobState.PARKED)
        assert await waits(kit, parent)
        await end(kit, OUTCOMES["complete"])
        row = await kit.row(parent)
        assert (row.state, row.args, row.flow) == (JobState.AVAILABLE, '{"args":[1]}', flow("api"))

    async def test_edges_are_given_each_once_by_parent_and_place(self, kit: Kit) -> None:
        for name in ("c1", "c2", "c3"):
            await kit.put(id=name)
        await put_parent(kit, "c3", "c1", id="p2")
        await put_parent(kit, "c2", id="p1")
        await put_parent(kit, "p1", "p2", id="top")
        assert [(edge.parent, edge.child, edge.place) for edge in await edges(kit, "p1", "p2", "c1", "none")] == [
            ("p1", "c2", 0),
            ("p2", "c3", 0),
            ("p2", "c1", 1),
            ("top", "p1", 0),
            ("top", "p2", 1),
        ]
        assert await edges(kit) == []
