"""Promises about graphs of all shapes: wide, deep, among jobs of other sorts."""

from __future__ import annotations

from tidewheel._model.after import After
from tidewheel._model.outcome import Complete, Discarded, Outcome, Settlement
from tidewheel._model.query import Accepted, Action
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.graph_kit import DONE, after, child_was, edges, parent_of, put_parent, waits
from tidewheel.testing.conformance.kit import BOOM, MINUTE, Kit, Suite, flow


class TestGraphShapes(Suite):
    async def test_a_parent_of_many(self, kit: Kit) -> None:
        jobs = [kit.new() for _ in range(600)]
        parent = parent_of(kit, *(job.id for job in jobs))
        await kit.enqueue(*jobs, parent)
        claimed = await kit.claim()
        last = claimed.pop(7)
        await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
        assert await waits(kit, parent.id)
        await kit.settle(last.lease, Complete('"last"'))
        assert await kit.states(parent.id) == ["available"]
        known = await edges(kit, parent.id)
        assert [edge.child for edge in known] == [job.id for job in jobs]
        assert {edge.result for edge in known} == {'"done"', '"last"'}

    async def test_a_child_of_many(self, kit: Kit) -> None:
        child = await kit.run()
        parents = [parent_of(kit, child.id, on_failure="ignore") for _ in range(600)]
        await kit.enqueue(*parents)
        await kit.settle(child.lease, Discarded(BOOM))
        assert len(await kit.claim(queue="parents")) == 600

    async def test_a_chain_runs_link_by_link(self, kit: Kit) -> None:
        jobs = [kit.new(id="link 0")]
        jobs += [kit.new(id=f"link {number}", after=after(f"link {number - 1}")) for number in range(1, 60)]
        await kit.enqueue(*jobs)
        for job in jobs:
            (claimed,) = await kit.claim()
            assert claimed.id == job.id
            await kit.settle(claimed.lease, DONE)
        assert await kit.claim() == []

    async def test_a_diamond(self, kit: Kit) -> None:
        await kit.enqueue(
            kit.new(id="top"),
            kit.new(id="left", after=after("top")),
            kit.new(id="right", after=after("top")),
            kit.new(id="bottom", after=after("left", "right")),
        )
        for expected in (["top"], ["left", "right"], ["bottom"]):
            claimed = await kit.claim()
            assert [job.id for job in claimed] == expected
            await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())

    async def test_a_failure_goes_down_both_sides_of_a_diamond_once(self, kit: Kit) -> None:
        await kit.enqueue(
            kit.new(id="top"),
            kit.new(id="left", after=after("top"), on_dead="alert"),
            kit.new(id="right", after=after("top"), on_dead="alert"),
            kit.new(id="bottom", after=after("right", "left"), on_dead="alert"),
        )
        (claimed,) = await kit.claim()
        await kit.settle(claimed.lease, Discarded(BOOM))
        assert await kit.states("left", "right", "bottom") == ["discarded"] * 3
        assert (await kit.row("bottom")).error == child_was("discarded", "top", BOOM)
        told = [(await kit.row(job_id)).payload["job_id"] for job_id in reversed(await kit.listed(kinds=("alert",)))]
        assert told == ["left", "right", "bottom"]

    async def test_jobs_of_all_sorts_end_in_one_call(self, kit: Kit) -> None:
        await kit.limit("api", slots=9)
        sorts = [{}, {"id": "child"}, {"flow": flow("api")}, {"id": "limited child", "flow": flow("api")}, {}]
        await kit.enqueue(*(kit.new(**sort) for sort in sorts), parent_of(kit, "child", "limited child", id="p"))
        leases = [job.lease for job in await kit.claim()]
        outcomes: list[Outcome] = [DONE, DONE, DONE, DONE, Discarded(BOOM)]
        told = [Settlement(lease, outcome) for lease, outcome in zip(leases, outcomes, strict=True)]
        answers = await kit.store.settle(
            [*told, told[1], Settlement(leases[0]._replace(epoch=99), DONE)], now=kit.clock()
        )
        assert answers == [Accepted.ACCEPTED] * 6 + [Accepted.STALE]
        assert await kit.states("p") == ["available"]
        assert (await kit.gate("api")).used == 0
        assert await kit.store.settle(told, now=kit.clock()) == [Accepted.ACCEPTED] * 5
        assert await kit.states("p") == ["available"]

    async def test_a_child_that_nobody_can_read_has_ended_when_a_claim_finds_it(self, kit: Kit) -> None:
        child = await kit.put(flow="no flow")
        parent = await put_parent(kit, child)
        top = await put_parent(kit, parent, on_failure="ignore")
        assert await kit.claim() == []
        row = await kit.row(child)
        assert row.error is not None
        assert (row.state, row.error.type) == (JobState.DISCARDED, "tidewheel.Unreadable")
        assert (await kit.row(parent)).error == child_was("discarded", child, row.error)
        assert await kit.states(top) == ["available"]

    async def test_a_child_that_was_asked_to_stop_and_lost_its_worker_was_cancelled(self, kit: Kit) -> None:
        child = await kit.run(max_attempts=5)
        parent = await put_parent(kit, child.id)
        await kit.alter(Action.CANCEL, child.id)
        kit.clock.advance("5m")
        assert (await kit.sweep()).cancelled == 1
        assert (await kit.row(parent)).error == child_was("cancelled", child.id)

    async def test_a_sweep_with_a_limit_tells_of_what_it_ended(self, kit: Kit) -> None:
        ids = [await kit.put(expires_in=MINUTE + number) for number in range(3)]
        parents = [await put_parent(kit, job_id, on_failure="ignore") for job_id in ids]
        kit.clock.advance("2m")
        for done in (2, 3):
            await kit.sweep(limit=2)
            assert await kit.states(*parents) == ["available"] * done + ["parked"] * (3 - done)

    async def test_a_parent_that_expired_in_the_same_sweep_goes_its_own_way(self, kit: Kit) -> None:
        child = await kit.put(expires_in=MINUTE)
        parent = await put_parent(kit, child, expires_in=MINUTE)
        later = await put_parent(kit, child, expires_in=MINUTE + 1)
        kit.clock.advance("1m")
        assert (await kit.sweep()).expired == 2
        errors = [(await kit.row(job_id)).error for job_id in (parent, later)]
        assert [error and error.type for error in errors] == ["tidewheel.Expired", "tidewheel.ChildFailed"]

    async def test_each_parent_has_its_own_mind_about_one_child(self, kit: Kit) -> None:
        child, other = await kit.run(), await kit.put(queue="other")
        jobs = [
            kit.new(queue="p", after=(After(child.id, mode), After(other, "ignore")))
            for mode in ("fail", "continue", "ignore", "remove")
        ]
        await kit.enqueue(*jobs)
        await kit.settle(child.lease, Discarded(BOOM))
        assert await kit.states(*(job.id for job in jobs)) == ["discarded", "available", "parked", "parked"]
        (claimed,) = await kit.claim(queue="other")
        await kit.settle(claimed.lease, DONE)
        assert await kit.states(*(job.id for job in jobs)) == ["discarded", "available", "available", "available"]
        assert [len(await edges(kit, job.id)) for job in jobs] == [2, 2, 2, 1]
