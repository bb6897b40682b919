"""Jobs that are given up: `on_dead_letter`, poison pills, and what may be done with dead letters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine._kit import faulty_app, row, run_all, running, until

from tidewheel import App, ConfigError, DeadLetter, JobFailed, JobFilter, JobState, Retention, RetryPolicy, fixed, keep
from tidewheel._model.duration import SECOND
from tidewheel._model.worker import Want


async def boom(order: int, *, note: str = "") -> None:
    raise LookupError(f"no order {order}")


async def crash(app: App, kind: str, times: int) -> None:
    """A worker claims a job of this kind and is never heard of again; so many times."""
    store = await app.opened()
    for _ in range(times):
        (claimed,) = await store.claim([Want("default", 1)], kinds=[kind], worker="gone", lease=SECOND)
        await store.sweep(now=claimed.claimed_at + 2 * SECOND)


@pytest.mark.parametrize("plain", [False, True])
async def test_the_handler_is_told_everything(app: App, plain: bool) -> None:
    told: list[DeadLetter] = []
    task = app.task(retry=RetryPolicy(2, fixed("1ms")))(boom)

    async def tell(dead: DeadLetter) -> None:
        told.append(dead)

    assert app.on_dead_letter(told.append if plain else tell) is not None
    job = await task.enqueue(7, note="x")
    await run_all(app)

    (dead,) = told
    assert (dead.id, dead.kind, dead.queue) == (job.id, "boom", "default")
    assert dead.args == {"order": 7, "note": "x"}
    assert (dead.attempts, dead.crashes) == (2, 0)
    assert (dead.error.type, dead.error.message) == ("LookupError", "no order 7")
    assert "raise LookupError" in dead.error.traceback
    done = await row(app, job.id)
    assert (dead.enqueued_at, dead.failed_at) == (done.enqueued_at, done.finished_at)


async def test_a_poison_pill_ends_as_a_dead_letter_and_is_told(app: App) -> None:
    """A job that takes its worker with it, three times: it does not go round for ever."""
    told: list[DeadLetter] = []
    task = app.task(max_crashes=3, retry=10)(boom)
    app.on_dead_letter(lambda dead: told.append(dead))  # noqa: PLW0108 -- a plain function
    job = await task.enqueue(1)

    await crash(app, "boom", 2)
    assert await job.state() is JobState.AVAILABLE
    await crash(app, "boom", 1)
    assert await job.state() is JobState.DISCARDED
    await run_all(app)

    (dead,) = told
    assert (dead.crashes, dead.error.type) == (3, "tidewheel.Crashed")
    assert "3 of at most 3 times" in dead.error.message
    with pytest.raises(JobFailed, match=r"tidewheel\.Crashed"):
        await job.result()


async def test_the_telling_is_a_job_that_is_tried_again(app: App) -> None:
    tries = 0
    task = app.task(retry=1)(boom)

    async def tell(dead: DeadLetter) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("the pager is down")

    app.on_dead_letter(tell)
    app.tasks["tidewheel.dead_letter"].settings.retry  # noqa: B018 -- there is one
    await task.enqueue(1)
    async with running(app):
        await until(lambda: tries)
        (page,) = [one for one in (await app.jobs.list()).jobs if one.kind == "tidewheel.dead_letter"]
        assert page.max_attempts == 5
        for expected in (2, 3):
            await until(lambda: app.jobs.promote([page.id]))
            await until(lambda expected=expected: tries == expected)  # type: ignore[misc]
    assert (await row(app, page.id)).state is JobState.COMPLETED


async def test_a_telling_that_fails_tells_nobody(app: App) -> None:
    async def tell(dead: DeadLetter) -> None:
        raise RuntimeError("never")

    app.task(retry=1)(boom)
    app.on_dead_letter(tell)
    await app.tasks["boom"].enqueue(1)
    store = await app.opened()

    async def given_up() -> bool:
        told = [one for one in (await app.jobs.list()).jobs if one.kind == "tidewheel.dead_letter"]
        await app.jobs.promote([one.id for one in told])  # no need to wait for its retries
        return [one.state for one in told] == [JobState.DISCARDED]

    async with running(app):
        await until(given_up)
    assert len(await store.queues()) == 1
    assert len((await app.jobs.list()).jobs) == 2


async def test_a_letter_that_was_dealt_with_meanwhile_is_not_told(app: App) -> None:
    told: list[DeadLetter] = []
    app.task(retry=1)(boom)
    app.on_dead_letter(told.append)
    job: Any = await app.tasks["boom"].enqueue(1)
    await crash(app, "boom", 1)
    assert await job.state() is JobState.DISCARDED
    assert await job.delete()
    await run_all(app)
    assert told == []


async def test_only_jobs_enqueued_after_the_handler_are_covered(app: App) -> None:
    told: list[DeadLetter] = []
    task = app.task(retry=1)(boom)
    await task.enqueue(1)
    app.on_dead_letter(told.append)
    second = await task.enqueue(2)
    await run_all(app)
    assert [dead.id for dead in told] == [second.id]


def test_there_is_one_handler(app: App) -> None:
    app.on_dead_letter(print)
    with pytest.raises(ConfigError, match=r"two tasks named 'tidewheel\.dead_letter'"):
        app.on_dead_letter(print)


# --- administration ---


@pytest.fixture
async def dead(app: App) -> list[str]:
    """Ids of three dead letters."""
    task = app.task(retry=1)(boom)
    jobs = [await task.options(tags=[f"t{number}"]).enqueue(number) for number in range(3)]
    await run_all(app)
    return [job.id for job in jobs]


async def left(app: App) -> set[str]:
    return {letter.id for letter in await app.dead_letters.list()}


async def test_list_and_get(app: App, dead: list[str]) -> None:
    waiting: Any = await app.tasks["boom"].enqueue(9)

    assert [letter.id for letter in await app.dead_letters.list()] == dead[::-1]
    assert [letter.id for letter in await app.dead_letters.list(JobFilter(tag="t1"))] == [dead[1]]
    assert await app.dead_letters.get(waiting.id) is None
    letter = await app.dead_letters.get(dead[0])
    assert letter is not None
    assert letter.args == {"order": 0}


async def test_requeue_some_or_all(app: App, dead: list[str]) -> None:
    assert await app.dead_letters.requeue([dead[0], "no such job"]) == 1
    assert await app.dead_letters.requeue(JobFilter(tag="t1")) == 1
    assert await left(app) == {dead[2]}
    assert await app.dead_letters.requeue() == 1
    again = await row(app, dead[0])
    assert (again.state, again.attempt, again.error) == (JobState.AVAILABLE, 0, None)


async def test_purge_keeps_to_what_it_was_given(app: App, dead: list[str]) -> None:
    waiting: Any = await app.tasks["boom"].enqueue(9)

    assert await app.dead_letters.purge(dead[:1], older_than="1h") == 0
    assert await app.dead_letters.purge([dead[0], waiting.id], older_than=0) == 1
    assert await left(app) == set(dead[1:])
    assert await app.dead_letters.purge(JobFilter(tag="t1")) == 1
    assert await app.dead_letters.purge(older_than="1h") == 0
    assert await app.dead_letters.purge() == 1
    assert await waiting.state() is JobState.AVAILABLE


async def test_one_text_is_no_list_of_ids(app: App, dead: list[str]) -> None:
    """Every letter of it would be taken for an id, and nothing would happen."""
    for call in (app.dead_letters.requeue, app.dead_letters.purge, app.jobs.cancel, app.jobs.delete):
        with pytest.raises(TypeError, match=r"Give a list of ids: \['job-1'\]"):
            await call("job-1")


async def test_more_ids_than_one_call_of_the_store_takes(app: App, dead: list[str]) -> None:
    ids = [f"no-{number}" for number in range(12_000)]

    assert await app.dead_letters.requeue([*ids, dead[0]]) == 1
    assert len(await app.jobs.delete([*ids, *dead])) == 12_003


# --- retention ---


async def test_the_rules_of_the_app_reach_the_store() -> None:
    general, mail, own = Retention(keep(1)), Retention(keep(2)), Retention(keep(0), keep(0))
    app, store = faulty_app(retention=general, queues={"mail": mail})

    async def work() -> None: ...

    app.task(name="a")(work)
    app.task(name="b", queue="mail")(work)
    app.task(name="c", retention=own)(work)
    job: Any = await app.tasks["c"].enqueue()
    async with running(app, queues=["default", "mail"]) as worker:
        await until(lambda: worker.done)
        await worker.settled()
        rules = {(rule.kind, rule.queue): rule.retention for rule in worker._rules()}
        assert rules == {
            ("a", "default"): general, ("a", "mail"): mail, ("b", "default"): general, ("b", "mail"): mail,
            ("c", "default"): own, ("c", "mail"): own,
        }  # fmt: skip
        assert store.given["sweep"][0]["retention"] == worker._rules()
        await store.sweep(retention=worker._rules())
    assert await app.jobs.get(job.id) is None


async def test_a_jobs_own_retention_goes_before_the_rules(app: App) -> None:
    async def work() -> None: ...

    task = app.task(retention=Retention(keep(0), keep(0)))(work)
    from tidewheel import FOREVER

    own = task.options(retention=Retention(FOREVER, FOREVER))
    kept, gone = await own.enqueue(), await task.enqueue()
    await run_all(app)
    await (await app.opened()).sweep(retention=app.worker()._rules())
    assert await app.jobs.get(kept.id) is not None
    assert await app.jobs.get(gone.id) is None
