"""Rules and graphs by way of the caller's transaction: they count when he commits, and never did when he rolls back."""

from __future__ import annotations

import pytest
from tests.engine._kit import run_all
from tests.transactions._doors import Door

from tidewheel import App, AsyncTask, DuplicateJob, Unique, chain, group


def step_of(app: App) -> AsyncTask[[str], str]:
    @app.task(unique=Unique(key="args.name", on_conflict="raise"))
    async def step(name: str) -> str:
        return name

    return step


async def test_a_graph_comes_with_the_commit(door: Door) -> None:
    step = step_of(door.app)
    last = chain(group([step.job("a"), step.job("b")]), step.job("c"))
    (gone,) = await door.enqueue([last])
    await door.rollback()
    assert await door.jobs() == []

    (job,) = await door.enqueue([last])
    await door.commit()
    assert job == gone
    assert await run_all(door.app) == "drained"
    assert await job.result() == "c"
    assert [one.result for one in await job.children()] == ["a", "b"]


async def test_a_key_is_held_from_the_commit_on(door: Door) -> None:
    step = step_of(door.app)
    await door.enqueue([step.job("a")])
    await door.rollback()

    jobs = [step.job("a"), step.job("a"), step.job("b")]
    with pytest.raises(
        DuplicateJob, match=r"1 of the 3 jobs of the call were refused, the others are in\. Job 1,"
    ) as told:
        await door.enqueue(jobs)
    assert told.value.existing_id == jobs[0].id
    await door.commit()
    assert await door.jobs() == [jobs[0].id, jobs[2].id]


async def test_a_graph_alone_takes_an_async_connection(door: Door) -> None:
    if not door.is_async:
        return
    step = step_of(door.app)
    job = await door.app.enqueue_graph(step.job("b").after(step.job("a")), connection=door.connection)
    await door.commit()
    assert await run_all(door.app) == "drained"
    assert await job.result() == "b"
