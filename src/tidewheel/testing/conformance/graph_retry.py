"""Promises about graphs of which a job is retried by hand."""

from __future__ import annotations

from tidewheel._model.flow import CHILDREN
from tidewheel._model.graph import Edge
from tidewheel._model.outcome import Discarded
from tidewheel._model.query import Action, Altered
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.graph_kit import DONE, edges, end, put_parent, waits
from tidewheel.testing.conformance.kit import BOOM, MINUTE, Kit, Suite


class TestGraphRetry(Suite):
    async def test_a_child_that_runs_again_has_not_ended_for_who_waits_still(self, kit: Kit) -> None:
        first, second = await kit.put(), await kit.put()
        parent = await put_parent(kit, first, second, on_failure="ignore")
        await end(kit, Discarded(BOOM))
        await kit.alter(Action.RETRY, first)
        assert await edges(kit, parent) == [Edge(parent, first, "ignore"), Edge(parent, second, "ignore", place=1)]
        assert await end(kit, DONE) == [first]
        assert await waits(kit, parent)
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"]
        assert [edge.state for edge in await edges(kit, parent)] == ["completed", "completed"]

    async def test_a_whole_graph_is_retried_children_first(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        top = await put_parent(kit, parent)
        await end(kit, Discarded(BOOM))
        assert await kit.states(child, parent, top) == ["discarded"] * 3
        answers = await kit.alter(Action.RETRY, child, parent, top)
        assert answers == [
            Altered(child, JobState.DISCARDED, JobState.AVAILABLE),
            Altered(parent, JobState.DISCARDED, JobState.PARKED),
            Altered(top, JobState.DISCARDED, JobState.PARKED),
        ]
        row = await kit.row(parent)
        assert (row.parked_by, row.error, row.finished_at) == (CHILDREN, None, None)
        await end(kit, DONE)
        assert await kit.states(parent, top) == ["available", "parked"]
        (claimed,) = await kit.claim(queue="parents")
        await kit.settle(claimed.lease, DONE)
        assert await kit.states(top) == ["available"]

    async def test_a_parent_is_retried_on_its_own_when_its_children_have_ended(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child, expires_in=MINUTE)
        await end(kit, Discarded(BOOM))
        kit.clock.advance("5s")
        (answer,) = await kit.alter(Action.RETRY, parent)
        assert answer.after is JobState.AVAILABLE
        row = await kit.row(parent)
        assert (row.run_at, row.expires_at) == (kit.clock(), None)
        assert (await edges(kit, parent))[0].state is JobState.DISCARDED, "what is known of its child stays"
        assert await kit.claimed_ids(queue="parents") == [parent]

    async def test_a_parent_that_was_cancelled_waits_again_for_what_is_open(self, kit: Kit) -> None:
        first, second = await kit.put(), await kit.put()
        parent = await put_parent(kit, first, second)
        await kit.alter(Action.CANCEL, parent)
        await end(kit, Discarded(BOOM))
        await kit.alter(Action.RETRY, parent)
        assert await waits(kit, parent)
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"], "the failure was known when it was retried"

    async def test_a_child_that_had_ended_before_its_parent_came_is_waited_for_when_it_runs_again(
        self, kit: Kit
    ) -> None:
        child, other = await kit.at(JobState.COMPLETED), await kit.put()
        parent = await put_parent(kit, child.id, other)
        await kit.alter(Action.RETRY, child.id)
        assert (await edges(kit, parent))[0] == Edge(parent, child.id)
        (first,) = await kit.claim(1)
        await kit.settle(first.lease, DONE)
        assert await waits(kit, parent)
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"]

    async def test_the_edges_of_a_parent_that_has_run_follow_too(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        await end(kit, DONE)
        (claimed,) = await kit.claim(queue="parents")
        await kit.alter(Action.RETRY, child)
        assert await edges(kit, parent) == [Edge(parent, child)]
        assert await kit.states(parent) == ["running"]
        await end(kit, Discarded(BOOM))
        assert await kit.states(parent) == ["running"], "it does not wait"
        assert (await edges(kit, parent))[0].error == BOOM
        await kit.settle(claimed.lease, DONE)

    async def test_a_retry_that_is_refused_opens_nothing(self, kit: Kit) -> None:
        child = await kit.put(unique_key="u")
        parent = await put_parent(kit, child, on_failure="ignore")
        await end(kit, Discarded(BOOM))
        await kit.put(unique_key="u", delay=MINUTE)
        (answer,) = await kit.alter(Action.RETRY, child)
        assert answer.before == answer.after
        assert (await edges(kit, parent))[0].state is JobState.DISCARDED

    async def test_a_filter_retries_children_too(self, kit: Kit) -> None:
        child = await kit.put()
        parent = await put_parent(kit, child)
        await end(kit, Discarded(BOOM))
        answers = await kit.alter_where(Action.RETRY, states=(JobState.DISCARDED,))
        assert [answer.after for answer in answers] == [JobState.AVAILABLE, JobState.PARKED]
        await end(kit, DONE)
        assert await kit.states(parent) == ["available"]
