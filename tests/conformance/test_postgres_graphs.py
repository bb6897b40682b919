"""Graphs in PostgreSQL, where several connections end, retry and remove jobs of one graph at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from tests.conformance._postgres_kit import START, Place, two_stores
from tests.servers.postgres import Postgres

from tidewheel._model.after import After
from tidewheel._model.job import Claimed, NewJob
from tidewheel._model.outcome import Cancelled, Complete, Outcome
from tidewheel._model.query import Accepted, Action
from tidewheel._model.retention import FOREVER, Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import HOUR

KEEP = [RetentionRule("work", None, Retention(FOREVER, FOREVER))]
HELD = "SELECT FROM {schema}.jobs WHERE id = $1 FOR UPDATE"


def job(id: str, *children: str, **changes: Any) -> NewJob:
    return NewJob(**{"id": id, "kind": "work", "args": "{}", "after": tuple(map(After, children)), **changes})


async def put(place: Place, *jobs: NewJob) -> None:
    await place.one.enqueue(jobs, now=START)


async def started(place: Place, *ids: str) -> list[Claimed]:
    await put(place, *map(job, ids))
    return await place.claim(len(ids))


@pytest.mark.parametrize(
    "ends", [(Complete("1"), Complete("2")), (Complete("1"), Cancelled())], ids=["both", "one fails"]
)
async def test_two_last_children_end_at_once(place: Place, ends: tuple[Outcome, Outcome]) -> None:
    """Neither sees the other's edge before it waits for the parent; the second one sees both behind it."""
    a, b = await started(place, "a", "b")
    await put(place, job("parent", "a", "b"))
    async with place.holding(HELD, "parent"):
        tasks = [
            asyncio.ensure_future(place.settle(a, outcome=ends[0], store=place.one)),
            asyncio.ensure_future(place.settle(b, outcome=ends[1], store=place.two)),
        ]
        await place.waiting(2)
    assert [await task for task in tasks] == [[Accepted.ACCEPTED], [Accepted.ACCEPTED]]
    assert await place.states("parent") == ["available" if isinstance(ends[1], Complete) else "discarded"]


@pytest.mark.parametrize("outcome", [Complete("1"), Cancelled()], ids=["complete", "cancel"])
@pytest.mark.parametrize("first", ["end", "enqueue"])
async def test_a_parent_comes_while_its_child_ends(place: Place, first: str, outcome: Outcome) -> None:
    """Whoever gets the child first: the end meets an edge, or the parent a child that has ended."""
    (a,) = await started(place, "a")
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "end": lambda: place.settle(a, outcome=outcome, store=place.two),
        "enqueue": lambda: put(place, job("parent", "a")),
    }
    tasks = []
    async with place.holding(HELD, "a"):
        for number, name in enumerate(sorted(calls, key=lambda name: name != first), start=1):
            tasks.append(asyncio.ensure_future(calls[name]()))
            await place.waiting(number)
    await asyncio.gather(*tasks)
    assert await place.states("a", "parent") == (
        ["completed", "available"] if isinstance(outcome, Complete) else ["cancelled", "discarded"]
    )


@pytest.mark.parametrize("commit", [False, True])
async def test_a_child_waits_for_the_caller_s_transaction_that_waits_for_it(place: Place, *, commit: bool) -> None:
    (a,) = await started(place, "a")
    caller = await asyncpg.connect(place.one.options.dsn)
    block = caller.transaction()
    await block.start()
    await place.one.enqueue_in(caller, [job("parent", "a")], now=START)
    task = asyncio.ensure_future(place.settle(a))
    await place.waiting(1)
    await (block.commit() if commit else block.rollback())
    assert await task == [Accepted.ACCEPTED]
    await caller.close()
    assert await place.sql("SELECT count(*) FROM {schema}.edges WHERE state = 'completed'") == int(commit)
    assert [row.state if row else None for row in await place.one.get(["parent"])] == [
        JobState.AVAILABLE if commit else None
    ]


async def test_a_parent_is_retried_while_its_last_child_ends(place: Place) -> None:
    """The retry does not see the end yet and parks the parent; so the end, which locks the parent, releases it."""
    a, b = await started(place, "a", "b")
    await put(place, job("parent", "a", "b"))
    await place.settle(a, outcome=Cancelled())
    assert await place.states("parent") == ["discarded"]
    await place.one.alter(["a"], Action.DELETE, now=START)
    async with place.holding("SELECT FROM {schema}.jobs WHERE id = 'parent' FOR UPDATE"):
        retry = asyncio.ensure_future(place.one.alter(["parent"], Action.RETRY, now=START))
        await place.waiting(1)
        end = asyncio.ensure_future(place.settle(b))
        await place.waiting(2)
    await asyncio.gather(retry, end)
    assert await place.states("parent") == ["available"]


async def test_a_parent_is_removed_while_its_child_ends(place: Place) -> None:
    """Who removes it passes over the edge that is being written; he who writes it finds no parent, and removes it."""
    (a,) = await started(place, "a")
    await put(place, job("parent", "a"))
    async with place.holding(HELD, "parent"):
        delete = asyncio.ensure_future(place.one.alter(["parent"], Action.DELETE, now=START))
        await place.waiting(1)
        end = asyncio.ensure_future(place.settle(a))
        await place.waiting(2)
    await asyncio.gather(delete, end)
    assert await place.sql("SELECT count(*) FROM {schema}.edges") == 0


async def test_a_child_is_retried_while_a_sibling_ends(place: Place) -> None:
    """The sibling releases the parent by what it sees, or leaves it to the child: never is it forgotten."""
    a, b = await started(place, "a", "b")
    await put(place, job("parent", "a", "b"))
    await place.settle(a)
    async with place.holding(HELD, "parent"):
        end = asyncio.ensure_future(place.settle(b))
        await place.waiting(1)
        await place.one.alter(["a"], Action.RETRY, now=START)
    await end
    assert await place.states("parent") == ["parked"]
    await place.settle(*await place.claim())
    assert await place.states("parent") == ["available"]


async def test_a_batch_of_plain_jobs_and_children_is_completed_whole(place: Place) -> None:
    claimed = await started(place, "a", "plain", "b")
    await put(place, job("parent", "a", "b"))
    stale = Claimed(**{**{name: getattr(claimed[0], name) for name in Claimed.__struct_fields__}, "epoch": 9})
    answers = await place.settle(claimed[0], claimed[1], stale, claimed[2])
    assert answers == [Accepted.ACCEPTED, Accepted.ACCEPTED, Accepted.STALE, Accepted.ACCEPTED]
    assert await place.states("a", "plain", "b", "parent") == ["completed"] * 3 + ["available"]
    assert await place.settle(*claimed) == [Accepted.ACCEPTED] * 3


async def test_calls_that_meet_in_a_circle_begin_anew(
    postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent whose id comes before its child's: who cancels both locks it first, who ends the child last."""
    with monkeypatch.context() as patch:
        async with two_stores(postgres.url, new_schema(), patch) as place:
            patch.undo()  # here another try is what is tested
            (child,) = await started(place, "z")
            await put(place, job("a", "z"))
            async with place.holding(HELD, "a"):
                cancel = asyncio.ensure_future(place.one.alter(["a", "z"], Action.CANCEL, now=START))
                await place.waiting(1)
                end = asyncio.ensure_future(place.settle(child))
                await place.waiting(2)
            await asyncio.gather(end, cancel)
            states = await place.states("z", "a")
            assert states in (["completed", "cancelled"], ["completed", "available"])


async def test_a_sweep_tells_the_parents_of_those_that_expired(place: Place) -> None:
    await put(place, job("a", expires_in=1), job("parent", "a", on_dead="told"), job("grandparent", "parent"))
    report = await place.two.sweep(now=START + HOUR)
    assert (report.expired, report.discarded) == (1, ())
    assert await place.states("a", "parent", "grandparent") == ["cancelled", "discarded", "discarded"]


async def test_ends_that_code_without_graphs_told_nobody_are_told_by_a_sweep(place: Place) -> None:
    children = ["ended", "gone", "waiting"]
    await put(place, *map(job, children), *(job(f"of-{id}", id) for id in children))
    await place.sql("UPDATE {schema}.jobs SET state = 'completed', finished_at = 1, result = '7' WHERE id = 'ended'")
    await place.sql("DELETE FROM {schema}.jobs WHERE id = 'gone'")
    await place.two.sweep(now=START)
    parents = [f"of-{id}" for id in children]
    assert await place.states(*parents) == ["parked"] * 3
    await place.two.sweep(retention=KEEP, now=START)
    assert await place.states(*parents) == ["available", "discarded", "parked"]
    (edge,) = await place.one.edges(["of-ended"])
    assert (edge.state, edge.result) == (JobState.COMPLETED, "7")


async def test_a_child_that_is_retried_just_before_its_end_would_be_told_counts_as_live(place: Place) -> None:
    await put(place, job("a"), job("parent", "a"))
    await place.sql("UPDATE {schema}.jobs SET state = 'completed', finished_at = 1 WHERE id = 'a'")
    async with place.holding(HELD, "a"):
        sweep = asyncio.ensure_future(place.two.sweep(retention=KEEP, now=START))
        await place.waiting(1)
        await place.sql("UPDATE {schema}.jobs SET state = 'available', finished_at = NULL WHERE id = 'a'")
    await sweep
    assert await place.states("parent") == ["parked"]


async def test_a_parent_that_code_without_graphs_removed_may_come_again(place: Place) -> None:
    (a,) = await started(place, "a")
    await put(place, job("parent", "a"))
    await place.sql("DELETE FROM {schema}.jobs WHERE id = 'parent'")
    await put(place, job("parent", "a"))
    await place.settle(a)
    assert await place.states("parent") == ["available"]
