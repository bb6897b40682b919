"""Jobs with limits by way of the caller's transaction: they carry their gates, and wait for somebody to declare them."""

from __future__ import annotations

import pytest
from tests.engine._kit import run_all, running, until
from tests.transactions._doors import Door

from tidewheel import App, AsyncTask, JobState, Limit, LimitKeyError
from tidewheel._model.job import Job


def limited(app: App) -> AsyncTask[[str], str]:
    @app.task(concurrency=Limit(1, key="args.tenant", name="tenant"))
    async def send(tenant: str) -> str:
        return tenant

    return send


def gates(job: Job) -> list[str]:
    return [one.key for one in job.passes]


async def test_a_job_carries_its_gates_and_a_worker_declares_them(door: Door) -> None:
    send = limited(door.app)
    await door.run("INSERT INTO orders VALUES ('one')")
    handles = await door.enqueue([send.job("acme"), send.job("acme"), send.job("bobs")])
    await door.commit()

    assert [gates(await handle.info()) for handle in handles] == [["tenant:acme"], ["tenant:acme"], ["tenant:bobs"]]
    assert await run_all(door.app) == "drained"
    assert [await handle.result() for handle in handles] == ["acme", "acme", "bobs"]


async def test_a_limit_that_nobody_declared_is_shut_until_a_worker_does(door: Door) -> None:
    limited(door.app)
    url = door.app.url
    async with App(url) as other:  # it knows the task, and nothing of its limit

        @other.task
        async def send(tenant: str) -> str:
            return tenant

        (job,) = await door.enqueue([door.app.tasks["send"].job("acme")])
        await door.commit()

        async def parked() -> bool:
            return await job.state() is JobState.PARKED

        async with running(other):
            await until(parked)
        assert (await job.info()).parked_by == "tenant:acme"
        assert await run_all(door.app) == "drained"
        assert await job.result() == "acme"


async def test_of_many_jobs_the_one_without_a_key_is_named(door: Door) -> None:
    send = limited(door.app)
    with pytest.raises(LimitKeyError, match="Job 1 of the call, counted from 0"):
        await door.enqueue(send.job(name) for name in ("acme", "", "bobs"))  # type: ignore[arg-type]
    await door.commit()
    assert await door.jobs() == []
